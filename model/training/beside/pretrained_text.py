"""Puts pretrained text beside a trained network's vectors, and chooses how much it
counts on edges that the network has not seen.

It is added when training is over, not trained with: a network that sees the encoder's
inner product learns what that leaves over, and what it would have added to unseen pairs
is lost (docs/experiments.md).
"""

from collections.abc import Sequence
from dataclasses import replace

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
from model.beside.joined import directions
from model.bootstrap import relative_interval
from model.data.texts import item_texts
from model.settings import ModelSettings
from model.training.beside.two_parts import TwoParts, Weighed, without
from model.training.result import PretrainedText, TrainedModel
from stream.dtypes import Float32s, Float64s, Int64s
from stream.events.columns import Keys
from stream.graph.arrays import GraphArrays
from stream.graph.keysets import indexes_of

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

# Of the figures in a manifest, where a refresh finds what its parent chose.
_FIGURES = {
    "query": "pretrained_scale_query",
    "new_query": "pretrained_scale_new_query",
    "item": "pretrained_scale_item",
    "new_item": "pretrained_scale_new_item",
}


class NodeParts(TwoParts):
    """Both parts of all nodes' vectors: the network's, and the block's."""

    def vectors(self, scales: Scales) -> tuple[Float32s, Float32s]:
        """Return the vectors of all queries and of all items."""
        of_queries = scales.of(is_item=False, is_known=self.knows_query)
        of_items = scales.of(is_item=True, is_known=self.knows_item)
        return (
            extended(self.query_vectors, self.query_directions, of_queries),
            extended(self.item_vectors, self.item_directions, of_items),
        )

    def gains(self, edges: tuple[Int64s, Int64s], tried: Sequence[Scales]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, and one for the first ten, added.
        """
        return self.gains_of(edges, [self._weighed(scales) for scales in tried])

    def _weighed(self, scales: Scales) -> Weighed:
        query = scales.of(is_item=False, is_known=self.knows_query)
        item = scales.of(is_item=True, is_known=self.knows_item)
        # A query's own length changes no order.
        lengths = np.sqrt(1.0 + item**2 * self.item_directions.any(axis=1)).astype(np.float32)

        def scores(network: Float32s, text: Float32s, queries: Int64s) -> Float32s:
            both: Float32s = (network + query[queries, None] * item * text) / lengths
            return both

        return scores


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
    queries, items = arrays.query_texts[:num_queries], item_texts(arrays)
    dim = block_dim(name, settings.pretrained_dim)
    if parent is not None and _has_block(parent, encoder, dim):
        block = text_block(parent.encoder, encoder)
        keys = arrays.query_keys[:num_queries]
        query_directions = _query_directions(queries, keys, block, parent)
    else:
        sample = [*queries, *items][:: max(1, (num_queries + len(items)) // _SAMPLED_TEXTS)]
        block = TextBlock(encoder, fitted(encoder.encode(sample), dim), _scales(0.0))
        query_directions = block.directions(queries)
    item_directions = block.directions(items)
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
        seen=without(edges, unseen, len(trained.item_vectors)),
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


def _has_block(parent: Generation, encoder: PretrainedEncoder, dim: int) -> bool:
    """Return whether a parent's projection is of this encoder and length."""
    if not parent.manifest.HasField("pretrained_text"):
        return False
    of_parent = parent.manifest.pretrained_text
    return bool((of_parent.sha256, of_parent.dim) == (encoder.identity.sha256, dim))


def _query_directions(
    texts: Sequence[str], keys: Keys, block: TextBlock, parent: Generation
) -> Float32s:
    """Return ``float32 [num_queries, dim]``, rows of length one or zeros.

    Those of queries that the parent has are in its vectors, up to rounding: a key has
    one text for ever, and reading texts is half of what the block costs a refresh.
    """
    # At a scale of 0 there is nothing to read off.
    is_there = bool(block.scales.query and block.scales.new_query)
    row = indexes_of(parent.query_keys, keys) if is_there else np.full(len(keys), -1)
    known, new = np.flatnonzero(row >= 0), np.flatnonzero(row < 0)
    found = np.empty((len(keys), block.dim), dtype=np.float32)
    first = parent.network_dim
    stored = np.asarray(parent.query_vectors[row[known], first : first + block.dim])
    found[known] = directions(stored)
    found[new] = block.directions([texts[query] for query in new.tolist()])
    return found
