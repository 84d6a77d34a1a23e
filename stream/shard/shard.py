"""Writes the entries of one shard, as the one process that holds its lease."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote

import numpy as np

from stream.errors import StoreMismatch, StoreWriteFailed
from stream.events.columns import NO_KEY
from stream.feed.changes import ShardChanges, WriterMark
from stream.feed.folder import FeedFolder, feed_folder
from stream.feed.redaction import redact_feed
from stream.feed.writer import FeedWriter, remove_feed
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import ErasureTombstone, ShardFormat, ShardState
from stream.shard.dirty_log import DirtyLog
from stream.shard.fencing import Lease
from stream.shard.names import NameCache, text_hashes
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import Database, Memory, Puts, store_error
from stream.shard.upgrade import OLD_VERSION, upgrade_shard

_LAST_KEY = (1 << 64) - 1  # the largest 64-bit key
# Bytes of data files rewritten in one step of a purge: about a second, which is how
# long closing the shard may have to wait. Twice as many: twice as long, in half the
# steps.
_PURGED_AT_ONCE_BYTES = 64 * 1024 * 1024
_WRITER_ID_BYTES = 16  # bytes; random, so that no two writers draw the same


class Shard(ShardReader):
    """One shard opened for writing. At most one process has it open at a time.

    Args:
        lease: the right to write it, from `stream.shard.fencing`; `close` releases it.
        index: which of the store's shards.
        num_shards: how many there are.
        settings: how it is opened.
        memory: what it shares with other shards; None: it has its own.
        database: what it is kept in; None: the RocksDB of the lease's folder, which is
            opened.
        first_entries: asked for what a brand-new shard begins with.

    Raises:
        StoreUnreadable: its files are damaged.
        StoreMismatch: it was made as another shard, or with another half-life or
            session gap.
    """

    def __init__(
        self,
        lease: Lease,
        index: int,
        num_shards: int,
        settings: StreamSettings,
        *,
        memory: Memory | None = None,
        database: Database | None = None,
        first_entries: Callable[[], Mapping[bytes, bytes]] = dict,
    ) -> None:
        self.index = index
        self.half_life_ms = settings.half_life_ms
        self.session_gap_ms = settings.session_gap_ms
        self.fold_age_ms = settings.fold_age_ms
        self.query_join_ms = settings.query_join_ms
        self.query_keep_ms = settings.query_keep_ms
        self.name_caches = {codec.QUERY_NAME: NameCache(), codec.ITEM_NAME: NameCache()}
        self._feed_bytes = settings.feed_bytes
        self._feed: FeedWriter | None = None
        self._sync_every_seconds = settings.sync_every_ms / 1000
        self._synced_at = time.monotonic()
        self._unsynced = False
        self._lease = lease
        self._dirty_log: DirtyLog | None = None
        self._writer_id = secrets.token_bytes(_WRITER_ID_BYTES)
        self._has_written = False
        try:
            super().__init__(database or Database.open(lease.folder, settings, memory))
            made_as = (index, num_shards, settings.half_life_ms, settings.session_gap_ms)
            self._check_format(ShardFormat(codec.FORMAT_VERSION, *made_as), first_entries)
            self.erased = self.erased_keys()
            lease.remove_stale_epochs()
        except BaseException:
            lease.release()
            raise

    @property
    def keeps_feed(self) -> bool:
        """Whether what its writes change is told to whoever follows it."""
        return self._feed_bytes > 0

    @property
    def folder(self) -> Path:
        """The shard's folder, whatever its epoch."""
        return self._lease.shard

    @property
    def holds_lease(self) -> bool:
        """Whether this process still holds the lease: no other took the shard over."""
        return self._lease.is_current

    def check_lease(self) -> None:
        """Check that no other process took the shard over; lists one small folder.

        Raises:
            StoreFenced: another process did.
        """
        self._lease.check(self.index)

    def write(self, records: ShardWrite) -> None:
        """Apply all puts and deletes, or none, in one write.

        Its dirty keys, if it has any, are stored for `dirty_since`; what it changes
        is in the feed once it is applied.

        Raises:
            StoreFenced: another process took the shard over; nothing was applied.
            StoreWriteFailed: the disk refused; nothing was applied.
        """
        self.check_lease()
        own, evicted, packed = Puts(), list[bytes](), b""
        if not self._has_written:
            own.put(codec.WRITER_KEY, self._writer_id)
        dirty = records.dirty
        if dirty is not None and (len(dirty.queries) or len(dirty.items)):
            packed = codec.pack_dirty(dirty.queries, dirty.items)
            own.put(codec.dirty_key(dirty.sequence), packed)
            evicted = [
                codec.dirty_key(sequence) for sequence in self._writes().evicted_by(len(packed))
            ]
        feed, state = self.feed(), _state_in(records)
        if feed is not None:
            feed.append(_told(feed, self.index, records, state))
        try:
            self._database.write(Puts.joined([records.puts, own]), [*evicted, *records.deletes])
        except BaseException:
            if feed is not None:
                feed.abandon()
            raise
        if feed is not None:
            feed.commit(state and (state.sequence, state.watermark_ms or 0), records.reflected_ms)
        if dirty is not None and packed:
            self._writes().add(dirty.sequence, len(packed))
        self._has_written = True
        self._unsynced = True
        self.sync_if_due()

    def feed(self) -> FeedWriter | None:
        """Return what writes the shard's feed; None: there is none.

        Where none is kept, what there is of it is removed before the first write.

        Raises:
            StoreUnreadable: an entry is damaged.
        """
        folder = feed_folder(self.folder)
        if not self.keeps_feed:
            if not self._has_written:
                remove_feed(folder)
            return None
        if self._feed is None:
            state, writer = self.state(), self.writer_id() or b""
            self._feed = FeedWriter(
                folder,
                shard=self.index,
                epoch=self._lease.number,
                writer=self._writer_id.hex(),
                mark=WriterMark(writer.hex(), state.sequence),
                watermark_ms=state.watermark_ms or 0,
                most_bytes=self._feed_bytes,
            )
        return self._feed

    def mark_erased(self, tombstone: ErasureTombstone) -> bool:
        """Mark what is to be erased where the shard does not know it yet, to be carried
        out like an erasure that was broken off; return whether it is new.

        Raises:
            StoreFenced: another process took the shard over.
            StoreWriteFailed: the disk refused.
        """
        key = codec.tombstone_key(tombstone.kind, tombstone.key)
        (value,) = self.get_values([key])
        try:
            if value is not None and codec.unpack_tombstone(key, value).cause == NO_KEY:
                return False
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(self.path, error) from error
        self.write(ShardWrite.of({key: codec.pack_tombstone(tombstone)}))
        self.erased.add([tombstone])
        return True

    def load_names(self, most: int) -> None:
        """Read on, by at most so many, in the names that are stored, to know them from
        then on.

        Raises:
            StoreUnreadable: an entry is damaged.
        """
        for kind, known in self.name_caches.items():
            if known.next_key is None or most <= 0:
                continue
            start = codec.name_key(kind, known.next_key)[len(kind) :]
            found = islice(self.entries(kind, start), most)
            names = [codec.unpack_name(key, value) for key, value in found]
            keys = np.array([key for key, _ in names], dtype=np.uint64)
            next_key = min(names[-1][0] + 1, _LAST_KEY) if len(names) == most else None
            known.add_slice(keys, text_hashes([text for _, text in names]), next_key)
            most -= len(names)

    def sync_if_due(self) -> None:
        """Force the log to disk if something has waited for longer than
        `sync_every_ms`.
        """
        if self._unsynced and time.monotonic() - self._synced_at >= self._sync_every_seconds:
            self.sync()

    def sync(self) -> None:
        """Force the log to disk.

        Raises:
            StoreWriteFailed: the disk refused.
        """
        self._database.sync()
        self._synced_at = time.monotonic()
        self._unsynced = False

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy of the shard at `path`.

        Hard links on one filesystem, copies across two.

        Raises:
            StoreFenced: another process took the shard over.
            StoreWriteFailed: it could not be made.
        """
        self.check_lease()
        self._database.checkpoint(path)

    def compact(self) -> None:
        """Rewrite the shard's files into as few bytes as they need."""
        self._database.compact()

    def purge(self, is_wanted: Callable[[], bool]) -> bool:
        """Rewrite the shard's files, some at a time, so that nothing that was deleted
        before is left in them or in the log, and its feed without the texts of it.

        Another thread may write the shard meanwhile.

        Args:
            is_wanted: asked before each part; False: the rest is left.

        Returns:
            Whether all was rewritten.

        Raises:
            StoreWriteFailed: the disk refused.
        """
        self._database.flush()
        for keys in self._database.slices(_PURGED_AT_ONCE_BYTES):
            if not is_wanted():
                return False
            self._database.rewrite(keys)
        if self._feed is not None:
            self._feed.end_log()
        folder = feed_folder(self.folder)
        try:
            return redact_feed(FeedFolder(folder), is_wanted)
        except OSError as error:
            raise StoreWriteFailed(
                f"the feed at {folder} could not be rewritten ({error}); free or mend the disk"
            ) from error

    def has_other_copies(self) -> bool:
        """Return whether the shard's folder has more than this database, such as one
        that is just being uploaded, or that a paused process still holds.

        What nobody holds is removed first.
        """
        self._lease.remove_stale_epochs()
        return any(path != self._lease.folder for path in self._lease.shard.iterdir())

    def close(self) -> None:
        """Force the shard to disk, close it, and let others open it.

        Raises:
            StoreWriteFailed: the disk refused; what was not forced to it comes again
                from the source.
        """
        if self._feed is not None:
            self._feed.end_log()
        try:
            if self._unsynced:
                self.sync()
        finally:
            try:
                self._database.close()
            finally:
                self._lease.release()

    def _writes(self) -> DirtyLog:
        """Return the log of what writes dirty, read at the first write."""
        if self._dirty_log is None:
            stored = self.entries(codec.DIRTY)
            self._dirty_log = DirtyLog(
                (codec.unpack_sequence(key), len(value)) for key, value in stored
            )
        return self._dirty_log

    def _check_format(
        self, expected: ShardFormat, first_entries: Callable[[], Mapping[bytes, bytes]]
    ) -> None:
        found = self.format()
        if found is None:
            own = {codec.FORMAT_KEY: codec.pack_format(expected)}
            self.write(ShardWrite.of({**own, **first_entries()}))
            return
        made_as = found._replace(num_shards=expected.num_shards)
        if found.num_shards > expected.num_shards and made_as == expected:
            self._database.close()
            store = self.folder.parent
            raise StoreMismatch(
                f"store.json of {store} says {expected.num_shards} shards, but {self.folder.name} "
                f"is one of {found.num_shards}; say so with: freshet reshard --store "
                f"{quote(str(store))} --shards {found.num_shards}"
            )
        if made_as == expected._replace(format_version=OLD_VERSION):
            self._upgrade(expected)
        elif made_as != expected:
            self._database.close()
            raise StoreMismatch(
                f"store {self.path} was made as {found._asdict()}, but {expected._asdict()} is "
                "asked for; "
                "use its own settings, or build a new store from the source"
            )
        elif found != expected:  # the store has more shards since
            self.write(ShardWrite.of({codec.FORMAT_KEY: codec.pack_format(expected)}))

    def _upgrade(self, expected: ShardFormat) -> None:
        try:
            upgrade_shard(self._database, expected)
        except BaseException:
            self._database.close()
            raise


def _state_in(records: ShardWrite) -> ShardState | None:
    """Return the shard's state that a write has; None: it leaves the state alone."""
    packed = records.puts.newest(codec.STATE_KEY)
    return None if packed is None else codec.unpack_state(packed)


def _told(
    feed: FeedWriter, shard: int, records: ShardWrite, state: ShardState | None
) -> ShardChanges | None:
    """Return what the feed tells of a write: a record for each sequence, so that one
    that is missing is missed.
    """
    if records.changes is not None:
        return replace(records.changes, reflected_ms=records.reflected_ms)
    if state is None or state.sequence == feed.mark.sequence:
        return None
    return ShardChanges(shard=shard, sequence=state.sequence)
