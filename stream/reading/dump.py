"""The lines of a graph in canonical order, made by the thousand."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Int64s
from stream.errors import StoreUnreadable
from stream.events.columns import Keys
from stream.graph.arrays import missing_name_error
from stream.graph.edges import EdgeColumns
from stream.graph.facts import hyperedge_rows
from stream.graph.keysets import indexes_of, run_starts
from stream.reading.scan import SessionChunk

# Queries whose edges are read at once: bounds memory, and is far more than an array
# costs to make.
_CHUNK_QUERIES = 2048
# Lines that are encoded at once, for the same reasons.
_CHUNK_LINES = 1000


class _EdgeLine(msgspec.Struct):
    """An edge as `docs/formats.md` has it, field by field."""

    kind: str
    query: str
    item: str
    weight: float
    sessions: int
    first_ms: int
    last_ms: int
    actions: Mapping[str, int]


class _HyperedgeLine(msgspec.Struct):
    """A hyperedge as `docs/formats.md` has it, field by field."""

    kind: str
    session: str
    items: Sequence[str]
    last_ms: int


class _Hyperedges(NamedTuple):
    """Hyperedges as columns.

    Attributes:
        last_ms: ``int64 [num_hyperedges]`` time of the session's last fact.
        sizes: ``int64 [num_hyperedges]`` how many items each has.
        members: ``int64 [sum of sizes]`` places in `ItemNames.ids`, one hyperedge
            behind the other.
    """

    last_ms: Int64s
    sizes: Int64s
    members: Int64s


_NONE: Int64s = np.empty(0, dtype=np.int64)


class ItemNames:
    """The ids of items, and their order.

    Args:
        path: the store or snapshot, to name in errors.
        names: ``(item_key, item_id)`` by key.
    """

    def __init__(self, path: Path, names: Iterable[tuple[int, str]]) -> None:
        self._path = path
        by_id = sorted((text, key) for key, text in names)
        self.ids = [text for text, _ in by_id]
        keys = np.array([key for _, key in by_id], dtype=np.uint64)
        self._rank_of_place = np.argsort(keys)
        self._keys = keys[self._rank_of_place]

    def ranks_of(self, keys: Keys) -> Int64s:
        """Return each item's place in `ids`, which is in order of code points.

        Raises:
            StoreUnreadable: an item has no name: the store is damaged.
        """
        place = indexes_of(self._keys, keys)
        if (place < 0).any():
            raise missing_name_error(self._path)
        return self._rank_of_place[place]


def edge_lines(
    queries: Iterable[tuple[int, str]],
    items: ItemNames,
    edges_of_queries: Callable[[Keys], EdgeColumns],
    weights_of: Callable[[EdgeColumns], NDArray[np.float64]],
) -> Iterator[str]:
    """Yield a line per edge, by (query, item id). Memory grows with the queries' texts,
    not with the edges.

    Args:
        queries: ``(query_key, text)``, in any order.
        items: what items are called.
        edges_of_queries: reads the edges of some queries, given in ascending order of
            key.
        weights_of: weighs edges.

    Raises:
        StoreUnreadable: an item has no name.
    """
    by_text = sorted((text, key) for key, text in queries)
    for start in range(0, len(by_text), _CHUNK_QUERIES):
        chunk = by_text[start : start + _CHUNK_QUERIES]
        keys = np.array([key for _, key in chunk], dtype=np.uint64)
        by_key = np.argsort(keys)
        edges = edges_of_queries(keys[by_key])
        query = by_key[indexes_of(keys[by_key], edges.query)]
        item = items.ranks_of(edges.item)
        order = np.lexsort((item, query))
        columns = (query, item, weights_of(edges), edges.sessions, edges.first_ms, edges.last_ms)
        rows = zip(order.tolist(), *(column[order].tolist() for column in columns), strict=True)
        yield from _encoded(
            _EdgeLine(
                "edge",
                chunk[query][0],
                items.ids[item],
                weight,
                sessions,
                first_ms,
                last_ms,
                edges.actions_of(row),
            )
            for row, query, item, weight, sessions, first_ms, last_ms in rows
        )


def hyperedge_lines(sessions: Iterable[SessionChunk], items: ItemNames) -> Iterator[str]:
    """Yield a line per hyperedge, by session id. Memory grows with the hyperedges: an
    id and some bytes an item each.

    Args:
        sessions: all sessions.
        items: what items are called.

    Raises:
        StoreUnreadable: an item has no name.
    """
    session_ids: list[str] = []
    parts = [_Hyperedges(_NONE, _NONE, _NONE)]
    for chunk in sessions:
        index, part = _hyperedges(chunk, items)
        session_ids.extend(chunk.session_ids[place] for place in index)
        parts.append(part)
    last_ms, sizes, members = (np.concatenate(column) for column in zip(*parts, strict=True))
    ends = np.cumsum(sizes)
    yield from _encoded(
        _HyperedgeLine(
            "hyperedge",
            session_ids[row],
            [items.ids[item] for item in members[ends[row] - sizes[row] : ends[row]].tolist()],
            int(last_ms[row]),
        )
        for row in sorted(range(len(session_ids)), key=session_ids.__getitem__)
    )


def _hyperedges(chunk: SessionChunk, items: ItemNames) -> tuple[list[int], _Hyperedges]:
    """Return which sessions of a chunk have a hyperedge, and these."""
    facts, ts_ms = chunk.facts, chunk.facts.ts_ms
    session, item = indexes_of(chunk.keys, facts.session), items.ranks_of(facts.item)
    rows = hyperedge_rows(session, facts.item, ts_ms, item)
    last_ms = np.full(len(chunk.keys), np.iinfo(np.int64).min, dtype=np.int64)
    np.maximum.at(last_ms, session, ts_ms)
    firsts = np.flatnonzero(run_starts(session[rows]))
    index = session[rows[firsts]]
    sizes = np.diff(np.append(firsts, len(rows)))
    return index.tolist(), _Hyperedges(last_ms[index], sizes, item[rows])


def _encoded(records: Iterable[msgspec.Struct]) -> Iterator[str]:
    """Yield records as lines of JSON, without line ends."""
    encoder = msgspec.json.Encoder()
    chunk: list[msgspec.Struct] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _CHUNK_LINES:
            yield from _lines(encoder, chunk)
            chunk.clear()
    yield from _lines(encoder, chunk)


def _lines(encoder: msgspec.json.Encoder, records: list[msgspec.Struct]) -> list[str]:
    """Encode all at once; in JSON a line end is never part of a text.

    Raises:
        StoreUnreadable: a text has half a surrogate pair, which no event brings in.
    """
    try:
        return encoder.encode_lines(records).decode("utf-8").split("\n")[:-1]
    except UnicodeEncodeError as error:
        raise StoreUnreadable(
            f"a text of the graph is none ({error}); restore the store, or build it again"
        ) from error
