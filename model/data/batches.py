"""Pure: into how many batches a pass cuts its edges."""

import math

_FEW, _LARGER = 4, 4


def num_batches(num_edges: int, batch_size: int) -> int:
    """Return how many there are in a pass of a training."""
    return max(1, round(num_edges / batch_size))


def num_refresh_batches(num_edges: int, batch_size: int) -> int:
    """Return how many there are in a pass over what is new since an earlier generation.

    A step propagates over the whole graph, however few edges it supervises, and what is
    known is to move little: once there are four batches they grow, to four times
    `batch_size` at most.
    """
    usual = num_batches(num_edges, batch_size)
    return min(usual, max(_FEW, math.ceil(num_edges / (_LARGER * batch_size))))
