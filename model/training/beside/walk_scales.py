"""How much walks through sessions count, as edges choose it that the vectors have not
seen.
"""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np

from model.bootstrap import relative_interval
from model.session_walk import WALK_OFF, WalkBlock, WalkScales
from model.training.beside.two_parts import TwoParts, Weighed
from stream.dtypes import Bools, Float32s, Float64s, Int64s

# What is tried: what the walk's inner product counts beside the rest, and how many
# times as much of items without clicks. More take as much longer.
_WEIGHTS: Final = (0.1, 0.2, 0.4, 0.7)
_NEW_FACTORS: Final = (1.0, 1.5, 2.0, 3.0)
# Queries below which nothing is judged: a bootstrap over few is too sure of itself.
# Twice as many: more small shops go without.
_LEAST_QUERIES = 50
# Of the largest gain over all edges. Twice as much: items without clicks stay where
# they were; at 0 the others pay for them with all of the gain.
_LEAST_OF_GAIN = 0.5
# Edges of a kind of items below which it is not judged by itself. The same.
_LEAST_EDGES = 20
# Scores that one choice is ranked by, as in `model.training.passes.channel_shares`:
# some seconds of a core for all choices. Twice as many take twice that.
_MOST_SCORES = 100_000_000
# Ranks that count as found, a point each: as in `model.ranking.Quality`. The second,
# because what only sessions know is rarely among the first ten.
_TOP, _DEEP = 10, 100


class WalkNodes(TwoParts):
    """All nodes' vectors, and their directions, whose length is that of the block less
    one.
    """

    def extended(self, block: WalkBlock) -> tuple[Float32s, Float32s]:
        """Return the vectors of all queries and of all items, with the block."""
        return (
            block.queries(self.query_vectors, self.query_directions),
            block.items(self.item_vectors, self.item_directions, self.knows_item),
        )

    def judged(self, unseen: tuple[Int64s, Int64s]) -> tuple[Int64s, Int64s]:
        """Return the edges of queries that have a direction, since the block moves no
        others; evenly spaced where there are more than are ranked.
        """
        queries = np.flatnonzero(self.query_directions.any(axis=1))
        moved = np.flatnonzero(np.isin(unseen[0], queries))
        count = max(1, _MOST_SCORES // max(1, len(self.item_vectors)))
        moved = moved[:: -(-len(moved) // count) or 1]
        return unseen[0][moved], unseen[1][moved]

    def gains(self, edges: tuple[Int64s, Int64s], tried: Sequence[WalkScales]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, one for the first ten, and one for the first hundred, added.
        """
        ranks = self.ranks(edges, [self._weighed(scales) for scales in tried])
        gains: Float64s = 1.0 / ranks + (ranks <= _TOP) + (ranks <= _DEEP)
        return gains

    def _weighed(self, scales: WalkScales) -> Weighed:
        # Lengths are alike: they change no order.
        item = np.float32(scales.query) * scales.of_items(self.knows_item)

        def scores(rest: Float32s, walk: Float32s, _: Int64s) -> Float32s:
            both: Float32s = rest + item * walk
            return both

        return scores


def choose_walk_scales(
    nodes: WalkNodes, unseen: tuple[Int64s, Int64s], standing: WalkScales
) -> tuple[WalkScales, dict[str, float]]:
    """Return what the block is to count, and the figures that chose it, by name.

    What stands is replaced only by what is surely better: where the 95% interval of the
    gain over all edges, by paired bootstrap over queries, is above 0. Of what gains at
    least half as much as the best, the one counts by which items with clicks and those
    without are found best on the mean of both: the second are few of what is held out,
    and with what suits the first best they stay where they were.

    Args:
        nodes: with vectors that have not seen the edges.
        unseen: query and item of each edge to judge by.
        standing: what counts until then.
    """
    edges = nodes.judged(unseen)
    figures = {"walk_edges": float(len(edges[0]))}
    if len(np.unique(edges[0])) < _LEAST_QUERIES:
        return standing, figures
    tried = [WALK_OFF, *(_scales(*each) for each in product(_WEIGHTS, _NEW_FACTORS))]
    gains = nodes.gains(edges, [*tried, standing])
    gained = gains.mean(axis=1) - gains[-1].mean()
    better = [
        place
        for place in range(len(tried))
        if gained[place] >= _LEAST_OF_GAIN * gained.max()
        and relative_interval(gains[place], gains[-1], edges[0])[0] > 0.0
    ]
    kinds = _kinds(nodes.knows_item[edges[1]])
    worth = np.mean([gains[:, kind].mean(axis=1) for kind in kinds], axis=0)
    best = max(better, key=lambda place: worth[place], default=-1)
    figures |= {
        "walk_worth_without": float(gains[0].mean()),
        "walk_worth": float(gains[best].mean()),
    }
    return [*tried, standing][best], figures


def _kinds(is_known: Bools) -> list[Int64s]:
    """Return the edges to items that clicks know, and those to others; together where
    either are few.
    """
    kinds = [np.flatnonzero(is_known), np.flatnonzero(~is_known)]
    return kinds if min(map(len, kinds)) >= _LEAST_EDGES else [np.arange(len(is_known))]


def _scales(weight: float, new_factor: float) -> WalkScales:
    """Return the scales of which the inner product counts `weight`, that of items
    without clicks `new_factor` times as much.

    The query's block is as long as the rest of its vector, so that items, whose length
    counts where vectors are compared with each other, need little.
    """
    return WalkScales(query=1.0, item=weight, new_item=new_factor * weight)
