"""The walk block of a vector: where clicks lead through sessions, beside the dimensions
of the network and of pretrained text.

What was in one session makes items alike: of the matrix ``N = D^-1/2 H^T H D^-1/2``,
with ``H`` the incidence of sessions and items and ``D`` the sessions of each item (its
entries are the cosines of Linden et al., 2003), a generation keeps the directions in
which it is largest. Each item is a row ``r`` of length one in them, and a query the
direction of the sum of its items' rows, each by ``ln(1 + sessions)``: the walk query,
item, session, item, folded into so many numbers. A mean over a whole session, which is
what the hypergraph channel hears, says little of each of its items; this counts who was
with whom.

An item's vector is ``[v, b r, f] / sqrt(1 + B^2)`` with ``b`` its scale, ``B`` the
largest and ``f = sqrt(B^2 - b^2)``, ``B`` where it has no direction: items are all
shrunk alike, so that a query without a direction ranks them as before. A query's is
``[v, a r, 0] / sqrt(1 + a^2)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.dtypes import Bools, Float32s, Float64s, Int64s

# Shorter, and a sum has no direction: it is what rounding leaves of rows of length one,
# or an item of which directions say nothing. Twice as much changes nothing.
_SMALLEST_NORM = 1e-5


@dataclass(frozen=True, kw_only=True)
class WalkScales:
    """What the block counts beside the rest of a vector, which has length 1.

    Attributes:
        query: of queries.
        item: of items that have been clicked.
        new_item: of others.
    """

    query: float
    item: float
    new_item: float

    @property
    def is_off(self) -> bool:
        """Whether the block adds nothing to any score."""
        return not (self.query and (self.item or self.new_item))

    @property
    def largest(self) -> float:
        """The largest of an item."""
        return max(self.item, self.new_item)

    def of_items(self, is_known: Bools) -> Float32s:
        """Return ``float32 [n]``, the scale of each item.

        Args:
            is_known: ``bool [n]``: it has been clicked.
        """
        return np.where(is_known, self.item, self.new_item).astype(np.float32)


WALK_OFF = WalkScales(query=0.0, item=0.0, new_item=0.0)


@dataclass(frozen=True, kw_only=True)
class WalkBlock:
    """The block of a generation.

    Attributes:
        dim: its length: one number more than a direction has.
        scales: what it counts.
    """

    dim: int
    scales: WalkScales

    def queries(self, vectors: Float32s, directions: Float32s) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: ``float32 [n, rest]``, unit vectors.
            directions: ``float32 [n, dim - 1]``, rows of length one or zeros.
        """
        scales = np.full(len(vectors), self.scales.query, dtype=np.float32)
        filler = np.zeros(len(vectors), dtype=np.float32)
        return _joined(vectors, directions * scales[:, None], filler)

    def items(self, vectors: Float32s, directions: Float32s, is_known: Bools) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: as in `queries`.
            directions: as in `queries`.
            is_known: as in `WalkScales.of_items`.
        """
        scales = self.scales.of_items(is_known) * directions.any(axis=1)
        filler = np.sqrt(np.maximum(0.0, self.scales.largest**2 - scales.astype(np.float64) ** 2))
        return _joined(vectors, directions * scales[:, None], filler.astype(np.float32))

    def without_sessions(self, vectors: Float32s, *, is_item: bool) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]`` of nodes of which sessions
        say nothing.
        """
        nothing = np.zeros((len(vectors), self.dim - 1), dtype=np.float32)
        if is_item:
            return self.items(vectors, nothing, np.zeros(len(vectors), dtype=np.bool_))
        return self.queries(vectors, nothing)

    def directions_of(self, vectors: Float32s) -> Float32s:
        """Return ``float32 [n, dim - 1]``, the directions in vectors as `items` returns
        them.
        """
        return directions(vectors[:, -self.dim : -1])


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


def _joined(vectors: Float32s, block: Float32s, filler: Float32s) -> Float32s:
    parts: Sequence[Float32s] = (vectors, block, filler[:, None])
    lengths = np.sqrt(1.0 + np.einsum("nd,nd->n", block, block) + filler**2)
    joined: Float32s = (np.concatenate(parts, axis=1) / lengths[:, None]).astype(np.float32)
    return joined
