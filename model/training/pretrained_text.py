"""Puts pretrained text beside a trained network's vectors, and chooses how much it
counts on edges that the network has not seen.

It is added when training is over, not trained with: a network that sees the encoder's
inner product learns what that leaves over, and what it would have added to unseen pairs
is lost (docs/experiments.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from model.artifact.generation import Generation
from model.artifact.pretrained.block import (
    Scales,
    TextBlock,
    extended,
    fitted,
    text_block,
)
from model.artifact.pretrained.encoder import (
    PretrainedEncoder,
    block_dim,
    chosen_encoder,
    open_encoder,
)
from model.bootstrap import relative_interval
from model.data.texts import item_texts
from model.ranking import scored_ranks
from model.settings import ModelSettings
from model.training.result import PretrainedText, TrainedModel
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

# Weights of the encoder's inner product beside the network's that are tried: quality
# changes little in between (docs/experiments.md). More take as much longer.
_WEIGHTS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
# How many times as much the block may count of what has never been clicked. The same.
_NEW_FACTORS = (1.0, 1.5, 2.0, 3.0)
# What stands where nothing was judged yet. Of the weights the one that gains on every
# log that gains at all; twice as much gains more there and costs more elsewhere.
_FIRST_WEIGHT, _FIRST_NEW_FACTOR = 0.2, 2.0
# Queries below which nothing is judged: a bootstrap over few is too sure of itself.
# Twice as many: more small shops keep what they have.
_LEAST_QUERIES = 50
# Texts, at least, that a projection is fitted to: 16 MB of vectors, for the covariance
# of 256 numbers. Twice as many take twice that.
_SAMPLED_TEXTS = 1 << 14
# Scores of a block: 16 MiB of float32, whatever the number of items, as in
# `model.ranking`. Twice as many take twice the memory.
_BLOCK_SCORES = 1 << 22
# Ranks that count as found, as in `model.ranking.Quality.worth`.
_TOP = 10

# Of the figures in a manifest, where a refresh finds what its parent chose.
_FIGURES = {
    "query": "pretrained_scale_query",
    "new_query": "pretrained_scale_new_query",
    "item": "pretrained_scale_item",
    "new_item": "pretrained_scale_new_item",
}


@dataclass(frozen=True, kw_only=True)
class NodeParts:
    """Both parts of all nodes' vectors.

    Attributes:
        query_vectors: ``float32 [num_queries, network_dim]`` unit vectors.
        item_vectors: ``float32 [num_items, network_dim]`` unit vectors.
        query_directions: ``float32 [num_queries, dim]``, the block's.
        item_directions: ``float32 [num_items, dim]``, the block's.
        seen: query and item of each edge that the vectors have seen, ``int64
            [num_edges]`` each; nodes without one are new.
    """

    query_vectors: Float32s
    item_vectors: Float32s
    query_directions: Float32s
    item_directions: Float32s
    seen: tuple[Int64s, Int64s]

    def vectors(self, scales: Scales) -> tuple[Float32s, Float32s]:
        """Return the vectors of all queries and of all items."""
        is_known = _marks(self.seen[0], len(self.query_vectors))
        queries = extended(
            self.query_vectors,
            self.query_directions,
            scales.of(is_item=False, is_known=is_known),
        )
        is_known = _marks(self.seen[1], len(self.item_vectors))
        items = extended(
            self.item_vectors, self.item_directions, scales.of(is_item=True, is_known=is_known)
        )
        return queries, items

    def gains(self, edges: tuple[Int64s, Int64s], tried: Sequence[Scales]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, and one for the first ten, added.

        Both parts are scored once, and weighed for each of the scales.
        """
        ranks = np.zeros((len(tried), len(edges[0])), dtype=np.float64)
        known = [_marks(rows, count) for rows, count in zip(self.seen, self._counts, strict=True)]
        size = max(1, _BLOCK_SCORES // max(1, len(self.item_vectors)))
        asked = np.unique(edges[0])
        for start in range(0, len(asked), size):
            block = asked[start : start + size]
            here = np.flatnonzero(np.isin(edges[0], block))
            network = self.query_vectors[block] @ self.item_vectors.T
            text = self.query_directions[block] @ self.item_directions.T
            for place, scales in enumerate(tried):
                query = scales.of(is_item=False, is_known=known[0][block])
                item = scales.of(is_item=True, is_known=known[1])
                # A query's own length changes no order.
                lengths = np.sqrt(1.0 + item**2 * self.item_directions.any(axis=1))
                scores = (network + query[:, None] * item * text) / lengths.astype(np.float32)
                ranks[place, here] = scored_ranks(
                    partial(_rows, scores, block),
                    len(self.item_vectors),
                    (edges[0][here], edges[1][here]),
                    self.seen,
                )
        gains: Float64s = 1.0 / ranks + (ranks <= _TOP)
        return gains

    @property
    def _counts(self) -> tuple[int, int]:
        return len(self.query_vectors), len(self.item_vectors)


def _rows(scores: Float32s, queries: Int64s, wanted: Int64s) -> Float32s:
    """Return the rows of some queries, of scores of ascending ones."""
    rows: Float32s = scores[np.searchsorted(queries, wanted)]
    return rows


def with_pretrained_text(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, parent: Generation | None
) -> TrainedModel:
    """Return a trained model with what pretrained text adds to its vectors, if that is
    wanted, installed, and worth something.

    Args:
        trained: with the network's vectors alone.
        arrays: what it was trained on.
        settings: which encoder, and how much longer vectors may be.
        parent: the generation that training started from: a refresh keeps its
            projection, and its scales where others are not surely better.

    Raises:
        PretrainedTextUnusable: the encoder that the settings name is not installed.
    """
    name = chosen_encoder(settings.pretrained_text)
    if not name:
        return trained
    encoder = open_encoder(name)
    num_queries, held_out = len(trained.query_vectors), trained.held_out
    texts = [*arrays.query_texts[:num_queries], *item_texts(arrays)]
    block = _block(texts, encoder, block_dim(name, settings.pretrained_dim), parent)
    query_directions, item_directions = np.split(block.directions(texts), [num_queries])
    # Titles that stood in for queries are gone, and what was clicked for them.
    is_query = arrays.edge_query < num_queries
    edges = arrays.edge_query[is_query], arrays.edge_item[is_query]
    whole = NodeParts(
        query_vectors=trained.query_vectors,
        item_vectors=trained.item_vectors,
        query_directions=query_directions,
        item_directions=item_directions,
        seen=edges,
    )
    unseen = held_out.query, held_out.item
    validation = replace(
        whole,
        query_vectors=held_out.query_vectors,
        item_vectors=held_out.item_vectors,
        seen=_without(edges, unseen, len(trained.item_vectors)),
    )
    scales, figures = choose_scales(validation, unseen, _standing(parent))
    figures |= {figure: getattr(scales, each) for each, figure in _FIGURES.items()}
    trained = replace(trained, evaluation={**trained.evaluation, **figures})
    if scales.is_off:
        return trained
    query_vectors, item_vectors = whole.vectors(scales)
    held_out_queries, held_out_items = validation.vectors(scales)
    block = TextBlock(encoder, block.projection, scales)
    return replace(
        trained,
        query_vectors=query_vectors,
        item_vectors=item_vectors,
        held_out=replace(held_out, query_vectors=held_out_queries, item_vectors=held_out_items),
        encoder={**trained.encoder, **block.arrays()},
        pretrained=PretrainedText(identity=encoder.identity, block=block),
    )


def choose_scales(
    nodes: NodeParts, unseen: tuple[Int64s, Int64s], standing: Scales
) -> tuple[Scales, dict[str, float]]:
    """Return what the block is to count, and the figures that chose it, by name.

    First one weight for all, then a factor for items without clicks, then one for
    queries. Each replaces what stands only where it is surely better: where the 95%
    interval of the gain, by paired bootstrap over queries, is above 0.

    Args:
        nodes: with vectors that have not seen the edges.
        unseen: query and item of each edge to judge by.
        standing: what counts until then.
    """
    figures = {"pretrained_edges": float(len(unseen[0]))}
    if len(np.unique(unseen[0])) < _LEAST_QUERIES:
        return standing, figures
    chosen = _surely_best(nodes, unseen, [_scales(weight) for weight in _WEIGHTS], standing)
    if not chosen.is_off:
        for name, known in (("new_item", chosen.item), ("new_query", chosen.query)):
            tried = [replace(chosen, **{name: factor * known}) for factor in _NEW_FACTORS]
            chosen = _surely_best(nodes, unseen, tried, chosen)
    without, with_it = nodes.gains(unseen, [_scales(0.0), chosen]).mean(axis=1)
    figures |= {"pretrained_worth_without": float(without), "pretrained_worth": float(with_it)}
    return chosen, figures


def _surely_best(
    nodes: NodeParts, unseen: tuple[Int64s, Int64s], tried: Sequence[Scales], standing: Scales
) -> Scales:
    gains = nodes.gains(unseen, [*tried, standing])
    best = int(np.argmax(gains[:-1].mean(axis=1)))
    low, _ = relative_interval(gains[best], gains[-1], unseen[0])
    return tried[best] if low > 0.0 else standing


def _scales(weight: float, new_factor: float = 1.0) -> Scales:
    """Return the scales of which the inner product counts `weight`, that of items
    without clicks `new_factor` times as much.
    """
    root = float(np.sqrt(weight))
    return Scales(query=root, new_query=root, item=root, new_item=new_factor * root)


def _standing(parent: Generation | None) -> Scales:
    """Return what the parent chose, that it counts nothing included."""
    figures = parent.manifest.evaluation if parent is not None else {}
    if any(figure not in figures for figure in _FIGURES.values()):
        return _scales(_FIRST_WEIGHT, _FIRST_NEW_FACTOR)
    return Scales(**{name: figures[figure] for name, figure in _FIGURES.items()})


def _block(
    texts: Sequence[str], encoder: PretrainedEncoder, dim: int, parent: Generation | None
) -> TextBlock:
    """Return a block with the parent's projection, if that is of the same encoder and
    length, or one that is fitted to a sample of texts; it counts nothing yet.
    """
    if parent is not None and parent.manifest.HasField("pretrained_text"):
        of_parent = parent.manifest.pretrained_text
        if (of_parent.sha256, of_parent.dim) == (encoder.identity.sha256, dim):
            return text_block(parent.encoder, encoder)
    sample = texts[:: max(1, len(texts) // _SAMPLED_TEXTS)]
    return TextBlock(encoder, fitted(encoder.encode(sample), dim), _scales(0.0))


def _marks(rows: Int64s, count: int) -> Bools:
    marks = np.zeros(count, dtype=np.bool_)
    marks[rows] = True
    return marks


def _without(
    edges: tuple[Int64s, Int64s], others: tuple[Int64s, Int64s], num_items: int
) -> tuple[Int64s, Int64s]:
    """Return the edges that are not among others."""
    left = ~np.isin(edges[0] * num_items + edges[1], others[0] * num_items + others[1])
    return edges[0][left], edges[1][left]
