"""A sparse matrix in the host's memory, by compressed rows."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stream.dtypes import Float32s, Int64s


class CsrMatrix:
    """The entries of a sparse matrix in order of their rows.

    Products use `embedding_bag`, which sums rows on the CPU without gathering them.

    Args:
        row: ``int64 [num_entries]``, row of each entry.
        column: ``int64 [num_entries]``, its column.
        num_rows: rows of the matrix.

    Attributes:
        row: ascending.
        column: in the same order.
        entry: ``int64 [num_entries]``, where each was in what was given.
    """

    def __init__(self, row: Int64s, column: Int64s, num_rows: int) -> None:
        self.entry = np.argsort(row, kind="stable")
        self.row = row[self.entry]
        self.column = column[self.entry]
        self._starts = np.zeros(num_rows + 1, dtype=np.int64)
        self._starts[1:] = np.cumsum(np.bincount(row, minlength=num_rows))

    @property
    def lengths(self) -> Int64s:
        """``int64 [num_rows]``, entries of each row."""
        return np.diff(self._starts)

    def places(self, rows: Int64s) -> Int64s:
        """Return ``int64 [n]``, the places of all entries of some rows, a row after the
        other.
        """
        first, count = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        return np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())

    def product(self, values: Float32s, x: Tensor) -> Tensor:
        """Return the matrix times `x`, ``float32 [num_rows, dim]``, for values in order
        of the rows.
        """
        if not len(values):
            return x.new_zeros(len(self._starts) - 1, x.shape[1])
        column, starts, weights = map(torch.from_numpy, (self.column, self._starts[:-1], values))
        return F.embedding_bag(column, x, starts, mode="sum", per_sample_weights=weights)
