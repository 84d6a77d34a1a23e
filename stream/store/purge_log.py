"""The purges of a shard: which erasures' bytes are out of its files and checkpoints,
and since when.

Deleting an entry leaves its bytes in the data files until RocksDB rewrites them, and in
every checkpoint that was made before. A purge makes sure of both.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import AuditEntry, Purge, PurgePlace
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import store_error
from stream.shard.shard import Shard


class AuditedPurge(NamedTuple):
    """An entry of the audit, and when its bytes left each place.

    Attributes:
        record: of the audit.
        files: the first purge of the shard's files since; None: it waits.
        checkpoints: the same of its checkpoints.
    """

    record: AuditEntry
    files: Purge | None
    checkpoints: Purge | None


def audited_purges(shard: ShardReader) -> Iterator[AuditedPurge]:
    """Yield what was erased and lifted in a shard, oldest first, with its purges.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    files, checkpoints = _purges(shard, "files"), _purges(shard, "checkpoints")
    for sequence, record in _audit(shard, 0):
        yield AuditedPurge(record, _first(files, sequence), _first(checkpoints, sequence))


def purged_sequence(shard: ShardReader, place: PurgePlace) -> int:
    """Return up to which write what was erased is purged from a place; -1: none is.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    return max((purge.sequence for purge in _purges(shard, place)), default=-1)


def unpurged_since_ms(shard: ShardReader, sequence: int) -> int | None:
    """Return when the oldest erasure by a write after `sequence` was carried out; None:
    there is none.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    audit = _audit(shard, sequence + 1)
    return min((record.done_ms for _, record in audit if record.deed == "erased"), default=None)


def note_purge(shard: Shard, purge: Purge) -> None:
    """Record a purge, in a write of its own.

    Raises:
        StoreFenced: another process took the shard over.
        StoreWriteFailed: the disk refused; it will have to be done again.
    """
    state = shard.state()
    key, value = codec.pack_purge(purge)
    after = codec.pack_state(state._replace(sequence=state.sequence + 1))
    shard.write(ShardWrite.of({key: value, codec.STATE_KEY: after}))


def _purges(shard: ShardReader, place: PurgePlace) -> list[Purge]:
    """Return the purges of a place, oldest first."""
    prefix = codec.PURGED + codec.PURGE_PLACES[place]
    try:
        return [codec.unpack_purge(*entry) for entry in shard.entries(prefix)]
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error


def _first(purges: Sequence[Purge], sequence: int) -> Purge | None:
    """Return the first purge of what a write erased."""
    place = bisect_left(purges, sequence, key=lambda purge: purge.sequence)
    return purges[place] if place < len(purges) else None


def _audit(shard: ShardReader, first_sequence: int) -> Iterator[tuple[int, AuditEntry]]:
    """Yield the entries of the audit from a write on, with the sequence of each."""
    for key, value in shard.entries(codec.AUDIT, codec.pack_sequence(first_sequence)):
        try:
            entry = codec.unpack_audit_sequence(key), codec.unpack_audit(value)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shard.path, error) from error
        yield entry
