"""What the index of a generation finds of queries, beside an exact scan."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from server.live import LiveGeneration

# Items whose cosines differ by less may stand in for each other: ten float32 steps
# near 1. Twice as much could hide a miss among near duplicates.
_EQUAL_SCORES = 1e-6


def recall_of(live: LiveGeneration, vectors: Iterable[NDArray[np.float32]], k: int) -> float:
    """Return the share of the exact `k` nearest items that the index finds.

    Args:
        live: a generation of at least `k` items.
        vectors: ``float32 [dim]`` each, at least one.
        k: how many items a query asks for.
    """
    indexed = live.generation.item_vectors[live.generation.index_items]
    found = []
    for vector in vectors:
        scores = indexed @ vector
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        ids, _ = live.index.search(vector, k)
        found.append((scores[ids] >= least - _EQUAL_SCORES).mean())
    return round(float(np.mean(found)), 4)
