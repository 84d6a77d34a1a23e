"""Puts checkpoints of shards away in the background, one at a time, and again after an
error.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Thread

from stream.errors import CheckpointRefused, StoreError, StreamError
from stream.events.types import SourcePartition
from stream.metrics import StreamMetrics
from stream.shard.fencing import ScratchFolder
from stream.shard.shard import Shard
from stream.store.checkpoints import KEPT_CHECKPOINTS, Checkpoints, Claim

logger = logging.getLogger(__name__)

# Seconds after an error; a place that is back is used within a minute.
_MAX_RETRY_SECONDS = 60.0


@dataclass(slots=True)
class _Watched:
    """One shard's turn.

    Attributes:
        claim: our term; None: the checkpoints could not be reached yet.
        sequence: of the newest checkpoint that is known to be safe; None: none is.
        due_at: when it is looked at next, on the monotonic clock.
        is_wanted: the shard is still ours, and nobody else keeps its checkpoints.
        replaces: whether the next one replaces all that are there.
        num_replaced: how often that was done.
    """

    claim: Claim | None
    sequence: int | None
    due_at: float
    is_wanted: bool = True
    replaces: bool = False
    num_replaced: int = 0


class Uploads:
    """The checkpoints of the shards that a process has.

    Args:
        checkpoints: where they are put.
        every_seconds: how often.
        metrics: what is counted.
        redact: called with a shard once its checkpoints are replaced, to take what is
            erased out of whatever else is there.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        every_seconds: float,
        metrics: StreamMetrics,
        redact: Callable[[int], None] = lambda _index: None,
    ) -> None:
        self._redact = redact
        self._checkpoints = checkpoints
        self._every_seconds = every_seconds
        self._metrics = metrics
        self._watched: dict[int, _Watched] = {}
        self._thread: Thread | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._thread is None or not self._thread.is_alive()

    def watch(self, index: int, claim: Claim | None, sequence: int | None) -> None:
        """Begin to keep checkpoints of a shard.

        Args:
            index: the shard's.
            claim: the term; None: claim one before the first checkpoint.
            sequence: of the shard's newest checkpoint, if the shard is still there;
                else None.
        """
        self._watched[index] = _Watched(claim, sequence, time.monotonic() + self._every_seconds)

    def term(self, index: int) -> int | None:
        """Return our term of a shard; None: none is claimed yet, or any more."""
        watched = self._watched.get(index)
        claim = watched.claim if watched and watched.is_wanted else None
        return claim.term if claim else None

    def is_watching(self, index: int) -> bool:
        """Whether checkpoints of a shard are kept."""
        return index in self._watched

    def replace(self, index: int) -> None:
        """Replace all checkpoints of a shard by one of the shard as it is from now on,
        as soon as may be.
        """
        self._watched[index].replaces = True
        self._watched[index].due_at = time.monotonic()

    def num_replaced(self, index: int) -> int:
        """Return how often the checkpoints of a shard were replaced."""
        return self._watched[index].num_replaced

    def replace_now(self, index: int, shard: Shard) -> bool:
        """Replace all checkpoints of a shard, and wait for it; return whether it could
        be done.
        """
        self.wait(None)
        self.replace(index)
        before = self.num_replaced(index)
        self._begin(index, shard)
        self.wait(None)
        return self.num_replaced(index) > before

    def forget(self, index: int) -> None:
        """Keep no more checkpoints of a shard.

        One that is on its way does not become the newest.
        """
        watched = self._watched.pop(index, None)
        if watched:
            watched.is_wanted = False

    def run_due_work(self, shards: Mapping[int, Shard]) -> None:
        """Begin what is due most, unless something is on its way."""
        now = time.monotonic()
        due = [(each.due_at, index) for index, each in self._watched.items() if each.due_at <= now]
        if due and self.is_idle:
            _, index = min(due)
            self._begin(index, shards[index])

    def finish(self, index: int, shard: Shard, wait_seconds: float) -> None:
        """Begin the last checkpoint of a shard that is about to be closed, after what
        is on its way.

        Args:
            index: the shard's.
            shard: still open.
            wait_seconds: how long to wait for what is on its way.
        """
        if self.wait(wait_seconds):
            self._begin(index, shard)
        else:
            logger.warning("checkpoint left out shard=%d reason=another one takes long", index)
        self._watched.pop(index, None)

    def wait(self, seconds: float | None) -> bool:
        """Wait until nothing is on its way; return False where that takes longer.

        None: however long it takes.
        """
        if self._thread is not None:
            self._thread.join(seconds)
        return self.is_idle

    def _begin(self, index: int, shard: Shard) -> None:
        """Link a copy of the shard, and put that away on another thread.

        Nothing if it did not change.
        """
        watched = self._watched[index]
        watched.due_at = time.monotonic() + self._every_seconds
        sequence = shard.state().sequence
        if not watched.is_wanted or (watched.sequence == sequence and not watched.replaces):
            return
        scratch = ScratchFolder(shard.folder)
        try:
            shard.checkpoint(scratch.folder / "database")
        except StoreError as error:
            scratch.release()
            self._failed(index, watched, error)
            return
        replaces, watched.replaces = watched.replaces, False
        arguments = (index, watched, scratch, sequence, shard.positions(), replaces)
        self._thread = Thread(
            target=self._put, args=arguments, name=f"checkpoint-{index}", daemon=True
        )
        self._thread.start()

    def _put(  # what a thread is given
        self,
        index: int,
        watched: _Watched,
        scratch: ScratchFolder,
        sequence: int,
        positions: Mapping[SourcePartition, int],
        replaces: bool,  # noqa: FBT001  # as above
    ) -> None:
        try:
            watched.claim = watched.claim or self._checkpoints.claim(index)
            self._checkpoints.put(
                watched.claim,
                scratch.folder / "database",
                sequence,
                positions,
                lambda: watched.is_wanted,
                num_kept=1 if replaces else KEPT_CHECKPOINTS,
            )
            watched.sequence = sequence
            if replaces:
                self._redact(index)
            watched.num_replaced += replaces
            self._metrics.count_checkpoint(is_safe=True)
            logger.info(
                "checkpoint safe shard=%d term=%d sequence=%d", index, watched.claim.term, sequence
            )
        except CheckpointRefused as error:
            watched.is_wanted = False
            logger.warning("checkpoint refused shard=%d error=%s", index, error)
        except StreamError as error:
            watched.replaces |= replaces
            self._failed(index, watched, error)
        finally:
            scratch.release()

    def _failed(self, index: int, watched: _Watched, error: StreamError) -> None:
        watched.due_at = time.monotonic() + min(self._every_seconds, _MAX_RETRY_SECONDS)
        self._metrics.count_checkpoint(is_safe=False)
        logger.warning("checkpoint failed shard=%d error=%s", index, error)
