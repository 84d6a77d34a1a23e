"""The fresh lane of a replay: what it knows when, and how it answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from model.artifact.generation import Generation, open_generation
from model.evaluation.asked import AskedClicks
from model.evaluation.lane import DELAY_MS, LaneView, ReplayedLane
from model.evaluation.log_changes import LogChanges
from model.fresh.result import RoundResult
from stream.dtypes import Float32s
from stream.feed.changes import ShardChanges
from testing.small_generations import DIM, Artifacts, make_catalogue
from testing.small_shop import START_MS, MakeArrays, click


@pytest.fixture
def live(tmp_path: Path) -> Generation:
    """Return a generation of four items and one query; an item is hidden."""
    artifacts = Artifacts(tmp_path / "artifacts")
    catalogue = make_catalogue(4, ["lamp"])
    catalogue.hidden = frozenset({3})
    generation_id = artifacts.write(catalogue)
    return open_generation(artifacts.store.generation_path(generation_id))


def axis(number: int) -> Float32s:
    """Return a unit vector."""
    vectors: Float32s = np.eye(DIM, dtype=np.float32)
    vector: Float32s = vectors[number]
    return vector


def result(
    items: Mapping[str, Float32s] | None = None,
    queries: Mapping[str, Float32s] | None = None,
    *,
    carried: int = 0,
    shown: bool = True,
) -> RoundResult:
    """Return a round that moved these."""
    items, queries = items or {}, queries or {}
    nothing = np.zeros((0, DIM), dtype=np.float32)
    return RoundResult(
        item_ids=tuple(items),
        item_titles=("",) * len(items),
        item_attributes=("",) * len(items),
        item_shown=np.full(len(items), shown),
        item_catalog_ms=np.zeros(len(items), dtype=np.int64),
        item_sessions=np.zeros(len(items), dtype=np.int64),
        item_vectors=np.array([*nothing, *items.values()], dtype=np.float32).reshape(-1, DIM),
        query_texts=tuple(queries),
        query_clicks=("",) * len(queries),
        query_vectors=np.array([*nothing, *queries.values()], dtype=np.float32).reshape(-1, DIM),
        gone_items=(),
        gone_item_ms=np.zeros(0, dtype=np.int64),
        gone_queries=np.zeros(0, dtype=np.uint64),
        recomputed=len(items) + len(queries),
        carried=carried,
        withheld=0.0,
        poisoned=0,
    )


def test_newer_vectors_replace_older_ones(live: Generation) -> None:
    """A changed item keeps its row, a new one gets the next; what is not shown has
    none.
    """
    view = LaneView(live)
    first, second, _ = np.flatnonzero(live.item_shown).tolist()
    known = live.item_ids[second]
    view.take(result({known: axis(0), "new": axis(1)}))
    view.take(result({"new": axis(2)}))
    view.take(result({"unavailable": axis(3)}, shown=False))

    assert view.item_vectors.shape == (4, DIM)
    assert (view.row_of(known), view.row_of("new"), view.row_of("unavailable")) == (1, 3, -1)
    np.testing.assert_array_equal(view.item_vectors[[1, 3]], [axis(0), axis(2)])
    np.testing.assert_array_equal(view.item_vectors[0], live.item_vectors[first])


class Scripted:
    """Stands for the state of the lane: each round names the click's query and item.

    Args:
        results: of each call, in turn.
    """

    def __init__(self, results: Sequence[RoundResult]) -> None:
        self.taken: list[Sequence[ShardChanges]] = []
        self._results = iter(results)

    def apply(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Return what comes next."""
        self.taken.append(changes)
        return next(self._results)


def test_a_click_is_asked_what_came_shortly_before_it(
    live: Generation, make_arrays: MakeArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three clicks of a new pair: the second comes before the first is shown, the third
    after it.
    """
    times = [0, DELAY_MS, DELAY_MS + 1]
    whole = make_arrays([click(ms, f"s{ms}", "new one", "new") for ms in times])
    clicks = AskedClicks(whole=whole, fact=np.argsort(whole.fact_ms, kind="stable"))
    state = Scripted([result({"new": axis(0)}, {"new one": axis(0)})])
    monkeypatch.setattr("model.evaluation.lane.FreshState", lambda *_, **__: state)
    lane = ReplayedLane(live, LogChanges(whole), since_ms=START_MS)

    assert lane.ranks(clicks, np.arange(3)).tolist() == [np.inf, np.inf, 1.0]
    assert lane.rounds == 1
    assert [len(changes) for changes in state.taken] == [1]


def test_what_is_carried_over_is_recomputed_before_the_next_click(
    live: Generation, make_arrays: MakeArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds go on, without changes, until nothing is left."""
    whole = make_arrays([click(ms, f"s{ms}", "lamp", "new") for ms in (0, 60_000)])
    clicks = AskedClicks(whole=whole, fact=np.argsort(whole.fact_ms, kind="stable"))
    state = Scripted([result(carried=5), result(carried=2), result({"new": axis(0)})])
    monkeypatch.setattr("model.evaluation.lane.FreshState", lambda *_, **__: state)
    lane = ReplayedLane(live, LogChanges(whole), since_ms=START_MS)
    ranks = lane.ranks(clicks, np.arange(2))

    assert np.isfinite(ranks).tolist() == [False, True]
    assert lane.rounds == 3
    assert [len(changes) for changes in state.taken] == [1, 0, 0]
