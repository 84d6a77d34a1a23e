"""When records arrived, and how long the oldest has waited."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.sources.arrivals import Arrivals

NOW_MS = 1_800_000_000_000
"""The clock at monotonic second 1000."""

HOUR = 3600.0


def age(arrivals: Arrivals, offset: int, now: float) -> float:
    """Return the age of the record at an offset, the clocks going alike."""
    return arrivals.age_seconds(offset, now=now, now_ms=NOW_MS + round(1000 * (now - 1000)))


def test_none_waits() -> None:
    """Nothing behind the last applied record, and nothing known: no age."""
    arrivals = Arrivals()
    assert age(arrivals, 0, 1000.0) == 0.0
    arrivals.see_end(7, heard=1000.0, now=1000.0)
    arrivals.see_time(NOW_MS - 20 * 3_600_000)
    assert age(arrivals, 7, 1100.0) == 0.0


def test_a_partition_that_was_quiet_is_as_old_as_what_came_now() -> None:
    """The newest applied record is a day old; what waits came a second ago."""
    arrivals = Arrivals()
    arrivals.see_end(7, heard=1000.0, now=1000.0)
    arrivals.see_time(NOW_MS - 86_400_000)
    assert age(arrivals, 7, 1000.0) == 0.0
    arrivals.see_end(7, heard=1060.0, now=1060.0)
    arrivals.see_end(8, heard=1061.0, now=1061.0)
    assert age(arrivals, 7, 1062.0) == 2.0


def test_a_backlog_from_before_the_start_is_as_old_as_its_records_say() -> None:
    """Nobody saw it arrive: the records' own time tells."""
    arrivals = Arrivals()
    arrivals.see_time(NOW_MS - 7_200_000)
    arrivals.see_end(500, heard=1000.0, now=1000.0)
    assert age(arrivals, 0, 1000.0) == 2 * HOUR
    assert age(arrivals, 100, 1010.0) == 2 * HOUR + 10.0


def test_a_backlog_without_times_counts_from_when_it_was_seen() -> None:
    """A record of no time, or of an absurd one, is at least as old as its sighting."""
    arrivals = Arrivals()
    arrivals.see_end(500, heard=1000.0, now=1000.0)
    assert age(arrivals, 0, 1030.0) == 30.0
    arrivals.see_time(NOW_MS // 1000)  # seconds where milliseconds belong
    assert age(arrivals, 0, 1030.0) == 30.0


def test_a_clock_that_is_fast_hides_nothing() -> None:
    """Records of an hour in the future have waited since they were first seen."""
    arrivals = Arrivals()
    arrivals.see_end(10, heard=1000.0, now=1000.0)
    arrivals.see_time(NOW_MS + 3_600_000)
    assert age(arrivals, 0, 1300.0) == 300.0


def test_a_clock_that_is_slow_makes_no_backlog() -> None:
    """Records of two hours ago that came just now have waited since now."""
    arrivals = Arrivals()
    arrivals.see_end(10, heard=1000.0, now=1000.0)
    arrivals.see_time(NOW_MS - 7_200_000)
    arrivals.see_end(11, heard=1001.0, now=1001.0)
    assert age(arrivals, 10, 1002.0) == 2.0


def test_a_broker_that_was_silent_may_have_had_records_all_the_time() -> None:
    """What came after a silence is as old as the silence, at the most."""
    arrivals = Arrivals()
    arrivals.see_end(10, heard=1000.0, now=1000.0)
    arrivals.see_end(10, heard=1000.0, now=1200.0)
    arrivals.see_end(12, heard=1201.0, now=1201.0)
    assert age(arrivals, 10, 1201.0) == 201.0


def test_a_partition_made_anew_is_seen_anew() -> None:
    """An end that goes back says nothing about the records of before."""
    arrivals = Arrivals()
    arrivals.see_end(100, heard=1000.0, now=1000.0)
    arrivals.see_end(5, heard=1010.0, now=1010.0)
    assert age(arrivals, 0, 1012.0) == 2.0
    assert age(arrivals, 5, 1012.0) == 0.0


def test_what_waits_is_not_said_to_have_come_later_than_it_may_have() -> None:
    """By its own time, and by when the broker, asked, had nothing more: not by an end
    that came with the records of another partition.
    """
    arrivals = Arrivals()

    def since(now: float, offset: int = 7, ahead_ms: int = 0) -> int | None:
        now_ms = NOW_MS + round(1000 * (now - 1000))
        return arrivals.waits_since_ms(offset, now=now, now_ms=now_ms, ahead_ms=ahead_ms)

    arrivals.see_end(7, heard=1000.0, now=1000.0)
    assert since(1001.0, 0) is None
    arrivals.see_time(NOW_MS - 5_000)
    assert since(1001.0, 0) == NOW_MS - 5_000
    arrivals.see_idle(1002.0)
    arrivals.see_end(8, heard=1003.0, now=1003.0)
    assert since(1004.0) == NOW_MS + 2_000
    assert since(1004.0, ahead_ms=60_000) == NOW_MS + 62_000
    arrivals.see_time(NOW_MS + 2_500)
    assert since(1004.0) == NOW_MS + 2_500


def test_what_comes_next_came_no_earlier_than_what_was_read_before_it() -> None:
    """By the time that this carries, but no later than it was read; a clock that is
    ahead of those of other producers does not count, and what waits has its own time.
    """
    arrivals = Arrivals()

    def since(offset: int, now: float = 1010.0) -> int | None:
        now_ms = NOW_MS + round(1000 * (now - 1000))
        return arrivals.waits_since_ms(offset, now=now, now_ms=now_ms, ahead_ms=0)

    arrivals.see_time(NOW_MS + 1_000)
    arrivals.see_read(9, [NOW_MS + 1_000, NOW_MS + 3_000], 1004.0)
    assert since(9) == NOW_MS + 1_000
    arrivals.see_read(40, [NOW_MS + 1_000, *[NOW_MS + 3_000] * 15, NOW_MS + 9_000], 1004.0)
    assert since(40) == NOW_MS + 3_000
    arrivals.see_read(60, [NOW_MS + 7_000] * 20, 1004.0)
    assert since(60) == NOW_MS + 4_000
    arrivals.see_end(60, heard=1001.0, now=1001.0)
    arrivals.see_end(80, heard=1002.0, now=1002.0)
    assert since(60) == NOW_MS + 2_000
    assert since(50) == NOW_MS + 1_000
    arrivals.see_read(61, [0], 1005.0)
    assert since(61) is None or since(61) == NOW_MS + 1_000


@given(
    growth=st.lists(st.integers(0, 5), min_size=1, max_size=700),
    clock_error_ms=st.integers(-10_000_000, 10_000_000),
    read=st.floats(0.0, 1.0),
)
def test_age_is_between_what_the_ends_say(
    growth: list[int], clock_error_ms: int, read: float
) -> None:
    """A clock that is right is believed, however many ends there were; one that is
    wrong moves an age no further than the time between two looks, while all are known.
    """
    arrivals, arrived = Arrivals(), []
    arrivals.see_end(0, heard=1000.0, now=1000.0)
    for second, count in enumerate(growth, 1001):
        arrived += [float(second)] * count
        arrivals.see_end(len(arrived), heard=second, now=second)
    now = 1000.0 + len(growth)
    offset = int(read * len(arrived))
    if offset == len(arrived):
        assert age(arrivals, offset, now) == 0.0
        return
    told_ms = NOW_MS + round(1000 * (arrived[offset] - 1000))
    arrivals.see_time(told_ms)
    assert age(arrivals, offset, now) == now - arrived[offset]
    arrivals.see_time(told_ms + clock_error_ms)
    slack = 1.0 if len(growth) < 256 else len(growth)
    assert abs(age(arrivals, offset, now) - (now - arrived[offset])) <= slack


def test_an_end_that_nobody_asked_for_again_says_nothing() -> None:
    """Behind a backlog a client does not ask: what came meanwhile is not younger for
    it.
    """
    arrivals = Arrivals()
    arrivals.see_end(100, heard=1000.0, now=1000.0)
    arrivals.see_end(100, heard=1002.0, now=1002.0, is_stale=True)
    arrivals.see_end(200, heard=1001.0, now=1002.1, is_stale=True)
    arrivals.see_time(NOW_MS + 1000)

    assert age(arrivals, 150, 1002.2) == pytest.approx(1.2)
    assert arrivals.not_before(150) == 1000.0


@pytest.mark.parametrize("ahead_ms", [-5000, 0, 5000])
def test_a_record_of_the_future_waits_since_it_was_seen(ahead_ms: int) -> None:
    """What waits is claimed in the records' own time, whatever this machine's clock
    says, but never up to a time that was yet to come when it was seen.
    """
    arrivals = Arrivals()
    arrivals.see_end(100, heard=1000.0, now=1000.0)

    def since_ms(offset: int) -> int | None:
        return arrivals.waits_since_ms(
            offset, now=1010.0, now_ms=NOW_MS + 10_000, ahead_ms=ahead_ms
        )

    assert since_ms(0) is None
    arrivals.see_time(NOW_MS - 60_000)
    assert since_ms(0) == NOW_MS - 60_000
    arrivals.see_time(NOW_MS + 3_600_000)
    assert since_ms(0) == NOW_MS + ahead_ms
    assert since_ms(100) is None


def test_records_that_move_are_not_stuck() -> None:
    """Only time in which records wait and none is applied counts; a backlog that is
    being read is none.
    """
    arrivals = Arrivals()

    def stuck(offset: int, now: float, *, waits: bool = True) -> float:
        return arrivals.stuck_seconds(offset, waits=waits, now=now)

    assert stuck(7, 1000.0, waits=False) == 0
    assert stuck(7, 1050.0, waits=False) == 0
    assert stuck(7, 1060.0) == 10
    assert stuck(7, 1090.0) == 40
    assert stuck(8, 1091.0) == 0
    assert stuck(9, 1099.0) == 0
    assert stuck(9, 1100.0, waits=False) == 0
    assert stuck(9, 1101.0) == 1
