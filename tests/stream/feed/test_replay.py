"""Whoever follows a feed has the graph of the store, whatever happened to either."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from stream.events.columns import ShardBatch
from stream.feed import Feed, FeedRead, WriterMark, open_feed
from stream.shard import codec
from stream.shard.reader import ShardReader
from testing.graph.feed_replay import PlainGraph, plain_graph
from testing.histories import EFFORT, apply_events, event
from testing.laws.case import Case, random_case
from testing.laws.checks import graph_of
from testing.laws.delivery import Delivery, _Worker
from testing.laws.stores import SETTINGS, MemoryShards

_SEED = 14
_FEED = replace(SETTINGS, feed_bytes=1 << 24)  # more than any case writes
_SHORT_FEED = replace(SETTINGS, feed_bytes=1 << 16)  # the least: logs are removed


def _assert_same(found: PlainGraph, reader: ShardReader) -> None:
    graph = graph_of([reader])
    expected = plain_graph(graph.arrays(), graph.catalog())

    assert found.edges == expected.edges
    assert +found.degrees == expected.degrees
    assert found.queries == expected.queries
    assert found.items == expected.items
    assert found.catalog == expected.catalog


def _assert_same_hyperedges(found: PlainGraph, reader: ShardReader) -> None:
    graph = graph_of([reader])

    assert +found.hyperedges == plain_graph(graph.arrays(), graph.catalog()).hyperedges


@pytest.mark.parametrize("number", range(60 * EFFORT))
def test_replaying_a_feed_over_nothing_gives_the_graph(number: int, tmp_path: Path) -> None:
    """Whatever was killed, moved, restored from a checkpoint or erased meanwhile."""
    case, draw = random_case(_SEED, number)
    shards = MemoryShards(tmp_path, case.num_shards, _FEED)
    Delivery(case, shards, draw).run()

    found = open_feed(tmp_path).read({})
    graphs = _by_shard(found)

    assert found.gaps == {}
    for index, reader in enumerate(shards.readers()):
        _assert_same(graphs.get(index, PlainGraph.empty()), reader)
        _assert_same_hyperedges(graphs.get(index, PlainGraph.empty()), reader)


@pytest.mark.parametrize("number", range(30 * EFFORT))
def test_wide_sessions_are_told(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that has long been wide all but where its items are over the bound."""
    monkeypatch.setattr(codec, "WIDE_ROWS", 3)
    case, draw = random_case(_SEED + 1, 4 * number + number % 3)
    shards = MemoryShards(tmp_path, case.num_shards, _FEED)
    Delivery(case, shards, draw).run()

    graphs = _by_shard(open_feed(tmp_path).read({}))

    for index, reader in enumerate(shards.readers()):
        found = graphs.get(index, PlainGraph.empty())
        if max(Counter(_items_of_sessions(reader)).values(), default=0) <= 50:
            _assert_same(found, reader)


def test_a_wide_session_of_one_item_becomes_a_hyperedge_with_all_its_queries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those asked long before its second item came are members as well."""
    monkeypatch.setattr(codec, "WIDE_ROWS", 3)
    shards = MemoryShards(tmp_path, 1, _FEED)
    shard = shards.open(0)
    apply_events(shard, [event(query=query) for query in ("tv", "lamp", "sofa", "desk")])
    apply_events(shard, [event(query="tv", item_id="b")])
    apply_events(shard, [event(query="bed", item_id="c")])

    (reader,) = shards.readers()
    (graph,) = _by_shard(open_feed(tmp_path).read({})).values()
    _assert_same(graph, reader)
    assert sum(graph.degrees[True, key] for key in graph.queries) == 5


@pytest.mark.parametrize("number", range(40 * EFFORT))
@pytest.mark.parametrize("settings", [_FEED, _SHORT_FEED])
def test_a_follower_has_the_graph_after_every_write(
    number: int, settings: object, tmp_path: Path
) -> None:
    """Or is told that it must begin anew."""
    case, draw = random_case(_SEED + 2, number)
    shards = MemoryShards(tmp_path, case.num_shards, settings)  # type: ignore[arg-type]
    delivery = _Followed(case, shards, draw, open_feed(tmp_path))
    delivery.run()
    delivery.follow()

    for index, reader in enumerate(shards.readers()):
        _assert_same(delivery.graphs.get(index, PlainGraph.empty()), reader)


class _Followed(Delivery):
    """A delivery that is followed after each write; at a gap it begins anew."""

    def __init__(self, case: Case, shards: MemoryShards, draw: Random, feed: Feed) -> None:
        super().__init__(case, shards, draw)
        self.graphs: dict[int, PlainGraph] = {}
        self._feed = feed
        self._marks: Mapping[int, WriterMark] = {}

    def _write(self, worker: _Worker, index: int, batch: ShardBatch) -> None:
        super()._write(worker, index, batch)
        self.follow()

    def follow(self) -> None:
        """Read on, and begin anew at a gap."""
        read = self._feed.read(self._marks)
        for index in read.gaps:
            self.graphs[index] = PlainGraph.empty()
        kept = {index: mark for index, mark in self._marks.items() if index not in read.gaps}
        if read.gaps:
            read = self._feed.read(kept)
            assert read.gaps == {}
        for change in read.changes:
            self.graphs.setdefault(change.shard, PlainGraph.empty()).apply([change])
        self._marks = read.marks


def _by_shard(read: FeedRead) -> dict[int, PlainGraph]:
    graphs: dict[int, PlainGraph] = {}
    for change in read.changes:
        graphs.setdefault(change.shard, PlainGraph.empty()).apply([change])
    return graphs


def _items_of_sessions(reader: ShardReader) -> dict[str, int]:
    sizes = {}
    for key, value in reader.session_entries():
        record = codec.unpack_session(value)
        facts = codec.facts_of_sessions(codec.unpack_keys([key]), [record])
        sizes[record.session_id] = len(set(facts.item.tolist()))
    return sizes
