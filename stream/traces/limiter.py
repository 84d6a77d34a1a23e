"""At most so many records a second are followed."""

import time
from collections.abc import Callable


class TraceLimiter:
    """Lets records through up to a rate, at most a second's worth at once.

    Args:
        per_second: how many.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(self, per_second: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._most = max(per_second, 1.0)
        self._monotonic = monotonic
        self._left = self._most
        self._at = monotonic()

    def lets_through(self) -> bool:
        """Whether one more is followed now."""
        now = self._monotonic()
        self._left = min(self._left + (now - self._at) * self._per_second, self._most)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
