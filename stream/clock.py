"""The time now, in the unit that all timestamps have."""

import time


def now_ms() -> int:
    """Return UTC milliseconds since 1970, as the system clock has them."""
    return time.time_ns() // 1_000_000
