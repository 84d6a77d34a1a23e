"""Full-ranking metrics on held-out query-item edges."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stream.dtypes import Bools, Float32s, Float64s, Int64s

FIGURES = ("mrr", "recall_10", "recall_100", "ndcg_10")
# Ranks that count as found: the figures are named after them.
_TOP, _DEEP = 10, 100
# Scores of a block: 16 MiB of float32, whatever the number of items. Chosen by hand.
# Twice as many take twice the memory.
_BLOCK_SCORES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Ranking quality over queries.

    Each query counts once, whatever the number of its held-out edges.

    Attributes:
        num_queries: queries with a held-out edge.
        num_edges: held-out edges.
        mrr: mean over queries of one over the rank of the best held-out item.
        recall_10: mean over queries of the share of held-out items among the first ten.
        recall_100: the same among the first hundred.
        ndcg_10: mean over queries of the discounted gain among the first ten, as a
            share of the best order's.
    """

    num_queries: int
    num_edges: int
    mrr: float
    recall_10: float
    recall_100: float
    ndcg_10: float

    @property
    def worth(self) -> float:
        """What models and passes are chosen by: MRR and Recall@10, added."""
        return self.mrr + self.recall_10


def edge_ranks(
    query_vectors: Float32s,
    item_vectors: Float32s,
    held_out: tuple[Int64s, Int64s],
    seen: tuple[Int64s, Int64s],
) -> Float64s:
    """Return the rank of each held-out edge's item among all items for its query, from
    1.

    Items already seen with the query are not ranked. Items with equal scores share the
    mean of their ranks: a model that scores everything alike gains nothing.

    Args:
        query_vectors: ``float32 [num_queries, dim]``.
        item_vectors: ``float32 [num_items, dim]``.
        held_out: query and item of each held-out edge, ``int64 [num_edges]`` each.
        seen: query and item of each edge that is known, in the same numbering.

    Returns:
        ``float64 [num_edges]``.
    """
    return scored_ranks(
        lambda queries: query_vectors[queries] @ item_vectors.T, len(item_vectors), held_out, seen
    )


def scored_ranks(
    scores_of: Callable[[Int64s], Float32s],
    num_items: int,
    held_out: tuple[Int64s, Int64s],
    seen: tuple[Int64s, Int64s],
) -> Float64s:
    """Return what `edge_ranks` returns, for any way of scoring.

    Args:
        scores_of: returns scores ``float32 [len(queries), num_items]``, which are
            written to.
        num_items: how many items there are.
        held_out: as in `edge_ranks`.
        seen: as in `edge_ranks`.
    """
    ranks = np.zeros(len(held_out[0]), dtype=np.float64)
    every = np.ones(num_items, dtype=np.bool_)
    for queries, edges, known in _blocks(held_out, seen, max(1, num_items)):
        row = np.searchsorted(queries, held_out[0][edges])
        scores = scores_of(queries)
        wanted = scores[row, held_out[1][edges]]
        scores[np.searchsorted(queries, seen[0][known]), seen[1][known]] = -np.inf
        ranks[edges] = ranks_among(scores[row], wanted, every)
    return ranks


def ranks_among(scores: Float32s, wanted: Float32s, is_ranked: Bools) -> Float64s:
    """Return the rank of a score among those of its row, ``float64 [n]``, from 1; equal
    ones share the mean of their ranks.

    Args:
        scores: ``float32 [n, num_items]``.
        wanted: ``float32 [n]``, the scores whose ranks are asked for.
        is_ranked: ``bool [n, num_items]`` or ``[num_items]``: which items count.
    """
    own = wanted[:, None]
    # Not `>`: a NaN must never look like a good rank.
    above = (~(scores <= own) & is_ranked).sum(axis=1)
    level = ((scores == own) & is_ranked).sum(axis=1)
    ranks: Float64s = above + (np.maximum(level, 1) + 1) / 2
    return ranks


def popularity_ranks(
    popularity: Int64s, held_out: tuple[Int64s, Int64s], seen: tuple[Int64s, Int64s]
) -> Float64s:
    """Return what `edge_ranks` would if every query got the most popular items.

    The baseline to beat.

    Args:
        popularity: ``int64 [num_items]``, how often each item was clicked.
        held_out: as in `edge_ranks`.
        seen: as in `edge_ranks`.
    """
    num_queries = int(max(held_out[0].max(initial=-1), seen[0].max(initial=-1))) + 1
    scores = popularity.astype(np.float32)[:, None]
    return edge_ranks(np.ones((num_queries, 1), dtype=np.float32), scores, held_out, seen)


def quality_of(ranks: Float64s, query: Int64s) -> Quality:
    """Average the ranks of held-out edges over their queries.

    Args:
        ranks: ``float64 [num_edges]``.
        query: ``int64 [num_edges]``, the query of each edge.
    """
    if not len(ranks):
        return Quality(
            num_queries=0, num_edges=0, mrr=0.0, recall_10=0.0, recall_100=0.0, ndcg_10=0.0
        )
    each = figures_by_query(ranks, query)
    means = {name: float(values.mean()) for name, values in each.items()}
    return Quality(num_queries=len(each["mrr"]), num_edges=len(ranks), **means)


def figures_by_query(ranks: Float64s, query: Int64s) -> dict[str, Float64s]:
    """Return each figure of `FIGURES` for each query, ``float64 [num_queries]``, in
    ascending order of query.

    NDCG@10 (Jarvelin and Kekalainen, 2002): the sum of ``1 / log2(1 + rank)`` over
    held-out items among the first ten, divided by what the best order would give.
    """
    _, group = np.unique(query, return_inverse=True)
    count = np.bincount(group)
    best = np.full(len(count), np.inf)
    np.minimum.at(best, group, ranks)
    gain = np.where(ranks <= _TOP, 1.0 / np.log2(1.0 + ranks), 0.0)
    ideal = np.cumsum(1.0 / np.log2(np.arange(2.0, _TOP + 2)))
    return {
        "mrr": 1.0 / best,
        "recall_10": np.bincount(group, weights=ranks <= _TOP) / count,
        "recall_100": np.bincount(group, weights=ranks <= _DEEP) / count,
        "ndcg_10": np.bincount(group, weights=gain) / ideal[np.minimum(count, _TOP) - 1],
    }


def _blocks(
    held_out: tuple[Int64s, Int64s], seen: tuple[Int64s, Int64s], num_items: int
) -> Iterator[tuple[Int64s, Int64s, Int64s]]:
    """Yield queries, positions of their held-out edges and of their seen edges, in
    blocks of bounded size.
    """
    # Both kinds of edge in order of query: a block is a range of queries, and its seen
    # edges are among a range of all seen ones.
    order = np.argsort(held_out[0], kind="stable")
    seen_order = np.argsort(seen[0], kind="stable")
    size = max(1, _BLOCK_SCORES // num_items)
    for start in range(0, len(order), size):
        edges = order[start : start + size]
        queries = np.unique(held_out[0][edges])
        low, high = np.searchsorted(seen[0][seen_order], [queries[0], queries[-1] + 1])
        known = seen_order[low:high]
        yield queries, edges, known[np.isin(seen[0][known], queries)]
