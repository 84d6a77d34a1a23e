"""Sums of rows into rows that are named more than once."""

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Float32s, Float64s, Int64s
from stream.graph.keysets import run_starts

# Products of a block: 16 MB at 128 dimensions. Twice as many take twice that, and no
# less time.
_BLOCK_ROWS = 1 << 15
# Runs that are as fast added one by one as together. Twice as many: no difference that
# can be measured.
_FEW_RUNS = 8


def add_rows(target: Float32s, index: Int64s, values: Float32s) -> None:
    """Add ``values[n]`` to ``target[index[n]]``, for every `n`."""
    ones = np.ones(len(index), dtype=np.float32)
    add_products(target, index, ones, values, np.arange(len(index)))


def add_products(
    target: Float32s,
    index: Int64s,
    weight: NDArray[np.floating],
    source: Float32s,
    source_index: Int64s,
) -> None:
    """Add ``weight[n] * source[source_index[n]]`` to ``target[index[n]]``, for every
    `n`.
    """
    order = np.argsort(index, kind="stable")
    for start in range(0, len(order), _BLOCK_ROWS):
        rows = order[start : start + _BLOCK_ROWS]
        products = source[source_index[rows]] * weight[rows, None].astype(np.float32)
        # Rows of one target are next to each other; those that the next block has as
        # well are added then.
        firsts = np.flatnonzero(run_starts(index[rows]))
        target[index[rows[firsts]]] += sums_of_runs(products, firsts)


def sums_of_runs(rows: Float32s, firsts: Int64s) -> Float32s:
    """Return ``float32 [num_runs, dim]``, the sum of each run of rows; as
    ``np.add.reduceat`` in a third of the time.

    Args:
        rows: ``float32 [n, dim]``.
        firsts: ``int64 [num_runs]``, where each run begins, the first at 0.
    """
    sizes = np.diff(np.append(firsts, len(rows)))
    order = np.argsort(-sizes, kind="stable")
    starts, sizes = firsts[order], sizes[order]
    sums = rows[starts]
    # The second row of every run that has one, then the third, and so on: runs are in
    # order of length. What few long runs are left of is added a run at a time.
    place = 1
    while (count := int(np.searchsorted(-sizes, -place))) > _FEW_RUNS:
        sums[:count] += rows[starts[:count] + place]
        place += 1
    for run in range(count):
        start = int(starts[run])
        sums[run] += rows[start + place : start + int(sizes[run])].sum(axis=0)
    in_order = np.empty_like(sums)
    in_order[order] = sums
    return in_order


def add_numbers(target: Float64s | Float32s, index: Int64s, values: NDArray[np.floating]) -> None:
    """Add ``values[n]`` to ``target[index[n]]``, for every `n`."""
    rows, place = np.unique(index, return_inverse=True)
    target[rows] += np.bincount(place, values, minlength=len(rows)).astype(target.dtype)


def norms(rows: Float32s) -> Float32s:
    """Return the length of each row."""
    lengths: Float32s = np.sqrt(np.einsum("...d,...d->...", rows, rows))
    return lengths
