"""The binary layout of a shard's keys and values, as `docs/formats.md` specifies it.

Keys are one kind byte, then 64-bit keys big-endian, so that a scan is in order of query, then item, then
session. Values start with a version byte.
"""

from collections.abc import Mapping
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

import msgspec

from stream.decay import Decayed, canonical
from stream.events import CatalogItem, Position
from stream.facts import ActionTally, EdgeState, FactKey, SessionState

FORMAT_VERSION = 1

META = b"\x00"
POSITION = b"\x01"
QUERY_NAME = b"\x02"
ITEM_NAME = b"\x03"
SESSION = b"\x04"
EDGE = b"\x05"
POSTING = b"\x06"
REVERSE_EDGE = b"\x07"
CATALOG = b"\x08"

FORMAT_KEY = META + b"format"
STATE_KEY = META + b"state"

FACT_BYTES = 25
PRESENT = b"\x01"

BAD_RECORD_ERRORS = (ValueError, IndexError, StructError, msgspec.MsgspecError)
"""What unpacking raises on bytes that this module did not write."""

_VERSION = 1
_NO_WATERMARK = -(2**63)

_ONE_KEY = Struct(">BQ")
_TWO_KEYS = Struct(">BQQ")
_THREE_KEYS = Struct(">BQQQ")
_FORMAT = Struct(">BHHHQ")
_STATE = Struct(">BQqQ")
_POSITION_KEY = Struct(">BI")
_POSITION = Struct(">BQ")
_SESSION_HEAD = Struct(">BHHI")
_LENGTH = Struct(">H")
_FACT = Struct(">QQBq")
_EDGE_HEAD = Struct(">BIqqB")
_TALLY = Struct(">BIiH")
_POSTING = Struct(">Bq")

_catalog_encoder = msgspec.msgpack.Encoder()
_catalog_decoder = msgspec.msgpack.Decoder(CatalogItem)


class ShardFormat(NamedTuple):
    """What a shard was made as."""

    format_version: int
    shard: int
    num_shards: int
    half_life_ms: int


class ShardState(NamedTuple):
    """How far a shard is: batches applied, largest event time applied (None: no event yet), facts held."""

    sequence: int
    watermark_ms: int | None
    num_facts: int


class StoredSession(NamedTuple):
    """A session record as read in a scan. `facts` stays packed, see `unpack_facts`."""

    session_key: int
    session_id: str
    user_ids: tuple[str, ...]
    facts: bytes


class StoredEdge(NamedTuple):
    """An edge record as read in a scan."""

    query_key: int
    item_key: int
    edge: EdgeState


def pack_format(shard_format: ShardFormat) -> bytes:
    """Pack the shard's format record."""
    return _FORMAT.pack(_VERSION, *shard_format)


def unpack_format(value: bytes) -> ShardFormat:
    """Unpack the shard's format record."""
    _check_version(value)
    return ShardFormat(*_FORMAT.unpack(value)[1:])


def pack_state(state: ShardState) -> bytes:
    """Pack the shard's state record."""
    watermark_ms = _NO_WATERMARK if state.watermark_ms is None else state.watermark_ms
    return _STATE.pack(_VERSION, state.sequence, watermark_ms, state.num_facts)


def unpack_state(value: bytes) -> ShardState:
    """Unpack the shard's state record."""
    _check_version(value)
    _, sequence, watermark_ms, num_facts = _STATE.unpack(value)
    return ShardState(sequence, None if watermark_ms == _NO_WATERMARK else watermark_ms, num_facts)


def pack_position(position: Position, next_offset: int) -> tuple[bytes, bytes]:
    """Pack where to go on reading in one partition of a source."""
    key = _POSITION_KEY.pack(POSITION[0], position.partition) + _encode(position.source)
    return key, _POSITION.pack(_VERSION, next_offset)


def unpack_position(key: bytes, value: bytes) -> tuple[Position, int]:
    """Unpack where to go on reading in one partition of a source."""
    _check_version(value)
    partition = _POSITION_KEY.unpack_from(key)[1]
    source = _decode(key[_POSITION_KEY.size :])
    return Position(source, partition), _POSITION.unpack(value)[1]


def name_key(kind: bytes, key: int) -> bytes:
    """Return the key of a query's or an item's text; `kind` is `QUERY_NAME` or `ITEM_NAME`."""
    return _ONE_KEY.pack(kind[0], key)


def pack_name(text: str) -> bytes:
    """Pack the text behind a key."""
    return b"\x01" + _encode(text)


def unpack_text(value: bytes) -> str:
    """Unpack the text behind a key."""
    _check_version(value)
    return _decode(value[1:])


def unpack_name(key: bytes, value: bytes) -> tuple[int, str]:
    """Unpack a key and the text behind it."""
    return int(_ONE_KEY.unpack(key)[1]), unpack_text(value)


def session_key(key: int) -> bytes:
    """Return the key of a session record."""
    return _ONE_KEY.pack(SESSION[0], key)


def pack_session(state: SessionState) -> bytes:
    """Pack a session: its id, its users, its facts in ascending order of (query, item, action)."""
    session_id = _encode(state.session_id)
    users = [_encode(user_id) for user_id in state.user_ids]
    pieces = [_SESSION_HEAD.pack(_VERSION, len(session_id), len(users), len(state.facts)), session_id]
    for user in users:
        pieces += (_LENGTH.pack(len(user)), user)
    pieces.append(pack_facts(state.facts))
    return b"".join(pieces)


def pack_facts(facts: Mapping[FactKey, int]) -> bytes:
    """Pack facts in ascending order of (query, item, action), `FACT_BYTES` each."""
    pack = _FACT.pack
    if len(facts) == 1:
        ((key, ts_ms),) = facts.items()
        return pack(*key, ts_ms)
    return b"".join([pack(*key, ts_ms) for key, ts_ms in sorted(facts.items())])


def unpack_facts(packed: bytes) -> dict[FactKey, int]:
    """Unpack facts: earliest time in milliseconds by fact."""
    return {(query, item, action): ts_ms for query, item, action, ts_ms in _FACT.iter_unpack(packed)}


def unpack_session(value: bytes) -> SessionState:
    """Unpack a session record's value."""
    session_id, user_ids, facts = _unpack_session(value)
    return SessionState(session_id, user_ids, unpack_facts(facts))


def unpack_stored_session(key: bytes, value: bytes) -> StoredSession:
    """Unpack a session record, leaving its facts packed."""
    return StoredSession(_ONE_KEY.unpack(key)[1], *_unpack_session(value))


def _unpack_session(value: bytes) -> tuple[str, tuple[str, ...], bytes]:
    _check_version(value)
    _, id_bytes, num_users, num_facts = _SESSION_HEAD.unpack_from(value)
    start = _SESSION_HEAD.size + id_bytes
    session_id = _decode(value[_SESSION_HEAD.size : start])
    users = []
    for _ in range(num_users):
        (user_bytes,) = _LENGTH.unpack_from(value, start)
        start += _LENGTH.size + user_bytes
        users.append(_decode(value[start - user_bytes : start]))
    if len(value) - start != num_facts * FACT_BYTES:
        raise ValueError(
            f"a session record announces {num_facts} facts and has {len(value) - start} bytes of them"
        )
    return session_id, tuple(users), value[start:]


def edge_key(query_key: int, item_key: int) -> bytes:
    """Return the key of an edge record."""
    return _TWO_KEYS.pack(EDGE[0], query_key, item_key)


def edge_prefix(query_key: int) -> bytes:
    """Return what the keys of all edges of a query start with."""
    return _ONE_KEY.pack(EDGE[0], query_key)


def pack_edge(edge: EdgeState) -> bytes:
    """Pack an edge; equal sets of facts give equal bytes."""
    pieces = [_EDGE_HEAD.pack(_VERSION, edge.sessions, edge.first_ms, edge.last_ms, len(edge.actions))]
    for action, (num_facts, total) in edge.actions.items():
        mantissa, shift_bytes = canonical(total)
        size = (mantissa.bit_length() + 7) >> 3
        pieces.append(_TALLY.pack(action, num_facts, shift_bytes, size) + mantissa.to_bytes(size, "little"))
    return b"".join(pieces)


def unpack_edge(value: bytes) -> EdgeState:
    """Unpack an edge record's value."""
    _check_version(value)
    _, sessions, first_ms, last_ms, num_actions = _EDGE_HEAD.unpack_from(value)
    start = _EDGE_HEAD.size
    actions = {}
    for _ in range(num_actions):
        action, num_facts, shift_bytes, size = _TALLY.unpack_from(value, start)
        start += _TALLY.size + size
        mantissa = int.from_bytes(value[start - size : start], "little")
        actions[action] = ActionTally(num_facts, Decayed(mantissa, shift_bytes))
    if start != len(value):
        raise ValueError(f"an edge record has {len(value)} bytes instead of {start}")
    return EdgeState(sessions, first_ms, last_ms, actions)


def unpack_stored_edge(key: bytes, value: bytes) -> StoredEdge:
    """Unpack an edge record."""
    _, query, item = _TWO_KEYS.unpack(key)
    return StoredEdge(query, item, unpack_edge(value))


def reverse_edge_key(item_key: int, query_key: int) -> bytes:
    """Return the key that finds an edge by its item; the value is `PRESENT`."""
    return _TWO_KEYS.pack(REVERSE_EDGE[0], item_key, query_key)


def posting_key(query_key: int, item_key: int, session: int) -> bytes:
    """Return the key that says a session has facts on an edge."""
    return _THREE_KEYS.pack(POSTING[0], query_key, item_key, session)


def posting_prefix(query_key: int, item_key: int) -> bytes:
    """Return what the keys of all postings of an edge start with."""
    return _TWO_KEYS.pack(POSTING[0], query_key, item_key)


def pack_posting(latest_ms: int) -> bytes:
    """Pack the time of a session's latest fact on an edge."""
    return _POSTING.pack(_VERSION, latest_ms)


def unpack_posting(key: bytes, value: bytes) -> tuple[int, int]:
    """Unpack ``(session_key, latest_ms)``."""
    _check_version(value)
    return int(_THREE_KEYS.unpack(key)[3]), int(_POSTING.unpack(value)[1])


def catalog_key(item_key: int) -> bytes:
    """Return the key of an item's catalogue record."""
    return _ONE_KEY.pack(CATALOG[0], item_key)


def pack_catalog(item: CatalogItem) -> bytes:
    """Pack an item's catalogue record: a version byte and MessagePack."""
    return b"\x01" + _catalog_encoder.encode(item)


def unpack_catalog(key: bytes, value: bytes) -> tuple[int, CatalogItem]:
    """Unpack ``(item_key, item)``."""
    _check_version(value)
    return int(_ONE_KEY.unpack(key)[1]), _catalog_decoder.decode(value[1:])


def _check_version(value: bytes) -> None:
    if value[0] != _VERSION:
        raise ValueError(f"a record has version {value[0]}, which this Freshet does not know")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
