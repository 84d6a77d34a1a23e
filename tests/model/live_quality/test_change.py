"""Whether the newest generations answer worse, beyond chance."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from model.live_quality.change import LEAST_QUERIES, Outlook, outlook
from model.live_quality.newest_clicks import Evaluation, Figure, Sample, Segment
from stream.dtypes import Float64s

KEY = Segment.ALL, Figure.MRR
SURELY = -0.05  # of FreshetQualityDropped: worse than this beyond chance


def evaluation(number: int, values: Float64s) -> Evaluation:
    """Return an evaluation in which each figure of each query is one of `values`."""
    samples = {(segment, figure): Sample.of(values) for segment in Segment for figure in Figure}
    return Evaluation(
        generation_id=f"g{number}", at_ms=number, num_pairs=len(values), samples=samples
    )


def reciprocal_ranks(random: np.random.Generator, num: int, share: float) -> Float64s:
    """Return 1 / rank of queries of which `share` find their item among the first five,
    and the others nowhere.
    """
    ranks = random.integers(1, 6, num).astype(np.float64)
    return np.where(random.random(num) < share, 1.0 / ranks, 0.0)


def shop(shares: Sequence[float], queries: int, seed: int = 0) -> list[Evaluation]:
    """Return an evaluation of each share, oldest first."""
    random = np.random.default_rng(seed)
    return [
        evaluation(number, reciprocal_ranks(random, queries, share))
        for number, share in enumerate(shares)
    ]


def test_too_few_clicks_say_nothing() -> None:
    """However bad they look."""
    found = outlook(shop([0.9, 0.9, 0.9, 0.9], LEAST_QUERIES // 5))

    assert not found.is_enough
    assert found.num_queries[Segment.ALL] == 4 * (LEAST_QUERIES // 5)
    assert all(math.isnan(value) for value in found.level[KEY])
    assert all(math.isnan(value) for value in found.change[KEY])


def test_nothing_before_is_a_level_and_no_change() -> None:
    """The first generations have nothing to be compared with."""
    found = outlook(shop([0.8], LEAST_QUERIES))

    assert found.is_enough
    assert found.level[KEY].low < found.level[KEY].mean < found.level[KEY].high
    assert all(math.isnan(value) for value in found.change[KEY])


def test_a_drop_beyond_chance_is_told_of() -> None:
    """Half of the answers are lost in the newest generation."""
    found = outlook(shop([0.8] * 5 + [0.4], 300))

    assert found.change[KEY].mean == pytest.approx(-0.5, abs=0.1)
    assert found.change[KEY].high < SURELY


def test_a_drop_is_told_of_though_each_generation_has_few_clicks() -> None:
    """Neighbours are judged together: eight of thirty clicks each."""
    found = outlook(shop([0.8] * 60 + [0.3] * 8, 30))

    assert found.num_queries[Segment.ALL] >= LEAST_QUERIES
    assert found.change[KEY].high < SURELY


def test_a_gain_is_no_drop() -> None:
    """It is told of with the other sign."""
    found = outlook(shop([0.4] * 5 + [0.8], 300))

    assert found.change[KEY].low > 0


def test_noise_is_no_drop() -> None:
    """Two thousand looks at generations that are all alike: hardly one is a drop."""
    drops = [
        outlook(shop([0.6] * 12, LEAST_QUERIES, seed)).change[KEY].high < SURELY
        for seed in range(2000)
    ]

    assert sum(drops) <= 1


def test_intervals_hold_the_true_value() -> None:
    """About 95 in 100 of those that are shown."""
    true = 0.6 * float(np.mean([1 / rank for rank in range(1, 6)]))

    def holds(found: Outlook) -> bool:
        return found.level[KEY].low <= true <= found.level[KEY].high

    held = sum(holds(outlook(shop([0.6], LEAST_QUERIES, seed))) for seed in range(1000))

    assert 920 <= held <= 975


def test_generations_that_answered_nothing_are_no_basis() -> None:
    """A change relative to nothing is none."""
    found = outlook(shop([0.0, 0.5], LEAST_QUERIES))

    assert all(math.isnan(value) for value in found.change[KEY])
