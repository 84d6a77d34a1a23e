"""Tests of what the console remembers."""

import random

from hypothesis import given
from hypothesis import strategies as st

from freshet.console.history import DAY_SECONDS, FINE_SECONDS, History

_NOW = 1_800_000_000.0


def test_a_peak_is_never_lost() -> None:
    """Whatever the steps, the greatest value of the time that is shown is in them."""
    history = History()
    for at in range(0, 3000, 2):
        history.add(_NOW - at, {"served": 700.0 if at == 1234 else 1.0})
    history.add(_NOW, {"served": 1.0})

    for num_steps in (10, 240, 3600):
        found = history.over(3000.0, _NOW, num_steps).values["served"]
        assert max(value for value in found if value is not None) == 700.0
        assert len(found) <= num_steps


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=50))
def test_steps_are_the_greatest_of_their_time(values: list[float | None]) -> None:
    """A step in which nobody said anything has none."""
    history = History()
    for at, value in enumerate(values):
        history.add(_NOW + at, {"x": value})

    series = history.over(60.0, _NOW + 59, 60)

    row = series.values.get("x", [])
    first = round(_NOW - series.begin_ms / 1000)
    assert row[first : first + len(values)] == values
    assert series.step_ms == 1000


def test_a_day_is_kept_by_the_minute_and_no_more() -> None:
    """Older than an hour, minutes are left; older than a day, nothing; memory is
    bounded.
    """
    history = History()
    begin = _NOW - 2 * DAY_SECONDS
    for at in range(0, round(2 * DAY_SECONDS), 10):
        peak = 99.0 if at == round(1.5 * DAY_SECONDS) else 1.0
        history.add(begin + at, {"x": peak})

    day = history.over(DAY_SECONDS, _NOW, 240).values["x"]

    assert max(value or 0.0 for value in day) == 99.0
    assert all(value is not None for value in day[1:-1])
    assert len(history._minutes) <= DAY_SECONDS / 60 + 1
    assert len(history._fine) <= FINE_SECONDS / 10 + 1


def test_a_clock_that_jumps_does_no_harm() -> None:
    """Times come in any order; the newest look is in what is shown."""
    history, shuffled = History(), random.Random(1)
    times = [_NOW + at for at in range(-5000, 5000, 50)]
    shuffled.shuffle(times)
    for at in times:
        history.add(at, {"x": 1.0})
    history.add(_NOW, {"x": 5.0})

    assert 5.0 in history.over(300.0, _NOW, 100).values["x"]
