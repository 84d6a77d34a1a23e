"""The graph of a store that grew, against the plain graph of the set of its events."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.events.types import Interaction
from stream.graph.keysets import repeated
from stream.reading.compare import compare_graphs
from stream.reading.incremental import GraphCache
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.graph.deliveries import deliveries
from testing.histories import NOON_MS, apply_events, dump, event, graph_hash
from testing.oracle import Oracle, assert_same_dump, with_sessions

DEFAULTS = StreamSettings()


def deliver(root: Path, batches: Sequence[tuple[int, int, Sequence[Interaction]]]) -> None:
    """Apply batches, each to a shard of a store that has at least so many."""
    for num_shards, index, events in batches:
        with Store.create_or_open(root, DEFAULTS, num_shards) as store:
            apply_events(store.shard(index % store.num_shards), events)


@given(deliveries(), st.data())
@hypothesis_settings(max_examples=25)
def test_where_a_fact_is_does_not_matter(
    delivery: tuple[list[Interaction], list[list[Interaction]]], data: st.DataObject
) -> None:
    """A store grows between batches, and what is delivered again comes into any shard:
    dump, counts and hash are those of one shard that saw each event once.
    """
    events, batches = delivery
    events = [each for each in events if each.session_id]
    placed = [
        (
            data.draw(st.integers(1, 4), label="shards"),
            data.draw(st.integers(0, 3), label="shard"),
            [each for each in batch if each.session_id],
        )
        for batch in batches
    ]
    with TemporaryDirectory() as folder:
        grown, plain = Path(folder, "grown"), Path(folder, "plain")
        deliver(grown, placed)
        deliver(plain, [(1, 0, events)])

        assert_same_dump(
            dump(grown, DEFAULTS, NOON_MS),
            Oracle.of(with_sessions(events, DEFAULTS.session_gap_ms)).dump(NOON_MS),
        )
        assert graph_hash(grown, DEFAULTS) == graph_hash(plain, DEFAULTS)
        with open_graph(grown, DEFAULTS) as one, open_graph(plain, DEFAULTS) as other:
            assert one.stats().facts == other.stats().facts
            assert one.stats().hyperedges == other.stats().hyperedges


visited = st.builds(
    event,
    session_id=st.just(""),
    query=st.sampled_from(["", "tv"]),
    item_id=st.sampled_from(["a", "b", "c"]),
    # A third of the gap apart: visits of several events, and gaps between them.
    ts_ms=st.integers(0, 15).map(lambda step: NOON_MS + step * DEFAULTS.session_gap_ms // 3),
    user_id=st.sampled_from(["u-1", "u-2", "u@3"]),
)


@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(visited, min_size=1, max_size=4)), max_size=6)
)
@hypothesis_settings(max_examples=40)
def test_visits_that_were_cut_in_several_shards_are_joined(
    batches: list[tuple[int, list[Interaction]]],
) -> None:
    """A user's events without a session id, in whatever shards they came, repeats
    included, make the visits, the graph and the hash of one shard.
    """
    events = [each for _, batch in batches for each in batch]
    with TemporaryDirectory() as folder:
        grown, plain = Path(folder, "grown"), Path(folder, "plain")
        deliver(grown, [(3, index, batch) for index, batch in batches])
        deliver(grown, [(3, 0, events[:2])])
        deliver(plain, [(1, 0, events)])

        expected = Oracle.of(with_sessions(events, DEFAULTS.session_gap_ms))
        assert_same_dump(dump(grown, DEFAULTS, NOON_MS), expected.dump(NOON_MS))
        assert graph_hash(grown, DEFAULTS) == graph_hash(plain, DEFAULTS)
        with open_graph(grown, DEFAULTS) as one, open_graph(plain, DEFAULTS) as other:
            assert compare_graphs(one, other).is_equal
            assert one.arrays(NOON_MS).num_sessions == other.arrays(NOON_MS).num_sessions
            assert (
                one.arrays(NOON_MS).edge_sessions.tolist()
                == other.arrays(NOON_MS).edge_sessions.tolist()
            )
            assert {
                item: one.edges_of_item(text_key(item)).sessions.tolist() for item in "abc"
            } == {item: other.edges_of_item(text_key(item)).sessions.tolist() for item in "abc"}


def test_what_is_cached_of_a_store_that_grows(tmp_path: Path) -> None:
    """Whoever reads on from snapshot to snapshot sees the new shards' facts, each
    once.
    """
    first, second = event("s-1", item_id="a", query=""), event("s-1", item_id="b", query="tv")
    cache = GraphCache()
    deliver(tmp_path / "store", [(1, 0, [first, second])])
    with open_graph(tmp_path / "store", DEFAULTS) as graph:
        before = graph.arrays(NOON_MS, known=cache)
    deliver(tmp_path / "store", [(3, 2, [second, event("s-2", item_id="c", query="tv")])])
    with open_graph(tmp_path / "store", DEFAULTS) as graph:
        after = graph.arrays(NOON_MS, known=cache)

    assert (before.num_sessions, before.edge_sessions.tolist()) == (1, [1])
    assert (after.num_sessions, after.edge_sessions.tolist()) == (2, [1, 1])


def test_repeated_keys() -> None:
    """Those that are there twice or more often, each once."""
    assert repeated(np.array([5, 1, 5, 2, 5, 1], dtype=np.uint64)).tolist() == [1, 5]
    assert repeated(np.empty(0, dtype=np.uint64)).tolist() == []
