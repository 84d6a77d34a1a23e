"""The wrong pairs that each right one is ranked among, drawn at random."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from model.errors import EvaluationRefused
from model.evaluation.paper.groups import in_graph
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

# Pairs that are scored at once: 16 MiB of float32 at 64 dimensions. Chosen by hand;
# twice as many take twice the memory.
_BLOCK_PAIRS = 1 << 16


class PairScores(Protocol):
    """Scores pairs."""

    def __call__(self, query: Int64s, item: Int64s) -> Float32s:
        """Return ``float32 [n]`` for queries and items ``int64 [n]`` of the graph."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Right pairs, each with as many wrong ones of its query as of its item.

    Attributes:
        query: ``int64 [n]``.
        item: ``int64 [n]``.
        wrong_item: ``int64 [n, each]``, items that the query never led to.
        wrong_query: ``int64 [n, each]``, queries that never led to the item.
    """

    query: Int64s
    item: Int64s
    wrong_item: Int64s
    wrong_query: Int64s

    def scored(self, scores: PairScores) -> tuple[Float64s, Float64s]:
        """Return the scores of the right pairs, ``float64 [n]``, and of the wrong ones
        of each, ``float64 [n, 2 * each]``.
        """
        right = scores(self.query, self.item)
        rows = max(1, _BLOCK_PAIRS // max(1, self.wrong_item.shape[1]))
        blocks = [
            self._wrong_scores(scores, slice(start, start + rows))
            for start in range(0, len(self.query), rows)
        ]
        return right.astype(np.float64), np.concatenate(blocks).astype(np.float64)

    def _wrong_scores(self, scores: PairScores, rows: slice) -> Float32s:
        items, queries = self.wrong_item[rows], self.wrong_query[rows]
        each = items.shape[1]
        by_item = scores(np.repeat(self.query[rows], each), items.ravel())
        by_query = scores(queries.ravel(), np.repeat(self.item[rows], each))
        return np.concatenate([by_item.reshape(-1, each), by_query.reshape(-1, each)], axis=1)


def draw_candidates(
    arrays: GraphArrays, pairs: tuple[Int64s, Int64s], each: int, rng: np.random.Generator
) -> Candidates:
    """Draw wrong pairs, uniformly and without replacement [my_ogb_negative_sampling].

    Items and queries are those of the graph. No edge of the whole log is drawn, be it
    learned or tested; the public code may draw one.

    Args:
        arrays: the whole graph.
        pairs: query and item of each right pair, ``int64 [n]`` both.
        each: how many wrong items and wrong queries a pair gets.
        rng: of the draws.

    Raises:
        EvaluationRefused: a query has not so many wrong items, or an item not so many
            wrong queries.
    """
    query, item = pairs
    items = np.flatnonzero(in_graph(arrays))
    queries = np.unique(arrays.edge_query)
    free_items = len(items) - np.bincount(arrays.edge_query).max(initial=0)
    free_queries = len(queries) - np.bincount(arrays.edge_item).max(initial=0)
    if min(free_items, free_queries) < each:
        raise EvaluationRefused(
            f"each pair is ranked among {each} wrong items and {each} wrong queries, but the log "
            f"has {len(items):,} items and {len(queries):,} queries, and some of them go with all "
            "but a few of the others; give a larger log, or evaluate with --protocol time"
        )
    known = arrays.edge_query * arrays.num_items + arrays.edge_item

    def is_edge(some_queries: Int64s, some_items: Int64s) -> Bools:
        code = some_queries * arrays.num_items + some_items
        place = np.minimum(np.searchsorted(known, code), len(known) - 1)
        found: Bools = known[place] == code
        return found

    def drawn(pool: Int64s, is_right: Callable[[Int64s, Int64s], Bools]) -> Int64s:
        return _draw_rows(pool, (len(query), each), is_right, rng)

    return Candidates(
        query=query,
        item=item,
        wrong_item=drawn(items, lambda row, others: is_edge(query[row], others)),
        wrong_query=drawn(queries, lambda row, others: is_edge(others, item[row])),
    )


def _draw_rows(
    pool: Int64s,
    shape: tuple[int, int],
    is_right: Callable[[Int64s, Int64s], Bools],
    rng: np.random.Generator,
) -> Int64s:
    """Return members of a pool, ``int64 [num_rows, each]``, different ones in each row;
    draw again where `is_right(row, member)`.
    """
    drawn = rng.choice(pool, shape)
    rows = np.arange(shape[0])
    while len(rows):
        block = drawn[rows]
        bad = _is_repeated(block) | is_right(rows[:, None], block)
        block[bad] = rng.choice(pool, np.count_nonzero(bad))
        drawn[rows] = block
        rows = rows[bad.any(axis=1)]
    return drawn


def _is_repeated(block: Int64s) -> Bools:
    """Return ``bool [num_rows, each]``: the same is in the row before."""
    order = np.argsort(block, axis=1, kind="stable")
    ordered = np.take_along_axis(block, order, axis=1)
    again = np.zeros(block.shape, dtype=np.bool_)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    found = np.zeros_like(again)
    np.put_along_axis(found, order, again, axis=1)
    return found
