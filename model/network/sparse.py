"""Propagation over fixed sparse patterns whose weights change at every step.

Every product is an `embedding_bag` over a pattern that is sorted once, both ways: its
gradient is the product with the transposed pattern. What that costs, and why it is no
library's layer, is in `docs/decisions/0002-propagation.md`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stream.dtypes import Int64s

# A node without visible edges has degree 0, and its row no entry that is not 0: any
# positive number serves as its degree. It is far below the smallest weight, ln 2.
_SMALL = 1e-9


class Adjacency:
    """The query-item graph as one symmetric matrix over all nodes, queries first;
    each step has weights of its own.

    Args:
        edge_query: ``int64 [num_edges]``.
        edge_item: ``int64 [num_edges]``.
        num_queries: number of queries.
        num_items: number of items.
        device: where the index tensors live.
    """

    def __init__(
        self,
        edge_query: Int64s,
        edge_item: Int64s,
        num_queries: int,
        num_items: int,
        device: torch.device,
    ) -> None:
        self._num_nodes = num_queries + num_items
        row = np.concatenate([edge_query, num_queries + edge_item])
        column = np.concatenate([num_queries + edge_item, edge_query])
        # Entries by row and then column: each row is one piece, and the pattern, being
        # symmetric, is its own transpose.
        order = np.lexsort([column, row])
        counts = np.bincount(row, minlength=self._num_nodes)
        self._starts = _index(np.cumsum(counts) - counts, device)
        self._row = _index(row[order], device)
        self._column = _index(column[order], device)
        self._edge = _index(order % max(1, len(edge_query)), device)

    def degrees(self, weight: Tensor) -> Tensor:
        """Return ``float32 [num_nodes]``, the sum of each node's edge weights ``float32
        [num_edges]``.
        """
        return weight.new_zeros(self._num_nodes).index_add_(
            0, self._row, gather(weight, self._edge)
        )

    def normalised(self, weight: Tensor, degrees: Tensor, listens: Tensor) -> "NormalisedAdjacency":
        """Return D^-1/2 A D^-1/2 with the rows of some nodes only.

        Args:
            weight: ``float32 [num_edges]``.
            degrees: of `degrees`.
            listens: ``float32 [num_nodes]``; 0: the node's row is empty.
        """
        root = degrees.clamp(min=_SMALL).rsqrt()
        values = gather(weight, self._edge) * gather(root, self._row) * gather(root, self._column)
        return NormalisedAdjacency(
            values=values * gather(listens, self._row),
            transposed=values * gather(listens, self._column),
        )

    def convolve(self, normalised: "NormalisedAdjacency", x: Tensor) -> Tensor:
        """Return one light graph convolution of ``x [num_nodes, dim]`` (He et al.,
        SIGIR 2020).
        """
        return _product(x, *self.both(normalised))

    def both(self, normalised: "NormalisedAdjacency") -> tuple["Matrix", "Matrix"]:
        """Return the matrix and its transpose."""
        pattern = self._column, self._starts
        return (normalised.values, *pattern), (normalised.transposed, *pattern)


@dataclass(frozen=True, kw_only=True)
class NormalisedAdjacency:
    """The values ``float32 [num_entries]`` of a matrix over an `Adjacency`, and those
    of its transpose.

    The pattern is symmetric, and so the same for both.
    """

    values: Tensor
    transposed: Tensor


class Pattern:
    """Where a sparse ``[num_rows, num_columns]`` matrix has entries.

    Each product is given their values.

    Args:
        row: ``int64 [num_entries]``, row of each entry.
        column: ``int64 [num_entries]``, its column.
        num_rows: rows of the matrix.
        num_columns: columns of the matrix.
        device: where the index tensors live.
    """

    def __init__(
        self,
        row: Int64s,
        column: Int64s,
        num_rows: int,
        num_columns: int,
        device: torch.device,
    ) -> None:
        self.num_rows = num_rows
        self.num_columns = num_columns
        self.row = _index(row, device)
        self.column = _index(column, device)
        self.by_row = _bags(row, column, num_rows, device)
        self.by_column = _bags(column, row, num_columns, device)

    def product(self, values: Tensor, x: Tensor) -> Tensor:
        """Return the matrix times `x`, ``float32 [num_rows, dim]`` from ``[num_columns,
        dim]``.
        """
        return _product(x, *self.both(values))

    def transposed_product(self, values: Tensor, x: Tensor) -> Tensor:
        """Return the transposed matrix times `x`, ``float32 [num_columns, dim]`` from
        ``[num_rows, dim]``.
        """
        return _product(x, *self.both(values)[::-1])

    def both(self, values: Tensor) -> tuple["Matrix", "Matrix"]:
        """Return the matrix and its transpose."""
        return _weighted(self.by_row, values), _weighted(self.by_column, values)

    def row_sums(self, values: Tensor) -> Tensor:
        """Return ``float32 [num_rows]``."""
        return values.new_zeros(self.num_rows).index_add_(0, self.row, values)

    def column_sums(self, values: Tensor) -> Tensor:
        """Return ``float32 [num_columns]``."""
        return values.new_zeros(self.num_columns).index_add_(0, self.column, values)


def gather(values: Tensor, places: Tensor) -> Tensor:
    """Return ``values[places]`` of one dimension; several times as fast on a CPU."""
    return values.index_select(0, places)


def places_of(rows: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of all entries of some rows, a row after the other, and where
    each row begins among them.

    Args:
        rows: ``int64 [n]``.
        starts: ``int64 [num_rows + 1]``, where each row there is begins.
    """
    begins = starts[rows]
    counts = starts[rows + 1] - begins
    first = counts.cumsum(0) - counts
    shift = torch.repeat_interleave(begins - first, counts)
    return shift + torch.arange(len(shift), device=rows.device), first


def _index(places: Int64s, device: torch.device) -> Tensor:
    """Return them with 32 bits: a step reads every index several times."""
    return torch.from_numpy(places.astype(np.int32)).to(device)


Bags = tuple[Tensor, Tensor, Tensor]


def _bags(row: Int64s, column: Int64s, num_rows: int, device: torch.device) -> Bags:
    """Return the columns in order of rows, where each row starts, and
    the order itself.
    """
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=num_rows)
    starts = np.cumsum(counts) - counts
    return _index(column[order], device), _index(starts, device), _index(order, device)


Matrix = tuple[Tensor, Tensor, Tensor]
"""The values of a sparse matrix, row after row, the column of each, and where each row
starts.
"""


def _weighted(bags: Bags, values: Tensor) -> Matrix:
    """Return the values of a pattern in the order of its bags, with its columns and
    starts.
    """
    column, starts, order = bags
    return gather(values, order), column, starts


class _SparseProduct(torch.autograd.Function):
    """A sparse product; its gradient is the product with the transpose.

    Values get no gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Matrix, transposed: Matrix) -> Tensor:
        ctx.transposed = transposed
        return weighted_sums(x, *matrix)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return weighted_sums(gradients[0].contiguous(), *ctx.transposed), None, None


def weighted_sums(x: Tensor, values: Tensor, column: Tensor, starts: Tensor) -> Tensor:
    """Return ``float32 [len(starts), dim]``.

    Each a sum of some rows of `x`, from its start to the next.
    """
    if not len(column):
        return x.new_zeros(len(starts), x.shape[1])
    return F.embedding_bag(column, x, starts, mode="sum", per_sample_weights=values)


def _product(x: Tensor, matrix: Matrix, transposed: Matrix) -> Tensor:
    result: Tensor = _SparseProduct.apply(x, matrix, transposed)
    return result
