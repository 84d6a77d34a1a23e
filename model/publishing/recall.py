"""Pure: how many of the exact nearest items an opened index finds."""

import numpy as np

from model.artifact.index.engine import VectorIndex
from stream.dtypes import Float32s

# Queries of a measurement: a recall of 0.9 is then known to about 0.01. Twice as many:
# to 0.7 of that, in twice the time, which is half a second at 100,000 items.
_QUERIES = 200
# Items that each should find: a first page of results, and the ten of
# `index_recall_10`.
_K = 10
# Exact scores of a block: 16 MB. Twice as many take twice the memory and no less time.
_SCORES = 1 << 22
# Items whose cosines differ by less may stand in for each other: ten float32 steps
# near 1. Twice as much could hide a miss among near duplicates.
_EQUAL_SCORES = 1e-6


def index_recall(index: VectorIndex, vectors: Float32s, query_vectors: Float32s) -> float:
    """Return the share of the exact ten nearest that an index finds, over a sample of
    queries.

    Args:
        index: an index of `vectors`.
        vectors: ``float32 [n, dim]``; none: the recall is 1.
        query_vectors: ``float32 [num_queries, dim]``; none: the item vectors are the
            queries.
    """
    source = query_vectors if len(query_vectors) else vectors
    if not len(vectors):
        return 1.0
    sample = source[:: max(1, len(source) // _QUERIES)][:_QUERIES]
    k = min(_K, len(vectors))
    found = 0
    for block in np.array_split(sample, max(1, len(sample) * len(vectors) // _SCORES)):
        exact = block @ vectors.T
        for vector, scores, least in zip(
            block, exact, np.partition(exact, -k, axis=1)[:, -k], strict=True
        ):
            ids, _ = index.search(vector, k)
            found += int((scores[ids] >= least - _EQUAL_SCORES).sum())
    return found / (k * len(sample))
