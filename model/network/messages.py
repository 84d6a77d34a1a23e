"""The messages of a batch: entries of sparse matrices, drawn in the host's memory with
a bound, then put on the device.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.network.sparse import Pattern
from stream.dtypes import Float32s, Int64s


@dataclass(frozen=True, kw_only=True)
class Messages:
    """The entries of a sparse matrix.

    What is sent from nodes or hyperedges (columns) to others (rows).

    Attributes:
        row: ``int64 [num_messages]``.
        column: ``int64 [num_messages]``.
        value: ``float32 [num_messages]``.
    """

    row: Int64s
    column: Int64s
    value: Float32s

    def pattern(self, rows: Int64s, columns: Int64s, device: torch.device) -> "WeightedPattern":
        """Return them on the device, rows and columns numbered by their places in two
        ascending arrays.
        """
        row, column = np.searchsorted(rows, self.row), np.searchsorted(columns, self.column)
        pattern = Pattern(row, column, len(rows), len(columns), device)
        return WeightedPattern(pattern=pattern, value=torch.from_numpy(self.value).to(device))


@dataclass(frozen=True, kw_only=True)
class WeightedPattern:
    """A sparse matrix on the device: where its entries are, and what they are."""

    pattern: Pattern
    value: Tensor

    def product(self, x: Tensor) -> Tensor:
        """Return the matrix times `x`."""
        return self.pattern.product(self.value, x)


def draw(places: Int64s, rows: Int64s, bound: int) -> tuple[Int64s, Float32s]:
    """Draw at most `bound` places of each row, uniformly and without replacement.

    Args:
        places: what there is to draw from, a row after the other.
        rows: the row of each place there is.
        bound: places drawn of a row.

    Returns:
        The places drawn, in order, and ``float32``, how many times as much each counts.
    """
    _, row, count = np.unique(rows[places], return_inverse=True, return_counts=True)
    if count.max(initial=0) <= bound:
        return places, np.ones(len(places), dtype=np.float32)
    # Rows ascending, random within each: the first `bound` of a row are drawn.
    order = np.lexsort([torch.rand(len(places)).numpy(), row])
    rank = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)
    kept = np.sort(order[rank < bound])
    return places[kept], (np.maximum(count, bound) / bound).astype(np.float32)[row[kept]]
