"""How far a clock is from the records' times, told from how long they waited."""

import pytest

from stream.sources.topics.record_clock import RecordClock

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
STEADY_MS = 77_000  # since the machine was started


def offset(*batches: tuple[list[int], float | None]) -> int:
    """Return the offset after batches read now: their times, and a moment before."""
    clock = RecordClock()
    for times_ms, after_ms in batches:
        clock.see(times_ms, read_ms=NOW_MS, steady_ms=STEADY_MS, after_ms=after_ms)
    return clock.offset_ms(NOW_MS, STEADY_MS)


def test_clocks_that_agree() -> None:
    """A record between the last moment without it and its reading shows nothing."""
    assert offset() == 0
    assert offset(([NOW_MS - 500], NOW_MS - 1000.0)) == 0


def test_a_backlog_is_no_offset() -> None:
    """What is old and may always have been there only waited."""
    assert offset(([NOW_MS - 9 * HOUR_MS], None)) == 0
    assert offset(([NOW_MS - HOUR_MS] * 500, NOW_MS - 2.0 * HOUR_MS)) == 0


def test_a_clock_that_is_slow_is_told_by_records_ahead_of_it() -> None:
    """Nothing is read before it was made, backlog or not."""
    assert offset(([NOW_MS + 2 * HOUR_MS], None)) == 2 * HOUR_MS
    assert offset(([NOW_MS + 2 * HOUR_MS], NOW_MS - 1000.0)) == 2 * HOUR_MS


def test_a_clock_that_is_fast_is_told_by_what_just_arrived() -> None:
    """A record of an hour ago that was not there a second ago."""
    assert offset(([NOW_MS - HOUR_MS], NOW_MS - 1000.0)) == 1000 - HOUR_MS


@pytest.mark.parametrize("in_one_batch", [True, False])
def test_one_producer_of_four_does_not_count(in_one_batch: bool) -> None:
    """The median of a batch, and of batches, is that of the others."""
    times_ms = [NOW_MS - 10, NOW_MS + HOUR_MS, NOW_MS - 5, NOW_MS - 1] * 25
    cut = [times_ms] if in_one_batch else [[each] for each in times_ms]
    assert offset(*((each, NOW_MS - 1000.0) for each in cut)) == 0


def test_records_without_a_time_show_nothing() -> None:
    """Not set, or seconds where milliseconds belong."""
    assert offset(([-1, 0, NOW_MS // 1000], NOW_MS - 1000.0)) == 0
    assert offset(([-1, NOW_MS + HOUR_MS], None)) == HOUR_MS


def test_a_part_of_a_millisecond_is_no_offset() -> None:
    """Records' times are cut to whole ones, clocks are not."""
    assert offset(([NOW_MS], NOW_MS + 0.7)) == 0

    clock = seen(NOW_MS, None)
    assert clock.offset_ms(NOW_MS + 100.4, STEADY_MS + 99.6) == -1
    assert clock.offset_ms(NOW_MS + 100.4, STEADY_MS + 100.0) == 0


def seen(time_ms: int, after_ms: float | None) -> RecordClock:
    """Return a clock that has seen one record."""
    clock = RecordClock()
    clock.see([time_ms], read_ms=NOW_MS, steady_ms=STEADY_MS, after_ms=after_ms)
    return clock


@pytest.mark.parametrize("waited_ms", [599_000, 12 * HOUR_MS])
def test_a_clock_that_is_slow_is_so_all_night(waited_ms: int) -> None:
    """No record comes that would say it again."""
    clock = seen(NOW_MS + HOUR_MS, None)

    assert clock.offset_ms(NOW_MS + waited_ms, STEADY_MS + waited_ms) == HOUR_MS


@pytest.mark.parametrize("waited_ms", [5_000, 12 * HOUR_MS])
@pytest.mark.parametrize("set_ms", [HOUR_MS, HOUR_MS - 1800])
def test_a_clock_that_is_set_is_right_at_once(waited_ms: int, set_ms: int) -> None:
    """By as much as it was set, which a clock that nobody sets tells."""
    clock = seen(NOW_MS + HOUR_MS, None)

    offset_ms = clock.offset_ms(NOW_MS + waited_ms + set_ms, STEADY_MS + waited_ms)

    assert offset_ms == (HOUR_MS - set_ms if waited_ms < HOUR_MS else 0)


def test_what_producers_did_long_ago_is_forgotten() -> None:
    """Records that one held back say nothing of this machine's clock, nor do some
    seconds.
    """
    held_back = seen(NOW_MS - HOUR_MS, NOW_MS - 1000.0)
    fast = seen(NOW_MS + 30_000, None)

    assert held_back.offset_ms(NOW_MS + 599_000, STEADY_MS + 599_000) == 1000 - HOUR_MS
    assert held_back.offset_ms(NOW_MS + HOUR_MS, STEADY_MS + HOUR_MS) == 0
    assert fast.offset_ms(NOW_MS + 599_000, STEADY_MS + 599_000) == 30_000
    assert fast.offset_ms(NOW_MS + HOUR_MS, STEADY_MS + HOUR_MS) == 0


def test_a_later_batch_counts_alone_where_earlier_ones_are_old() -> None:
    """Somebody mended the clocks of the producers meanwhile."""
    clock = seen(NOW_MS + HOUR_MS, None)
    later_ms = NOW_MS + HOUR_MS
    clock.see(
        [later_ms - 10], read_ms=later_ms, steady_ms=STEADY_MS + HOUR_MS, after_ms=later_ms - 500.0
    )

    assert clock.offset_ms(later_ms, STEADY_MS + HOUR_MS) == 0
