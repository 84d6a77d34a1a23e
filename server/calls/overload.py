"""Pure: how long a call may wait for its turn, by how long calls have been waiting."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

# Of the time that a call may wait, once calls have waited for that long without a
# pause: a burst may fill the queue, a flood may not (CoDel, Nichols and Jacobson 2012).
# Twice as much keeps twice the queue while there are too many calls.
_STANDING_SHARE: Final = 0.2
# Weight of the newest call in the mean time of one. Twice as much follows twice as
# fast, and jumps with each slow call.
_NEWEST_WEIGHT: Final = 0.05


class WaitBound:
    """Says which calls have to wait, or have waited, for too long.

    Args:
        wait_seconds: longest wait in a burst.
        num_threads: calls that are at work at once.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        wait_seconds: float,
        num_threads: int,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._wait_seconds = wait_seconds
        self._num_threads = num_threads
        self._clock = clock
        self._lock = Lock()
        self._mean_seconds = 0.0
        self._waiting = 0
        self._empty_at = clock()

    @property
    def num_waiting(self) -> int:
        """Calls that wait."""
        return self._waiting

    @property
    def bound_seconds(self) -> float:
        """Longest wait now."""
        if self._waiting and self._clock() - self._empty_at > self._wait_seconds:
            return self._wait_seconds * _STANDING_SHARE
        return self._wait_seconds

    def may_enter(self) -> bool:
        """Whether a call that comes now would have its turn in time."""
        wait_seconds = self._waiting * self._mean_seconds / self._num_threads
        return self._waiting < self._num_threads or wait_seconds <= self.bound_seconds

    def entered(self) -> None:
        """Record that a call waits."""
        with self._lock:
            if not self._waiting:
                self._empty_at = self._clock()
            self._waiting += 1

    def has_its_turn(self, entered_at: float) -> bool:
        """Record that a call waits no more; return whether it is still in time."""
        in_time = self._clock() - entered_at <= self.bound_seconds
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self._empty_at = self._clock()
        return in_time

    def worked(self, seconds: float) -> None:
        """Record how long the work of a call took."""
        with self._lock:
            self._mean_seconds += _NEWEST_WEIGHT * (seconds - self._mean_seconds)
