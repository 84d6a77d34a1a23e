"""The figures of the paper's protocol: MRR among sampled candidates, and recall as the
public code counts it.
"""

from typing import Final

import numpy as np

from stream.dtypes import Bools, Float64s

FIGURES: Final = ("mrr", "recall", "recall_10")
"""*mrr*: one over the rank among the pair and its own wrong ones, the mean over pairs
[evaluate_mrr]. *recall*: the share of right pairs that are among as many best ones of
all right and wrong pairs together, whatever their query [cal_recall]. *recall_10*: the
share of right pairs that are among the ten best of their own candidates.
"""
# Ranks that count as found by `recall_10`, as in the figures by time, which are named
# after it. Twice as many find more.
_TOP = 10


def figures_of_pairs(right: Float64s, wrong: Float64s) -> dict[str, Float64s]:
    """Return each figure of `FIGURES` for each right pair, ``float64 [n]``; the figure
    of a group is their mean.

    Args:
        right: ``float64 [n]``, the scores of the right pairs of a group.
        wrong: ``float64 [n, num_wrong]``, those of the wrong ones of each.
    """
    ranks = candidate_ranks(right, wrong)
    return {
        "mrr": 1.0 / ranks,
        "recall": is_found_in_pool(right, wrong).astype(np.float64),
        "recall_10": (ranks <= _TOP).astype(np.float64),
    }


def candidate_ranks(right: Float64s, wrong: Float64s) -> Float64s:
    """Return ``float64 [n]``, from 1: each right pair's place among itself and its
    wrong ones; equals share the mean of their places.
    """
    # Not `>`: a NaN must never look like a good rank.
    above = (~(wrong <= right[:, None])).sum(axis=1)
    level = (wrong == right[:, None]).sum(axis=1)
    ranks: Float64s = 1.0 + above + level / 2.0
    return ranks


def is_found_in_pool(right: Float64s, wrong: Float64s) -> Bools:
    """Return ``bool [n]``: the right pair is among the `n` best of all `n` right ones
    and all wrong ones, and its score is above 0.

    A score above 0 is what the paper's scorer calls an edge. Of equal scores the wrong
    ones come first: a model that scores all pairs alike finds none.
    """
    order = np.argsort(-_no_nan(right, -np.inf), kind="stable")
    wrong_above = np.sort(-_no_nan(wrong.ravel(), np.inf))
    best_first = right[order]
    rank = np.arange(len(right)) + np.searchsorted(wrong_above, -best_first, side="right")
    found = np.zeros(len(right), dtype=np.bool_)
    found[order] = (rank < len(right)) & (best_first > 0)
    return found


def _no_nan(scores: Float64s, instead: float) -> Float64s:
    return np.where(np.isnan(scores), instead, scores)
