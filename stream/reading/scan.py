"""All shards read as one: their records in order of key, a chunk at a
time, as columns.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from heapq import merge
from itertools import compress
from typing import NamedTuple

import numpy as np

from stream.events.columns import Keys
from stream.graph.edges import EdgeColumns, edges_of, with_folded
from stream.graph.facts import FactColumns, merge_facts
from stream.graph.folded import FoldedEdges, add_folded
from stream.reading.visits import NO_VISITS, JoinedVisits
from stream.shard import codec
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import store_error

# Records a chunk: bounds memory, and is far more than an array costs to make.
_CHUNK_RECORDS = 50_000
# Bytes of a entry key up to the end of its first 64-bit word.
_KEY_END = 9


class SessionChunk(NamedTuple):
    """Some sessions, in ascending order of key.

    Attributes:
        keys: ``uint64 [num_sessions]``.
        session_ids: their ids.
        facts: theirs, in ascending order of (session, query, item, action).
    """

    keys: Keys
    session_ids: list[str]
    facts: FactColumns


def session_chunks(
    shards: Sequence[ShardReader], visits: JoinedVisits = NO_VISITS
) -> Iterator[SessionChunk]:
    """Yield all sessions in order of key; what several shards hold of one is joined.

    Args:
        shards: to read.
        visits: sessions that are part of others.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    for keys, values in _chunks(shards, codec.SESSION, visits=visits):
        try:
            records = [codec.unpack_session(value) for value in values]
            sessions = codec.unpack_keys(keys)
            facts = codec.facts_of_sessions(sessions, records)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shards[0].path, error) from error
        ids = dict(zip(sessions.tolist(), [record.session_id for record in records], strict=True))
        if len(ids) < len(records):
            facts = merge_facts(FactColumns.empty(), facts).facts
        yield SessionChunk(np.unique(sessions), list(ids.values()), facts)


def edge_chunks(
    shards: Sequence[ShardReader], visits: JoinedVisits = NO_VISITS
) -> Iterator[EdgeColumns]:
    """Yield all edges in order of (query key, item key).

    Those of a query are in one chunk.

    Args:
        shards: to read.
        visits: sessions that are part of others.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    has_folded = any(shard.state().folded_before_ms is not None for shard in shards)
    kinds = (codec.BY_QUERY, codec.FOLDED) if has_folded else (codec.BY_QUERY,)
    for keys, values in _chunks(shards, *kinds):
        try:
            yield (
                _edges(keys, values, visits)
                if has_folded
                else edges_of(visits.joined(codec.by_query(keys, values)))
            )
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shards[0].path, error) from error


def folded_edges(shards: Sequence[ShardReader]) -> FoldedEdges:
    """Return all folded edges, of all shards together.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    return _folded(record for shard in shards for record in shard.entries(codec.FOLDED))


def _edges(keys: list[bytes], values: list[bytes], visits: JoinedVisits) -> EdgeColumns:
    """Return the edges of records of both kinds, those of facts and
    the folded ones.
    """
    is_run = [key[:1] == codec.BY_QUERY for key in keys]
    facts = codec.by_query(list(compress(keys, is_run)), list(compress(values, is_run)))
    edges = edges_of(visits.joined(facts))
    records = zip(keys, values, strict=True)
    return with_folded(edges, _folded(compress(records, (not run for run in is_run))))


def _folded(records: Iterable[tuple[bytes, bytes]]) -> FoldedEdges:
    return add_folded(
        [{codec.unpack_folded_pair(key): codec.unpack_folded(value)} for key, value in records]
    )


def _chunks(
    shards: Sequence[ShardReader], *kinds: bytes, visits: JoinedVisits = NO_VISITS
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield packed keys and values.

    Records that begin with the same 64-bit key stay together.
    """
    scans = [
        shard.session_entries() if kind == codec.SESSION else shard.entries(kind)
        for kind in kinds
        for shard in shards
    ]
    if len(visits):
        scans = [_without(scan, visits.old_entries) for scan in scans]
        scans.append(iter(visits.entries))
    behind_kind = None if len(kinds) == 1 else _behind_kind
    keys: list[bytes] = []
    values: list[bytes] = []
    for key, value in scans[0] if len(scans) == 1 else merge(*scans, key=behind_kind):
        if len(keys) >= _CHUNK_RECORDS and key[1:_KEY_END] != keys[-1][1:_KEY_END]:
            yield keys, values
            keys, values = [], []
        keys.append(key)
        values.append(value)
    if keys:
        yield keys, values


def _without(
    entries: Iterable[tuple[bytes, bytes]], keys: Container[bytes]
) -> Iterator[tuple[bytes, bytes]]:
    return (entry for entry in entries if entry[0] not in keys)


def _behind_kind(record: tuple[bytes, bytes]) -> bytes:
    return record[0][1:]
