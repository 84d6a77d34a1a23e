"""Rewrites a shard of format version 1 in place.

Sessions become rows of facts, stored edges go.
"""

import logging
from collections.abc import Iterator
from itertools import islice
from struct import Struct

import numpy as np

from protos.text import text_key
from stream.events.columns import NO_KEY, Keys
from stream.events.types import SourcePartition
from stream.graph.facts import FactColumns, hyperedge_sizes, stamps
from stream.graph.keysets import run_starts
from stream.shard import codec
from stream.shard.codec import PartitionProgress, ShardFormat, ShardState
from stream.shard.rocksdb import Database, Entry, Puts, store_error

logger = logging.getLogger(__name__)

OLD_VERSION = 1  # the format version that is upgraded

_SESSION = b"\x04"
_EDGES, _EDGES_END = b"\x05", b"\x08"
# Sessions rewritten in one write; chosen by hand. Twice as many take twice the memory,
# and are done again after a crash.
_CHUNK_SESSIONS = 2000

_STATE = Struct(">BQqQ")
_POSITION_HEAD = Struct(">BI")
_POSITION = Struct(">BQ")
_SESSION_HEAD = Struct(">BHHI")
_LENGTH = Struct(">H")
_NO_TIME = -(2**63)  # stood for no time
_FACT = np.dtype([("query", ">u8"), ("item", ">u8"), ("action", "u1"), ("ts_ms", ">i8")])


def upgrade_shard(
    database: Database, shard_format: ShardFormat, chunk_sessions: int = _CHUNK_SESSIONS
) -> int:
    """Bring a shard of format version 1 to the present one.

    An upgrade that was killed is resumed.

    Each write puts the new records of some sessions and deletes their old ones: what is
    left of the old kind is still to be done. The format entry comes last: until then
    the shard opens only to be upgraded.

    Args:
        database: the shard, opened for writing by the process that holds its lock.
        shard_format: what it is to be.
        chunk_sessions: sessions rewritten in one write.

    Returns:
        How many sessions were rewritten.

    Raises:
        StoreWriteFailed: the disk refused; what was rewritten stays, the rest is done
            when it is opened next.
        StoreUnreadable: an entry is damaged.
    """
    num_sessions = 0
    logger.info(
        "store upgrade begins store=%s format_version=%d",
        database.path,
        shard_format.format_version,
    )
    try:
        for records in _chunks(database, chunk_sessions):
            _rewrite_sessions(database, records)
            num_sessions += len(records)
        database.delete_range(_EDGES, _EDGES_END)
        _finish(database, shard_format)
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(database.path, error) from error
    database.sync()
    logger.info(
        "store upgraded store=%s format_version=%d sessions=%d",
        database.path,
        shard_format.format_version,
        num_sessions,
    )
    return num_sessions


def _chunks(database: Database, size: int) -> Iterator[list[Entry]]:
    """Yield the old session entries; each chunk is gone when the next is asked for."""
    start = b""
    while records := list(islice(database.scan(_SESSION, start), size)):
        start = records[-1][0][1:]
        yield records


def _rewrite_sessions(database: Database, records: list[Entry]) -> None:
    sessions = codec.unpack_keys([key for key, _ in records])
    unpacked = [_unpack_session(value) for _, value in records]
    facts = _facts(sessions, [rows for _, _, rows in unpacked])
    puts = Puts()
    for key, (session_id, users, rows) in zip(sessions.tolist(), unpacked, strict=True):
        packed = codec.pack_rows(*_words(rows))
        puts.put(codec.session_key(key), codec.pack_session(session_id, sorted(users), packed))
    before = _state(database)
    state = _state_with(before, facts, len(records))
    seen = sorted(
        (user, key)
        for key, (_, users, _) in zip(sessions.tolist(), unpacked, strict=True)
        for user in users
    )
    pairs = np.array(seen, dtype=np.uint64).reshape(-1, 2)
    puts.extend(*codec.user_runs(pairs[:, 0], pairs[:, 1], state.sequence))
    searched = facts.take(facts.query != NO_KEY)
    _put_runs(puts, codec.BY_QUERY, searched.query, searched.item, searched, state.sequence)
    _put_runs(puts, codec.BY_ITEM, facts.item, facts.query, facts, state.sequence)
    puts.put(codec.STATE_KEY, codec.pack_state(state))
    database.write(puts, [key for key, _ in records])


def _state_with(before: ShardState, facts: FactColumns, num_sessions: int) -> ShardState:
    """Return the state once these sessions are in it.

    Their runs are those of a write of their own.
    """
    _, sizes = hyperedge_sizes(facts)
    return before._replace(
        sequence=before.sequence + 1,
        facts=before.facts + facts.digest(),
        edge_facts=before.edge_facts + facts.take(facts.makes_edge).digest(),
        num_sessions=before.num_sessions + num_sessions,
        num_hyperedges=before.num_hyperedges + int((sizes > 0).sum()),
        num_incidences=before.num_incidences + int(sizes.sum()),
    )


def _put_runs(
    puts: Puts, kind: bytes, major: Keys, minor: Keys, facts: FactColumns, sequence: int
) -> None:
    # By (major, minor): a run of one major key is one entry.
    order = np.lexsort((minor, major))
    major, minor, facts = major[order], minor[order], facts.take(order)
    firsts = np.flatnonzero(run_starts(major))
    rows = codec.split_rows(codec.pack_rows(minor, facts.session, facts.stamp), firsts)
    puts.extend(codec.run_keys(kind, major[firsts], sequence), rows)


def _finish(database: Database, shard_format: ShardFormat) -> None:
    """Rewrite positions, and the state where there was no session.

    Say that the new format is reached.
    """
    puts = Puts()
    puts.put(codec.FORMAT_KEY, codec.pack_format(shard_format))
    puts.put(codec.STATE_KEY, codec.pack_state(_state(database)))
    for key, value in database.scan(codec.POSITION):
        if len(value) == _POSITION.size:
            _, partition = _POSITION_HEAD.unpack_from(key)
            source = key[_POSITION_HEAD.size :].decode("utf-8", "surrogatepass")
            progress = PartitionProgress(_POSITION.unpack(value)[1], watermark_ms=None)
            puts.put(
                codec.position_key(SourcePartition(source, partition)),
                codec.pack_partition_progress(progress),
            )
    database.write(puts)


def _state(database: Database) -> ShardState:
    """Return the state, which is of the old layout until the first sessions are
    rewritten.
    """
    (value,) = database.get([codec.STATE_KEY])
    if value is None:
        return ShardState()
    if len(value) != _STATE.size:
        return codec.unpack_state(value)
    _, sequence, watermark_ms, _ = _STATE.unpack(value)
    return ShardState(sequence, None if watermark_ms == _NO_TIME else watermark_ms)


def _unpack_session(value: bytes) -> tuple[str, list[int], np.ndarray]:
    """Unpack an old session: its id, the keys of its users, its facts as ``_FACT
    [num_facts]``.
    """
    _, id_bytes, num_users, num_facts = _SESSION_HEAD.unpack_from(value)
    start = _SESSION_HEAD.size + id_bytes
    session_id = value[_SESSION_HEAD.size : start].decode("utf-8", "surrogatepass")
    users = []
    for _ in range(num_users):
        (user_bytes,) = _LENGTH.unpack_from(value, start)
        start += _LENGTH.size + user_bytes
        users.append(text_key(value[start - user_bytes : start].decode("utf-8", "surrogatepass")))
    if len(value) - start != num_facts * _FACT.itemsize:
        raise ValueError(f"a session entry of {len(value)} bytes does not hold {num_facts} facts")
    return session_id, users, np.frombuffer(value, _FACT, offset=start)


def _words(rows: np.ndarray) -> tuple[Keys, Keys, Keys]:
    stamp = stamps(rows["ts_ms"].astype(np.int64), rows["action"])
    return rows["query"].astype(np.uint64), rows["item"].astype(np.uint64), stamp


def _facts(sessions: Keys, rows: list[np.ndarray]) -> FactColumns:
    query, item, stamp = _words(np.concatenate(rows))
    return FactColumns(np.repeat(sessions, [len(each) for each in rows]), query, item, stamp)
