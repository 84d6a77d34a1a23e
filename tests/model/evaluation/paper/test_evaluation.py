"""The paper's protocol as a whole: what models may see, what is reported of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from model.errors import TrainingCancelled
from model.evaluation.paper.candidates import PairScores, draw_candidates
from model.evaluation.paper.evaluation import MEAN, PaperEvaluation
from model.evaluation.paper.figures import candidate_ranks
from model.evaluation.paper.groups import GROUPS
from model.evaluation.paper.models import MODELS, PaperModel, PaperTask
from model.evaluation.paper.split import EdgeSplit
from model.settings import ModelSettings
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays

OURS = ("bipartite", "full")
VARIANTS = ("", "+dropedge", "+pretraining", "+pretraining+dropedge")
# Ten float32 steps of a cosine; what a held-out edge tells is a hundred times that.
_ROUNDING = 1e-6


@pytest.fixture
def task(split: EdgeSplit, settings: ModelSettings) -> PaperTask:
    """Return what to fit to, a pass or two of it."""
    validation = draw_candidates(
        split.arrays, split.pairs(split.validation), 5, np.random.default_rng(0)
    )
    return PaperTask(
        split=split,
        messages="clean",
        validation=validation,
        settings=replace(settings, budget_seconds=0.0),
    )


@pytest.fixture
def by_hand() -> Iterator[list[PaperTask]]:
    """Add a model that knows all pairs with even queries; return the tasks it gets."""
    tasks: list[PaperTask] = []

    def fit(task: PaperTask) -> tuple[PairScores, dict[str, float]]:
        tasks.append(task)
        arrays = task.split.arrays
        known = arrays.edge_query * arrays.num_items + arrays.edge_item

        def scores(query: Int64s, item: Int64s) -> Float32s:
            is_edge = np.isin(query * arrays.num_items + item, known)
            return np.where(is_edge & (query % 2 == 0), 2.0, 1.0).astype(np.float32)

        return scores, {"passes": 3.0}

    MODELS["by hand"] = PaperModel(fit=fit, messages=("leak", "clean"), against=("other",))
    MODELS["other"] = PaperModel(fit=fit, messages=("clean",), against=())
    yield tasks
    del MODELS["by hand"], MODELS["other"]


def test_the_paper_has_all_its_switches() -> None:
    """With and without hypergraph, pre-training and DropEdge, both ways; ours beside
    it, without the leak.
    """
    for network in ("paper", "paper-hypergraph"):
        for variant in VARIANTS:
            assert MODELS[network + variant].messages == ("leak", "clean", "strict")
    assert MODELS["full"].messages == MODELS["bipartite"].messages == ("clean", "strict")
    assert all({*model.against} <= {*MODELS} for model in MODELS.values())


@pytest.mark.parametrize("name", ["paper", "paper-hypergraph", *OURS])
def test_clean_models_never_see_what_is_tested(name: str, task: PaperTask) -> None:
    """A log without the held-out edges, the same scores; with the leak, others.

    The same but for rounding: sums of other shapes are in another order on some CPUs.
    """
    split = task.split
    query, item = split.pairs(split.train[:20])
    without = replace(
        split,
        arrays=split.training_arrays,
        train=np.arange(len(split.train)),
        validation=split.validation[:0],
        test=split.test[:0],
        group=split.group[:0],
    )
    settings = replace(task.settings, budget_seconds=3600.0 if name in OURS else 0.0)
    honest, same = (
        MODELS[name].fit(replace(task, split=each, settings=settings))[0](query, item)
        for each in (split, without)
    )

    assert honest == pytest.approx(same, abs=_ROUNDING)
    if "leak" in MODELS[name].messages:
        leaking = MODELS[name].fit(replace(task, messages="leak"))[0](query, item)
        assert np.abs(honest - leaking).max() > 10 * _ROUNDING


@pytest.mark.parametrize("variant", VARIANTS[1:])
@pytest.mark.parametrize("network", ["paper", "paper-hypergraph"])
def test_each_switch_does_something(network: str, variant: str, task: PaperTask) -> None:
    """Other scores than without it."""
    settings = replace(task.settings, budget_seconds=1.0)
    query, item = task.split.pairs(task.split.train[:20])
    plain, switched = (
        MODELS[name].fit(replace(task, settings=settings))[0](query, item)
        for name in (network, network + variant)
    )

    assert not np.array_equal(plain, switched)


def test_the_paper_learns_what_is_held_out(wide_arrays: GraphArrays, task: PaperTask) -> None:
    """Far above chance on the test, where a pair in the middle of 101 makes .02."""
    fit = MODELS["paper"].fit
    scores, chosen = fit(replace(task, settings=replace(task.settings, budget_seconds=60.0)))
    tested = draw_candidates(
        wide_arrays, task.split.pairs(task.split.test), 50, np.random.default_rng(0)
    )

    assert chosen["passes"] > 0
    assert (1 / candidate_ranks(*tested.scored(scores))).mean() > 0.2


def test_scores_are_by_messages_group_and_seed(
    wide_arrays: GraphArrays, settings: ModelSettings, by_hand: list[PaperTask]
) -> None:
    """A score a group and seed, then the means with intervals; figures as the model's
    scores make them.
    """
    evaluation = PaperEvaluation(wide_arrays, settings, [3, 4])
    fits: list[None] = []
    scores = list(evaluation.judge("by hand", lambda: fits.append(None)))

    assert len(fits) == evaluation.num_fits(["by hand"]) == 4
    assert [(task.messages, task.settings.seed) for task in by_hand] == [
        ("leak", 3),
        ("leak", 4),
        ("clean", 3),
        ("clean", 4),
    ]
    for messages in ("leak", "clean"):
        rows = [score for score in scores if score.messages == messages]
        groups = ["all", *GROUPS]
        assert [(row.group, row.seed) for row in rows] == [
            (group, seed) for seed in (3, 4, MEAN) for group in groups
        ]
        everything = rows[-len(groups)]
        split = by_hand[0].split
        known = (split.pairs(split.test)[0] % 2 == 0).mean()
        assert everything.pairs == len(split.test)
        assert everything.figures["mrr"] == pytest.approx(known + (1 - known) / 51)
        assert everything.figures["recall"] == pytest.approx(known)
        low, high = everything.intervals["mrr"]
        assert low < everything.figures["mrr"] < high
        assert rows[0].chosen == {"passes": 3.0}


def test_gains_are_over_judged_models_with_the_same_messages(
    wide_arrays: GraphArrays, settings: ModelSettings, by_hand: list[PaperTask]
) -> None:
    """None before the other is judged; nothing where both are the same."""
    evaluation = PaperEvaluation(wide_arrays, settings, [0])
    list(evaluation.judge("by hand"))
    assert not list(evaluation.gains("by hand"))
    list(evaluation.judge("other"))
    gains = list(evaluation.gains("by hand"))

    assert by_hand
    assert [(gain.messages, gain.group) for gain in gains] == [
        ("clean", group) for group in ("all", *GROUPS)
    ]
    assert all(set(gain.figures.values()) == {0.0} for gain in gains)
    assert all(set(gain.intervals.values()) == {(0.0, 0.0)} for gain in gains)


def test_there_is_no_gain_over_nothing(
    wide_arrays: GraphArrays,
    settings: ModelSettings,
    by_hand: list[PaperTask],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the other's recall is 0, the gain is left out; MRR is never 0."""

    def fit(task: PaperTask) -> tuple[PairScores, dict[str, float]]:
        assert task.messages == "clean"
        return nothing, {}

    def nothing(query: Int64s, item: Int64s) -> Float32s:
        return np.zeros_like(query + item, dtype=np.float32)

    monkeypatch.setitem(MODELS, "other", replace(MODELS["other"], fit=fit))
    evaluation = PaperEvaluation(wide_arrays, settings, [0])
    for name in ("by hand", "other"):
        list(evaluation.judge(name))

    assert by_hand
    assert {tuple(gain.figures) for gain in evaluation.gains("by hand")} == {("mrr",)}


def test_it_ends_between_two_fits(wide_arrays: GraphArrays, settings: ModelSettings) -> None:
    """Told to stop, it fits no further model."""
    evaluation = PaperEvaluation(wide_arrays, settings, [0], lambda: True)

    with pytest.raises(TrainingCancelled):
        list(evaluation.judge("full"))
