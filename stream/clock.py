"""The time now, in the unit that all timestamps have."""

import time
from typing import NamedTuple

# It counts on while a machine sleeps, where there is one: on Linux.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# Nanoseconds within which clocks are read at one moment, far under the millisecond that
# times have; it takes about one microsecond. Half as many: read again more often.
_ONE_MOMENT_NS = 100_000
# Times that clocks are read again where another process came between, the best counts.
# Twice as many: no gain, on a busy machine one in some thousand is read twice.
_TRIES = 5


class Moment(NamedTuple):
    """One moment by three clocks.

    Attributes:
        now_ms: UTC milliseconds since 1970, as the system clock has them, with the part
            of one.
        steady_ms: milliseconds on a clock that nobody sets, likewise.
        seconds: on the monotonic clock.
    """

    now_ms: float
    steady_ms: float
    seconds: float


def now_ms() -> int:
    """Return UTC milliseconds since 1970, as the system clock has them."""
    return time.time_ns() // 1_000_000


def this_moment() -> Moment:
    """Read all clocks at one moment, to compare them.

    Read one after the other, they differ by as long as another process ran between.
    """
    took_ns, moment = _read()
    for _ in range(_TRIES - 1):
        if took_ns <= _ONE_MOMENT_NS:
            break
        took_ns, moment = min((took_ns, moment), _read())
    return moment


def _read() -> tuple[int, Moment]:
    """Read all clocks; return the nanoseconds that it took, too."""
    before_ns = time.monotonic_ns()
    utc_ns, steady_ns = time.time_ns(), time.clock_gettime_ns(_STEADY)
    after_ns = time.monotonic_ns()
    return after_ns - before_ns, Moment(utc_ns / 1e6, steady_ns / 1e6, after_ns / 1e9)
