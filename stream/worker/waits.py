"""Waiting for what is away, as a member of the group."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event as StopEvent
from typing import Literal, TypeVar

from stream.errors import (
    QuarantineUnavailable,
    RegistryUnavailable,
    StoreStalled,
    StreamError,
)
from stream.metrics import StreamMetrics
from stream.worker.source import Source

logger = logging.getLogger(__name__)

# Seconds between two tries of a stalled write, chosen by hand; the group is polled
# meanwhile. Twice as much adds up to 0.2 s to a stall.
_STALLED_SECONDS = 0.2
# Session timeouts to wait for the group to reassign a fenced shard: the broker does
# within one, and a busy client learns of it a little later. Twice as many delay the
# error of a shard that was fenced without a rebalance.
_TIMEOUTS_TO_LOSE_SHARD = 3

T = TypeVar("T")


class GivenUp(Exception):
    """The worker lost partitions while it waited, or is stopped: the records are read
    again.
    """


@dataclass(slots=True)
class _Waiting:
    """A wait for RocksDB, for the quarantine, or for the schema registry.

    Attributes:
        since: when it began, on the monotonic clock; None: nothing was waited for.
        cause: what was said of it last.
        is_for: what is waited for now.
    """

    since: float | None = None
    cause: str = ""
    is_for: Literal["rocksdb", "quarantine", "registry"] = "rocksdb"

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return 0.0 if self.since is None else time.monotonic() - self.since


class Waits:
    """Tries again while RocksDB stalls, or the quarantine or the schema registry is
    away.

    Args:
        source: stays connected meanwhile.
        metrics: receives how long is waited for what.
        stop: ends a wait.
        meanwhile: called between two tries.
    """

    def __init__(
        self,
        source: Source,
        metrics: StreamMetrics,
        stop: StopEvent,
        meanwhile: Callable[[], None],
    ) -> None:
        self._source = source
        self._metrics = metrics
        self._stop = stop
        self._meanwhile = meanwhile

    def until_done(self, attempt: Callable[[], T], rebalances: int) -> T:
        """Return what an attempt returns.

        Args:
            attempt: leaves nothing half done where it fails.
            rebalances: the source's count when the records came.

        Raises:
            GivenUp: the source's count is another one, or the worker is stopped.
        """
        waiting = _Waiting()
        while True:
            try:
                done = attempt()
            except (StoreStalled, QuarantineUnavailable, RegistryUnavailable) as error:
                self._wait_out(error, waiting)
                if self._stop.is_set() or self._source.rebalances != rebalances:
                    self._end(waiting)
                    raise GivenUp from error
            else:
                self._end(waiting)
                return done

    def for_rebalance(self, rebalances: int, session_timeout_seconds: float) -> bool:
        """Return whether the group reassigns shards within a few session timeouts.

        Records that were not applied are then read again.

        Args:
            rebalances: the source's count when the records came.
            session_timeout_seconds: of the group.
        """
        deadline = time.monotonic() + _TIMEOUTS_TO_LOSE_SHARD * session_timeout_seconds
        while self._source.rebalances == rebalances and time.monotonic() < deadline:
            self._source.idle(_STALLED_SECONDS)
        return self._source.rebalances != rebalances

    def _wait_out(self, error: StreamError, waiting: _Waiting) -> None:
        """Wait a moment."""
        if waiting.since is None:
            waiting.since = time.monotonic()
        if waiting.cause != str(error):
            waiting.cause = str(error)
            logger.warning("waiting error=%s", error)
        if isinstance(error, QuarantineUnavailable):
            waiting.is_for = "quarantine"
            self._metrics.set_quarantine_waiting(waiting.seconds)
        elif isinstance(error, RegistryUnavailable):
            waiting.is_for = "registry"
            self._metrics.set_registry_waiting(waiting.seconds)
        else:
            waiting.is_for = "rocksdb"
        self._source.idle(_STALLED_SECONDS)
        self._meanwhile()

    def _end(self, waiting: _Waiting) -> None:
        if waiting.since is None:
            return
        logger.warning("wait ended seconds=%.1f", waiting.seconds)
        self._metrics.set_quarantine_waiting(0.0)
        self._metrics.set_registry_waiting(0.0)
        if waiting.is_for == "rocksdb":
            self._metrics.count_stall(waiting.seconds)
