"""Clocks are compared as they were at one moment, whatever else the machine does."""

import time

import pytest

from stream import clock

UTC_NS = 1_800_000_000_000_000_000
STEADY_NS = 77_000_000_000
SECOND_NS = 1_000_000_000


class PausedClocks:
    """Clocks of a process that is stopped for a second in some of its looks at them."""

    CLOCK_BOOTTIME = CLOCK_MONOTONIC = 0

    def __init__(self, *pauses: int) -> None:
        self._pauses = pauses
        self._looks = 0
        self._passed_ns = 0

    def _look(self) -> int:
        self._looks += 1
        self._passed_ns += SECOND_NS if self._looks in self._pauses else 1000
        return self._passed_ns

    def time_ns(self) -> int:
        """Look at UTC."""
        return UTC_NS + self._look()

    def monotonic_ns(self) -> int:
        """Look at the clock that only goes on."""
        return self._look()

    def clock_gettime_ns(self, _clock: int) -> int:
        """Look at the clock that nobody sets."""
        return STEADY_NS + self._look()


@pytest.mark.parametrize("pauses", [(), (1,), (2,), (3,), (4,), (2, 7, 12, 14), (3, 6, 11, 16)])
def test_clocks_are_read_at_one_moment(
    pauses: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where another process came between two clocks, they are read again."""
    monkeypatch.setattr(clock, "time", PausedClocks(*pauses))

    now_ms, steady_ms, seconds = clock.this_moment()

    assert now_ms - steady_ms == pytest.approx((UTC_NS - STEADY_NS) / 1e6, abs=0.01)
    assert now_ms - 1000 * seconds == pytest.approx(UTC_NS / 1e6, abs=0.01)


def test_a_machine_that_is_busy_throughout_gets_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of some looks, not one after the other for ever."""
    monkeypatch.setattr(clock, "time", PausedClocks(*range(1000)))

    assert clock.this_moment().now_ms > UTC_NS / 1e6


def test_clocks_tell_the_time() -> None:
    """Each in the unit that it says."""
    moment = clock.this_moment()

    assert 0.0 <= time.time() - moment.now_ms / 1000 < 60.0
    assert 0.0 <= time.monotonic() - moment.seconds < 60.0
    assert moment.steady_ms > 0.0
