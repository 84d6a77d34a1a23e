"""The binary layout of a shard's keys and values, as `docs/formats.md` specifies it.

A key is one kind byte, then 64-bit keys big-endian, so that a scan is in ascending
order. A kind has one layout for ever: another layout would be another kind. Rows of
facts are little-endian words, read and written by the thousand as one array.
"""

from collections.abc import Sequence
from itertools import pairwise
from struct import Struct
from struct import error as StructError
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Int64s
from stream.events import native
from stream.events.columns import NO_KEY, Keys
from stream.events.types import CatalogItem, SourcePartition
from stream.graph.decay import Decayed, canonical
from stream.graph.facts import MAX_HYPEREDGE_ITEMS, Digest, FactColumns
from stream.graph.folded import FoldedEdge, FoldedFacts
from stream.graph.keysets import distinct, run_starts
from stream.graph.sessions import SessionWindows
from stream.settings import DEFAULT_SESSION_GAP_SECONDS

FORMAT_VERSION = 2  # of a shard's layout, docs/formats.md

# The kind byte of a key. Stored: never renumber.
META = b"\x00"
POSITION = b"\x01"
QUERY_NAME = b"\x02"
ITEM_NAME = b"\x03"
CATALOG = b"\x08"
SESSION = b"\x10"
BY_QUERY = b"\x11"
BY_ITEM = b"\x12"
USER = b"\x13"
DIRTY = b"\x14"
ERASED = b"\x15"
AUDIT = b"\x16"
FOLDED = b"\x17"
WINDOWS = b"\x18"
FOLDED_BY_ITEM = b"\x19"
QUERY_ID = b"\x1a"
WIDE_FACT = b"\x1b"
PURGED = b"\x1e"

FORMAT_KEY = META + b"format"
STATE_KEY = META + b"state"
WRITER_KEY = META + b"writer"
TOPIC_ID = META + b"topic:"

ROW_BYTES = 24  # three words of 64 bits
PAIR_BYTES = 16  # two words of 64 bits

# Facts, and users, of a session that is one entry: some 48 KiB, far over what a person
# does. Twice as many double what a batch that touches such a session writes.
WIDE_ROWS = 2048
"""A session that has more is wide: each of its facts and users is an entry of its own.

A crawler's session, or one whose id is "null", grows for ever, and what a batch adds to
it must not cost what is there.
"""

BAD_ENTRY_ERRORS = (ValueError, IndexError, StructError, msgspec.MsgspecError)
"""What unpacking raises on bytes that this module did not write."""

_DEFAULT_SESSION_GAP_MS = round(DEFAULT_SESSION_GAP_SECONDS * 1000)
# The rest is layout too, fixed by docs/formats.md: not tunable.
_VERSION = 1  # the first byte of most values
_NO_TIME = -(2**63)  # stands for no time: no event is as old
_WORDS = np.dtype("<u8")
_TIMES = np.dtype("<i8")
_ROW_WORDS = 3  # minor key, session, stamp
_WINDOW_BYTES = 16  # first and last time

_ONE_KEY = Struct(">BQ")
_TWO_KEYS = Struct(">BQQ")
_FORMAT = Struct(">BHHHQQ")
_FORMAT_WITHOUT_GAP = Struct(">BHHHQ")
_STATE = Struct(">BQq" + "QQQ" * 2 + "QQQ" + "qQQQ")
_POSITION_KEY = Struct(">BI")
_POSITION = Struct(">BQq")
_SESSION_HEAD = Struct(">BHH")
_CROWDED_HEAD = Struct(">BHI")
_CROWDED_VERSION = 2  # of a session entry with more users than two bytes count
_WIDE_KEY = np.dtype([("kind", "u1"), ("word", ">u8", 4)])
_WIDE_VERSION = 3  # of a session entry whose facts and users are entries of their own
_MAX_NARROW = (1 << 16) - 1  # the most that two bytes count
_DIRTY_HEAD = Struct(">BI")
_TOMBSTONE_KEY = Struct(">BBQ")
_TOMBSTONE = Struct(">B?qQQQ")
_SEEN_KEY = Struct(">BBQQ")
_AUDIT_KEY = Struct(">BQI")
_AUDIT = Struct(">BBBQqqQQ")
_PURGE_KEY = Struct(">BBQ")
_PURGE = Struct(">Bq?")
_WORD = Struct("<Q")
_BIG_WORD = Struct(">Q")
_FIRST_BYTE = np.uint64(56)  # bits below the first byte of a key
_FOLDED_HEAD = Struct(">BIqqQQB")
_FOLDED_FACTS = Struct(">BIiH")

_catalog_encoder = msgspec.msgpack.Encoder()
_catalog_decoder = msgspec.msgpack.Decoder(CatalogItem)


ErasureKind = Literal["user", "session", "item"]
Deed = Literal["erased", "lifted"]
PurgePlace = Literal["files", "checkpoints"]

ERASURE_KINDS: dict[ErasureKind, bytes] = {"user": b"\x01", "session": b"\x02", "item": b"\x03"}
"""What can be erased, and the byte behind `ERASED` that stands for it."""

PURGE_PLACES: dict[PurgePlace, bytes] = {"files": b"\x01", "checkpoints": b"\x02"}
"""Where erased bytes are, and the byte behind `PURGED` that stands for it."""

SEEN = b"\x04"
"""The byte behind `ERASED` of users that were seen in a session, which holds no record
of them.
"""

ALIAS = b"\x05"
"""The byte behind `ERASED` of ids that were seen with a user whose sessions are cut."""

SEEN_VALUE = b"\x01"
"""The value of both, which say all in their keys."""

_KIND_OF_BYTE = {packed[0]: kind for kind, packed in ERASURE_KINDS.items()}
_PLACE_OF_BYTE = {packed[0]: place for place, packed in PURGE_PLACES.items()}
_DEEDS: tuple[Deed, ...] = ("erased", "lifted")


class ShardFormat(NamedTuple):
    """What a shard was made as."""

    format_version: int
    shard: int
    num_shards: int
    half_life_ms: int
    session_gap_ms: int = _DEFAULT_SESSION_GAP_MS


class ShardState(NamedTuple):
    """How far a shard is, and what is in it.

    Attributes:
        sequence: writes applied since it was made.
        watermark_ms: the largest event time read; None: no event yet.
        facts: the fingerprint and number of all facts, folded ones included.
        edge_facts: the same of those that make edges.
        num_sessions: sessions with a fact that is held.
        num_hyperedges: those of at least two distinct items.
        num_incidences: items over all hyperedges.
        folded_before_ms: facts before this may have been folded already; None: nothing
            ever was.
        folded: the fingerprint and number of the facts whose sessions are no longer
            held.
    """

    sequence: int = 0
    watermark_ms: int | None = None
    facts: Digest = Digest()
    edge_facts: Digest = Digest()
    num_sessions: int = 0
    num_hyperedges: int = 0
    num_incidences: int = 0
    folded_before_ms: int | None = None
    folded: Digest = Digest()

    @property
    def num_facts(self) -> int:
        """How many facts are held."""
        return self.facts.count - self.folded.count


class PartitionProgress(NamedTuple):
    """Where to go on in a partition of a source, and the largest time of the events
    that were read of it (None: none was).
    """

    next_offset: int
    watermark_ms: int | None


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


class ErasureTombstone(NamedTuple):
    """Marks a user, a session or an item as erased for good.

    Attributes:
        kind: what `key` is of.
        key: of the text that was erased; the text itself is nowhere.
        is_finished: whether all its facts are gone, and the audit entry is written.
        asked_ms: when it was asked for.
        cause: the user that a session was erased for; `NO_KEY`: it was asked for
            itself.
        facts: removed so far.
        sessions: left without a fact so far.
    """

    kind: ErasureKind
    key: int
    asked_ms: int
    is_finished: bool = False
    cause: int = NO_KEY
    facts: int = 0
    sessions: int = 0


class AuditEntry(NamedTuple):
    """What was done about an erasure.

    Attributes:
        deed: it was carried out, or lifted.
        kind: what `key` is of.
        key: of the text that was erased.
        asked_ms: when it was asked for.
        done_ms: when it was done.
        facts: that it removed.
        sessions: that it left without a fact.
    """

    deed: Deed
    kind: ErasureKind
    key: int
    asked_ms: int
    done_ms: int
    facts: int
    sessions: int


class Purge(NamedTuple):
    """Erased bytes left a place.

    Attributes:
        place: which.
        sequence: of the last write whose erasures' bytes are gone.
        done_ms: when that was done.
        has_checkpoints: whether the shard's checkpoints were kept anywhere then.
    """

    place: PurgePlace
    sequence: int
    done_ms: int
    has_checkpoints: bool


def pack_format(shard_format: ShardFormat) -> bytes:
    """Pack the shard's format entry."""
    return _FORMAT.pack(_VERSION, *shard_format)


def unpack_format(value: bytes) -> ShardFormat:
    """Unpack the shard's format entry."""
    _check_version(value)
    layout = _FORMAT_WITHOUT_GAP if len(value) == _FORMAT_WITHOUT_GAP.size else _FORMAT
    return ShardFormat(*layout.unpack(value)[1:])


def pack_state(state: ShardState) -> bytes:
    """Pack the shard's state entry."""
    counts = state.num_sessions, state.num_hyperedges, state.num_incidences
    return _STATE.pack(
        _VERSION,
        state.sequence,
        _time(state.watermark_ms),
        *_digest_words(state.facts),
        *_digest_words(state.edge_facts),
        *counts,
        _time(state.folded_before_ms),
        *_digest_words(state.folded),
    )


def unpack_state(value: bytes) -> ShardState:
    """Unpack the shard's state entry."""
    _check_version(value)
    _, sequence, watermark_ms, *words = _STATE.unpack(value)
    num_sessions, num_hyperedges, num_incidences, folded_before_ms = words[6:10]
    return ShardState(
        sequence=sequence,
        watermark_ms=_optional_time(watermark_ms),
        facts=Digest(*words[:3]),
        edge_facts=Digest(*words[3:6]),
        num_sessions=num_sessions,
        num_hyperedges=num_hyperedges,
        num_incidences=num_incidences,
        folded_before_ms=_optional_time(folded_before_ms),
        folded=Digest(*words[10:]),
    )


def topic_id_key(topic: str) -> bytes:
    """Return the key of which topic the positions under a name are in."""
    return TOPIC_ID + _encode(topic)


def pack_topic_id(topic_id: str) -> bytes:
    """Pack which topic the positions under a name are in."""
    return bytes([_VERSION]) + _encode(topic_id)


def unpack_topic_id(key: bytes, value: bytes) -> tuple[str, str]:
    """Unpack a topic's name and id."""
    _check_version(value)
    return _decode(key[len(TOPIC_ID) :]), _decode(value[1:])


def position_key(position: SourcePartition) -> bytes:
    """Return the key of how far one partition of a source is."""
    return _POSITION_KEY.pack(POSITION[0], position.partition) + _encode(position.source)


def pack_partition_progress(progress: PartitionProgress) -> bytes:
    """Pack how far one partition of a source is."""
    return _POSITION.pack(_VERSION, progress.next_offset, _time(progress.watermark_ms))


def unpack_partition_progress(
    key: bytes, value: bytes
) -> tuple[SourcePartition, PartitionProgress]:
    """Unpack how far one partition of a source is."""
    _check_version(value)
    partition = _POSITION_KEY.unpack_from(key)[1]
    source = _decode(key[_POSITION_KEY.size :])
    _, next_offset, watermark_ms = _POSITION.unpack(value)
    return SourcePartition(source, partition), PartitionProgress(
        next_offset, _optional_time(watermark_ms)
    )


def name_key(kind: bytes, key: int) -> bytes:
    """Return the key of a query's or an item's text.

    `kind` is `QUERY_NAME` or `ITEM_NAME`.
    """
    return _ONE_KEY.pack(kind[0], key)


def pack_name(text: str) -> bytes:
    """Pack the text behind a key."""
    return b"\x01" + _encode(text)


def pack_names(texts: Sequence[str]) -> list[bytes]:
    """Pack the texts behind many keys."""
    return [b"\x01" + text.encode("utf-8", "surrogatepass") for text in texts]


def unpack_text(value: bytes) -> str:
    """Unpack the text behind a key."""
    _check_version(value)
    return _decode(value[1:])


def unpack_name(key: bytes, value: bytes) -> tuple[int, str]:
    """Unpack a key and the text behind it."""
    return int(_ONE_KEY.unpack(key)[1]), unpack_text(value)


def catalog_key(item_key: int) -> bytes:
    """Return the key of an item's catalogue entry."""
    return _ONE_KEY.pack(CATALOG[0], item_key)


def pack_catalog(item: CatalogItem) -> bytes:
    """Pack an item's catalogue entry: a version byte and MessagePack.

    A time that is not said is left out, so that such a record has the bytes it always
    had.
    """
    fields = msgspec.to_builtins(item)
    if not item.ts_ms:
        del fields["ts_ms"]
    return b"\x01" + _catalog_encoder.encode(fields)


def unpack_catalog(key: bytes, value: bytes) -> tuple[int, CatalogItem]:
    """Unpack ``(item_key, item)``."""
    _check_version(value)
    return int(_ONE_KEY.unpack(key)[1]), _catalog_decoder.decode(value[1:])


def session_key(key: int) -> bytes:
    """Return the key of a session entry."""
    return _ONE_KEY.pack(SESSION[0], key)


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
    users = [b"".join([_WORD.pack(key) for key in keys]) for keys in user_keys]
    return [
        _session_head(len(text), len(packed) >> 3) + text + packed + facts
        for text, packed, facts in zip(texts, users, rows, strict=True)
    ]


def _session_head(id_bytes: int, num_users: int) -> bytes:
    if num_users > _MAX_NARROW:
        return _CROWDED_HEAD.pack(_CROWDED_VERSION, id_bytes, num_users)
    return _SESSION_HEAD.pack(_VERSION, id_bytes, num_users)


def pack_wide_session(session_id: str, items: Sequence[int]) -> bytes:
    """Pack the entry of a wide session: its id, and some distinct items of it."""
    text = _encode(session_id)
    head = _CROWDED_HEAD.pack(_WIDE_VERSION, len(text), len(items))
    return head + text + np.array(items, dtype=_WORDS).tobytes()


def is_wide_session(value: bytes) -> bool:
    """Whether a session entry's value is that of a wide session."""
    return value[0] == _WIDE_VERSION


def _unpack_wide_session(value: bytes) -> StoredSession:
    _, id_bytes, num_items = _CROWDED_HEAD.unpack_from(value)
    items_at = _CROWDED_HEAD.size + id_bytes
    if items_at + 8 * num_items != len(value):
        raise ValueError(f"the entry of a wide session has {len(value)} bytes")
    items = tuple(np.frombuffer(value, _WORDS, num_items, items_at).tolist())
    return StoredSession(_decode(value[_CROWDED_HEAD.size : items_at]), (), b"", items)


def wide_fact_keys(facts: FactColumns) -> list[bytes]:
    """Return the key of each fact of wide sessions."""
    columns = facts.session, facts.query, facts.item, facts.action.astype(np.uint64)
    return _entry_keys(WIDE_FACT, columns)


def wide_prefix(session: int, query: int) -> bytes:
    """Return what the keys of a wide session's facts out of a query start with."""
    return _TWO_KEYS.pack(WIDE_FACT[0], session, query)


def wide_facts(facts: FactColumns) -> tuple[list[bytes], list[bytes]]:
    """Return the keys and values of facts of wide sessions."""
    return wide_fact_keys(facts), [_WORD.pack(stamp) for stamp in facts.stamp.tolist()]


def unpack_wide_facts(keys: Sequence[bytes], values: Sequence[bytes]) -> FactColumns:
    """Unpack facts of wide sessions.

    Raises:
        ValueError: they are damaged.
    """
    words = np.frombuffer(b"".join(keys), _WIDE_KEY)["word"]
    stamp = np.frombuffer(b"".join(values), _WORDS)
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
    if version not in {_VERSION, _CROWDED_VERSION}:
        _check_version(value)
    users_at = head.size + id_bytes
    facts_at = users_at + 8 * num_users
    if facts_at > len(value) or (len(value) - facts_at) % ROW_BYTES:
        raise ValueError(f"a session entry of {len(value)} bytes does not hold whole facts")
    user_keys = (
        tuple(np.frombuffer(value, _WORDS, num_users, users_at).tolist()) if num_users else ()
    )
    return StoredSession(_decode(value[head.size : users_at]), user_keys, value[facts_at:])


def facts_of_sessions(keys: Keys, records: Sequence[StoredSession]) -> FactColumns:
    """Unpack the facts of sessions whose keys these are."""
    query, item, stamp, sizes = unpack_rows([record.facts for record in records])
    return FactColumns(np.repeat(keys, sizes), query, item, stamp)


def user_runs(users: Keys, sessions: Keys, sequence: int) -> tuple[list[bytes], list[bytes]]:
    """Return the records that say which users, given in ascending order, one write saw
    in which sessions.

    Users are looked up seldom and written often: one record holds those of a write that
    share a first byte.
    """
    first_byte = users >> _FIRST_BYTE
    firsts = np.flatnonzero(run_starts(first_byte))
    keys = [
        user_prefix(byte << 56) + _BIG_WORD.pack(sequence) for byte in first_byte[firsts].tolist()
    ]
    packed = pack_users(users, sessions)
    bounds = [*(firsts * PAIR_BYTES).tolist(), len(packed)]
    return keys, [packed[low:high] for low, high in pairwise(bounds)]


def user_prefix(user: int) -> bytes:
    """Return what the keys of all entries start with that may hold a user."""
    return USER + bytes([user >> 56])


def pack_users(users: Keys, sessions: Keys) -> bytes:
    """Pack users and the sessions that they were seen in, `PAIR_BYTES` a pair."""
    pairs = np.empty((len(users), 2), dtype=_WORDS)
    pairs[:, 0], pairs[:, 1] = users, sessions
    return pairs.tobytes()


def unpack_users(value: bytes) -> tuple[Keys, Keys]:
    """Unpack users and the sessions that they were seen in, ``uint64 [num_pairs]``
    each.
    """
    pairs = np.frombuffer(value, dtype=_WORDS).reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def windows_key(user: int) -> bytes:
    """Return the key of the windows of a user's cut sessions."""
    return _ONE_KEY.pack(WINDOWS[0], user)


def pack_windows(windows: SessionWindows) -> tuple[list[bytes], list[bytes]]:
    """Pack windows, given by (user, start), as keys and values: one entry a user."""
    firsts = np.flatnonzero(run_starts(windows.user))
    packed = (
        np.stack((windows.start_ms, windows.end_ms), axis=1).astype(_TIMES, copy=False).tobytes()
    )
    values = [b"\x01" + piece for piece in _split(packed, firsts * _WINDOW_BYTES)]
    return one_keys(WINDOWS, windows.user[firsts]), values


def unpack_windows(users: Keys, values: Sequence[bytes]) -> SessionWindows:
    """Unpack the windows of users whose keys these are."""
    for value in values:
        _check_version(value)
    pieces = [value[1:] for value in values]
    sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
    if (sizes % _WINDOW_BYTES).any():
        raise ValueError("a user's entry does not hold whole windows")
    times = np.frombuffer(b"".join(pieces), dtype=_TIMES).astype(np.int64).reshape(-1, 2)
    return SessionWindows(np.repeat(users, sizes // _WINDOW_BYTES), times[:, 0], times[:, 1])


def key_prefix(kind: bytes, key: int) -> bytes:
    """Return what the keys of all entries of a query, an item or a user start with."""
    return _ONE_KEY.pack(kind[0], key)


def one_keys(kind: bytes, keys: Keys) -> list[bytes]:
    """Return the entry keys ``kind, key`` of many keys at once."""
    return _entry_keys(kind, [keys])


def run_keys(kind: bytes, keys: Keys, sequence: int) -> list[bytes]:
    """Return the entry keys ``kind, key, sequence`` of one write's runs of rows."""
    return _entry_keys(kind, [keys, np.full(len(keys), sequence, dtype=np.uint64)])


def pair_keys(kind: bytes, keys: Keys, other: Keys) -> list[bytes]:
    """Return the entry keys ``kind, key, other`` of many pairs at once."""
    return _entry_keys(kind, [keys, other])


def pack_rows(*words: Keys) -> bytes:
    """Pack rows of three words each, `ROW_BYTES` a row."""
    rows = np.empty((len(words[0]), _ROW_WORDS), dtype=_WORDS)
    for place, column in enumerate(words):
        rows[:, place] = column
    return rows.tobytes()


def split_rows(packed: bytes, starts: Int64s) -> list[bytes]:
    """Cut packed rows into pieces that begin at the rows `starts`."""
    return _split(packed, starts * ROW_BYTES)


def unpack_rows(pieces: Sequence[bytes]) -> tuple[Keys, Keys, Keys, Int64s]:
    """Unpack packed rows.

    Returns:
        The three words of all rows, ``uint64 [num_rows]`` each, and the rows of each
        piece, ``int64``.
    """
    sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
    if (sizes % ROW_BYTES).any():
        raise ValueError("an entry does not hold whole rows")
    words = np.frombuffer(b"".join(pieces), dtype=_WORDS).reshape(-1, _ROW_WORDS)
    return (
        words[:, 0].astype(np.uint64),
        words[:, 1].astype(np.uint64),
        words[:, 2].astype(np.uint64),
        sizes // ROW_BYTES,
    )


def without_sessions(pieces: Sequence[bytes], sessions: Keys) -> list[bytes]:
    """Return packed rows of kind `BY_QUERY` or `BY_ITEM`, piece by piece, without those
    of some sessions.
    """
    # Rows of all pieces, one piece after the other, stay in order: the rows kept of
    # each piece, counted, say where the pieces begin.
    first, session, stamp, sizes = unpack_rows(pieces)
    is_kept = ~np.isin(session, sessions)
    kept_of_piece = np.bincount(
        np.repeat(np.arange(len(pieces)), sizes)[is_kept], minlength=len(pieces)
    )
    packed = pack_rows(first[is_kept], session[is_kept], stamp[is_kept])
    return split_rows(packed, np.cumsum(kept_of_piece) - kept_of_piece)


def unpack_keys(keys: Sequence[bytes], place: int = 0) -> Keys:
    """Unpack the first (`place` 0) or second word behind the kind byte of many record
    keys of one length.
    """
    if not keys:
        return np.empty(0, dtype=np.uint64)
    width = len(keys[0])
    table: NDArray[np.uint8] = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, width)
    at = 1 + 8 * place
    return np.ascontiguousarray(table[:, at : at + 8]).view(">u8").ravel().astype(np.uint64)


def by_query(keys: Sequence[bytes], values: Sequence[bytes]) -> FactColumns:
    """Unpack entries of the kind `BY_QUERY`.

    Rows of (item, session, stamp) behind a query.
    """
    item, session, stamp, sizes = unpack_rows(values)
    return FactColumns(session, np.repeat(unpack_keys(keys), sizes), item, stamp)


def by_item(keys: Sequence[bytes], values: Sequence[bytes]) -> FactColumns:
    """Unpack entries of the kind `BY_ITEM`.

    Rows of (query, session, stamp) behind an item.
    """
    query, session, stamp, sizes = unpack_rows(values)
    return FactColumns(session, query, np.repeat(unpack_keys(keys), sizes), stamp)


def dirty_key(sequence: int) -> bytes:
    """Return the key of what one write touched."""
    return _ONE_KEY.pack(DIRTY[0], sequence)


def pack_sequence(sequence: int) -> bytes:
    """Return what stands for a write behind the key of a query or an item."""
    return _BIG_WORD.pack(sequence)


def unpack_sequence(key: bytes) -> int:
    """Unpack which write a record of the kind `DIRTY` is about."""
    return int(_ONE_KEY.unpack(key)[1])


def pack_dirty(queries: Keys, items: Keys) -> bytes:
    """Pack the queries and items that a write touched."""
    words = np.concatenate([queries, items]).astype(_WORDS, copy=False)
    return _DIRTY_HEAD.pack(_VERSION, len(queries)) + words.tobytes()


def unpack_dirty(value: bytes) -> tuple[Keys, Keys]:
    """Unpack the queries and items that a write touched."""
    _check_version(value)
    _, num_queries = _DIRTY_HEAD.unpack_from(value)
    words = np.frombuffer(value, dtype=_WORDS, offset=_DIRTY_HEAD.size).astype(np.uint64)
    return words[:num_queries], words[num_queries:]


def tombstone_key(kind: ErasureKind, key: int) -> bytes:
    """Return the key of the tombstone of what is erased."""
    return _TOMBSTONE_KEY.pack(ERASED[0], ERASURE_KINDS[kind][0], key)


def pack_tombstone(tombstone: ErasureTombstone) -> bytes:
    """Pack a tombstone's value."""
    return _TOMBSTONE.pack(
        _VERSION,
        tombstone.is_finished,
        tombstone.asked_ms,
        tombstone.cause,
        tombstone.facts,
        tombstone.sessions,
    )


def unpack_tombstone(key: bytes, value: bytes) -> ErasureTombstone:
    """Unpack a tombstone."""
    _check_version(value)
    _, kind, text_key = _TOMBSTONE_KEY.unpack(key)
    _, is_finished, asked_ms, cause, facts, sessions = _TOMBSTONE.unpack(value)
    return ErasureTombstone(
        _KIND_OF_BYTE[kind], text_key, asked_ms, is_finished, cause, facts, sessions
    )


def seen_key(session: int, user: int) -> bytes:
    """Return the key that says a user was seen in a session, where the session's record
    does not.
    """
    return _SEEN_KEY.pack(ERASED[0], SEEN[0], session, user)


def seen_prefix(session: int) -> bytes:
    """Return what the keys of all such records of a session start with."""
    return _TOMBSTONE_KEY.pack(ERASED[0], SEEN[0], session)


def unpack_seen_user(key: bytes) -> int:
    """Unpack the user of `seen_key` or `alias_key`."""
    return int(_SEEN_KEY.unpack(key)[3])


def alias_key(alias: int, user: int) -> bytes:
    """Return the key that says an id was seen with a user whose sessions are cut."""
    return _SEEN_KEY.pack(ERASED[0], ALIAS[0], alias, user)


def alias_prefix(alias: int) -> bytes:
    """Return what the keys of all such records of an id start with."""
    return _TOMBSTONE_KEY.pack(ERASED[0], ALIAS[0], alias)


def audit_key(sequence: int, number: int) -> bytes:
    """Return the key of one write's audit entry number `number`."""
    return _AUDIT_KEY.pack(AUDIT[0], sequence, number)


def unpack_audit_sequence(key: bytes) -> int:
    """Unpack which write an audit entry is of."""
    return int(_AUDIT_KEY.unpack(key)[1])


def pack_audit(record: AuditEntry) -> bytes:
    """Pack an audit entry."""
    deed, kind, *rest = record
    return _AUDIT.pack(_VERSION, _DEEDS.index(deed), ERASURE_KINDS[kind][0], *rest)


def unpack_audit(value: bytes) -> AuditEntry:
    """Unpack an audit entry."""
    _check_version(value)
    _, deed, kind, *rest = _AUDIT.unpack(value)
    return AuditEntry(_DEEDS[deed], _KIND_OF_BYTE[kind], *rest)


def pack_purge(purge: Purge) -> tuple[bytes, bytes]:
    """Pack a purge: its key and its value."""
    key = _PURGE_KEY.pack(PURGED[0], PURGE_PLACES[purge.place][0], purge.sequence)
    return key, _PURGE.pack(_VERSION, purge.done_ms, purge.has_checkpoints)


def unpack_purge(key: bytes, value: bytes) -> Purge:
    """Unpack a purge."""
    _check_version(value)
    _, place, sequence = _PURGE_KEY.unpack(key)
    _, done_ms, has_checkpoints = _PURGE.unpack(value)
    return Purge(_PLACE_OF_BYTE[place], sequence, done_ms, has_checkpoints)


def pack_folded(edge: FoldedEdge) -> bytes:
    """Pack a folded edge; equal sets of facts give equal bytes."""
    pieces = [
        _FOLDED_HEAD.pack(
            _VERSION,
            edge.sessions,
            edge.first_ms,
            edge.last_ms,
            edge.digest.first,
            edge.digest.second,
            len(edge.actions),
        )
    ]
    for action, (num_facts, total) in sorted(edge.actions.items()):
        mantissa, shift_bytes = canonical(total)
        size = (mantissa.bit_length() + 7) >> 3
        pieces.append(
            _FOLDED_FACTS.pack(action, num_facts, shift_bytes, size)
            + mantissa.to_bytes(size, "little")
        )
    return b"".join(pieces)


def unpack_folded(value: bytes) -> FoldedEdge:
    """Unpack a folded edge."""
    _check_version(value)
    _, sessions, first_ms, last_ms, first, second, num_actions = _FOLDED_HEAD.unpack_from(value)
    start = _FOLDED_HEAD.size
    actions = {}
    for _ in range(num_actions):
        action, num_facts, shift_bytes, size = _FOLDED_FACTS.unpack_from(value, start)
        start += _FOLDED_FACTS.size + size
        mantissa = int.from_bytes(value[start - size : start], "little")
        actions[action] = FoldedFacts(num_facts, Decayed(mantissa, shift_bytes))
    if start != len(value):
        raise ValueError(f"a folded edge has {len(value)} bytes instead of {start}")
    count = sum(folded.num_facts for folded in actions.values())
    return FoldedEdge(sessions, first_ms, last_ms, actions, Digest(count, first, second))


def unpack_folded_pair(key: bytes) -> tuple[int, int]:
    """Unpack ``(query_key, item_key)`` of a record of the kind `FOLDED` or
    `FOLDED_BY_ITEM`.
    """
    _, major, minor = _TWO_KEYS.unpack(key)
    return (major, minor) if key[:1] == FOLDED else (minor, major)


def _digest_words(digest: Digest) -> tuple[int, int, int]:
    return digest.count, digest.first, digest.second


def _entry_keys(kind: bytes, words: Sequence[Keys]) -> list[bytes]:
    width = 1 + 8 * len(words)
    # One row of bytes a key: the kind, then each word big-endian, so that keys sort as
    # their words do.
    table = np.empty((len(words[0]), width), dtype=np.uint8)
    table[:, 0] = kind[0]
    for place, column in enumerate(words):
        at = 1 + 8 * place
        table[:, at : at + 8] = column.astype(">u8").view(np.uint8).reshape(-1, 8)
    # As void scalars, which become bytes: a third of what slices cost.
    keys: list[bytes] = table.view(f"V{width}").ravel().tolist()
    return keys


def _split(packed: bytes, starts: Int64s) -> list[bytes]:
    if native.IS_HERE:
        return native.cut(packed, np.ascontiguousarray(starts))
    bounds = [*starts.tolist(), len(packed)]
    return [packed[low:high] for low, high in pairwise(bounds)]


def _time(ts_ms: int | None) -> int:
    return _NO_TIME if ts_ms is None else ts_ms


def _optional_time(ts_ms: int) -> int | None:
    return None if ts_ms == _NO_TIME else ts_ms


def _check_version(value: bytes) -> None:
    if value[0] != _VERSION:
        raise ValueError(f"an entry has version {value[0]}, which this Freshet does not know")


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
