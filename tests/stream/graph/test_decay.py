"""Decayed sums: the formula, exactness, order, and times far apart."""

import math
import sys
from fractions import Fraction
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.graph.decay import ZERO, Decayed, add, canonical, contribution, subtract, weight_at

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
NOW_MS = 1_700_000_000_000

times_ms = st.integers(946_684_800_000, 4_102_444_800_000)
half_lives_ms = st.sampled_from([HOUR_MS, DAY_MS, 30 * DAY_MS, 30 * DAY_MS + 1, 36500 * DAY_MS])


def total_of(times: list[int], half_life_ms: int) -> Decayed:
    """Return the sum of the contributions, in the order given."""
    return reduce(add, (contribution(ts_ms, half_life_ms) for ts_ms in times), ZERO)


def value_of(total: Decayed) -> Fraction:
    """Return the number that a sum stands for."""
    return Fraction(total.mantissa) * Fraction(2) ** (8 * total.shift_bytes)


@given(st.lists(times_ms, min_size=1, max_size=20), times_ms)
def test_weight_is_the_formula(times: list[int], at_ms: int) -> None:
    """The weight of a sum is the sum of 2^(-(T - t) / half-life)."""
    half_life_ms = 365 * DAY_MS
    expected = math.fsum(2.0 ** (-(at_ms - ts_ms) / half_life_ms) for ts_ms in times)

    assert math.isclose(
        weight_at(total_of(times, half_life_ms), at_ms, half_life_ms), expected, rel_tol=1e-12
    )


@given(st.lists(times_ms, max_size=20), st.randoms(use_true_random=False), half_lives_ms)
def test_order_does_not_matter(times: list[int], random: object, half_life_ms: int) -> None:
    """Any order of adding gives the same canonical sum, bit for bit."""
    shuffled = sorted(times, key=lambda _: random.random())  # type: ignore[attr-defined]  # Hypothesis's own Random

    assert canonical(total_of(shuffled, half_life_ms)) == canonical(total_of(times, half_life_ms))


@given(st.lists(times_ms, max_size=10), times_ms, half_lives_ms)
def test_subtracting_leaves_no_trace(times: list[int], moved_ms: int, half_life_ms: int) -> None:
    """Adding a fact and taking it out again gives the sum from before, bit for bit."""
    before = total_of(times, half_life_ms)
    fact = contribution(moved_ms, half_life_ms)

    assert canonical(subtract(add(before, fact), fact)) == canonical(before)


@given(st.integers(0, 2**300), st.integers(-50, 50), st.integers(0, 5))
def test_canonical_form_is_unique(mantissa: int, shift_bytes: int, padding_bytes: int) -> None:
    """Two forms of one number have the same canonical form, which stands for the same
    number.
    """
    form = Decayed(mantissa, shift_bytes)
    padded = Decayed(mantissa << (8 * padding_bytes), shift_bytes - padding_bytes)

    assert canonical(padded) == canonical(form)
    assert value_of(canonical(form)) == value_of(form)


def test_nothing_weighs_nothing() -> None:
    """An empty sum weighs 0 at any time."""
    assert weight_at(ZERO, NOW_MS, DAY_MS) == 0.0


@pytest.mark.parametrize("half_life_ms", [HOUR_MS, 30 * DAY_MS])
def test_times_decades_apart_neither_overflow_nor_vanish(half_life_ms: int) -> None:
    """A recent fact keeps its weight beside one decades older, and the old one can be
    had alone.
    """
    old_ms, new_ms = 946_684_800_000, 4_102_444_800_000
    total = total_of([old_ms, new_ms], half_life_ms)

    assert weight_at(total, new_ms, half_life_ms) == 1.0
    assert (
        weight_at(subtract(total, contribution(new_ms, half_life_ms)), old_ms, half_life_ms) == 1.0
    )


def test_weight_too_large_for_a_float_is_the_largest_float() -> None:
    """A fact decades after T, at a half-life of an hour, saturates
    instead of failing.
    """
    total = contribution(4_102_444_800_000, HOUR_MS)

    assert weight_at(total, 946_684_800_000, HOUR_MS) == sys.float_info.max


def test_weight_too_small_for_a_float_is_zero() -> None:
    """A fact decades before T, at a half-life of an hour, weighs 0."""
    assert weight_at(contribution(946_684_800_000, HOUR_MS), 4_102_444_800_000, HOUR_MS) == 0.0


def test_fact_after_the_asked_time_weighs_more_than_one() -> None:
    """The formula holds literally for facts after T: one half-life later is 2."""
    assert weight_at(contribution(NOW_MS + DAY_MS, DAY_MS), NOW_MS, DAY_MS) == pytest.approx(
        2.0, rel=1e-14
    )
