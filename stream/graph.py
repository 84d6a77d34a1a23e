"""The graph of all shards, merged as it is read: dump, hash, statistics, arrays for training."""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream import codec
from stream.codec import ShardState, StoredEdge, StoredSession
from stream.decay import weight_at
from stream.errors import StoreMismatch, StoreUnreadable
from stream.events import Action, CatalogItem, Position
from stream.facts import (
    MAX_HYPEREDGE_ITEMS,
    MIN_HYPEREDGE_ITEMS,
    NO_QUERY,
    EdgeState,
    FactKey,
    add_edges,
    earliest,
    hyperedge,
)
from stream.locks import shard_name
from stream.settings import StreamSettings
from stream.shard import FollowedShard, ShardReader, follow_shards
from stream.snapshot_manifest import MANIFEST_NAME as SNAPSHOT_MANIFEST_NAME
from stream.snapshot_manifest import read_manifest as read_snapshot_manifest
from stream.store import read_manifest as read_store_manifest

_EDGE_DIGEST = struct.Struct(">QQIqqB")
_TALLY_DIGEST = struct.Struct(">BI")
_SESSION_DIGEST = struct.Struct(">QIH")
_FACT_DTYPE = np.dtype([("query", ">u8"), ("item", ">u8"), ("action", "u1"), ("ts_ms", ">i8")])
_EDGE_DTYPE = np.dtype(
    [
        ("query", "u8"),
        ("item", "u8"),
        ("weight", "f8"),
        ("sessions", "i4"),
        ("first_ms", "i8"),
        ("last_ms", "i8"),
    ]
)
_CHUNK_SESSIONS = 512
_MAX_FLOAT32 = float(np.finfo(np.float32).max)
_MAX_FLOAT64 = float(np.finfo(np.float64).max)

_Record = TypeVar("_Record")
Int64s = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class GraphStats:
    """How much there is in a graph.

    Attributes:
        facts: (session, query or none, item, action) seen at least once.
        sessions: sessions with at least one fact.
        queries: distinct normalised queries.
        items: distinct items, in the catalogue or in a fact.
        edges: query-item pairs with a click, add-to-cart or purchase.
        hyperedges: sessions of at least two distinct items.
        incidences: items over all hyperedges.
        catalog_items: items in the catalogue, deleted ones included.
        watermark_ms: minimum over shards of the largest event time applied; None: nothing was applied.
        bytes_on_disk: of the shards' files.
    """

    facts: int
    sessions: int
    queries: int
    items: int
    edges: int
    hyperedges: int
    incidences: int
    catalog_items: int
    watermark_ms: int | None
    bytes_on_disk: int


@dataclass(frozen=True, kw_only=True)
class GraphArrays:
    """The graph as arrays. Indexes are dense, in ascending order of 64-bit key; times are epoch milliseconds.

    Attributes:
        query_keys: ``uint64 [num_queries]`` ascending `protos.text.text_key` of the text.
        query_texts: normalised texts.
        item_keys: ``uint64 [num_items]`` ascending; the union of catalogue and graph.
        item_ids: external ids.
        item_titles: titles; empty where the catalogue has none.
        item_texts: whatever else the catalogue says of them; may be empty.
        item_available: ``bool [num_items]``; False: learn from it, do not show it.
        item_deleted: ``bool [num_items]``; True: neither learn from it nor show it.
        edge_query: ``int64 [num_edges]`` query index; edges are in ascending order of (query, item).
        edge_item: ``int64 [num_edges]`` item index.
        edge_weight: ``float32 [num_edges]`` decayed weight at `at_ms`.
        edge_sessions: ``int32 [num_edges]`` distinct sessions.
        edge_first_ms: ``int64 [num_edges]`` time of the first fact.
        edge_last_ms: ``int64 [num_edges]`` time of the last fact.
        num_sessions: sessions, those without a hyperedge included.
        session_last_ms: ``int64 [num_sessions]`` time of the session's last fact.
        incidence_session: ``int64 [num_incidences]`` session index; in order of (session, time, item id).
        incidence_item: ``int64 [num_incidences]`` item index.
        incidence_ms: ``int64 [num_incidences]`` the item's earliest time in the session.
        fact_session: ``int64 [num_facts]`` session index; only facts that make edges, in order of session.
        fact_query: ``int64 [num_facts]`` query index.
        fact_item: ``int64 [num_facts]`` item index.
        fact_action: ``int8 [num_facts]`` `stream.events.Action`.
        fact_ms: ``int64 [num_facts]`` earliest time.
        watermark_ms: event time up to which the graph is complete; 0: no event was applied.
        at_ms: the time that weights are taken at.
    """

    query_keys: NDArray[np.uint64]
    query_texts: list[str]
    item_keys: NDArray[np.uint64]
    item_ids: list[str]
    item_titles: list[str]
    item_texts: list[str]
    item_available: NDArray[np.bool_]
    item_deleted: NDArray[np.bool_]
    edge_query: Int64s
    edge_item: Int64s
    edge_weight: NDArray[np.float32]
    edge_sessions: NDArray[np.int32]
    edge_first_ms: Int64s
    edge_last_ms: Int64s
    num_sessions: int
    session_last_ms: Int64s
    incidence_session: Int64s
    incidence_item: Int64s
    incidence_ms: Int64s
    fact_session: Int64s
    fact_query: Int64s
    fact_item: Int64s
    fact_action: NDArray[np.int8]
    fact_ms: Int64s
    watermark_ms: int
    at_ms: int

    @property
    def num_queries(self) -> int:
        """How many queries there are."""
        return len(self.query_keys)

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.item_keys)


class GraphSummary(NamedTuple):
    """What one pass over the graph tells."""

    graph_hash: str
    stats: GraphStats


def open_graph(path: Path, settings: StreamSettings) -> "GraphReader":
    """Open a store, also while another process writes it, or a snapshot, for reading as it is now.

    Args:
        path: a store's or a snapshot's folder.
        settings: only `action_weights` is used; the half-life is the store's own.

    Raises:
        StoreMissing: there is neither a store nor a snapshot at `path`.
        StoreMismatch: it has a format that this version does not know.
        StoreUnreadable: the store is damaged.
        SnapshotUnreadable: the snapshot is damaged.
    """
    if (path / SNAPSHOT_MANIFEST_NAME).exists():
        snapshot = read_snapshot_manifest(path)
        folders = [path / shard.directory for shard in snapshot.shards]
        return GraphReader(path, folders, settings, snapshot.half_life_seconds)
    store = read_store_manifest(path)
    folders = [path / shard_name(index) for index in range(store.num_shards)]
    return GraphReader(path, folders, settings, store.half_life_seconds)


class GraphReader:
    """Reads the graph over all shards. Sessions live in one shard each; what they made is added up.

    Damage found while reading raises `StoreUnreadable` from any method.
    """

    def __init__(
        self, path: Path, folders: list[Path], settings: StreamSettings, half_life_seconds: float
    ) -> None:
        self.path = path
        self.half_life_ms = round(half_life_seconds * 1000)
        self._folders = folders
        self._weights = {int(action): settings.weight_of(action) for action in Action}
        self._shards = follow_shards(folders)
        self._check_formats()

    @property
    def num_shards(self) -> int:
        """How many shards the store has, untouched ones included."""
        return len(self._folders)

    @property
    def watermark_ms(self) -> int | None:
        """The minimum over shards of the largest event time applied, of those that have applied any."""
        times = [
            state.watermark_ms for state in self.shard_states().values() if state.watermark_ms is not None
        ]
        return min(times, default=None)

    def shard_states(self) -> dict[int, ShardState]:
        """Return how far each shard is, by index; shards that nothing was ever written to are absent."""
        return {index: shard.state() for index, shard in self._by_index()}

    def positions(self) -> dict[int, dict[Position, int]]:
        """Return the next offsets, by shard index."""
        return {index: shard.positions() for index, shard in self._by_index()}

    def dump(self, at_ms: int | None = None) -> Iterator[str]:
        """Yield the graph as JSON lines in canonical order, without line ends.

        Edges by (query, item id), then hyperedges by session id, strings in order of code points. Items of a
        hyperedge are in (earliest time, item id) order; its ``last_ms`` is that of the session's last fact.

        Args:
            at_ms: the time that weights are taken at; None: the watermark.
        """
        at_ms = self._time(at_ms)
        item_ids = self._item_ids()
        yield from self._edge_lines(item_ids, at_ms)
        yield from self._hyperedge_lines(item_ids)

    def graph_hash(self) -> str:
        """Return a hash of the set of facts, and of what the store derived from them, as 64 hex digits.

        It does not depend on arrival order, batches, shard count, half-life, action weights or the catalogue.
        """
        return self.summary().graph_hash

    def stats(self) -> GraphStats:
        """Count everything."""
        return self.summary().stats

    def summary(self) -> GraphSummary:
        """Hash and count in one pass."""
        digest = sha256(b"freshet graph 1\n")
        item_ids = self._item_ids()
        num_edges = num_facts = num_sessions = num_hyperedges = num_incidences = 0
        for stored in self._edges():
            digest.update(_edge_digest(stored))
            num_edges += 1
        digest.update(b"sessions\n")
        for session in self._sessions():
            members = hyperedge(codec.unpack_facts(session.facts), item_ids.__getitem__)
            digest.update(_SESSION_DIGEST.pack(session.session_key, len(session.facts), len(members)))
            digest.update(session.facts)
            digest.update(struct.pack(f">{len(members)}Q", *(item_key for _, item_key in members)))
            num_sessions += 1
            num_facts += len(session.facts) // codec.FACT_BYTES
            num_hyperedges += bool(members)
            num_incidences += len(members)
        stats = GraphStats(
            facts=num_facts,
            sessions=num_sessions,
            queries=_count(self._merged(ShardReader.query_names)),
            items=len(item_ids),
            edges=num_edges,
            hyperedges=num_hyperedges,
            incidences=num_incidences,
            catalog_items=_count(self._merged(ShardReader.catalog)),
            watermark_ms=self.watermark_ms,
            bytes_on_disk=sum(_folder_bytes(shard.path) for shard in self._shards),
        )
        return GraphSummary(digest.hexdigest(), stats)

    def arrays(self, at_ms: int | None = None) -> GraphArrays:
        """Return the graph as arrays.

        Args:
            at_ms: the time that weights are taken at; None: the watermark.
        """
        at_ms = self._time(at_ms)
        query_keys, query_texts = _columns(self._merged(ShardReader.query_names))
        item_keys, item_ids = _columns(self._merged(ShardReader.item_names))
        catalog = dict(self._merged(ShardReader.catalog))
        items = [catalog.get(int(key), _NOT_LISTED) for key in item_keys]
        edges = np.fromiter(self._edge_rows(at_ms), dtype=_EDGE_DTYPE)
        session_of, facts, num_sessions = self._fact_table()
        fact_item = self._index_of(item_keys, facts["item"])
        made_edge = (facts["query"] != NO_QUERY) & (facts["action"] != Action.VIEW)
        fact_ms = facts["ts_ms"].astype(np.int64)
        session_last_ms = np.full(num_sessions, np.iinfo(np.int64).min, dtype=np.int64)
        np.maximum.at(session_last_ms, session_of, fact_ms)
        incidences = _incidences(session_of, fact_item, fact_ms, _ranks(item_ids))
        return GraphArrays(
            query_keys=query_keys,
            query_texts=query_texts,
            item_keys=item_keys,
            item_ids=item_ids,
            item_titles=[item.title for item in items],
            item_texts=[item.text for item in items],
            item_available=np.array([item.available for item in items], dtype=np.bool_),
            item_deleted=np.array([item.deleted for item in items], dtype=np.bool_),
            edge_query=self._index_of(query_keys, edges["query"]),
            edge_item=self._index_of(item_keys, edges["item"]),
            edge_weight=np.minimum(edges["weight"], _MAX_FLOAT32).astype(np.float32),
            edge_sessions=edges["sessions"].copy(),
            edge_first_ms=edges["first_ms"].copy(),
            edge_last_ms=edges["last_ms"].copy(),
            num_sessions=num_sessions,
            session_last_ms=session_last_ms,
            incidence_session=session_of[incidences],
            incidence_item=fact_item[incidences],
            incidence_ms=fact_ms[incidences],
            fact_session=session_of[made_edge],
            fact_query=self._index_of(query_keys, facts["query"][made_edge]),
            fact_item=fact_item[made_edge],
            fact_action=facts["action"][made_edge].astype(np.int8),
            fact_ms=fact_ms[made_edge],
            watermark_ms=self.watermark_ms or 0,
            at_ms=at_ms,
        )

    def close(self) -> None:
        """Close the shards."""
        for shard in self._shards:
            shard.close()
        self._shards = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _by_index(self) -> Iterator[tuple[int, FollowedShard]]:
        indexes = {path: index for index, path in enumerate(self._folders)}
        return ((indexes[shard.path], shard) for shard in self._shards)

    def _check_formats(self) -> None:
        for shard in self._shards:
            found = shard.format()
            if found is not None and found.format_version != codec.FORMAT_VERSION:
                self.close()
                raise StoreMismatch(
                    f"{shard.path} has format version {found.format_version}, this version of Freshet reads "
                    f"{codec.FORMAT_VERSION}; use the version that wrote it"
                )

    def _time(self, at_ms: int | None) -> int:
        return (self.watermark_ms or 0) if at_ms is None else at_ms

    def _merged(
        self, scan: Callable[[ShardReader], Iterator[tuple[int, _Record]]]
    ) -> Iterator[tuple[int, _Record]]:
        """Yield records of all shards by key; of those that several shards hold, one."""
        return _merge(map(scan, self._shards), itemgetter(0), lambda left, _: left)

    def _edges(self) -> Iterator[StoredEdge]:
        return _merge(map(ShardReader.edges, self._shards), itemgetter(0, 1), _add_stored)

    def _edges_of_query(self, query_key: int) -> Iterator[StoredEdge]:
        scans = (shard.edges_of_query(query_key) for shard in self._shards)
        return _merge(scans, itemgetter(1), _add_stored)

    def _sessions(self) -> Iterator[StoredSession]:
        return _merge(map(ShardReader.sessions, self._shards), itemgetter(0), _join_sessions)

    def _item_ids(self) -> "_Names":
        return _Names(self.path, self._merged(ShardReader.item_names))

    def _weight(self, edge: EdgeState, at_ms: int) -> float:
        total = sum(
            self._weights[action] * weight_at(tally.total, at_ms, self.half_life_ms)
            for action, tally in edge.actions.items()
        )
        return min(total, _MAX_FLOAT64)

    def _edge_lines(self, item_ids: "_Names", at_ms: int) -> Iterator[str]:
        queries = sorted((text, key) for key, text in self._merged(ShardReader.query_names))
        for query, query_key in queries:
            edges = {item_ids[stored.item_key]: stored.edge for stored in self._edges_of_query(query_key)}
            yield from (self._edge_line(query, item_id, edges[item_id], at_ms) for item_id in sorted(edges))

    def _edge_line(self, query: str, item_id: str, edge: EdgeState, at_ms: int) -> str:
        return _json_line(
            {
                "kind": "edge",
                "query": query,
                "item": item_id,
                "weight": self._weight(edge, at_ms),
                "sessions": edge.sessions,
                "first_ms": edge.first_ms,
                "last_ms": edge.last_ms,
                "actions": {Action(action).label: tally.num_facts for action, tally in edge.actions.items()},
            }
        )

    def _hyperedge_lines(self, item_ids: "_Names") -> Iterator[str]:
        several = (session for session in self._sessions() if len(session.facts) > codec.FACT_BYTES)
        sessions = sorted((session.session_id, session.session_key) for session in several)
        for chunk in _chunks(sessions, _CHUNK_SESSIONS):
            found = self._get_sessions([key for _, key in chunk])
            for session_id, key in chunk:
                members = hyperedge(found[key], item_ids.__getitem__)
                if members:
                    yield _hyperedge_line(session_id, [item_ids[item] for _, item in members], found[key])

    def _get_sessions(self, keys: list[int]) -> dict[int, Mapping[FactKey, int]]:
        found: dict[int, Mapping[FactKey, int]] = {}
        for shard in self._shards:
            for key, state in shard.get_sessions(keys).items():
                found[key] = earliest(found[key], state.facts) if key in found else state.facts
        return found

    def _edge_rows(self, at_ms: int) -> Iterator[tuple[int, int, float, int, int, int]]:
        for query_key, item_key, edge in self._edges():
            weight = self._weight(edge, at_ms)
            yield query_key, item_key, weight, edge.sessions, edge.first_ms, edge.last_ms

    def _fact_table(self) -> tuple[Int64s, NDArray[np.void], int]:
        """Return each fact's session index, the facts in order of session, and the number of sessions."""
        packed = [session.facts for session in self._sessions()]
        facts = np.frombuffer(b"".join(packed), dtype=_FACT_DTYPE)
        sizes = np.array([len(piece) // codec.FACT_BYTES for piece in packed], dtype=np.int64)
        return np.repeat(np.arange(len(packed), dtype=np.int64), sizes), facts, len(packed)

    def _index_of(self, ascending: NDArray[np.uint64], keys: NDArray[np.uint64]) -> Int64s:
        """Return the dense index of each key.

        Raises:
            StoreUnreadable: a key has no name.
        """
        keys = keys.astype(np.uint64)
        index = np.searchsorted(ascending, keys).astype(np.int64)
        if len(keys) and (index.max() == len(ascending) or not np.array_equal(ascending[index], keys)):
            raise _nameless(self.path)
        return index


class _Names(dict[int, str]):
    """Texts by key. A key without a text means that the store is damaged."""

    def __init__(self, path: Path, names: Iterable[tuple[int, str]]) -> None:
        super().__init__(names)
        self._path = path

    def __missing__(self, key: int) -> str:
        raise _nameless(self._path)


def _merge(
    scans: Iterable[Iterator[_Record]],
    key: Callable[[_Record], Any],
    combine: Callable[[_Record, _Record], _Record],
) -> Iterator[_Record]:
    """Merge scans that are in ascending order of `key`, and combine records of equal key."""
    streams = list(scans)
    if len(streams) == 1:
        return streams[0]
    groups = groupby(merge(*streams, key=key), key=key)
    return (reduce(combine, records) for _, records in groups)


def _add_stored(left: StoredEdge, right: StoredEdge) -> StoredEdge:
    return left._replace(edge=add_edges(left.edge, right.edge))


def _join_sessions(left: StoredSession, right: StoredSession) -> StoredSession:
    facts = earliest(codec.unpack_facts(left.facts), codec.unpack_facts(right.facts))
    return left._replace(facts=codec.pack_facts(facts))


def _edge_digest(stored: StoredEdge) -> bytes:
    edge = stored.edge
    head = _EDGE_DIGEST.pack(
        stored.query_key, stored.item_key, edge.sessions, edge.first_ms, edge.last_ms, len(edge.actions)
    )
    return head + b"".join(
        _TALLY_DIGEST.pack(action, tally.num_facts) for action, tally in edge.actions.items()
    )


def _hyperedge_line(session_id: str, items: list[str], facts: Mapping[FactKey, int]) -> str:
    last_ms = max(facts.values())
    return _json_line({"kind": "hyperedge", "session": session_id, "items": items, "last_ms": last_ms})


def _json_line(record: dict[str, object]) -> str:
    return msgspec.json.encode(record).decode("utf-8")


def _incidences(session_of: Int64s, item_of: Int64s, ts_ms: Int64s, rank_of_item: Int64s) -> Int64s:
    """Return the rows of the facts that are hyperedge members: `facts.hyperedge` for all sessions at once.

    The rows are in order of (session, time, item id); each is its item's earliest fact in the session.
    """
    by_item = np.lexsort((ts_ms, item_of, session_of))
    first = _starts(session_of[by_item], item_of[by_item])
    rows = by_item[first]
    rows = rows[np.lexsort((rank_of_item[item_of[rows]], ts_ms[rows], session_of[rows]))]
    sessions = session_of[rows]
    sizes = np.bincount(sessions, minlength=1)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return rows[(sizes[sessions] >= MIN_HYPEREDGE_ITEMS) & (place < MAX_HYPEREDGE_ITEMS)]


def _starts(*columns: Int64s) -> NDArray[np.bool_]:
    """Return True for each row that differs from the one before it."""
    starts = np.ones(len(columns[0]), dtype=np.bool_)
    if len(starts) > 1:
        starts[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return starts


def _ranks(texts: list[str]) -> Int64s:
    """Return each text's place in ascending order."""
    ranks = np.empty(len(texts), dtype=np.int64)
    ranks[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(len(texts))
    return ranks


def _columns(names: Iterator[tuple[int, str]]) -> tuple[NDArray[np.uint64], list[str]]:
    pairs = list(names)
    return np.array([key for key, _ in pairs], dtype=np.uint64), [text for _, text in pairs]


def _chunks(records: list[_Record], size: int) -> Iterator[list[_Record]]:
    return (records[start : start + size] for start in range(0, len(records), size))


def _count(records: Iterator[object]) -> int:
    return sum(1 for _ in records)


def _folder_bytes(path: Path) -> int:
    return sum(map(_file_bytes, path.iterdir()))


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # compacted away since it was listed


def _nameless(path: Path) -> StoreUnreadable:
    return StoreUnreadable(f"store {path} has records whose names are missing; restore or rebuild it")


_NOT_LISTED = CatalogItem(item_id="")
