"""Sessions: id, users and facts as one entry, or as a head of a wide one."""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

import numpy as np

from stream.events.columns import Keys
from stream.graph.facts import MAX_HYPEREDGE_ITEMS, FactColumns
from stream.graph.keysets import distinct
from stream.shard.codec.keys import ONE_KEY, TWO_KEYS, WORD, WORDS, entry_keys
from stream.shard.codec.kinds import ROW_BYTES, SESSION, WIDE_FACT
from stream.shard.codec.rows import unpack_rows
from stream.shard.codec.values import VERSION, check_version, decode_text, encode_text

_SESSION_HEAD = Struct(">BHH")
_CROWDED_HEAD = Struct(">BHI")
_CROWDED_VERSION = 2  # of a session entry with more users than two bytes count
_WIDE_KEY = np.dtype([("kind", "u1"), ("word", ">u8", 4)])
_WIDE_VERSION = 3  # of a session entry whose facts and users are entries of their own
_MAX_NARROW = (1 << 16) - 1  # the most that two bytes count


class StoredSession(NamedTuple):
    """A session entry as it is stored.

    Attributes:
        session_id: its id.
        user_keys: who was seen in it.
        facts: packed, see `unpack_rows`.
        items: None, but for a wide session (`WIDE_ROWS`), whose facts and users
            are entries of their own: some distinct items, as many as a hyperedge keeps.
    """

    session_id: str
    user_keys: tuple[int, ...]
    facts: bytes
    items: tuple[int, ...] | None = None


def session_key(key: int) -> bytes:
    """Return the key of a session entry."""
    return ONE_KEY.pack(SESSION[0], key)


def pack_session(session_id: str, user_keys: Sequence[int], rows: bytes) -> bytes:
    """Pack a session: its id, its users ascending, its facts as packed rows of (query,
    item, stamp).
    """
    (packed,) = pack_sessions([session_id], [user_keys], [rows])
    return packed


def pack_sessions(
    session_ids: Sequence[str], user_keys: Sequence[Sequence[int]], rows: Sequence[bytes]
) -> list[bytes]:
    """Pack many sessions, as `pack_session` packs one."""
    texts = [text.encode("utf-8", "surrogatepass") for text in session_ids]
    users = [b"".join([WORD.pack(key) for key in keys]) for keys in user_keys]
    return [
        _session_head(len(text), len(packed) >> 3) + text + packed + facts
        for text, packed, facts in zip(texts, users, rows, strict=True)
    ]


def _session_head(id_bytes: int, num_users: int) -> bytes:
    if num_users > _MAX_NARROW:
        return _CROWDED_HEAD.pack(_CROWDED_VERSION, id_bytes, num_users)
    return _SESSION_HEAD.pack(VERSION, id_bytes, num_users)


def pack_wide_session(session_id: str, items: Sequence[int]) -> bytes:
    """Pack the entry of a wide session: its id, and some distinct items of it."""
    text = encode_text(session_id)
    head = _CROWDED_HEAD.pack(_WIDE_VERSION, len(text), len(items))
    return head + text + np.array(items, dtype=WORDS).tobytes()


def is_wide_session(value: bytes) -> bool:
    """Whether a session entry's value is that of a wide session."""
    return value[0] == _WIDE_VERSION


def _unpack_wide_session(value: bytes) -> StoredSession:
    _, id_bytes, num_items = _CROWDED_HEAD.unpack_from(value)
    items_at = _CROWDED_HEAD.size + id_bytes
    if items_at + 8 * num_items != len(value):
        raise ValueError(f"the entry of a wide session has {len(value)} bytes")
    items = tuple(np.frombuffer(value, WORDS, num_items, items_at).tolist())
    return StoredSession(decode_text(value[_CROWDED_HEAD.size : items_at]), (), b"", items)


def wide_fact_keys(facts: FactColumns) -> list[bytes]:
    """Return the key of each fact of wide sessions."""
    columns = facts.session, facts.query, facts.item, facts.action.astype(np.uint64)
    return entry_keys(WIDE_FACT, columns)


def wide_prefix(session: int, query: int) -> bytes:
    """Return what the keys of a wide session's facts out of a query start with."""
    return TWO_KEYS.pack(WIDE_FACT[0], session, query)


def wide_facts(facts: FactColumns) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and values of facts of wide sessions."""
    return wide_fact_keys(facts), [WORD.pack(stamp) for stamp in facts.stamp.tolist()]


def unpack_wide_facts(keys: Sequence[bytes], values: Sequence[bytes]) -> FactColumns:
    """Unpack facts of wide sessions.

    Raises:
        ValueError: they are damaged.
    """
    words = np.frombuffer(b"".join(keys), _WIDE_KEY)["word"]
    stamp = np.frombuffer(b"".join(values), WORDS)
    if len(stamp) != len(words):
        raise ValueError(f"{len(words)} facts of a session have {len(stamp)} times")
    session, query, item = (words[:, place].astype(np.uint64) for place in range(3))
    return FactColumns(session, query, item, stamp.astype(np.uint64))


def first_items(known: Sequence[int], items: Keys) -> tuple[int, ...]:
    """Return distinct items of a session, as many as a hyperedge keeps: they tell how
    many it has.
    """
    if len(known) >= MAX_HYPEREDGE_ITEMS:
        return tuple(known)
    both = distinct(np.append(np.array(known, dtype=np.uint64), items))
    return tuple(both[:MAX_HYPEREDGE_ITEMS].tolist())


def first_items_of(facts: FactColumns, sessions: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return the `first_items` of sessions, of all their facts, given in order of
    session.
    """
    keys = np.array(sessions, dtype=np.uint64)
    lows, highs = facts.session.searchsorted(keys), facts.session.searchsorted(keys, "right")
    bounds = zip(sessions, lows.tolist(), highs.tolist(), strict=True)
    return {key: first_items((), facts.item[low:high]) for key, low, high in bounds}


def unpack_session(value: bytes) -> StoredSession:
    """Unpack a session entry's value."""
    if is_wide_session(value):
        return _unpack_wide_session(value)
    head = _CROWDED_HEAD if value[0] == _CROWDED_VERSION else _SESSION_HEAD
    version, id_bytes, num_users = head.unpack_from(value)
    if version not in {VERSION, _CROWDED_VERSION}:
        check_version(value)
    users_at = head.size + id_bytes
    facts_at = users_at + 8 * num_users
    if facts_at > len(value) or (len(value) - facts_at) % ROW_BYTES:
        raise ValueError(f"a session entry of {len(value)} bytes does not hold whole facts")
    user_keys = (
        tuple(np.frombuffer(value, WORDS, num_users, users_at).tolist()) if num_users else ()
    )
    return StoredSession(decode_text(value[head.size : users_at]), user_keys, value[facts_at:])


def facts_of_sessions(keys: Keys, records: Sequence[StoredSession]) -> FactColumns:
    """Unpack the facts of sessions whose keys these are."""
    query, item, stamp, sizes = unpack_rows([record.facts for record in records])
    return FactColumns(np.repeat(keys, sizes), query, item, stamp)
