"""Pure: the batches of a pass, which edges it draws and into how many batches it cuts
them.
"""

import math
from collections.abc import Sequence

import numpy as np

from stream.dtypes import Bools, Int64s

# Number of batches from which those of a refresh grow. Chosen by hand, so that
# refreshes of the logs of docs/benchmarks.md stay the same. Twice as many: smaller
# steps, and more.
_FEW_BATCHES = 4
# Times `model.batch_size` that they grow to. In a shop of 1.1 million facts batches of
# 4,096 and 8,192 learn no worse than 2,048 in 45 and 39 s of CPU in place of 61
# (docs/experiments.md, Refreshing). Twice as much was not tried.
_LARGEST_GROWTH = 4


def num_batches(num_edges: int, batch_size: int) -> int:
    """Return the number of batches in a pass of a training."""
    return max(1, round(num_edges / batch_size))


def num_refresh_batches(num_edges: int, batch_size: int) -> int:
    """Return the number of batches in a pass over what is new since the parent.

    A step propagates over the whole graph, however few edges it supervises, and known
    vectors should move little: from four batches on they grow, to four times
    `batch_size` at most.
    """
    usual = num_batches(num_edges, batch_size)
    return min(usual, max(_FEW_BATCHES, math.ceil(num_edges / (_LARGEST_GROWTH * batch_size))))


def pass_edges(recent: Bools, replay_share: float, rng: np.random.Generator) -> Int64s:
    """Return the edges of a pass: all recent ones and a fresh sample of the older ones.

    Args:
        recent: ``bool [num_edges]``, those that the parent has not learned.
        replay_share: share of the others that is drawn.
        rng: draws them.
    """
    older = np.flatnonzero(~recent)
    replayed = rng.permutation(older)[: int(np.ceil(replay_share * len(older)))]
    return np.concatenate([np.flatnonzero(recent), replayed])


def closing_pass_edges(newest: Int64s, others: Int64s, rng: np.random.Generator) -> Int64s:
    """Return the edges of a closing pass: the newest beside as many others.

    Args:
        newest: ``int64 [num_newest]``, an edge as often as it counts.
        others: ``int64 [num_others]``.
        rng: draws as many of them as there are newest ones.
    """
    return np.concatenate([newest, rng.permutation(others)[: len(newest)]])


def shuffled_batches(edges: Int64s, count: int, rng: np.random.Generator) -> Sequence[Int64s]:
    """Return `edges` in random order, cut into `count` batches of about one size."""
    return np.array_split(rng.permutation(edges), count)
