"""Exact decayed weights: forward decay in fixed point, a sum whatever the order of its
parts.

A fact at time t weighs ``2^(-(T - t) / half_life)`` at time T. Forward decay (Cormode
et al., ICDE 2009) splits that into a part that depends on t alone, added up as facts
come, and a part that depends on T alone, applied when the sum is read. The first,
``2^(t / half_life)``, is kept as a 53-bit mantissa with a binary exponent, and sums of
it as whole numbers of any length: adding is exact, and a fact can be taken out again
without a trace.
"""

import math
import sys
from typing import NamedTuple

# Bits of the fraction of a decayed weight: a float keeps no more. More bits would make
# the stored mantissas longer and no float more exact.
_FRACTION_BITS = 52
# Bits kept when a sum becomes a float: over the 53 that a float has, so that the shift
# rounds below its precision. More change nothing.
_FLOAT_BITS = 64


class Decayed(NamedTuple):
    """An exact sum of decayed facts, one at time 0 being 1: ``mantissa * 2^(8 *
    shift_bytes - 52)``.
    """

    mantissa: int
    shift_bytes: int


ZERO = Decayed(0, 0)


def contribution(ts_ms: int, half_life_ms: int) -> Decayed:
    """Return what one fact at `ts_ms` adds to a sum: ``2^(ts_ms / half_life_ms)``."""
    periods, rest_ms = divmod(ts_ms, half_life_ms)
    mantissa = int(math.ldexp(2.0 ** (rest_ms / half_life_ms), _FRACTION_BITS))
    return Decayed(mantissa << (periods & 7), periods >> 3)


def add(left: Decayed, right: Decayed) -> Decayed:
    """Return the exact sum."""
    gap = right[1] - left[1]
    if gap >= 0:
        return Decayed(left[0] + (right[0] << (8 * gap)), left[1])
    return Decayed((left[0] << (-8 * gap)) + right[0], right[1])


def subtract(left: Decayed, right: Decayed) -> Decayed:
    """Return the exact difference; taking out what was added before leaves no trace."""
    return add(left, Decayed(-right[0], right[1]))


def canonical(total: Decayed) -> Decayed:
    """Return the one form that equal sums share.

    A mantissa without trailing zero bytes.
    """
    mantissa, shift_bytes = total
    if mantissa == 0:
        return ZERO
    zero_bytes = ((mantissa & -mantissa).bit_length() - 1) >> 3
    return Decayed(mantissa >> (8 * zero_bytes), shift_bytes + zero_bytes)


def weight_at(total: Decayed, at_ms: int, half_life_ms: int) -> float:
    """Return the sum of ``2^(-(at_ms - t) / half_life_ms)`` over the facts in `total`.

    Facts after `at_ms` weigh more than one, as the formula says. What is too small for
    a float is 0, and what is too large is the largest float.
    """
    mantissa, shift_bytes = total
    excess_bits = max(mantissa.bit_length() - _FLOAT_BITS, 0)
    periods, rest_ms = divmod(at_ms, half_life_ms)
    scaled = (mantissa >> excess_bits) * 2.0 ** (-rest_ms / half_life_ms)
    try:
        return math.ldexp(scaled, excess_bits + 8 * shift_bytes - _FRACTION_BITS - periods)
    except OverflowError:
        return sys.float_info.max
