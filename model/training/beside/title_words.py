"""Puts words of items' titles beside a trained model's vectors, and chooses how much
they count on edges that the model has not seen.

Like pretrained text they are added when training is over.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from model.artifact.generation import Generation
from model.beside.title_words import WordBlock, word_weights
from model.bootstrap import relative_interval
from model.settings import ModelSettings
from model.training.beside.two_parts import TwoParts, Weighed, without
from model.training.result import TrainedModel
from stream.dtypes import Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

# What the words' inner product counts beside the rest's, where it is tried: quality
# changes little in between (docs/experiments.md). More take as much longer.
_WEIGHTS: Final = (0.0, 0.1, 0.2, 0.4)
# What it counts where words say what clicks do not, until something is surely better:
# of the weights the one that gains where there is a gain and costs nothing elsewhere
# (docs/experiments.md). Twice as much costs as much as it gains.
_FIRST_WEIGHT: Final = 0.2
# Share of the shown items that were never clicked, from which on words say what clicks
# do not. It is .46 and .99 where they gain, .12 where they gain nothing
# (docs/experiments.md); twice as much would leave the first of these out.
_LEAST_UNCLICKED = 0.25
# Queries below which nothing is judged, as of pretrained text.
_LEAST_QUERIES = 50
# Of the figures in a manifest, where a refresh finds what its parent chose, and what
# counted for it at first.
_FIGURE, _FIRST = "words_weight", "words_weight_first"


class WordNodes(TwoParts):
    """Both parts of all nodes' vectors: the rest, and words of titles."""

    def gains(self, edges: tuple[Int64s, Int64s], weights: Sequence[float]) -> Float64s:
        """Return ``float64 [num_weights, num_edges]``: one over the rank of each edge's
        item, and one for the first ten, added.
        """
        return self.gains_of(edges, [_weighed(weight) for weight in weights])


def with_title_words(
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    parent: Generation | None,
    *,
    asks_in_titles: bool,
) -> TrainedModel:
    """Return a trained model with what words of titles add to its vectors, if that is
    wanted and worth something.

    Args:
        trained: with the vectors of the network and of pretrained text.
        arrays: what it was trained on.
        settings: how much longer vectors may be.
        parent: the generation that training started from: a refresh keeps its weight
            where another is not surely better, unless the catalogue has become one in
            which another counts at first.
        asks_in_titles: whether queries have words of the titles that they lead to.
    """
    if not (settings.most_words_dim and len(trained.query_vectors)):
        return trained
    first = _FIRST_WEIGHT if asks_in_titles and _many_unclicked(arrays) else 0.0
    chosen = parent.manifest.evaluation if parent is not None else {}
    standing = chosen.get(_FIGURE, first) if chosen.get(_FIRST) == first else first
    trained = replace(trained, evaluation={**trained.evaluation, _FIRST: first})
    unseen = trained.held_out.query, trained.held_out.item
    if not standing and not _can_judge(unseen):
        # Nobody's words are read: most refreshes of a shop without them end here.
        nothing = {"words_edges": float(len(unseen[0])), _FIGURE: 0.0}
        return replace(trained, evaluation={**trained.evaluation, **nothing})
    nodes, block = _words(trained, arrays, settings)
    weight, figures = choose_weight(nodes, unseen, standing)
    trained = replace(trained, evaluation={**trained.evaluation, **figures})
    return _beside(trained, nodes, block, weight)


def with_words_weight(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, weight: float
) -> TrainedModel:
    """Return a trained model with words of titles beside its vectors.

    Args:
        trained: as in `with_title_words`.
        arrays: the same.
        settings: how much longer vectors become.
        weight: what words count.
    """
    nodes, block = _words(trained, arrays, settings)
    return _beside(trained, nodes, block, weight)


def _words(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings
) -> tuple[WordNodes, WordBlock]:
    """Return both parts of the vectors that have not seen the held-out edges, and a
    block that counts nothing yet.
    """
    num_queries = len(trained.query_vectors)
    weights = word_weights(arrays.item_titles, settings.num_buckets)
    block = WordBlock(dim=settings.words_dim, scale=0.0, weights=weights)
    # Titles that stood in for queries are gone, and what was clicked for them.
    is_query = arrays.edge_query < num_queries
    edges = arrays.edge_query[is_query], arrays.edge_item[is_query]
    held_out = trained.held_out
    return WordNodes(
        query_vectors=held_out.query_vectors,
        item_vectors=held_out.item_vectors,
        query_directions=block.directions(arrays.query_texts[:num_queries]),
        item_directions=block.directions(arrays.item_titles),
        seen=without(edges, (held_out.query, held_out.item), arrays.num_items),
    ), block


def _beside(
    trained: TrainedModel, nodes: WordNodes, block: WordBlock, weight: float
) -> TrainedModel:
    """Return a trained model with a block of this weight beside its vectors, and with
    that among its figures.
    """
    trained = replace(trained, evaluation={**trained.evaluation, _FIGURE: weight})
    if not weight:
        return trained
    block = replace(block, scale=float(np.sqrt(weight)))
    words = nodes.query_directions, nodes.item_directions
    held_out = replace(
        trained.held_out,
        query_vectors=block.queries(trained.held_out.query_vectors, words[0]),
        item_vectors=block.items(trained.held_out.item_vectors, words[1]),
    )
    return replace(
        trained,
        query_vectors=block.queries(trained.query_vectors, words[0]),
        item_vectors=block.items(trained.item_vectors, words[1]),
        held_out=held_out,
        encoder={**trained.encoder, **block.arrays()},
        words=block,
    )


def choose_weight(
    nodes: WordNodes, unseen: tuple[Int64s, Int64s], standing: float
) -> tuple[float, dict[str, float]]:
    """Return what words are to count, and the figures that chose it, by name.

    What is surely better replaces what stands: where the 95% interval of the gain, by
    paired bootstrap over queries, is above 0.

    Args:
        nodes: with vectors that have not seen the edges.
        unseen: query and item of each edge to judge by.
        standing: what counts until then.
    """
    figures = {"words_edges": float(len(unseen[0]))}
    if not _can_judge(unseen):
        return standing, figures
    gains = nodes.gains(unseen, [*_WEIGHTS, standing])
    worth = gains.mean(axis=1)
    best = int(np.argmax(worth[:-1]))
    low, _ = relative_interval(gains[best], gains[-1], unseen[0])
    chosen = best if low > 0.0 else len(_WEIGHTS)
    figures |= {"words_worth_without": float(worth[0]), "words_worth": float(worth[chosen])}
    return [*_WEIGHTS, standing][chosen], figures


def _can_judge(unseen: tuple[Int64s, Int64s]) -> bool:
    """Return whether edges are of enough queries to judge a weight by."""
    return len(np.unique(unseen[0])) >= _LEAST_QUERIES


def _weighed(weight: float) -> Weighed:
    # Lengths are alike: they change no order.
    def scores(rest: Float32s, words: Float32s, _: Int64s) -> Float32s:
        both: Float32s = rest + np.float32(weight) * words
        return both

    return scores


def _many_unclicked(arrays: GraphArrays) -> bool:
    """Return whether many of the shown items were never clicked out of a search."""
    shown = arrays.item_available & ~arrays.item_deleted
    unclicked = np.bincount(arrays.fact_item, minlength=arrays.num_items) == 0
    return bool(unclicked[shown].mean() >= _LEAST_UNCLICKED) if shown.any() else False
