"""Pure: how long a call may wait for its turn, by how long calls have been waiting, and
which need not wait for one.
"""

import math
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
# Mean seconds of a call's work up to which calls may be answered where they come. No
# other is looked at meanwhile, nor is health: twice as many hold them up for as long.
_SHORT_SECONDS: Final = 0.001
# Seconds since the last call was answered so. One that begins sooner has waited for
# that, or the next will: then threads share the work. A client turns around in .1 to
# .5 ms. Twice as long: threads are woken at half the load.
_PAUSE_SECONDS: Final = 0.0001


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
        self._least_bound = wait_seconds * _STANDING_SHARE
        self._num_threads = num_threads
        self._clock = clock
        self._lock = Lock()
        self._mean_seconds = 0.0
        self._waiting = self._working = 0
        self._answered_at = -math.inf
        self._answering_since = math.inf
        self._empty_at = clock()

    @property
    def num_waiting(self) -> int:
        """Calls that wait."""
        return self._waiting

    @property
    def bound_seconds(self) -> float:
        """Longest wait now."""
        if self._waiting and self._clock() - self._empty_at > self._wait_seconds:
            return self._least_bound
        return self._wait_seconds

    def may_enter(self) -> bool:
        """Whether a call that comes now would have its turn in time."""
        wait_seconds = self._waiting * self._mean_seconds / self._num_threads
        return self._waiting < self._num_threads or wait_seconds <= self.bound_seconds

    def needs_no_turn(self, began_at: float) -> bool:
        """Whether a short call may be answered where it came: nothing else waits or is
        at work, and calls do not come as fast as they are answered.

        Args:
            began_at: when it came.
        """
        if self._waiting or self._working or self._answering_since < math.inf:
            return False
        has_paused = began_at - self._answered_at >= _PAUSE_SECONDS
        return has_paused and self._mean_seconds <= _SHORT_SECONDS

    @property
    def answering_seconds(self) -> float:
        """How long a call is being answered where it came; negative: none is."""
        return self._clock() - self._answering_since

    def answers_at_once(self) -> None:
        """Record that a call that needs no turn is being answered where it came."""
        self._answering_since = self._clock()

    def answered_at_once(self) -> None:
        """Record that it was."""
        self._answered_at = self._clock()
        seconds, self._answering_since = self._answered_at - self._answering_since, math.inf
        self._weigh(seconds)

    def entered(self) -> None:
        """Record that a call waits."""
        with self._lock:
            if not self._waiting:
                self._empty_at = self._clock()
            self._waiting += 1

    def has_its_turn(self, entered_at: float) -> bool:
        """Record that a call waits no more, and is at work until it `worked`; return
        whether it is still in time.
        """
        now = self._clock()
        waited = now - entered_at
        in_time = waited <= self._least_bound or waited <= self.bound_seconds
        with self._lock:
            self._waiting -= 1
            self._working += 1
            if not self._waiting:
                self._empty_at = now
        return in_time

    def worked(self, seconds: float | None) -> None:
        """Record that a call is at work no more, and how long that took; None: there
        was nothing to do.
        """
        with self._lock:
            self._working -= 1
            if seconds is not None:
                self._weigh(seconds)

    def _weigh(self, seconds: float) -> None:
        # Two threads may lose a call's: the mean is of many.
        self._mean_seconds += _NEWEST_WEIGHT * (seconds - self._mean_seconds)
