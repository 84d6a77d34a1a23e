"""Search clicks of the past that are views to the models."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import EvaluationRefused
from model.evaluation.hidden_queries import HiddenQueries
from model.evaluation.holdout import Holdout, split_by_time
from stream.actions import Action
from stream.events.types import Interaction
from stream.graph.arrays import GraphArrays
from stream.reading.reader import GraphReader, open_graph
from stream.settings import StreamSettings
from testing.small_shop import click, fill_store, shop_events, shop_items

EVENTS = shop_events(300)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphReader]:
    """Return the shop's graph."""
    root = tmp_path_factory.mktemp("log") / "store"
    fill_store(root, EVENTS, shop_items())
    with open_graph(root, StreamSettings()) as reader:
        yield reader


Split = Callable[[HiddenQueries | None], tuple[Holdout, Holdout]]


@pytest.fixture(scope="module")
def split(graph: GraphReader) -> Split:
    """Return a function that splits the shop, with a share of its past hidden."""

    def make(hidden: HiddenQueries | None) -> tuple[Holdout, Holdout]:
        return split_by_time(
            lambda before_ms: graph.arrays(before_ms=before_ms),
            (lambda before_ms: graph.arrays(before_ms=before_ms, rewrite=hidden))
            if hidden
            else None,
        )

    return make


def _clicks(arrays: GraphArrays) -> set[tuple[int, str, str]]:
    """Return time, query and item of each click out of a search."""
    rows = zip(
        arrays.fact_ms.tolist(), arrays.fact_query.tolist(), arrays.fact_item.tolist(), strict=True
    )
    return {(ms, arrays.query_texts[query], arrays.item_ids[item]) for ms, query, item in rows}


def _asked(split: Holdout) -> set[tuple[str, str]]:
    pairs = zip(split.query.tolist(), split.item.tolist(), strict=True)
    return {(split.texts[query], split.arrays.item_ids[item]) for query, item in pairs}


def test_a_share_of_the_clicks_becomes_views(graph: GraphReader) -> None:
    """About so many lose their query.

    The others, the sessions, their items and their times stay.
    """
    plain, hidden = graph.arrays(), graph.arrays(rewrite=HiddenQueries(share=0.8))

    assert _clicks(hidden) < _clicks(plain)
    assert 0.15 < len(hidden.fact_ms) / len(plain.fact_ms) < 0.25
    for name in ("incidence_session", "incidence_item", "incidence_ms"):
        assert np.array_equal(getattr(hidden, name), getattr(plain, name)), name
    assert hidden.item_ids == plain.item_ids
    assert hidden.num_sessions == plain.num_sessions
    assert set(hidden.query_texts) == {query for _, query, _ in _clicks(hidden)}
    assert hidden.edge_sessions.sum() < plain.edge_sessions.sum()


def test_which_clicks_are_views_follows_from_them_and_the_seed(graph: GraphReader) -> None:
    """The same again, others for another seed, more for a larger share; a longer past
    hides what a shorter one does.
    """
    share, middle = HiddenQueries(share=0.5), int(np.median(graph.arrays().fact_ms))
    left = _clicks(graph.arrays(rewrite=share))

    assert left == _clicks(graph.arrays(rewrite=share))
    assert left != _clicks(graph.arrays(rewrite=replace(share, seed=1)))
    assert left > _clicks(graph.arrays(rewrite=replace(share, share=0.7)))
    before = _clicks(graph.arrays(before_ms=middle, rewrite=share))
    assert before == {each for each in left if each[0] < middle}
    assert _clicks(graph.arrays(rewrite=HiddenQueries(share=0.0))) == _clicks(graph.arrays())


def test_what_a_session_did_for_a_query_is_hidden_together(tmp_path: Path) -> None:
    """A purchase after the click, too.

    Both are one view then, as early as the click.
    """
    events = [
        each
        for number in range(60)
        for each in (
            click(number * 1000, f"s{number}", "mug", "mug-red"),
            click(number * 1000 + 5, f"s{number}", "mug", "mug-red", Action.PURCHASE),
            click(number * 1000 + 9, f"s{number}", "", "mug-blue", Action.VIEW),
        )
    ]
    fill_store(tmp_path / "store", events, shop_items())
    with open_graph(tmp_path / "store", StreamSettings()) as graph:
        plain = graph.arrays()
        hidden = graph.arrays(rewrite=HiddenQueries(share=0.5))

    left = np.bincount(hidden.fact_session, minlength=60)
    assert set(left.tolist()) == {0, 2}
    assert np.array_equal(hidden.incidence_ms, plain.incidence_ms)


@pytest.mark.parametrize("part", [0, 1], ids=["validation", "test"])
def test_what_is_asked_does_not_depend_on_the_share(split: Split, part: int) -> None:
    """Real clicks that are new to the whole past, of both splits; hidden pairs are
    neither asked nor ranked.
    """
    plain, hidden = split(None)[part], split(HiddenQueries(share=0.8))[part]

    assert _asked(hidden) == _asked(plain)
    assert len(hidden.arrays.edge_query) < 0.6 * len(plain.arrays.edge_query)
    seen = replace(hidden, query=hidden.seen[0], item=hidden.seen[1])
    known = _asked(replace(plain, query=plain.seen[0], item=plain.seen[1]))
    ranked = {*hidden.arrays.query_texts, *(query for query, _ in _asked(hidden))}
    assert _asked(seen) <= known
    assert {pair for pair in known if pair[0] in ranked} <= _asked(seen)
    assert len(set(zip(*(column.tolist() for column in hidden.seen), strict=True))) == len(
        hidden.seen[0]
    )
    assert len(hidden.clicks) == len(plain.clicks)


def test_segments_go_by_what_models_may_learn(split: Split) -> None:
    """A query whose clicks are hidden is new, an item without another is one that only
    sessions know.
    """
    _, plain = split(None)
    _, hidden = split(HiddenQueries(share=0.8))

    for name in ("new_queries", "isolated"):
        assert hidden.segment(name).sum() > plain.segment(name).sum()


def test_a_past_without_a_click_is_refused(split: Split) -> None:
    """With what to do about it."""
    with pytest.raises(EvaluationRefused, match="--views-share"):
        split(HiddenQueries(share=1.0))


def test_pairs_that_only_sessions_join_have_a_segment(tmp_path: Path) -> None:
    """Apart: of a known query and an item seen beside one that was clicked for it; of
    items that only sessions know at all. Not of an item that was clicked, nor of one
    that nobody has seen.
    """
    past: list[Interaction] = []
    for number in range(20):
        session = f"s{number}"
        past += [
            click(number * 10, session, "mug", "mug-red"),
            click(number * 10 + 1, session, "", "lamp-red", Action.VIEW),
            click(number * 10 + 2, f"t{number}", "scarf", "scarf-red"),
            click(number * 10 + 3, f"t{number}", "", "kettle-red", Action.VIEW),
        ]
    last = [
        ("mug", "lamp-red"),
        ("mug", "kettle-red"),
        ("tea", "kettle-red"),
        ("mug", "scarf-red"),
        ("mug", "notebook-red"),
    ]
    # As often as it takes that they are the newest fifth, and the tenth before it.
    later = [
        click(1000 + number, f"u{number}", query, item)
        for number, (query, item) in enumerate([("mug", "mug-blue")] * 8 + last * 2)
    ]
    fill_store(tmp_path / "store", past + later, shop_items())
    with open_graph(tmp_path / "store", StreamSettings()) as graph:
        _, test = split_by_time(lambda before_ms: graph.arrays(before_ms=before_ms))

    def pairs(name: str) -> set[tuple[str, str]]:
        chosen = test.segment(name)
        return _asked(replace(test, query=test.query[chosen], item=test.item[chosen]))

    assert pairs("all") == set(last)
    assert pairs("session_items") == set(last[:3])
    assert pairs("session_pairs") == {("mug", "lamp-red")}
