"""Vectors of two parts: those of a trained model, and directions that stand beside
them. Both are scored once, weighed in many ways, and one of these is chosen.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from model.bootstrap import relative_interval
from model.ranking import scored_ranks
from stream.dtypes import Bools, Float32s, Float64s, Int64s

# Ranks that count as found, a point each: as in `model.ranking.Quality`.
_TOP, _DEEP = 10, 100
# Of the largest gain over all edges. Twice as much: items without clicks stay where
# they were; at 0 the others pay for them with all of the gain.
_LEAST_OF_GAIN = 0.5
# Edges of a kind of items below which it is not judged by itself: a bootstrap over few
# is too sure of itself. Twice as many: more small shops go without.
_LEAST_EDGES = 20
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

    def judged(self, unseen: tuple[Int64s, Int64s], most_scores: int) -> tuple[Int64s, Int64s]:
        """Return edges to judge by, evenly spaced where there are more than are ranked
        with so many scores.
        """
        count = max(1, most_scores // max(1, len(self.item_vectors)))
        step = -(-len(unseen[0]) // count) or 1
        return unseen[0][::step], unseen[1][::step]

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

    def deep_gains_of(self, edges: tuple[Int64s, Int64s], tried: Sequence[Weighed]) -> Float64s:
        """Return the same, and one for the first hundred added: what is moved into them
        is rarely among the first ten.
        """
        ranks = self.ranks(edges, tried)
        gains: Float64s = 1.0 / ranks + (ranks <= _TOP) + (ranks <= _DEEP)
        return gains


def surely_better(
    gains: Float64s, query: Int64s, kind: Int64s, gains_without: Float64s | None = None
) -> int:
    """Return which of some ways to weigh both parts is to count: the last, which
    stands, or one that is surely better, where the 95% interval of the gain over all
    edges, by paired bootstrap over queries, is above 0.

    Of what gains at least half as much as the best, the one by which each kind of items
    is found best, on the mean of kinds: some, such as those without clicks, are few of
    what is held out, and with what suits the others best they stay where they were.

    Args:
        gains: ``float64 [num_tried, num_edges]``.
        query: ``int64 [num_edges]``, of each edge.
        kind: ``int64 [num_edges]``, of each edge's item; kinds of few edges are not
            judged by themselves.
        gains_without: ``float64 [num_edges]``, the gains without the other part: what a
            kind surely loses by it counts in full, besides; None: it does not.
    """
    gained = gains.mean(axis=1) - gains[-1].mean()
    better = [
        place
        for place in range(len(gains) - 1)
        if gained[place] >= _LEAST_OF_GAIN * gained.max()
        and relative_interval(gains[place], gains[-1], query)[0] > 0.0
    ]
    kinds = _kinds(kind)
    worth = np.mean([gains[:, edges].mean(axis=1) for edges in kinds], axis=0)
    if gains_without is not None:
        worth += [sum(_surely_lost(each, gains_without, query, kinds)) for each in gains]
    return max(better, key=lambda place: worth[place], default=len(gains) - 1)


def _surely_lost(
    gains: Float64s, gains_without: Float64s, query: Int64s, kinds: Sequence[Int64s]
) -> Iterator[float]:
    """Yield what each kind loses at least: the upper end of its 95% interval, not above
    0.
    """
    for edges in kinds:
        _, most = relative_interval(gains[edges], gains_without[edges], query[edges])
        yield min(0.0, most) * float(gains_without[edges].mean())


def _kinds(kind: Int64s) -> list[Int64s]:
    """Return the edges of each kind that has many; all together where that is one."""
    kinds = [np.flatnonzero(kind == each) for each in np.unique(kind)]
    kinds = [edges for edges in kinds if len(edges) >= _LEAST_EDGES]
    return kinds if len(kinds) > 1 else [np.arange(len(kind))]


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
