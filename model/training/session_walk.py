"""Puts where clicks lead through sessions beside a trained model's vectors, and chooses
how much it counts on edges that the model has not seen.

Like pretrained text it is added when training is over. It needs no step: what a count
of joint sessions says is a matrix, and its largest directions are found in a few
products (docs/experiments.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final

import numpy as np
import torch
from torch import Tensor

from model.artifact.generation import Generation
from model.bootstrap import relative_interval
from model.ranking import scored_ranks
from model.session_walk import WALK_OFF, WalkBlock, WalkScales, directions
from model.settings import ModelSettings
from model.training.result import TrainedModel
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

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
# Scores of a block: 16 MiB of float32, as in `model.ranking`. Twice as many take twice
# the memory.
_BLOCK_SCORES = 1 << 22
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

# Of the figures in a manifest, where a refresh finds what its parent chose.
_FIGURES = {
    "query": "walk_scale_query",
    "item": "walk_scale_item",
    "new_item": "walk_scale_new_item",
}


@dataclass(frozen=True, kw_only=True)
class WalkNodes:
    """All nodes' vectors and directions, and what both have seen.

    Attributes:
        query_vectors: ``float32 [num_queries, rest]`` unit vectors.
        item_vectors: ``float32 [num_items, rest]`` unit vectors.
        query_directions: ``float32 [num_queries, dim - 1]``.
        item_directions: ``float32 [num_items, dim - 1]``.
        seen: query and item of each edge that the vectors have seen, ``int64
            [num_edges]`` each; items without one are new.
    """

    query_vectors: Float32s
    item_vectors: Float32s
    query_directions: Float32s
    item_directions: Float32s
    seen: tuple[Int64s, Int64s]

    @property
    def is_known(self) -> Bools:
        """``bool [num_items]``: the item has been clicked."""
        marks = np.zeros(len(self.item_vectors), dtype=np.bool_)
        marks[self.seen[1]] = True
        return marks

    def extended(self, block: WalkBlock) -> tuple[Float32s, Float32s]:
        """Return the vectors of all queries and of all items, with the block."""
        return (
            block.queries(self.query_vectors, self.query_directions),
            block.items(self.item_vectors, self.item_directions, self.is_known),
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

        Both parts are scored once, and weighed for each of the scales.
        """
        ranks = np.zeros((len(tried), len(edges[0])), dtype=np.float64)
        size = max(1, _BLOCK_SCORES // max(1, len(self.item_vectors)))
        asked, is_known = np.unique(edges[0]), self.is_known
        for start in range(0, len(asked), size):
            block = asked[start : start + size]
            here = np.flatnonzero(np.isin(edges[0], block))
            rest = self.query_vectors[block] @ self.item_vectors.T
            walk = self.query_directions[block] @ self.item_directions.T
            for place, scales in enumerate(tried):
                # Lengths are alike: they change no order.
                scores = rest + np.float32(scales.query) * scales.of_items(is_known) * walk
                ranks[place, here] = scored_ranks(
                    partial(_rows, scores, block),
                    len(self.item_vectors),
                    (edges[0][here], edges[1][here]),
                    self.seen,
                )
        gains: Float64s = 1.0 / ranks + (ranks <= _TOP) + (ranks <= _DEEP)
        return gains


def with_session_walk(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, parent: Generation | None
) -> TrainedModel:
    """Return a trained model with what walks through sessions add to its vectors, if
    that is wanted and worth something.

    Args:
        trained: with the vectors of the network and of pretrained text.
        arrays: what it was trained on.
        settings: whether sessions count, and how much longer vectors may be.
        parent: the generation that training started from: a refresh keeps its scales
            where others are not surely better.
    """
    if not (settings.most_walk_dim and len(trained.query_vectors)):
        return trained
    walks = _Walks.of(trained, arrays, settings)
    if not walks.whole.item_directions.any():
        return trained
    unseen = trained.held_out.query, trained.held_out.item
    scales, figures = choose_walk_scales(walks.validation, unseen, _standing(parent))
    trained = replace(trained, evaluation={**trained.evaluation, **figures})
    return walks.beside(trained, scales)


def with_walk_scales(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, scales: WalkScales
) -> TrainedModel:
    """Return a trained model with walks through sessions beside its vectors.

    Args:
        trained: as in `with_session_walk`.
        arrays: the same.
        settings: how much longer vectors become.
        scales: what walks count.
    """
    return _Walks.of(trained, arrays, settings).beside(trained, scales)


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
    kinds = _kinds(nodes.is_known[edges[1]])
    worth = np.mean([gains[:, kind].mean(axis=1) for kind in kinds], axis=0)
    best = max(better, key=lambda place: worth[place], default=-1)
    figures |= {
        "walk_worth_without": float(gains[0].mean()),
        "walk_worth": float(gains[best].mean()),
    }
    return [*tried, standing][best], figures


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


@dataclass(frozen=True, kw_only=True)
class _Walks:
    """A trained model's nodes by all sessions, and by those before the held-out time.

    Attributes:
        whole: by all edges and sessions.
        validation: by what the held-out vectors have seen.
        dim: length of the block.
    """

    whole: WalkNodes
    validation: WalkNodes
    dim: int

    @classmethod
    def of(cls, trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings) -> "_Walks":
        held_out = trained.held_out
        every = np.ones(arrays.num_sessions, dtype=np.bool_)
        whole = _nodes(trained, arrays, every, None, settings)
        if not len(held_out.query):
            # Nothing is kept from those vectors either.
            validation = replace(
                whole,
                query_vectors=held_out.query_vectors,
                item_vectors=held_out.item_vectors,
            )
            return cls(whole=whole, validation=validation, dim=settings.walk_dim)
        unseen = held_out.query, held_out.item
        sessions = _sessions_before(arrays, unseen, held_out.begin_ms)
        validation = _nodes(trained, arrays, sessions, unseen, settings)
        return cls(whole=whole, validation=validation, dim=settings.walk_dim)

    def beside(self, trained: TrainedModel, scales: WalkScales) -> TrainedModel:
        """Return the model with the block of these scales, and with them among its
        figures.
        """
        figures = {figure: getattr(scales, each) for each, figure in _FIGURES.items()}
        trained = replace(trained, evaluation={**trained.evaluation, **figures})
        if scales.is_off:
            return trained
        block = WalkBlock(dim=self.dim, scales=scales)
        query_vectors, item_vectors = self.whole.extended(block)
        unseen_by = self.validation.extended(block)
        held_out = replace(trained.held_out, query_vectors=unseen_by[0], item_vectors=unseen_by[1])
        return replace(
            trained,
            query_vectors=query_vectors,
            item_vectors=item_vectors,
            held_out=held_out,
            walk=block,
        )


def _nodes(
    trained: TrainedModel,
    arrays: GraphArrays,
    sessions: Bools,
    unseen: tuple[Int64s, Int64s] | None,
    settings: ModelSettings,
) -> WalkNodes:
    """Return vectors and directions by some sessions, without what is not seen; None:
    by all edges.
    """
    num_queries = len(trained.query_vectors)
    # Titles that stood in for queries are gone, and what was clicked for them.
    counts = arrays.edge_query < num_queries
    if unseen is not None:
        codes = arrays.edge_query * arrays.num_items + arrays.edge_item
        counts &= ~np.isin(codes, unseen[0] * arrays.num_items + unseen[1])
    edges = arrays.edge_query[counts], arrays.edge_item[counts]
    weights = np.log1p(arrays.edge_sessions[counts]).astype(np.float32)
    items = session_directions(arrays, sessions, settings.walk_dim - 1, settings.seed)
    vectors = trained if unseen is None else trained.held_out
    return WalkNodes(
        query_vectors=vectors.query_vectors,
        item_vectors=vectors.item_vectors,
        query_directions=query_directions(edges, weights, items, num_queries),
        item_directions=items,
        seen=edges,
    )


def _sessions_before(arrays: GraphArrays, unseen: tuple[Int64s, Int64s], begin_ms: int) -> Bools:
    """Return ``bool [num_sessions]``: those that ended before the held-out time began,
    and made no held-out edge.
    """
    before: Bools = arrays.session_last_ms < begin_ms
    facts = arrays.fact_query * arrays.num_items + arrays.fact_item
    before[arrays.fact_session[np.isin(facts, unseen[0] * arrays.num_items + unseen[1])]] = False
    return before


def _rows(scores: Float32s, queries: Int64s, wanted: Int64s) -> Float32s:
    """Return the rows of some queries, of scores of ascending ones."""
    rows: Float32s = scores[np.searchsorted(queries, wanted)]
    return rows


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


def _standing(parent: Generation | None) -> WalkScales:
    """Return what the parent chose, that it counts nothing included."""
    figures = parent.manifest.evaluation if parent is not None else {}
    if any(figure not in figures for figure in _FIGURES.values()):
        return WALK_OFF
    return WalkScales(**{name: figures[figure] for name, figure in _FIGURES.items()})
