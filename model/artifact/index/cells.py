"""Pure: cells of unit vectors that lie close together, by spherical k-means."""

from dataclasses import dataclass

import numpy as np

from model.artifact.encoder import unit_rows
from stream.dtypes import Float32s, Int64s

# Vectors per cell that the centres are learned from. With 32, real vectors lose one in
# a hundred of recall at the same price; twice as many take twice the time of learning.
_SAMPLE_PER_CELL = 64
# Passes over that sample. After ten hardly a vector changes its cell; twice as many
# find no more, in twice the time.
_PASSES = 10
# Products of a block: 16 MB. Twice as many take twice the memory and no less time.
_BLOCK_PRODUCTS = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Vectors by cell.

    Attributes:
        centres: ``float32 [num_cells, dim]``, unit vectors.
        starts: ``int64 [num_cells + 1]``, where each cell begins among `ids`.
        ids: ``int64 [n]``, cell by cell, ascending in each.
    """

    centres: Float32s
    starts: Int64s
    ids: Int64s


def make_cells(vectors: Float32s, num_cells: int, seed: int) -> Cells:
    """Return the vectors in up to `num_cells` cells.

    The same vectors and seed give the same cells.

    Args:
        vectors: ``float32 [n, dim]``, unit rows.
        num_cells: at most `n`.
        seed: of the first centres.
    """
    rng = np.random.default_rng(seed)
    few = rng.permutation(len(vectors))[: _SAMPLE_PER_CELL * num_cells]
    centres = _learn_centres(vectors[np.sort(few)], num_cells, rng)
    cell = _nearest(vectors, centres)
    sizes = np.bincount(cell, minlength=num_cells)
    return Cells(
        centres=centres,
        starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        ids=np.argsort(cell, kind="stable").astype(np.int64),
    )


def learning_bytes(count: int, dim: int, num_cells: int) -> int:
    """Return the memory that `make_cells` takes at its peak, beside the vectors.

    Twice the sample (one is sorted by cell), the products of a block and their copies,
    and a few numbers for each vector.
    """
    sample = min(count, _SAMPLE_PER_CELL * num_cells)
    return 2 * 4 * dim * sample + 4 * _BLOCK_PRODUCTS + 4 * 8 * count


def num_compared(count: int, num_cells: int) -> int:
    """Return how many vectors `make_cells` compares with all centres, in all passes."""
    return count + _PASSES * min(count, _SAMPLE_PER_CELL * num_cells)


def _learn_centres(sample: Float32s, num_cells: int, rng: np.random.Generator) -> Float32s:
    centres = sample[rng.permutation(len(sample))[:num_cells]]
    for _ in range(_PASSES if num_cells else 0):
        cell = _nearest(sample, centres)
        sizes = np.bincount(cell, minlength=num_cells)
        filled = np.flatnonzero(sizes)
        order = np.argsort(cell, kind="stable")
        sums = np.add.reduceat(sample[order], (np.cumsum(sizes) - sizes)[filled], axis=0)
        # A cell that lost all its vectors begins anew at one of the sample.
        centres = sample[rng.integers(len(sample), size=num_cells)]
        centres[filled] = unit_rows(sums)
    return centres


def _nearest(vectors: Float32s, centres: Float32s) -> Int64s:
    """Return ``int64 [n]``, the centre nearest to each vector."""
    nearest = np.zeros(len(vectors), dtype=np.int64)
    rows = max(1, _BLOCK_PRODUCTS // max(1, len(centres)))
    for start in range(0, len(vectors), rows):
        block = slice(start, start + rows)
        nearest[block] = (vectors[block] @ centres.T).argmax(axis=1)
    return nearest
