"""Puts how often an item is seen beside a trained model's vectors, and chooses how much
it counts on edges that the model has not seen.

Like pretrained text it is added when training is over: the loss corrects for
popularity, so that a network does not learn it instead of what is asked for.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from model.artifact.generation import Generation
from model.beside.item_prior import Prior, PriorBlock, seen_shares
from model.settings import ModelSettings
from model.training.beside.session_walk import hold_views, sessions_before
from model.training.beside.two_parts import TwoParts, Weighed, surely_better, without
from model.training.result import TrainedModel
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

PRIOR_OFF: Final = Prior(weight=0.0, known_share=0.0, new_share=0.0)
# What it counts until something is surely better. Of what was tried the one that gains
# on each log whose sessions hold views and costs segments least (docs/experiments.md).
# Twice as much gains more over all pairs, and rare items pay.
_FIRST: Final = Prior(weight=0.1, known_share=0.0, new_share=0.3)
# What is tried. More take as much longer; docs/experiments.md has what lies between.
_TRIED: Final = (
    PRIOR_OFF,
    *(
        Prior(weight=weight, known_share=known, new_share=new)
        for weight in (0.1, 0.2)
        for known, new in ((0.3, 0.3), (0.0, 0.3), (0.0, 0.5))
    ),
)
# Queries below which nothing is judged, as of pretrained text.
_LEAST_QUERIES = 50
# Scores that one choice is ranked by: some seconds of a core for all of them. Twice as
# many take twice that.
_MOST_SCORES = 50_000_000
# Of the figures in a manifest, where a refresh finds what its parent chose.
_FIGURES = {
    "weight": "prior_weight",
    "known_share": "prior_known_share",
    "new_share": "prior_new_share",
}


class PriorNodes(TwoParts):
    """All nodes' vectors, and the shares of items in sessions as the other part."""

    def gains(self, edges: tuple[Int64s, Int64s], tried: Sequence[Prior]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, one for the first ten, and one for the first hundred, added.
        """
        return self.deep_gains_of(edges, [self._weighed(prior) for prior in tried])

    def _weighed(self, prior: Prior) -> Weighed:
        # Lengths are alike: they change no order.
        counts = prior.weight * prior.shares(self.item_directions[:, 0], self.knows_item)

        def scores(rest: Float32s, _: Float32s, __: Int64s) -> Float32s:
            both: Float32s = rest + counts.astype(np.float32)
            return both

        return scores


def with_item_prior(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, parent: Generation | None
) -> TrainedModel:
    """Return a trained model with priors of items beside its vectors, if they are
    wanted, worth something, and sessions hold views: clicks alone say how often an item
    was shown, too, and held-out edges take that for more than it is worth later.

    Args:
        trained: with all else that stands beside the network's vectors.
        arrays: what it was trained on.
        settings: whether they are wanted.
        parent: the generation that training started from: a refresh keeps its prior
            where another is not surely better.
    """
    wanted = settings.item_prior and len(trained.query_vectors) and hold_views(arrays)
    if not wanted:
        return trained
    held_out = trained.held_out
    unseen = held_out.query, held_out.item
    nodes = _nodes(trained, arrays)
    prior, figures = choose_prior(nodes, unseen, _chosen_before(parent) or _FIRST)
    trained = replace(trained, evaluation={**trained.evaluation, **figures})
    return _beside(trained, arrays, nodes, prior)


def with_prior(trained: TrainedModel, arrays: GraphArrays, prior: Prior) -> TrainedModel:
    """Return a trained model with priors of items beside its vectors.

    Args:
        trained: as in `with_item_prior`.
        arrays: the same.
        prior: what they count.
    """
    return _beside(trained, arrays, _nodes(trained, arrays), prior)


def choose_prior(
    nodes: PriorNodes, unseen: tuple[Int64s, Int64s], standing: Prior
) -> tuple[Prior, dict[str, float]]:
    """Return what priors are to count, and the figures that chose it, by name.

    What is surely better (`surely_better`) replaces what stands.

    Args:
        nodes: with vectors that have not seen the edges.
        unseen: query and item of each edge to judge by.
        standing: what counts until something is surely better.
    """
    edges = nodes.judged(unseen, _MOST_SCORES)
    figures = {"prior_edges": float(len(edges[0]))}
    if len(np.unique(edges[0])) < _LEAST_QUERIES:
        return standing, figures
    tried = [*_TRIED, standing]
    gains, kind = nodes.gains(edges, tried), nodes.knows_item[edges[1]].astype(np.int64)
    chosen = surely_better(gains, edges[0], kind)
    worth = gains.mean(axis=1)
    figures |= {"prior_worth_without": float(worth[0]), "prior_worth": float(worth[chosen])}
    return tried[chosen], figures


def _nodes(trained: TrainedModel, arrays: GraphArrays) -> PriorNodes:
    """Return the vectors that have not seen the held-out edges, and the shares of items
    in the sessions before them.
    """
    num_queries, held_out = len(trained.query_vectors), trained.held_out
    unseen = held_out.query, held_out.item
    # Titles that stood in for queries are gone, and what was clicked for them.
    is_query = arrays.edge_query < num_queries
    edges = arrays.edge_query[is_query], arrays.edge_item[is_query]
    sessions = sessions_before(arrays, unseen, held_out.begin_ms)
    return PriorNodes(
        query_vectors=held_out.query_vectors,
        item_vectors=held_out.item_vectors,
        query_directions=np.zeros((num_queries, 1), dtype=np.float32),
        item_directions=_seen(arrays, sessions)[:, None],
        seen=without(edges, unseen, arrays.num_items),
    )


def _beside(
    trained: TrainedModel, arrays: GraphArrays, nodes: PriorNodes, prior: Prior
) -> TrainedModel:
    """Return a trained model with this prior beside its vectors, and with it among its
    figures.
    """
    figures = {figure: getattr(prior, each) for each, figure in _FIGURES.items()}
    trained = replace(trained, evaluation={**trained.evaluation, **figures})
    if not prior.weight:
        return trained
    block = PriorBlock(weight=prior.weight, new_share=prior.new_share)
    held_out, of_held_out = trained.held_out, nodes.item_directions[:, 0]
    is_query = arrays.edge_query < len(trained.query_vectors)
    is_known = np.bincount(arrays.edge_item[is_query], minlength=arrays.num_items) > 0
    seen = _seen(arrays, np.ones(arrays.num_sessions, dtype=np.bool_))
    return replace(
        trained,
        query_vectors=block.queries(trained.query_vectors),
        item_vectors=block.items(trained.item_vectors, prior.shares(seen, is_known)),
        held_out=replace(
            held_out,
            query_vectors=block.queries(held_out.query_vectors),
            item_vectors=block.items(
                held_out.item_vectors, prior.shares(of_held_out, nodes.knows_item)
            ),
        ),
        prior=block,
    )


def _seen(arrays: GraphArrays, sessions: Bools) -> Float32s:
    """Return ``float32 [num_items]``, the share of each item in some sessions, clicked
    or seen.
    """
    clicked = arrays.fact_session * arrays.num_items + arrays.fact_item
    members = arrays.incidence_session * arrays.num_items + arrays.incidence_item
    pairs = np.unique(np.concatenate([clicked, members]))
    pairs = pairs[sessions[pairs // max(1, arrays.num_items)]]
    return seen_shares(np.bincount(pairs % max(1, arrays.num_items), minlength=arrays.num_items))


def _chosen_before(parent: Generation | None) -> Prior | None:
    """Return what the parent chose, that it counts nothing included; None: it chose
    nothing.
    """
    figures = parent.manifest.evaluation if parent is not None else {}
    if any(figure not in figures for figure in _FIGURES.values()):
        return None
    return Prior(**{name: figures[figure] for name, figure in _FIGURES.items()})
