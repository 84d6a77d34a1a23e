"""How much walks through sessions count, as edges choose it that the vectors have not
seen.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np

from model.beside.session_walk import WALK_OFF, WalkBlock, WalkGuess, WalkScales, fitted_guess
from model.training.beside.two_parts import TwoParts, Weighed, surely_better
from stream.dtypes import Bools, Float32s, Float64s, Int64s

# What is tried: what the walk's inner product counts beside the rest, and how many
# times as much of items without clicks. More take as much longer.
_WEIGHTS: Final = (0.1, 0.2, 0.4, 0.7)
_NEW_FACTORS: Final = (1.0, 1.5, 2.0, 3.0)
# And how many times as much what is guessed of a query as a direction that it has. The
# same; at 4 a tag log loses half of its new queries' MRR.
_GUESS_FACTORS: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
# What walks count where sessions hold what clicks do not, until something is surely
# better: of what was tried the one that gains on every log whose sessions do
# (docs/experiments.md). Twice as much gains more on two folds of three of a small one,
# and loses on the third.
FIRST_SCALES: Final = WalkScales(query=1.0, new_query=1.0, item=0.1, new_item=0.2)
# Queries of a kind below which it is not judged by itself: a bootstrap over few is too
# sure of itself. Twice as many: more small shops go without.
_LEAST_QUERIES = 50
# Scores that one choice is ranked by, as in `model.training.passes.channel_shares`:
# some seconds of a core for all choices. Twice as many take twice that.
_MOST_SCORES = 100_000_000


class WalkNodes(TwoParts):
    """All nodes' vectors, and their directions, whose length is that of the block less
    one.
    """

    @cached_property
    def guess(self) -> WalkGuess:
        """Where walks may lead a query without a direction, by these that have one."""
        return fitted_guess(self.query_vectors, self.query_directions)

    @property
    def has_direction(self) -> Bools:
        """``bool [num_queries]``: it is clicked for items that sessions know."""
        return np.asarray(self.query_directions.any(axis=1))

    def block(self, scales: WalkScales) -> WalkBlock:
        """Return the block of some scales."""
        dim = 1 + self.item_directions.shape[1]
        return WalkBlock(dim=dim, scales=scales, guess=self.guess)

    def extended(self, scales: WalkScales) -> tuple[Float32s, Float32s]:
        """Return the vectors of all queries and of all items, with the block."""
        block = self.block(scales)
        return (
            block.queries(self.query_vectors, self.query_directions),
            block.items(self.item_vectors, self.item_directions, self.knows_item),
        )

    def gains(self, edges: tuple[Int64s, Int64s], tried: Sequence[WalkScales]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, one for the first ten, and one for the first hundred, added.
        """
        with_guesses = replace(self, query_directions=self._rows)
        return with_guesses.deep_gains_of(edges, [self._weighed(scales) for scales in tried])

    @cached_property
    def _rows(self) -> Float32s:
        """``float32 [num_queries, dim - 1]``: directions, or guesses."""
        rows, new = self.query_directions.copy(), np.flatnonzero(~self.has_direction)
        rows[new] = self.guess.of(self.query_vectors[new])
        return rows

    def _weighed(self, scales: WalkScales) -> Weighed:
        # Lengths are alike: they change no order.
        item = scales.of_items(self.knows_item)
        query = np.where(self.has_direction, scales.query, scales.new_query).astype(np.float32)

        def scores(rest: Float32s, walk: Float32s, queries: Int64s) -> Float32s:
            both: Float32s = rest + query[queries, None] * item * walk
            return both

        return scores


def choose_walk_scales(
    nodes: WalkNodes,
    unseen: tuple[Int64s, Int64s],
    standing: WalkScales,
    first: WalkScales | None = None,
) -> tuple[WalkScales, dict[str, float]]:
    """Return what the block is to count, and the figures that chose it, by name.

    First by the edges of queries that have a direction; then, by those of others, what
    guesses count beside it. Where few queries have one, all are judged together, and
    only whether walks count as they do at first: the best of many is chance there.

    Args:
        nodes: with vectors that have not seen the edges.
        unseen: query and item of each edge to judge by.
        standing: what counts until then.
        first: what counts in its place where there is enough to judge by; None: there
            is a choice to go on from.
    """
    edges = nodes.judged(unseen, _MOST_SCORES)
    has = nodes.has_direction[edges[0]]
    figures = {"walk_edges": float(has.sum()), "walk_new_edges": float((~has).sum())}
    if len(np.unique(edges[0])) < _LEAST_QUERIES:
        return standing, figures
    chosen = standing if first is None else first
    kinds = [(edges[0][kind], edges[1][kind]) for kind in (has, ~has)]
    known, new = (len(np.unique(query)) >= _LEAST_QUERIES for query, _ in kinds)
    if known:
        chosen = _surely_better(nodes, kinds[0], _tried(chosen.new_query), chosen)
    if known and new:
        guesses = [replace(chosen, new_query=factor * chosen.query) for factor in _GUESS_FACTORS]
        chosen = _surely_better(nodes, kinds[1], guesses, chosen)
    if not known:
        chosen = _surely_better(nodes, edges, [WALK_OFF, FIRST_SCALES], chosen)
    without, with_it = nodes.gains(edges, [WALK_OFF, chosen]).mean(axis=1)
    return chosen, figures | {"walk_worth_without": float(without), "walk_worth": float(with_it)}


def _surely_better(
    nodes: WalkNodes,
    edges: tuple[Int64s, Int64s],
    tried: Sequence[WalkScales],
    standing: WalkScales,
) -> WalkScales:
    """Return what stands, or what is surely better."""
    gains = nodes.gains(edges, [*tried, standing])
    kind = nodes.knows_item[edges[1]].astype(np.int64)
    return [*tried, standing][surely_better(gains, edges[0], kind)]


def _tried(new_query: float) -> list[WalkScales]:
    """Return the scales that are tried for queries with a direction, off among them.

    The query's block is as long as the rest of its vector, so that items, whose length
    counts where vectors are compared with each other, need little.
    """
    return [
        WALK_OFF,
        *(
            WalkScales(query=1.0, new_query=new_query, item=weight, new_item=factor * weight)
            for weight, factor in product(_WEIGHTS, _NEW_FACTORS)
        ),
    ]
