"""The graph of all shards, merged as it is read.

Dump, hash, statistics, arrays for training.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from stream.actions import Action
from stream.errors import StoreMismatch
from stream.events.columns import Keys
from stream.events.types import CatalogItem, SourcePartition
from stream.graph.arrays import GraphArrays, GraphParts, build_arrays, missing_name_error
from stream.graph.catalog import newest_over_shards
from stream.graph.edges import EdgeColumns, edges_of, with_folded
from stream.graph.facts import Digest, FactColumns, hyperedge_sizes
from stream.graph.folded import add_folded
from stream.reading.dump import ItemNames, edge_lines, hyperedge_lines
from stream.reading.hashing import graph_hash, hash_of_shards
from stream.reading.incremental import GraphCache
from stream.reading.manifest import MANIFEST_NAME as SNAPSHOT_MANIFEST_NAME
from stream.reading.manifest import read_manifest as read_snapshot_manifest
from stream.reading.scan import SessionChunk, edge_chunks, folded_edges, session_chunks
from stream.reading.stats import GraphStats, GraphSummary, count, folder_bytes
from stream.reading.visits import JoinedVisits, join_visits
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.codec import ShardState
from stream.shard.fencing import current_folder, shard_name
from stream.shard.reader import ShardReader, open_views
from stream.shard.rocksdb import store_error
from stream.shard.upgrade import OLD_VERSION
from stream.store.store import check_none_is_gone
from stream.store.store import read_manifest as read_store_manifest

_Value = TypeVar("_Value")


def open_graph(path: Path, settings: StreamSettings) -> "GraphReader":
    """Open a store, also while another process writes it, or a snapshot, for reading as
    it is now.

    Args:
        path: a store's or a snapshot's folder.
        settings: `action_weights` and `min_sessions` are used; the half-life is the
            store's own.

    Raises:
        StoreMissing: there is neither a store nor a snapshot at `path`.
        StoreMismatch: it has a format that this version does not know.
        StoreUnreadable: the store is damaged, or a shard of it is gone.
        SnapshotUnreadable: the snapshot is damaged.
    """
    if (path / SNAPSHOT_MANIFEST_NAME).exists():
        snapshot = read_snapshot_manifest(path)
        folders = [path / shard.directory for shard in snapshot.shards]
        return GraphReader(path, folders, settings, snapshot.half_life_seconds)
    store = read_store_manifest(path)
    check_none_is_gone(path, store)
    folders = [path / shard_name(index) for index in range(store.num_shards)]
    return GraphReader(path, folders, settings, store.half_life_seconds)


class GraphReader:
    """Reads the graph over all shards.

    Sessions live in one shard each; what they made is added up.

    Damage found while reading raises `StoreUnreadable` from any method.

    Args:
        path: the store's or snapshot's folder.
        folders: of its shards, those that nothing was written to yet included.
        settings: `action_weights` and `min_sessions` are used.
        half_life_seconds: of the decay.
        shards: those of the shards in `folders` that exist; None: they are opened.
    """

    def __init__(
        self,
        path: Path,
        folders: list[Path],
        settings: StreamSettings,
        half_life_seconds: float,
        *,
        shards: Sequence[ShardReader] | None = None,
    ) -> None:
        self.path = path
        self.half_life_ms = round(half_life_seconds * 1000)
        self._folders = folders
        self._weights = {int(action): settings.weight_of(action) for action in Action}
        self._min_sessions = settings.min_sessions
        self._session_gap_ms = settings.session_gap_ms
        self._shards: Sequence[ShardReader] = open_views(folders) if shards is None else shards
        self._check_formats()
        self._folded_shards = [
            shard for shard in self._shards if shard.state().folded_before_ms is not None
        ]

    @property
    def num_shards(self) -> int:
        """How many shards the store has, untouched ones included."""
        return len(self._folders)

    @property
    def session_gap_ms(self) -> int:
        """The inactivity that sessions were cut at, where events came without session
        ids.
        """
        formats = (shard.format() for shard in self._shards)
        return next(
            (made_as.session_gap_ms for made_as in formats if made_as), self._session_gap_ms
        )

    @property
    def watermark_ms(self) -> int | None:
        """The minimum over shards of the largest event time applied, of those that have
        applied any.
        """
        times = [
            state.watermark_ms
            for state in self.shard_states().values()
            if state.watermark_ms is not None
        ]
        return min(times, default=None)

    @property
    def folded_before_ms(self) -> int | None:
        """Sessions that ended before this may have been folded in some shard.

        None: none was.
        """
        times = (state.folded_before_ms for state in self.shard_states().values())
        return max((time for time in times if time is not None), default=None)

    def shard_states(self) -> dict[int, ShardState]:
        """Return how far each shard is, by index.

        Shards that nothing was ever written to are absent.
        """
        return {index: shard.state() for index, shard in self.shards()}

    def shards(self) -> Iterator[tuple[int, ShardReader]]:
        """Yield the shards that something was written to, by index."""
        indexes = {path: index for index, path in enumerate(self._folders)}
        return ((indexes[shard.path], shard) for shard in self._shards)

    def positions(self) -> dict[int, dict[SourcePartition, int]]:
        """Return the next offsets, by shard index."""
        return {index: shard.positions() for index, shard in self.shards()}

    def dump(self, at_ms: int | None = None) -> Iterator[str]:
        """Yield the graph as JSON lines in canonical order, without line ends.

        Edges by (query, item id), then hyperedges by session id, strings in order of
        code points. Items of a hyperedge are in (earliest time, item id) order; its
        ``last_ms`` is that of the session's last fact. Sessions that were folded have
        no hyperedge any more; edges count them for ever.

        Args:
            at_ms: the time that weights are taken at; None: the watermark.
        """
        at_ms = self._time(at_ms)
        items = ItemNames(self.path, self.names(codec.ITEM_NAME))
        yield from edge_lines(
            self.names(codec.QUERY_NAME),
            items,
            self.edges_of_queries,
            lambda edges: edges.weights(at_ms, self.half_life_ms, self._weights),
        )
        yield from hyperedge_lines(self.sessions(), items)

    def graph_hash(self) -> str:
        """Return a hash of the set of facts, as the sessions hold it and as the edges
        do: 64 hex digits.

        Facts that were folded stay in it: their edges, and the shard for their
        sessions, keep their sums. It does not depend on arrival order, batches, shard
        count, half-life, action weights or the catalogue.

        Raises:
            StoreUnreadable: the records do not add up to what was written: some are
                damaged or lost.
        """
        return hash_of_shards(self.path, dict(self.shards()), self._visits)

    def recorded_hash(self) -> str:
        """Return what `graph_hash` must be, from the sums that every write kept.

        Reads nothing else, and so counts a fact that several shards hold in each.
        """
        states = self.shard_states().values()
        facts = sum((state.facts for state in states), Digest())
        return graph_hash(facts, sum((state.edge_facts for state in states), Digest()))

    def stats(self) -> GraphStats:
        """Count everything."""
        num_sessions = num_facts = num_hyperedges = num_incidences = 0
        for chunk in self.sessions():
            _, sizes = hyperedge_sizes(chunk.facts)
            num_sessions += len(chunk.keys)
            num_facts += len(chunk.facts)
            num_hyperedges += int((sizes > 0).sum())
            num_incidences += int(sizes.sum())
        return GraphStats(
            facts=num_facts,
            sessions=num_sessions,
            queries=count(self.names(codec.QUERY_NAME)),
            items=count(self.names(codec.ITEM_NAME)),
            edges=sum(map(len, self.edges())),
            hyperedges=num_hyperedges,
            incidences=num_incidences,
            catalog_items=count(self.catalog()),
            watermark_ms=self.watermark_ms,
            bytes_on_disk=sum(folder_bytes(current_folder(shard.path)) for shard in self._shards),
        )

    def summary(self) -> GraphSummary:
        """Hash and count."""
        return GraphSummary(self.graph_hash(), self.stats())

    def arrays(
        self,
        at_ms: int | None = None,
        *,
        before_ms: int | None = None,
        known: GraphCache | None = None,
        rewrite: Callable[[FactColumns], FactColumns] | None = None,
    ) -> GraphArrays:
        """Return the graph as arrays.

        Edges of fewer than `min_sessions` sessions are left out.

        Args:
            at_ms: the time that weights are taken at; None: the watermark.
            before_ms: take the graph as the events before this time make it, with the
                whole catalogue. A fact is kept at its earliest time, so that later
                events leave no trace. None: take all.
            known: what was read of earlier snapshots of the same store, so that only
                what changed is read; None: all is read.
            rewrite: returns other facts to make the graph of, in ascending order of
                (session, query, item, action), for an experiment on it; None: the facts
                as they are.

        Raises:
            StoreMismatch: `before_ms` or `rewrite` is given, and facts were folded:
                they are no longer there by themselves.
        """
        facts, queries, items, catalog = (known or GraphCache()).read(self._shards, self._visits)
        watermark_ms = self.watermark_ms or 0
        if before_ms is not None or rewrite is not None:
            if self._folded_shards:
                raise StoreMismatch(
                    f"{self.path} has folded facts (stream.erasure_horizon_seconds), which have "
                    "no times of "
                    "their own; take the event log instead"
                )
            facts = facts if before_ms is None else facts.take(facts.ts_ms < before_ms)
            facts = facts if rewrite is None else rewrite(facts)
            watermark_ms = int(facts.ts_ms.max(initial=0))
            asked, met = set(facts.query.tolist()), set(facts.item.tolist()).union(catalog)
            queries = {key: text for key, text in queries.items() if key in asked}
            items = {key: text for key, text in items.items() if key in met}
        parts = GraphParts(
            path=self.path,
            query_names=queries,
            item_names=items,
            catalog=catalog,
            facts=facts,
            edges=self._edges_with_folded() if self._folded_shards else self._edges_of(facts),
            half_life_ms=self.half_life_ms,
            weight_of_action=self._weights,
            min_sessions=self._min_sessions,
        )
        at_ms = self._time(at_ms) if before_ms is None or at_ms is not None else watermark_ms
        return build_arrays(parts, at_ms=at_ms, watermark_ms=watermark_ms)

    def sessions(self) -> Iterator[SessionChunk]:
        """Yield all sessions by key, a chunk at a time."""
        return session_chunks(self._shards, self._visits)

    def edges(self) -> Iterator[EdgeColumns]:
        """Yield all edges by (query key, item key), a chunk at a time."""
        return edge_chunks(self._shards, self._visits)

    def names(self, kind: bytes) -> Iterator[tuple[int, str]]:
        """Yield ``(key, text)`` by key; `kind` is `codec.QUERY_NAME` or `ITEM_NAME`."""
        scan = ShardReader.query_names if kind == codec.QUERY_NAME else ShardReader.item_names
        return self._merged(scan)

    def name_of(self, kind: bytes, key: int) -> str:
        """Return the text behind a key.

        Raises:
            StoreUnreadable: there is none.
        """
        for shard in self._shards:
            found = shard.get_names(kind, [key])
            if found:
                return found[key]
        raise missing_name_error(self.path)

    def catalog(self) -> Iterator[tuple[int, CatalogItem]]:
        """Yield ``(item_key, item)`` by key: of an item that several shards hold, the
        newest state.
        """
        scans = [shard.catalog() for shard in self._shards]
        if len(scans) == 1:
            return scans[0]
        found = groupby(merge(*scans, key=itemgetter(0)), itemgetter(0))
        return ((key, newest_over_shards(item for _, item in states)) for key, states in found)

    def edges_of_query(self, query_key: int) -> EdgeColumns:
        """Return the edges of one query, by item key."""
        return self.edges_of_queries(np.array([query_key], dtype=np.uint64))

    def edges_of_queries(self, queries: Keys) -> EdgeColumns:
        """Return the edges of queries, by (query key, item key).

        Args:
            queries: ``uint64 [num_queries]`` their keys, ascending.
        """
        facts = [shard.facts_of_queries(queries) for shard in self._shards]
        edges = self._edges_of(self._visits.joined(FactColumns.concatenate(facts)))
        folded = [shard.folded_of_queries(queries) for shard in self._folded_shards]
        return with_folded(edges, add_folded(folded))

    def edges_of_item(self, item_key: int) -> EdgeColumns:
        """Return the edges of one item, by query key."""
        facts = [shard.facts_of_item(item_key) for shard in self._shards]
        edges = self._edges_of(self._visits.joined(FactColumns.concatenate(facts)))
        folded = [shard.folded_of(codec.FOLDED_BY_ITEM, item_key) for shard in self._folded_shards]
        return with_folded(edges, add_folded(folded))

    def close(self) -> None:
        """Close the shards."""
        for shard in self._shards:
            shard.close()
        self._shards = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def _visits(self) -> JoinedVisits:
        """The visits of which several shards have a part."""
        return join_visits(self._shards, self.session_gap_ms)

    def _check_formats(self) -> None:
        for shard in self._shards:
            found = shard.format()
            if found is not None and found.format_version != codec.FORMAT_VERSION:
                self.close()
                raise StoreMismatch(
                    f"{shard.path} has format version {found.format_version}, this version of "
                    "Freshet reads "
                    f"{codec.FORMAT_VERSION}; {_advice(found.format_version)}"
                )

    def _edges_with_folded(self) -> EdgeColumns:
        """Return all edges, of the facts behind queries.

        Of a held session some may be folded already.
        """
        facts = FactColumns.concatenate([chunk.facts for chunk in self.edges()])
        return with_folded(self._edges_of(facts), folded_edges(self._folded_shards))

    def _edges_of(self, facts: FactColumns) -> EdgeColumns:
        try:
            return edges_of(facts)
        except ValueError as error:
            raise store_error(self.path, error) from error

    def _time(self, at_ms: int | None) -> int:
        return (self.watermark_ms or 0) if at_ms is None else at_ms

    def _merged(
        self, scan: Callable[[ShardReader], Iterator[tuple[int, str]]]
    ) -> Iterator[tuple[int, str]]:
        """Yield names of all shards by key.

        Of those that several shards hold, one.
        """
        scans = [scan(shard) for shard in self._shards]
        return scans[0] if len(scans) == 1 else _first_of_each(merge(*scans, key=itemgetter(0)))


def _advice(format_version: int) -> str:
    if format_version == OLD_VERSION:
        return "bring it to that with: freshet upgrade --store DIR (freshet stream does it too)"
    return "use the version that wrote it"


def _first_of_each(records: Iterator[tuple[int, _Value]]) -> Iterator[tuple[int, _Value]]:
    last_key = None
    for key, record in records:
        if key != last_key:
            yield key, record
        last_key = key
