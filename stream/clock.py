"""The time now, in the unit that all timestamps have."""

import time

# It counts on while a machine sleeps, where there is one: on Linux.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> int:
    """Return UTC milliseconds since 1970, as the system clock has them."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Return milliseconds on a clock that nobody sets, since some moment."""
    return time.clock_gettime_ns(_STEADY) // 1_000_000
