"""Random draws of the simulated shop, each from one uniform number.

`Random.random` gives the same numbers in every version of Python; its other methods may
not, and the same seed has to give the same bytes.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")

_SHORTEST_PAUSE_MS = 1000
"""The shortest time on a page. Twice as much would lengthen every session a little."""

_LONGEST_PAUSE = 10
"""Pauses, in means: a longer one would belong between two sessions."""


class Weighted(Generic[T]):
    """A choice among values in proportion to their weights."""

    __slots__ = ("_cumulative", "_values")

    def __init__(self, values: Sequence[T], weights: Sequence[float]) -> None:
        self._values = values
        self._cumulative = list(accumulate(weights))

    def pick(self, uniform: float) -> T:
        """Return the value at a uniform number in [0, 1)."""
        position = bisect_right(self._cumulative, uniform * self._cumulative[-1])
        return self._values[min(position, len(self._values) - 1)]


def zipf(values: Sequence[T], exponent: float) -> Weighted[T]:
    """Return a choice in which rank r, from 1, has the weight r^-exponent."""
    return Weighted(values, [(rank + 1) ** -exponent for rank in range(len(values))])


def chance(random: Random, probability: float) -> bool:
    """Return True with this probability."""
    return random.random() < probability


def one_of(random: Random, values: Sequence[T]) -> T:
    """Return one value, each as likely."""
    return values[int(random.random() * len(values))]


def two_of(random: Random, values: Sequence[T]) -> tuple[T, T]:
    """Return two different values."""
    first = int(random.random() * len(values))
    second = (first + 1 + int(random.random() * (len(values) - 1))) % len(values)
    return values[first], values[second]


def pause_ms(random: Random, mean_ms: int) -> int:
    """Return a pause of 1 s and more, exponentially distributed, at most ten times the
    mean.
    """
    waited = -mean_ms * math.log(1.0 - random.random())
    return _SHORTEST_PAUSE_MS + int(min(waited, _LONGEST_PAUSE * mean_ms))
