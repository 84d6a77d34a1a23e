"""The shards whose lease this process holds.

It opens, takes over or restores a shard that is assigned to it, and closes one that is
assigned to another process.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from shlex import quote
from types import MappingProxyType

from prometheus_client import CollectorRegistry

from stream.clock import now_ms
from stream.errors import CheckpointDamaged, CheckpointsUnavailable, StoreMismatch, StoreUnreadable
from stream.events.types import SourcePartition
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.shard.fencing import (
    Lease,
    ScratchFolder,
    acquire_lease,
    begin_epoch,
    current_epoch,
    has_database,
    shard_name,
)
from stream.shard.reader import ShardView
from stream.shard.rocksdb import Memory, busy, holds_database
from stream.shard.shard import Shard
from stream.store import manifest
from stream.store.checkpoints import Checkpoint, Checkpoints, NotedErasure
from stream.store.feed_uploads import FeedUploads
from stream.store.new_shard import Sibling, first_entries
from stream.store.purges import Purger
from stream.store.topic_ids import adopt_topics
from stream.store.uploads import Uploads

logger = logging.getLogger(__name__)

# Seconds that a shard's last checkpoint may take when it is given away; a group
# waits for that. Without it the next owner reads on from an older one.
_RELEASE_SECONDS = 30.0


class Ownership:
    """The shards of a store whose lease this process holds.

    Any consistent copy of a shard will do: it carries its own positions, and repeated
    records change nothing. So a shard is opened where it lies if possible, taken over
    with a copy from a process that does not release it, or restored from its newest
    checkpoint where that holds later offsets.

    Args:
        root: the store's folder.
        num_shards: how many shards it has.
        settings: how they are opened, how long others are waited for, where checkpoints
            are kept.
        metrics: what is counted; None: nothing.

    Attributes:
        num_shards: how many shards the store has, as far as this process knows: another
            process may have given it more.

    Raises:
        SettingsInvalid: `checkpoints_url` cannot be used.
    """

    def __init__(
        self,
        root: Path,
        num_shards: int,
        settings: StreamSettings,
        metrics: StreamMetrics | None = None,
    ) -> None:
        self.num_shards = num_shards
        self._root = root
        self._settings = settings
        self._metrics = metrics or StreamMetrics(CollectorRegistry())
        self._memory = Memory(settings)
        self._shards: dict[int, Shard] = {}
        self._seen: dict[int, Sibling] = {}
        self._checkpoints: Checkpoints | None = None
        self._uploads: Uploads | None = None
        self._feed_uploads: FeedUploads | None = None
        if settings.checkpoints_url:
            self._checkpoints = Checkpoints(settings.checkpoints_url)
            feeds = self._feed_uploads = FeedUploads(
                root, settings.checkpoints_url, settings.feed_bytes, self._metrics
            )
            self._uploads = Uploads(
                self._checkpoints, settings.checkpoint_every_seconds, self._metrics, feeds.redact
            )
        self._purger = Purger(settings.purge_after_seconds, self._metrics, self._uploads)

    def acquire(
        self, index: int, topic_ids: Mapping[str, str] = MappingProxyType({})
    ) -> Mapping[SourcePartition, int]:
        """Open a shard that the group assigned to this process, taking it over where
        another process still holds its lease.

        A store that does not have as many shards is grown.

        Args:
            index: the shard's.
            topic_ids: which topics there are now, by name; positions in others of the
                same names are forgotten.

        Returns:
            The positions stored in it, at which reading must start.

        Raises:
            StoreBusy: another process took it over at the same moment.
            StoreMismatch: it has other settings, or there can be no such shard.
            StoreUnreadable: its files, or all its checkpoints, are damaged.
            CheckpointsUnavailable: it is not here, and its checkpoints cannot be
                reached.
            TopicRecreated: a topic is another one, and the settings say to stop.
        """
        if index in self._shards and not self._shards[index].holds_lease:
            self.lose(index)
        if index not in self._shards:
            self.grow(index + 1)
            self._take_over_or_restore(index)
            self._mark_noted(index)
        for topic in adopt_topics(self._shards[index], topic_ids, self._settings):
            self._metrics.count_recreated(topic)
        return self._shards[index].positions()

    def grow(self, num_shards: int) -> None:
        """Give the store at least so many shards.

        Raises:
            StoreMismatch: it cannot have so many.
            StoreBusy: another process is changing ``store.json``, and does not end.
            StoreWriteFailed: the disk refused; the store is as it was.
        """
        if num_shards > self.num_shards:
            self.num_shards = manifest.grow(self._root, num_shards).num_shards

    def acquire_to_erase(self, index: int, erasure: NotedErasure, *, is_lifted: bool) -> None:
        """Note an erasure by hand, or that it is lifted, where the shard's checkpoints
        are, and open the newest copy of the shard, here or there.

        Whoever gets the shard later then carries it out, whatever copy that has. Does
        nothing where the shard has no checkpoints.

        Raises:
            CheckpointsUnavailable: they cannot be reached; nothing was done.
            StoreError: the shard cannot be opened.
        """
        if self._checkpoints is None or not self._is_kept(self._checkpoints, index):
            return
        if is_lifted:
            self._checkpoints.forget_erasure(index, erasure)
        else:
            self._checkpoints.note_erasure(index, erasure)
        self.acquire(index)

    def release(self, index: int) -> None:
        """Sync a shard to disk, close it, release its lease, and wait at most
        `_RELEASE_SECONDS` for its last checkpoint.

        Raises:
            StoreWriteFailed: the disk refused; what was not synced is read again from
                the source.
        """
        self._release(index, time.monotonic() + _RELEASE_SECONDS)

    def lose(self, index: int) -> None:
        """Close a shard that is assigned to another process, and upload no more
        checkpoints of it.
        """
        if index in self._shards:
            if self._uploads:
                self._uploads.forget(index)
            self._close(index, "closed" if self._shards[index].holds_lease else "fenced")

    def run_due_work(self) -> None:
        """Do what is due between micro-batches: close shards that were taken over, and
        upload checkpoints.

        Raises:
            StoreFenced: another process took over a shard, which is closed now.
        """
        for index, shard in list(self._shards.items()):
            if not shard.holds_lease:
                self.lose(index)
                shard.check_lease()
        if self._uploads:
            self._uploads.run_due_work(self._shards)
        self._purger.run_due_work(self._shards)

    def purge_now(self) -> bool:
        """Purge the open shards of what was erased from them, without waiting for more.

        Returns:
            Whether nothing is due any more; a shard of which a paused process holds
            another copy is.

        Raises:
            StoreError: one is damaged, was taken over, or could not be written.
        """
        return self._purger.purge_now(self._shards)

    def open(self, index: int) -> Shard:
        """Return a shard opened for writing, opening it on first use; that never takes
        the shard over.

        Raises:
            StoreBusy: another process has it open.
            StoreUnreadable: its files are damaged.
            StoreMismatch: there is no such shard, or it has other settings.
        """
        if index not in self._shards:
            self._check_index(index)
            lease = acquire_lease(self._path(index), self._settings.takeover_wait_seconds)
            self._open(index, lease, "opened")
        return self._shards[index]

    def open_shards(self) -> dict[int, Shard]:
        """Return the shards that are open now."""
        return dict(sorted(self._shards.items()))

    def close(self) -> None:
        """Release all shards."""
        deadline = time.monotonic() + _RELEASE_SECONDS
        for index in list(self._shards):
            self._release(index, deadline)
        if self._feed_uploads:
            self._feed_uploads.close()

    def _release(self, index: int, deadline: float) -> None:
        shard = self._shards.get(index)
        if shard is None or not shard.holds_lease:
            self.lose(index)
            return
        if self._feed_uploads:
            self._feed_uploads.finish(index, max(deadline - time.monotonic(), 0.0))
        if self._uploads and self._uploads.is_watching(index):
            self._uploads.finish(index, shard, max(deadline - time.monotonic(), 0.0))
        self._close(index, "closed")
        if self._uploads and not self._uploads.wait(max(deadline - time.monotonic(), 0.0)):
            logger.warning("checkpoint takes long shard=%d", index)

    def _take_over_or_restore(self, index: int) -> None:
        """Open a shard, or restore it if its newest checkpoint is ahead of it."""
        if self._checkpoints is None or self._uploads is None:
            self._open_here(index)
            return
        offset_sum = self._local_offset_sum(index)
        claim = None
        try:
            claim = self._checkpoints.claim(index)
            restored = self._restore(self._checkpoints, index, offset_sum)
        except CheckpointsUnavailable as error:
            if not offset_sum:
                raise
            self._metrics.count_checkpoint(is_safe=False)
            logger.warning("going on without checkpoints shard=%d error=%s", index, error)
            restored = None
        if restored is None:
            self._open_here(index)
        self._uploads.watch(index, claim, restored.sequence if restored else None)
        if self._feed_uploads and self._settings.feed_bytes:
            self._feed_uploads.watch(index, partial(self._uploads.term, index))

    def _open_here(self, index: int) -> None:
        """Open the copy on this machine, taking it over from a process that does not
        release it.
        """
        path = self._path(index)
        before = current_epoch(path)
        lease = acquire_lease(path, self._settings.takeover_wait_seconds, may_take_over=True)
        self._open(index, lease, "taken_over" if before and lease.number > before else "opened")

    def _restore(self, checkpoints: Checkpoints, index: int, offset_sum: int) -> Checkpoint | None:
        """Restore the newest undamaged checkpoint, if its sum of offsets is above
        `offset_sum`.
        """
        names = checkpoints.newest_first(index)
        for name in names:
            try:
                checkpoint = checkpoints.read(index, name)
                if checkpoint.offset_sum <= offset_sum:
                    return None
                self._open(index, self._fetch(checkpoints, checkpoint), "restored")
                return checkpoint
            except CheckpointDamaged as error:
                logger.warning(
                    "checkpoint passed over shard=%d name=%s error=%s", index, name, error
                )
        if names and not offset_sum:
            raise StoreUnreadable(
                f"all checkpoints of shard {index} at {self._settings.checkpoints_url} are "
                "damaged; "
                "remove them to build the shard from the topics again"
            )
        return None

    def _fetch(self, checkpoints: Checkpoints, checkpoint: Checkpoint) -> Lease:
        path = self._path(checkpoint.shard)
        fill = partial(checkpoints.fetch, checkpoint)
        lease = begin_epoch(path, current_epoch(path) + 1, fill)
        if lease is None:
            raise busy(path)
        return lease

    def _is_kept(self, checkpoints: Checkpoints, index: int) -> bool:
        """Return whether there are checkpoints of this very shard: of the same sources,
        where it is here at all.
        """
        for name in checkpoints.newest_first(index):
            with suppress(CheckpointDamaged):
                kept = checkpoints.read(index, name).positions
                here = {position.source for position in self._local_positions(index)}
                return not here or any(position.source in here for position in kept)
        return False

    def _mark_noted(self, index: int) -> None:
        """Mark what was erased by hand in another copy of the shard, to be carried out
        before its next batch.
        """
        if self._checkpoints is None:
            return
        try:
            noted, num_damaged = self._checkpoints.noted_erasures(index)
        except CheckpointsUnavailable as error:
            self._metrics.count_checkpoint(is_safe=False)
            logger.warning("erasures by hand not read shard=%d error=%s", index, error)
            return
        self._metrics.count_rejected_erasures(num_damaged)
        for erasure in noted:
            if self._shards[index].mark_erased(erasure.tombstone):
                logger.info("erased by hand elsewhere shard=%d name=%s", index, erasure.name)

    def _local_offset_sum(self, index: int) -> int:
        """Return the sum of a shard's offsets on this machine; 0: it has no copy."""
        return sum(self._local_positions(index).values())

    def _local_positions(self, index: int) -> Mapping[SourcePartition, int]:
        """Return the positions of a shard on this machine; none: it has no copy."""
        path = self._path(index)
        if not has_database(path):
            return {}
        shard = ShardView(path)
        try:
            return shard.positions()
        finally:
            shard.close()

    def _open(self, index: int, lease: Lease, kind: str) -> None:
        made_as = manifest.read_manifest(self._root)
        self.num_shards = max(self.num_shards, made_as.num_shards)
        if index in made_as.made_shards and not holds_database(lease.folder):
            logger.warning(
                "shard is gone, and is made again of what its source still has shard=%d folder=%s "
                "advice=%s",
                index,
                self._path(index),
                "what the topics no longer have, and erasures by hand, are in backups alone "
                "(freshet restore)",
            )
        self._shards[index] = Shard(
            lease,
            index,
            self.num_shards,
            self._settings,
            memory=self._memory,
            first_entries=lambda: first_entries(self._siblings(index), now_ms()),
        )
        if index not in made_as.made_shards:
            manifest.note_made(self._root, index)
        self._metrics.count_handover(kind, len(self._shards))
        logger.info("shard %s shard=%d epoch=%d", kind.replace("_", " "), index, lease.number)

    def _siblings(self, index: int) -> list[Sibling]:
        """Return what the other shards know that a new one must know: those that are
        here, or else the first that has a checkpoint.

        Of one that is not open here, what it knew when it was first looked at will do:
        its positions say how far that goes.

        Raises:
            StoreUnreadable: one is damaged.
            CheckpointsUnavailable: none is here, and checkpoints cannot be reached.
        """
        topic = self._settings.erasures_topic
        found = [Sibling.read(shard, topic) for shard in self._shards.values()]
        for other in range(self.num_shards):
            if other == index or other in self._shards:
                continue
            if other not in self._seen and has_database(self._path(other)):
                self._seen[other] = self._view(self._path(other))
            if other in self._seen:
                found.append(self._seen[other])
        return found or self._siblings_elsewhere(index)

    def _siblings_elsewhere(self, index: int) -> list[Sibling]:
        """Return what the first shard knew that has a checkpoint which can be read."""
        if self._checkpoints is None:
            return []
        for other in range(self.num_shards):
            for name in self._checkpoints.newest_first(other):
                scratch = ScratchFolder(self._path(index))
                try:
                    folder = scratch.folder / "database"
                    folder.mkdir()
                    self._checkpoints.fetch(self._checkpoints.read(other, name), folder)
                    return [self._view(folder)]
                except CheckpointDamaged as error:
                    logger.warning(
                        "checkpoint passed over shard=%d name=%s error=%s", other, name, error
                    )
                finally:
                    scratch.release()
        return []

    def _view(self, path: Path) -> Sibling:
        shard = ShardView(path)
        try:
            return Sibling.read(shard, self._settings.erasures_topic)
        finally:
            shard.close()

    def _close(self, index: int, kind: str) -> None:
        self._purger.forget(index)
        if self._feed_uploads:
            self._feed_uploads.forget(index)
        shard = self._shards.pop(index)
        self._metrics.count_handover(kind, len(self._shards))
        logger.info("shard %s shard=%d", kind, index)
        shard.close()

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.num_shards:
            raise StoreMismatch(
                f"store {self._root} has shards 0 to {self.num_shards - 1}, not {index}; give it "
                f"more with: freshet reshard --store {quote(str(self._root))} --shards {index + 1}"
            )

    def _path(self, index: int) -> Path:
        return self._root / shard_name(index)
