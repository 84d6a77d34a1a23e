"""Pure: the best of the rows that a float32 product found near, in an order that is the
same on every machine.
"""

import numpy as np

from stream.dtypes import Float32s, Float64s, Int64s

# Rows of a block that is scored again in float64: 8 MB at 128 dimensions. Only vectors
# that are nearly equal make more than one block; twice as many take twice the memory.
_BLOCK_ROWS = 1 << 13


def rounding_of(dim: int) -> np.float32:
    """Return the largest difference of two float32 products that may be rounding alone,
    of unit vectors of length `dim`: each is off by at most half of it.
    """
    return np.float32(2 * dim * np.finfo(np.float32).eps)


def near_best(rounded: Float32s, k: int, rounding: np.float32) -> Int64s:
    """Return the positions of whatever may be among the `k` best, ascending.

    Args:
        rounded: float32 products, at least `k`.
        k: how many are wanted, at least one.
        rounding: of `rounding_of`.
    """
    least = np.partition(rounded, len(rounded) - k)[len(rounded) - k]
    return np.flatnonzero(rounded >= least - rounding)


def best_rows(
    vectors: Float32s, rows: Int64s, ids: Int64s, vector: Float32s, k: int
) -> tuple[Int64s, Float32s]:
    """Return ids and cosines of the `k` best of some rows, best first; equal cosines go
    by the order of the rows.

    Args:
        vectors: ``float32 [n, dim]``.
        rows: which of them.
        ids: their ids, ascending.
        vector: ``float32 [dim]``.
        k: how many.
    """
    cosines = _cosines(vectors, rows, vector.astype(np.float64))
    best = np.argsort(-cosines, kind="stable")[:k]
    return ids[best].astype(np.int64), cosines[best].astype(np.float32)


def _cosines(vectors: Float32s, rows: Int64s, vector: Float64s) -> Float64s:
    """Return the cosines of some rows, each summed by itself and in one order.

    A matrix product sums a row in an order that depends on the row's place.
    """
    if len(rows) <= _BLOCK_ROWS:
        cosines: Float64s = (vectors[rows] * vector).sum(axis=1)
        return cosines
    blocks = np.array_split(rows, range(_BLOCK_ROWS, len(rows), _BLOCK_ROWS))
    return np.concatenate([_cosines(vectors, block, vector) for block in blocks])
