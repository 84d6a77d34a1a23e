"""Counts over the last minutes, for whoever looks once and has no history."""

import time
from collections import Counter, deque
from collections.abc import Callable
from threading import Lock

# Seconds that count, chosen by hand: a burst is still seen by who is called for it, and
# gone soon after it was mended. Twice as long: seen, and remembered, for twice as long.
WINDOW_SECONDS = 300.0
# Seconds that are forgotten together. Twice as many: half the memory, and a count that
# falls in steps twice as large.
_SLOT_SECONDS = 10.0


class RecentCounts:
    """Counts by key of the last `WINDOW_SECONDS`; any thread may ask.

    Args:
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._slots: deque[tuple[int, Counter[str]]] = deque()
        self._lock = Lock()

    def add(self, key: str, count: int) -> None:
        """Count something now."""
        with self._lock:
            slot = self._forget()
            if not self._slots or self._slots[-1][0] != slot:
                self._slots.append((slot, Counter()))
            self._slots[-1][1][key] += count

    def of(self, key: str) -> int:
        """Return how much was counted of a key."""
        with self._lock:
            self._forget()
            return sum(counts[key] for _, counts in self._slots)

    def _forget(self) -> int:
        """Forget what is too old; return the slot of now."""
        slot = int(self._monotonic() / _SLOT_SECONDS)
        while self._slots and (slot - self._slots[0][0]) * _SLOT_SECONDS > WINDOW_SECONDS:
            self._slots.popleft()
        return slot
