"""Bootstrap confidence intervals of means: over queries and seeds, over groups."""

import numpy as np

from stream.dtypes import Float64s, Int64s

# Draws behind an interval. Chosen by hand. Twice as many take twice as long, and halve
# the variance of the interval's own ends.
_RESAMPLES = 2000
# Draws of a block, each a weight for every query. Chosen by hand. Twice as many take
# twice the memory; and another number draws otherwise, so intervals move a little.
_AT_ONCE = 50
# Percentiles: a 95% interval.
_LEVELS = (0.025, 0.975)


def interval(values: Float64s) -> tuple[float, float]:
    """Return the 95% interval of the mean of `values` (Efron and Tibshirani, 1993:
    percentiles).

    Queries and seeds are resampled together, each with replacement, so that the
    interval holds for other queries and other seeds. Drawing is by a fixed seed: the
    same values give the same interval.

    Args:
        values: ``float64 [num_seeds, num_queries]``, a figure, or the difference of two
            models' figures: then it is a paired bootstrap.
    """
    num_seeds, num_queries = values.shape
    if not values.size:
        return 0.0, 0.0
    rng = np.random.default_rng(0)
    means = []
    for _ in range(_RESAMPLES // _AT_ONCE):
        seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), _AT_ONCE) / num_seeds
        queries = (
            rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), _AT_ONCE)
            / num_queries
        )
        means.append(((seeds @ values) * queries).sum(axis=1))
    low, high = np.quantile(np.concatenate(means), _LEVELS)
    return float(low), float(high)


def relative_interval(ours: Float64s, theirs: Float64s, group: Int64s) -> tuple[float, float]:
    """Return the 95% interval of ``mean(ours) / mean(theirs) - 1``, by paired bootstrap
    over groups.

    Whole groups are resampled, with replacement: what is in one, such as a day, is not
    independent. Drawing is by a fixed seed.

    Args:
        ours: ``float64 [num_values]``, a figure.
        theirs: ``float64 [num_values]``, another system's on the same; where a draw
            sums to 0 it is left out.
        group: ``int64 [num_values]``.
    """
    if not len(group):
        return 0.0, 0.0
    groups, place = np.unique(group, return_inverse=True)
    sums = np.stack(
        [np.bincount(place, values, minlength=len(groups)) for values in (ours, theirs)]
    )
    rng = np.random.default_rng(0)
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), _RESAMPLES)
    drawn_ours, drawn_theirs = sums @ draws.T
    some = drawn_theirs > 0
    if not some.any():
        return 0.0, 0.0
    low, high = np.quantile(drawn_ours[some] / drawn_theirs[some] - 1, _LEVELS)
    return float(low), float(high)
