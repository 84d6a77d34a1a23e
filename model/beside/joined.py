"""Numbers that stand beside the rest of a vector, which has length one: rows of length
one or zeros, times a scale, and a last number that makes vectors equally long.
"""

import numpy as np

from stream.dtypes import Float32s, Float64s, Int64s

# Shorter, and a sum has no direction: it is what rounding leaves of rows of length one,
# or an item of which directions say nothing. Twice as much changes nothing.
_SMALLEST_NORM = 1e-5


def directions(sums: Float32s) -> Float32s:
    """Return ``float32 [n, dim]``, rows scaled to length one; zeros where one has no
    direction.
    """
    lengths = np.linalg.norm(sums, axis=1)
    lengths = np.where(lengths > _SMALLEST_NORM, lengths, np.inf).astype(np.float32)
    scaled: Float32s = sums / lengths[:, None]
    return scaled


def summed_directions(place: Int64s, weight: Float64s, rows: Float32s, count: int) -> Float32s:
    """Return ``float32 [count, dim]``, the direction of each weighed sum of rows.

    Args:
        place: ``int64 [n]``, which sum each row is of.
        weight: ``float64 [n]``.
        rows: ``float32 [n, dim]``.
        count: number of sums.
    """
    order = np.argsort(place, kind="stable")
    sums = np.zeros((count, rows.shape[1]), dtype=np.float32)
    there, firsts = np.unique(place[order], return_index=True)
    if len(there):
        weighed = weight[order, None].astype(np.float32) * rows[order]
        sums[there] = np.add.reduceat(weighed, firsts, axis=0)
    return directions(sums)


def joined(vectors: Float32s, rows: Float32s, filler: Float32s | None = None) -> Float32s:
    """Return unit vectors ``float32 [n, rest + dim]`` in the direction of ``[vector,
    row, filler]``.

    Args:
        vectors: ``float32 [n, rest]``, unit vectors.
        rows: ``float32 [n, dim - 1]``.
        filler: ``float32 [n]``; None: zeros.
    """
    last = np.zeros(len(vectors), dtype=np.float32) if filler is None else filler
    lengths = np.sqrt(1.0 + np.einsum("nd,nd->n", rows, rows) + last**2)
    whole = np.concatenate([vectors, rows, last[:, None]], axis=1) / lengths[:, None]
    vector: Float32s = whole.astype(np.float32)
    return vector


def joined_alike(vectors: Float32s, rows: Float32s, scales: Float32s, largest: float) -> Float32s:
    """Return unit vectors ``float32 [n, rest + dim]`` of which the rest is equally long
    in all: what scores by it alone ranks them as before.

    Args:
        vectors: ``float32 [n, rest]``, unit vectors.
        rows: ``float32 [n, dim - 1]``, of length one, or zeros.
        scales: ``float32 [n]``, of each row.
        largest: the largest scale there may be.
    """
    scales = scales * rows.any(axis=1)
    filler = np.sqrt(np.maximum(0.0, largest**2 - scales.astype(np.float64) ** 2))
    return joined(vectors, rows * scales[:, None], filler.astype(np.float32))
