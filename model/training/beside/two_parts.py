"""Vectors of two parts: those of a trained model, and directions that stand beside
them. Both are scored once, and weighed in many ways.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from model.ranking import scored_ranks
from stream.dtypes import Bools, Float32s, Float64s, Int64s

# Ranks that count as found, as in `model.ranking.Quality.worth`.
_TOP = 10
# Scores of a block: 16 MiB of float32, whatever the number of items, as in
# `model.ranking`. Twice as many take twice the memory.
_BLOCK_SCORES = 1 << 22

Weighed = Callable[[Float32s, Float32s, Int64s], Float32s]
"""Returns the scores of some queries, in ascending order, from those of the two parts,
``float32 [num_queries, num_items]`` each.
"""


@dataclass(frozen=True, kw_only=True)
class TwoParts:
    """Both parts of all nodes' vectors, and what they have seen.

    Attributes:
        query_vectors: ``float32 [num_queries, rest]`` unit vectors.
        item_vectors: ``float32 [num_items, rest]`` unit vectors.
        query_directions: ``float32 [num_queries, dim]``, rows of length one or zeros.
        item_directions: ``float32 [num_items, dim]``, the same.
        seen: query and item of each edge that the vectors have seen, ``int64
            [num_edges]`` each; nodes without one are new.
    """

    query_vectors: Float32s
    item_vectors: Float32s
    query_directions: Float32s
    item_directions: Float32s
    seen: tuple[Int64s, Int64s]

    @property
    def knows_query(self) -> Bools:
        """``bool [num_queries]``: something has been clicked for it."""
        return _marks(self.seen[0], len(self.query_vectors))

    @property
    def knows_item(self) -> Bools:
        """``bool [num_items]``: it has been clicked."""
        return _marks(self.seen[1], len(self.item_vectors))

    def ranks(self, edges: tuple[Int64s, Int64s], tried: Sequence[Weighed]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``, the rank of each edge's item by
        each way to weigh both parts.

        Args:
            edges: query and item of each, ``int64 [num_edges]``.
            tried: the ways.
        """
        ranks = np.zeros((len(tried), len(edges[0])), dtype=np.float64)
        for queries, here in _blocks(edges[0], len(self.item_vectors)):
            rest = self.query_vectors[queries] @ self.item_vectors.T
            beside = self.query_directions[queries] @ self.item_directions.T
            for place, weighed in enumerate(tried):
                ranks[place, here] = scored_ranks(
                    partial(_rows, weighed(rest, beside, queries), queries),
                    len(self.item_vectors),
                    (edges[0][here], edges[1][here]),
                    self.seen,
                )
        return ranks

    def gains_of(self, edges: tuple[Int64s, Int64s], tried: Sequence[Weighed]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, and one for the first ten, added.

        Args:
            edges: as in `ranks`.
            tried: the same.
        """
        ranks = self.ranks(edges, tried)
        gains: Float64s = 1.0 / ranks + (ranks <= _TOP)
        return gains


def without(
    edges: tuple[Int64s, Int64s], others: tuple[Int64s, Int64s], num_items: int
) -> tuple[Int64s, Int64s]:
    """Return query and item of the edges that are not among others."""
    left = ~np.isin(edges[0] * num_items + edges[1], others[0] * num_items + others[1])
    return edges[0][left], edges[1][left]


def _blocks(query: Int64s, num_items: int) -> Iterator[tuple[Int64s, Int64s]]:
    """Yield queries, ascending, and the positions of their edges, in blocks."""
    asked, size = np.unique(query), max(1, _BLOCK_SCORES // max(1, num_items))
    for start in range(0, len(asked), size):
        block = asked[start : start + size]
        yield block, np.flatnonzero(np.isin(query, block))


def _rows(scores: Float32s, queries: Int64s, wanted: Int64s) -> Float32s:
    """Return the rows of some queries, of scores of ascending ones."""
    rows: Float32s = scores[np.searchsorted(queries, wanted)]
    return rows


def _marks(rows: Int64s, count: int) -> Bools:
    marks = np.zeros(count, dtype=np.bool_)
    marks[rows] = True
    return marks
