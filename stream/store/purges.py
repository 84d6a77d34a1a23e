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
from stream.shard.codec import Purge
from stream.shard.shard import Shard
from stream.store.purge_log import note_purge, purged_sequence, unpurged_since_ms

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
    """Purges shards of what was erased.

    Args:
        after_seconds: how long an erasure may wait for others to be purged with.
        metrics: what is counted.
        has_checkpoints: whether the shards' checkpoints are kept anywhere.
    """

    def __init__(
        self, after_seconds: float, metrics: StreamMetrics, *, has_checkpoints: bool
    ) -> None:
        self._after_ms = after_seconds * 1000
        self._metrics = metrics
        self._has_checkpoints = has_checkpoints
        self._run: _Run | None = None
        self._look_at = 0.0
        self._purged: dict[int, int] = {}

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
        waiting = self._waiting(shards)
        now = now_ms()
        oldest_ms = min(waiting.values(), default=now)
        self._metrics.set_unpurged(max(now - oldest_ms, 0) / 1000)
        if self._run is None and waiting and oldest_ms + self._after_ms <= now:
            self._begin(shards, waiting)

    def purge_now(self, shards: Mapping[int, Shard]) -> bool:
        """Purge the files of shards at once, those that something was erased from.

        Returns:
            Whether nothing is due any more; a shard of which a paused process holds
            another copy is.

        Raises:
            StoreError: a shard is damaged, was taken over, or could not be written.
        """
        for index in self._waiting(shards):
            self.forget(index)
            shard = shards[index]
            sequence = shard.state().sequence
            shard.purge(lambda: True)
            if not shard.has_other_copies():
                self._note(shard, sequence)
        return not self._waiting(shards)

    def forget(self, index: int) -> None:
        """Leave a shard that is about to be closed; what is due is done by whoever
        opens it next.
        """
        if self._run is not None and self._run.shard.index == index:
            self._run.wait()
            self._run = None
        self._purged.pop(index, None)

    def _waiting(self, shards: Mapping[int, Shard]) -> dict[int, int]:
        """Return the time of the oldest erasure that is not purged, by shard."""
        waiting = {}
        for index, shard in shards.items():
            if index not in self._purged:
                self._purged[index] = purged_sequence(shard, "files")
            since_ms = unpurged_since_ms(shard, self._purged[index])
            if since_ms is not None:
                waiting[index] = since_ms
        return waiting

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
            self._note(run.shard, run.sequence)

    def _note(self, shard: Shard, sequence: int) -> None:
        note_purge(shard, Purge("files", sequence, now_ms(), self._has_checkpoints))
        self._purged[shard.index] = sequence
        self._metrics.count_purge(is_done=True)
        logger.info("purged shard=%d sequence=%d", shard.index, sequence)
