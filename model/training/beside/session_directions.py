"""What sessions say of items, and so of the queries that lead to them, as directions of
a few numbers.

It needs no step: what a count of joint sessions says is a matrix, and its largest
directions are found in a few products (docs/experiments.md).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.beside.joined import directions
from stream.dtypes import Bools, Float32s, Int64s
from stream.graph.arrays import GraphArrays

# Directions that are looked for beside those that are kept, and rounds of it (Halko,
# Martinsson and Tropp, SIAM Review 2011, who advise 5 to 10 and 1 or 2). Twice as many
# take twice as long, and no figure moves.
_SPARE_DIRECTIONS, _ROUNDS = 10, 4
# Sessions whose sums are held at once: 20 MB at 64 directions. Twice as many take twice
# that, and no less time.
_BLOCK_SESSIONS = 1 << 16
# Share of what sessions say of an item that its directions must hold, or it has none:
# what float32 rounds off is a millionth of that. At a hundredth a third of the items of
# a tag log have none, and two thirds of those of baskets, where a small share says it.
_LEAST_SHARE = 1e-8


def session_directions(arrays: GraphArrays, sessions: Bools, dim: int, seed: int) -> Float32s:
    """Return ``float32 [num_items, dim]``, what some sessions say of each item, as rows
    of length one; zeros where that is nothing.

    The rows of ``U S^1/2``, for the eigenvectors ``U`` of the largest eigenvalues ``S``
    of ``D^-1/2 H^T H D^-1/2``, found by subspace iteration from a random start (Halko,
    Martinsson and Tropp, SIAM Review 2011).

    Args:
        arrays: the graph.
        sessions: ``bool [num_sessions]``, which count.
        dim: length of a row.
        seed: of the start.
    """
    found = np.zeros((arrays.num_items, dim), dtype=np.float32)
    incidence = _Incidence.of(arrays, sessions)
    num_items = len(incidence.items)
    if not num_items:
        return found
    generator = torch.Generator().manual_seed(seed)
    width = min(num_items, dim + _SPARE_DIRECTIONS)
    basis = torch.randn(num_items, width, generator=generator)
    for _ in range(_ROUNDS):
        basis, _ = torch.linalg.qr(incidence.together(basis))
    small = basis.T @ incidence.together(basis)
    values, vectors = torch.linalg.eigh((small + small.T) / 2)
    kept = min(width, dim)
    largest = values.flip(0)[:kept].clamp(min=0.0)
    rows = (basis @ vectors.flip(1)[:, :kept] * largest.sqrt()).numpy()
    # The diagonal of the matrix is ones: what of it the rows hold is their length.
    holds = np.einsum("nd,nd->n", rows, rows) >= _LEAST_SHARE
    found[incidence.items[holds], :kept] = directions(rows[holds])
    return found


def query_directions(
    edges: tuple[Int64s, Int64s], weights: Float32s, items: Float32s, num_queries: int
) -> Float32s:
    """Return ``float32 [num_queries, dim]``, the direction of the weighed sum of each
    query's items; zeros where there is none.

    Args:
        edges: query and item of each edge, ``int64 [num_edges]`` each.
        weights: ``float32 [num_edges]``.
        items: ``float32 [num_items, dim]``, the items' directions.
        num_queries: number of queries.
    """
    clicks = _sparse(edges[0], edges[1], weights, (max(1, num_queries), len(items)))
    return directions(torch.sparse.mm(clicks, torch.from_numpy(items)).numpy()[:num_queries])


@dataclass(frozen=True, kw_only=True)
class _Incidence:
    """Sessions of two items and more, in blocks, and the items in them.

    Attributes:
        items: ``int64 [num_items]`` ascending, the items that are in one.
        blocks: sessions by items, columns scaled to length one over all blocks.
    """

    items: Int64s
    blocks: tuple[Tensor, ...]

    @classmethod
    def of(cls, arrays: GraphArrays, sessions: Bools) -> "_Incidence":
        sizes = np.bincount(arrays.incidence_session, minlength=arrays.num_sessions)
        counts = (sessions & (sizes > 1))[arrays.incidence_session]
        items, column = np.unique(arrays.incidence_item[counts], return_inverse=True)
        _, row = np.unique(arrays.incidence_session[counts], return_inverse=True)
        values = (1.0 / np.sqrt(np.bincount(column)))[column].astype(np.float32)
        return cls(items=items, blocks=tuple(_blocks(row, column, values, len(items))))

    def together(self, rows: Tensor) -> Tensor:
        """Return the product of the matrix of joint sessions and ``float32 [num_items,
        n]``, in the same shape.
        """
        total = torch.zeros_like(rows)
        for block in self.blocks:
            total += torch.sparse.mm(block.t(), torch.sparse.mm(block, rows))
        return total


def _blocks(row: Int64s, column: Int64s, values: Float32s, num_items: int) -> Iterator[Tensor]:
    """Yield the rows of a sparse matrix in blocks; entries are in order of rows."""
    num_rows = int(row.max(initial=-1)) + 1
    for start in range(0, num_rows, _BLOCK_SESSIONS):
        end = min(num_rows, start + _BLOCK_SESSIONS)
        here = slice(*np.searchsorted(row, [start, end]).tolist())
        yield _sparse(row[here] - start, column[here], values[here], (end - start, num_items))


def _sparse(rows: Int64s, columns: Int64s, values: Float32s, shape: tuple[int, int]) -> Tensor:
    place = torch.from_numpy(np.stack([rows, columns]))
    return torch.sparse_coo_tensor(
        place, torch.from_numpy(values), shape, check_invariants=False
    ).coalesce()
