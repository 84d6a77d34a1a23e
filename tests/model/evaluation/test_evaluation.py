"""Baselines, models and intervals of an evaluation, on the small shop."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.bootstrap import interval
from model.data.session_clicks import session_clicks
from model.errors import TrainingCancelled
from model.evaluation.baselines.lexical import Bm25, CoOccurrence, Popularity
from model.evaluation.evaluation import MEAN, TITLE_FIGURE, Evaluation, ModelScore
from model.evaluation.holdout import SEGMENTS, Holdout, split_by_time
from model.evaluation.models import MODELS, FitTask, ranks_of
from model.evaluation.own_titles import TITLE_SEGMENTS
from model.settings import ModelSettings
from stream.events.types import CatalogItem
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.small_shop import browsing_events, click, fill_store, shop_events, shop_items

NAMES = [name for name in MODELS if not name.startswith("paper")]  # those are in test_paper.py


@pytest.fixture(scope="module")
def holdouts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Holdout, Holdout]:
    """Return the shop's validation and test split."""
    root = tmp_path_factory.mktemp("log") / "store"
    items = [
        CatalogItem(item_id=f"rare-{number}", title=f"unheard {word}")
        for number, word in enumerate(("zither", "sextant", "quern"))
    ]
    fill_store(root, shop_events(300), [*shop_items(), *items])
    with open_graph(root, StreamSettings()) as graph:
        return split_by_time(lambda before_ms: graph.arrays(before_ms=before_ms))


@pytest.fixture(scope="module")
def scores(
    holdouts: tuple[Holdout, Holdout], settings: ModelSettings
) -> tuple[Evaluation, list[ModelScore]]:
    """Return all models, judged with two seeds."""
    evaluation = Evaluation(*holdouts, replace(settings, budget_seconds=20.0), seeds=(0, 1))
    return evaluation, [score for name in NAMES for score in evaluation.judge(name)]


def test_every_model_is_better_than_nothing(
    scores: tuple[Evaluation, list[ModelScore]], holdouts: tuple[Holdout, Holdout]
) -> None:
    """A shop whose titles and clicks say what fits.

    What reads either is far above popularity.
    """
    means = {
        score.model: score.figures["mrr"]
        for score in scores[1]
        if score.seed == MEAN and score.segment == "all"
    }

    assert set(means) == set(NAMES)
    for name in ("bm25", "co-occurrence", "text", "full"):
        assert means[name] > 1.5 * means["popularity"], means


def test_means_have_intervals_around_them(scores: tuple[Evaluation, list[ModelScore]]) -> None:
    """Each model has a row a segment and seed, and a mean whose interval holds it."""
    rows = scores[1]

    assert {(row.model, row.segment) for row in rows if row.seed == MEAN} == {
        (name, segment) for name in NAMES for segment in SEGMENTS
    }
    assert {row.seed for row in rows if row.model == "full"} == {0, 1, MEAN}
    for row in rows:
        for figure, (low, high) in row.intervals.items():
            assert low <= row.figures[figure] <= high
    assert all(not row.intervals for row in rows if row.seed != MEAN)


def test_each_seed_says_what_was_chosen(scores: tuple[Evaluation, list[ModelScore]]) -> None:
    """Settings tuned on the validation part, passes of what is trained.

    A mean has none.
    """
    chosen = {(row.model, row.seed): row.chosen for row in scores[1]}

    assert set(chosen["bm25", 0]) == {"k1", "b"}
    assert chosen["full", 0]["passes"] >= 1
    assert not any(choice for (_, seed), choice in chosen.items() if seed == MEAN)


@pytest.mark.parametrize("name", ["bm25", "lightgcn", "full"])
def test_a_fit_ends_between_two_steps(
    name: str, holdouts: tuple[Holdout, Holdout], settings: ModelSettings
) -> None:
    """Told to stop after it began, it asks once more and gives nothing."""
    answers = [False, False, True]
    evaluation = Evaluation(*holdouts, settings, seeds=(0,), is_cancelled=lambda: answers.pop(0))

    with pytest.raises(TrainingCancelled):
        next(evaluation.judge(name))
    assert not answers


def test_a_model_is_compared_on_the_same_queries(
    scores: tuple[Evaluation, list[ModelScore]],
) -> None:
    """The difference is that of the means; against itself it is nothing, for sure."""
    evaluation, rows = scores
    means = {(row.model, row.segment): row.figures for row in rows if row.seed == MEAN}
    means |= {
        (name, row.segment): {TITLE_FIGURE: row.found}
        for name in ("full", "bm25")
        for row in evaluation.own_titles(name)
        if row.seed == MEAN
    }
    differences = list(evaluation.compare("full", "bm25"))
    assert [each.segment for each in differences] == [*SEGMENTS, *TITLE_SEGMENTS]
    for difference in differences:
        ours, theirs = (means[name, difference.segment] for name in ("full", "bm25"))
        for figure, value in difference.figures.items():
            assert value == pytest.approx(ours[figure] - theirs[figure])
    same = next(evaluation.compare("bm25", "bm25"))
    assert same.figures["mrr"] == 0.0
    assert same.intervals["mrr"] == (0.0, 0.0)


def test_what_is_lost_beyond_noise_is_told(
    scores: tuple[Evaluation, list[ModelScore]],
) -> None:
    """Popularity loses to BM25 over all pairs and by titles; a model loses nothing to
    itself.
    """
    evaluation, _ = scores
    lost = {each.segment: each.lost for each in evaluation.compare("popularity", "bm25")}

    assert {"mrr", "recall_10"} <= set(lost["all"])
    assert lost["own_title"] == [TITLE_FIGURE]
    assert not any(each.lost for each in evaluation.compare("bm25", "bm25"))
    assert not any(each.lost for each in evaluation.compare("bm25", "popularity"))


def test_titles_of_items_without_clicks_are_asked_for(
    scores: tuple[Evaluation, list[ModelScore]],
) -> None:
    """Of every model, a row a segment and seed, and the mean with its interval; BM25
    finds them at once, popularity never.
    """
    evaluation, _ = scores
    for name in NAMES:
        rows = list(evaluation.own_titles(name))
        means = [row for row in rows if row.seed == MEAN]
        assert [row.segment for row in means] == list(TITLE_SEGMENTS)
        assert {row.titles for row in rows} == {3}
        for row in means:
            assert row.interval is not None
            assert row.interval[0] <= row.found <= row.interval[1]
    best, worst = (next(evaluation.own_titles(name)) for name in ("bm25", "popularity"))
    assert (best.found, best.median_rank) == (1.0, 1.0)
    assert worst.found == 0.0
    assert worst.median_rank > 10


def test_what_a_session_brings_has_a_row_a_seed(
    scores: tuple[Evaluation, list[ModelScore]],
) -> None:
    """And a mean with its interval; a model that answers by no vectors has none."""
    evaluation, _ = scores
    rows = list(evaluation.in_sessions("full"))

    assert [row.seed for row in rows] == [0, 1, MEAN]
    assert len({row.clicks for row in rows}) == 1
    assert rows[2].without["mrr"] == pytest.approx(
        (rows[0].without["mrr"] + rows[1].without["mrr"]) / 2
    )
    for row in rows:
        low, high = row.intervals["mrr"]
        assert low <= row.relative["mrr"] <= high
    assert not list(evaluation.in_sessions("bm25"))


def test_a_session_that_follows_an_intent_brings_something(
    tmp_path: Path, settings: ModelSettings
) -> None:
    """As much as its clicks say, by the weight that the past chose."""
    root = tmp_path / "store"
    fill_store(root, browsing_events(1600, follows_intent=True), shop_items())
    with open_graph(root, StreamSettings()) as graph:
        parts = split_by_time(lambda before_ms: graph.arrays(before_ms=before_ms))
    evaluation = Evaluation(*parts, settings, seeds=(0,))

    list(evaluation.judge("full"))

    gain = list(evaluation.in_sessions("full"))[-1]
    assert gain.weights.items > 0
    assert gain.within["mrr"] > 1.2 * gain.without["mrr"]
    assert gain.intervals["mrr"][0] > 0


def test_fitting_never_looks_at_the_test_pairs(
    holdouts: tuple[Holdout, Holdout], settings: ModelSettings
) -> None:
    """Other test pairs, the same model.

    Every ranker scores alike whatever is asked of it.
    """
    validation, test = holdouts
    shuffled = replace(test, query=test.query[::-1].copy(), item=np.zeros_like(test.item))
    queries = np.arange(5)
    for name in NAMES:
        honest, other = (
            MODELS[name].fit(_task(validation, asked, settings))[0].scores(queries)
            for asked in (test, shuffled)
        )
        assert np.array_equal(honest, other), name


def _task(validation: Holdout, test: Holdout, settings: ModelSettings) -> FitTask:
    return FitTask(validation=validation, test=test, settings=replace(settings, max_passes=2))


def test_bm25_finds_what_the_title_says(holdouts: tuple[Holdout, Holdout]) -> None:
    """The product with both words first.

    A query without any known word gets what is popular.
    """
    _, test = holdouts
    asked = replace(test, texts=["red mug", "qqq zzz"])
    scores = Bm25(asked).scores(np.array([0, 1]))

    assert asked.arrays.item_ids[int(scores[0].argmax())] == "mug-red"
    assert np.array_equal(
        np.argsort(scores[1], kind="stable"),
        np.argsort(Popularity(asked).scores(np.array([0]))[0], kind="stable"),
    )


def test_co_occurrence_follows_sessions_and_words(tmp_path: Path) -> None:
    """An item seen beside the query's own is found, also by a query that is only worded
    alike.
    """
    events = [click(number, f"s{number}", "desk lamp", "lamp-red") for number in range(4)]
    events += [click(number, f"s{number}", "", "notebook-blue") for number in range(4)]
    events += [click(9, "s9", "wool scarf", "scarf-red")]
    fill_store(tmp_path / "store", events, shop_items())
    with open_graph(tmp_path / "store", StreamSettings()) as graph:
        arrays = graph.arrays()
    holdout = Holdout(
        arrays=arrays,
        texts=[*arrays.query_texts, "cheap lamp"],
        query=np.zeros(0, dtype=np.int64),
        item=np.zeros(0, dtype=np.int64),
        clicks=session_clicks(arrays, np.iinfo(np.int64).max),
    )
    known = arrays.query_texts.index("desk lamp")
    scores = CoOccurrence(holdout).scores(np.array([known, arrays.num_queries]))
    best = [
        [arrays.item_ids[place] for place in np.argsort(-row, kind="stable")[:2]] for row in scores
    ]

    assert best == [["lamp-red", "notebook-blue"]] * 2


def test_ranks_of_a_ranker_are_those_of_its_scores(holdouts: tuple[Holdout, Holdout]) -> None:
    """One pair, by hand."""
    _, test = holdouts
    ranks = ranks_of(Bm25(test), test)
    row = Bm25(test).scores(test.query[:1])[0]
    seen = test.arrays.edge_item[test.arrays.edge_query == test.query[0]]
    row[seen] = -np.inf
    wanted = row[test.item[0]]

    assert ranks[0] == (row > wanted).sum() + ((row == wanted).sum() + 1) / 2


def test_intervals_narrow_with_queries_and_hold_the_truth() -> None:
    """On draws from a known mean the interval holds it about nineteen
    times in twenty.
    """
    rng = np.random.default_rng(3)
    bounds = [interval(rng.normal(0.5, 0.2, size=(1, 200))) for _ in range(60)]

    assert sum(low <= 0.5 <= high for low, high in bounds) >= 50
    wide, narrow = (interval(rng.normal(0.5, 0.2, size=(1, size))) for size in (20, 2000))
    assert narrow[1] - narrow[0] < (wide[1] - wide[0]) / 3
    assert interval(np.zeros((2, 0))) == (0.0, 0.0)
