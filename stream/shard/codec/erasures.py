"""Erasures: tombstones, who was seen where, the audit, and purges of files."""

from struct import Struct
from typing import Literal, NamedTuple

from stream.events.columns import NO_KEY
from stream.shard.codec.kinds import AUDIT, ERASED, PURGED
from stream.shard.codec.values import VERSION, check_version

_TOMBSTONE_KEY = Struct(">BBQ")
_TOMBSTONE = Struct(">B?qQQQ")
_SEEN_KEY = Struct(">BBQQ")
_AUDIT_KEY = Struct(">BQI")
_AUDIT = Struct(">BBBQqqQQ")
_PURGE_KEY = Struct(">BBQ")
_PURGE = Struct(">Bq?")

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


def tombstone_key(kind: ErasureKind, key: int) -> bytes:
    """Return the key of the tombstone of what is erased."""
    return _TOMBSTONE_KEY.pack(ERASED[0], ERASURE_KINDS[kind][0], key)


def pack_tombstone(tombstone: ErasureTombstone) -> bytes:
    """Pack a tombstone's value."""
    return _TOMBSTONE.pack(
        VERSION,
        tombstone.is_finished,
        tombstone.asked_ms,
        tombstone.cause,
        tombstone.facts,
        tombstone.sessions,
    )


def unpack_tombstone(key: bytes, value: bytes) -> ErasureTombstone:
    """Unpack a tombstone."""
    check_version(value)
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
    return _AUDIT.pack(VERSION, _DEEDS.index(deed), ERASURE_KINDS[kind][0], *rest)


def unpack_audit(value: bytes) -> AuditEntry:
    """Unpack an audit entry."""
    check_version(value)
    _, deed, kind, *rest = _AUDIT.unpack(value)
    return AuditEntry(_DEEDS[deed], _KIND_OF_BYTE[kind], *rest)


def pack_purge(purge: Purge) -> tuple[bytes, bytes]:
    """Pack a purge: its key and its value."""
    key = _PURGE_KEY.pack(PURGED[0], PURGE_PLACES[purge.place][0], purge.sequence)
    return key, _PURGE.pack(VERSION, purge.done_ms, purge.has_checkpoints)


def unpack_purge(key: bytes, value: bytes) -> Purge:
    """Unpack a purge."""
    check_version(value)
    _, place, sequence = _PURGE_KEY.unpack(key)
    _, done_ms, has_checkpoints = _PURGE.unpack(value)
    return Purge(_PLACE_OF_BYTE[place], sequence, done_ms, has_checkpoints)
