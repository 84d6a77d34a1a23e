"""Sums of rows into rows that are named more than once: in C where the optional library
`freshet_native` is installed, else in NumPy, the same but for rounding.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Float32s, Float64s, Int64s
from stream.graph.keysets import run_starts

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether rows are added in C: in a fifth of the time."""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native

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
    if IS_NATIVE:
        freshet_native.add_products(
            target,
            np.ascontiguousarray(index, dtype=np.int64),
            np.ascontiguousarray(weight, dtype=np.float32),
            source,
            np.ascontiguousarray(source_index, dtype=np.int64),
        )
        return
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


class RowSums(NamedTuple):
    """Sums of rows by what they are for.

    Attributes:
        named: ``int64 [n]`` ascending, what was named.
        sums: ``float32 [n, dim]``.
    """

    named: Int64s
    sums: Float32s


def summed_products(
    index: Int64s, weight: NDArray[np.floating], source: Float32s, source_index: Int64s, room: int
) -> RowSums:
    """Return the sums of ``weight[n] * source[source_index[n]]`` by ``index[n]``, which
    is below `room`.
    """
    is_named = np.zeros(room, dtype=np.bool_)
    is_named[index] = True
    named = np.flatnonzero(is_named)
    place = np.empty(room, dtype=np.int64)
    place[named] = np.arange(len(named))
    sums = np.zeros((len(named), source.shape[1]), dtype=np.float32)
    add_products(sums, place[index], weight, source, source_index)
    return RowSums(named, sums)


def add_distinct(target: Float32s, index: Int64s, values: Float32s) -> None:
    """Add ``values[n]`` to ``target[index[n]]``, for every `n`, none twice."""
    if IS_NATIVE:
        add_rows(target, index, values)
    else:
        target[index] += values


class Moves(NamedTuple):
    """How far sums are from what was before, and how long they are.

    Attributes:
        moved: ``float32 [n]``.
        length: ``float32 [n]``.
    """

    moved: Float32s
    length: Float32s


Term = tuple[Float32s, Float32s]
"""Rows ``float32 [num_rows, dim]`` of a sum, and the weight ``float32 [n]`` of each
that is asked; where it is 0 a row counts for nothing, whatever it has.
"""


def moves_of(before: Float32s, index: Int64s, terms: tuple[Term, ...]) -> Moves:
    """Return how far sums of weighted rows are from what was before.

    No sum is kept: where few have moved, most are of no other use.

    Args:
        before: ``float32 [num_rows, dim]``.
        index: ``int64 [n]``, the rows, of `before` and of each term.
        terms: of the sums, one to nine.
    """
    if IS_NATIVE:
        index = np.ascontiguousarray(index, dtype=np.int64)
        found = freshet_native.moves_of(before, index, terms)
        return Moves(*(np.frombuffer(each, dtype=np.float32) for each in found))
    sums = np.zeros((len(index), before.shape[1]), dtype=np.float32)
    for rows, weight in terms:
        counts = np.flatnonzero(weight)
        sums[counts] += weight[counts, None] * rows[index[counts]]
    return Moves(norms(sums - before[index]), norms(sums))


def add_numbers(target: Float64s | Float32s, index: Int64s, values: NDArray[np.floating]) -> None:
    """Add ``values[n]`` to ``target[index[n]]``, for every `n`."""
    # Of one type, numpy adds them without a look at each.
    np.add.at(target, index, values.astype(target.dtype, copy=False))


def norms(rows: Float32s) -> Float32s:
    """Return the length of each row."""
    lengths: Float32s = np.sqrt(np.einsum("...d,...d->...", rows, rows))
    return lengths
