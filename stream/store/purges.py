"""Purges the shards that a process has in the background, one at a time.

An erasure that is carried out is in the shard's audit, a purge that is done in its
purge log: what is in the one and not in the other is due, also after a crash.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread

from stream.clock import now_ms
from stream.errors import StoreError
from stream.metrics import StreamMetrics
from stream.shard.codec import PURGE_PLACES, Purge, PurgePlace
from stream.shard.shard import Shard
from stream.store.purge_log import note_purge, purged_sequence, unpurged_since_ms
from stream.store.uploads import Uploads

logger = logging.getLogger(__name__)

# Seconds between two looks for what is due; an erasure may wait for an hour. Twice as
# many: half the looks, each of which reads the unpurged part of the audit.
_LOOK_SECONDS = 1.0
# Seconds after an error, such as a full disk, until the next try; chosen by hand.
_RETRY_SECONDS = 60.0


@dataclass(slots=True)
class _Run:
    """A purge of a shard's files on another thread.

    Attributes:
        sequence: the shard's when it was begun.
        thread: rewrites the files.
        is_wanted: False: the shard is to be closed.
        is_done: all files are rewritten.
        error: why they are not.
    """

    shard: Shard
    sequence: int
    thread: Thread | None = None
    is_wanted: bool = True
    is_done: bool = False
    error: StoreError | None = None

    def start(self) -> None:
        self.thread = Thread(target=self._rewrite, name=f"purge-{self.shard.index}", daemon=True)
        self.thread.start()

    def wait(self) -> None:
        """Leave the rest, and wait until the part that is being rewritten is."""
        self.is_wanted = False
        if self.thread is not None:
            self.thread.join()

    def _rewrite(self) -> None:
        try:
            self.is_done = self.shard.purge(lambda: self.is_wanted)
        except StoreError as error:
            self.error = error


class Purger:
    """Purges shards of what was erased: their files, then their checkpoints.

    Args:
        after_seconds: how long an erasure may wait for others to be purged with.
        metrics: what is counted.
        uploads: of the shards' checkpoints; None: there are none.
    """

    def __init__(
        self, after_seconds: float, metrics: StreamMetrics, uploads: Uploads | None
    ) -> None:
        self._after_ms = after_seconds * 1000
        self._metrics = metrics
        self._uploads = uploads
        self._run: _Run | None = None
        self._look_at = 0.0
        self._purged: dict[tuple[int, PurgePlace], int] = {}
        self._replacing: dict[int, tuple[int, int]] = {}

    def run_due_work(self, shards: Mapping[int, Shard]) -> None:
        """Record what is done, begin what is due most.

        Costs nothing between two looks.

        Raises:
            StoreError: a shard is damaged, was taken over, or could not be written.
        """
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        if self._run is not None:
            self._end(self._run)
        self._replace_checkpoints(shards)
        waiting, now = self._waiting(shards, "files"), now_ms()
        oldest_ms = min([*waiting.values(), *self._waiting(shards, "checkpoints").values(), now])
        self._metrics.set_unpurged((now - oldest_ms) / 1000)
        if self._run is None:
            self._begin(shards, waiting)

    def purge_now(self, shards: Mapping[int, Shard]) -> bool:
        """Purge shards at once, those that something was erased from.

        Returns:
            Whether nothing is due any more; a shard of which a paused process holds
            another copy is, and one whose checkpoints cannot be reached.

        Raises:
            StoreError: a shard is damaged, was taken over, or could not be written.
        """
        for index in self._waiting(shards, "files"):
            self.forget(index)
            shard = shards[index]
            sequence = shard.state().sequence
            shard.purge(lambda: True)
            if not shard.has_other_copies():
                self._note(shard, "files", sequence)
        for index in self._replaceable(shards):
            if self._uploads and self._uploads.replace_now(index, shards[index]):
                self._note(shards[index], "checkpoints", self._purged[index, "files"])
        return not (self._waiting(shards, "files") or self._waiting(shards, "checkpoints"))

    def forget(self, index: int) -> None:
        """Leave a shard that is about to be closed; what is due is done by whoever
        opens it next.
        """
        if self._run is not None and self._run.shard.index == index:
            self._run.wait()
            self._run = None
        self._replacing.pop(index, None)
        for place in PURGE_PLACES:
            self._purged.pop((index, place), None)

    def _waiting(self, shards: Mapping[int, Shard], place: PurgePlace) -> dict[int, int]:
        """Return the time of the oldest erasure that a place is not purged of, by
        shard.
        """
        waiting = {}
        for index, shard in shards.items():
            if place == "checkpoints" and not self._has_checkpoints(index):
                continue
            if (index, place) not in self._purged:
                self._purged[index, place] = purged_sequence(shard, place)
            since_ms = unpurged_since_ms(shard, self._purged[index, place])
            if since_ms is not None:
                waiting[index] = since_ms
        return waiting

    def _has_checkpoints(self, index: int) -> bool:
        return self._uploads is not None and self._uploads.is_watching(index)

    def _begin(self, shards: Mapping[int, Shard], waiting: Mapping[int, int]) -> None:
        """Begin with the oldest; a shard of which there are other copies waits."""
        for index in sorted(waiting, key=lambda index: waiting[index]):
            shard = shards[index]
            if waiting[index] + self._after_ms <= now_ms() and not shard.has_other_copies():
                self._run = _Run(shard, shard.state().sequence)
                self._run.start()
                logger.info("purge begins shard=%d sequence=%d", index, self._run.sequence)
                return

    def _end(self, run: _Run) -> None:
        if run.error is not None:
            self._run = None
            self._look_at = time.monotonic() + _RETRY_SECONDS
            self._metrics.count_purge(is_done=False)
            logger.warning("purge failed shard=%d error=%s", run.shard.index, run.error)
        elif run.is_done and not run.shard.has_other_copies():
            self._run = None
            self._note(run.shard, "files", run.sequence)

    def _replaceable(self, shards: Mapping[int, Shard]) -> list[int]:
        """Return the shards whose files are purged of what is in their checkpoints."""
        waiting = self._waiting(shards, "checkpoints")
        self._waiting(shards, "files")
        return [
            index
            for index in waiting
            if self._purged[index, "files"] > self._purged[index, "checkpoints"]
        ]

    def _replace_checkpoints(self, shards: Mapping[int, Shard]) -> None:
        """Have checkpoints replaced by ones of purged files, and record those that
        were.
        """
        if self._uploads is None:
            return
        for index in self._replaceable(shards):
            num_replaced = self._uploads.num_replaced(index)
            if index not in self._replacing:
                self._replacing[index] = num_replaced, self._purged[index, "files"]
                self._uploads.replace(index)
            elif num_replaced > self._replacing[index][0]:
                _, sequence = self._replacing.pop(index)
                self._note(shards[index], "checkpoints", sequence)

    def _note(self, shard: Shard, place: PurgePlace, sequence: int) -> None:
        has_checkpoints = self._has_checkpoints(shard.index)
        note_purge(shard, Purge(place, sequence, now_ms(), has_checkpoints))
        self._purged[shard.index, place] = sequence
        self._metrics.count_purge(is_done=True)
        logger.info("purged shard=%d place=%s sequence=%d", shard.index, place, sequence)
