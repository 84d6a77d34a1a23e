"""Pure: whether the newest generations answer worse than those before, beyond
chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from model.live_quality.newest_clicks import Evaluation, Figure, Sample, Segment

LEAST_QUERIES = 200
"""Queries below which nothing is said: the MRR of as many is known to about .05. Twice
as many: to .035, and a quiet shop is told of half as often.
"""
# Queries of earlier generations to compare with, at most: they add a tenth to the
# noise of the newest. Twice as many reach further back, to another season.
_MOST_BEFORE = 2000
# Standard errors of an interval that is shown: 95 in 100 have the true value inside.
# Twice as many: nearly all, and twice as wide.
_SHOWN_ERRORS = 1.96
# The same of a change, which is looked at with every generation, 144 times a day: with
# 3.3 one of 2,000 looks errs towards a drop by chance alone, and the alert asks for
# another twentieth beyond. Twice as many hide any drop by less than half.
_CHANGE_ERRORS = 3.3


class Interval(NamedTuple):
    """A value and its bounds; NaN: too few queries, or nothing to compare with."""

    low: float
    mean: float
    high: float


NOTHING = Interval(math.nan, math.nan, math.nan)


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """How the newest generations answer.

    Attributes:
        num_queries: of each segment, that the newest generations were asked.
        level: each figure of them.
        change: relative to the generations before: -.1 is a tenth less.
    """

    num_queries: Mapping[Segment, int]
    level: Mapping[tuple[Segment, Figure], Interval]
    change: Mapping[tuple[Segment, Figure], Interval]

    @property
    def is_enough(self) -> bool:
        """Whether there are queries enough to say anything."""
        return self.num_queries[Segment.ALL] >= LEAST_QUERIES


def outlook(evaluations: Sequence[Evaluation]) -> Outlook:
    """Compare the newest generations with those before.

    The newest are as few as have `LEAST_QUERIES` together, so that a generation that
    lives for a minute is judged with its neighbours, not never.

    Args:
        evaluations: oldest first.
    """
    keys = [(segment, figure) for segment in Segment for figure in Figure]
    parts = {key: _split([each.samples.get(key, Sample()) for each in evaluations]) for key in keys}
    return Outlook(
        num_queries={segment: parts[segment, Figure.MRR][0].num for segment in Segment},
        level={key: _level(newest) for key, (newest, _) in parts.items()},
        change={key: _change(newest, before) for key, (newest, before) in parts.items()},
    )


def _split(samples: Sequence[Sample]) -> tuple[Sample, Sample]:
    """Return the newest queries, and those before them."""
    newest, before = Sample(), Sample()
    for each in reversed(samples):
        if newest.num < LEAST_QUERIES:
            newest += each
        elif before.num < _MOST_BEFORE:
            before += each
    return newest, before


def _level(newest: Sample) -> Interval:
    if newest.num < LEAST_QUERIES:
        return NOTHING
    reach = _SHOWN_ERRORS * math.sqrt(newest.mean_variance)
    return Interval(max(0.0, newest.mean - reach), newest.mean, min(1.0, newest.mean + reach))


def _change(newest: Sample, before: Sample) -> Interval:
    if min(newest.num, before.num) < LEAST_QUERIES or not before.total:
        return NOTHING
    mean = newest.mean / before.mean - 1.0
    error = math.sqrt(newest.mean_variance + before.mean_variance) / before.mean
    return Interval(mean - _CHANGE_ERRORS * error, mean, mean + _CHANGE_ERRORS * error)
