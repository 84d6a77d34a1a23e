"""Puts how often an item is seen beside a trained model's vectors, and chooses how much
it counts on edges that the model has not seen.

Like pretrained text it is added when training is over: the loss corrects for
popularity, so that a network does not learn it instead of what is asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from model.artifact.generation import Generation
from model.beside.item_prior import Prior, PriorBlock, recency, seen_shares
from model.settings import ModelSettings
from model.training.beside.session_walk import hold_views, sessions_before
from model.training.beside.two_parts import TwoParts, Weighed, surely_better, without
from model.training.result import TrainedModel
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

PRIOR_OFF: Final = Prior(weight=0.0, known_share=0.0, new_share=0.0)
# What it counts until something is surely better, where sessions hold views. Of what
# was tried the one that gains on each log whose sessions hold views and costs segments
# least (docs/experiments.md). Twice as much gains more over all pairs, and rare items
# pay.
_FIRST: Final = Prior(weight=0.1, known_share=0.0, new_share=0.3)
# All that it may count where sessions hold but clicks: of what was tried the one that
# costs rare items least. Twice as much gains more on the weeks before the test part of
# bestbuy_xbox and loses on it.
_OF_CLICKS: Final = Prior(weight=0.1, known_share=0.3, new_share=0.3)
# Half-lives that are tried, in days; 0: all sessions count alike. docs/experiments.md
# has what lies between, and below: one day is as good as three.
_HALF_LIVES: Final = (0.0, 3.0, 10.0, 30.0, 100.0)
# What is tried with the half-life that is found best, where sessions hold views. More
# take as much longer; docs/experiments.md has what lies between, and more of a weight.
_WITH_VIEWS: Final = tuple(
    Prior(weight=weight, known_share=known, new_share=new)
    for weight in (0.1, 0.2)
    for known, new in ((0.3, 0.3), (0.0, 0.3), (0.0, 0.5))
)
# Clicks from which an item is not rare, as in `model.evaluation.holdout`: rare ones are
# a kind that choices look at by itself, because what is often seen is put before them.
# Twice as many: more of them.
_RARE_CLICKS = 5
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
    "half_life_days": "prior_half_life_days",
}


@dataclass(frozen=True, kw_only=True)
class PriorNodes(TwoParts):
    """All nodes' vectors, and how often sessions have items; there is no other part.

    Attributes:
        clicks: ``int64 [num_items]``, how often each was clicked.
        shares: returns ``float32 [num_items]``, each item's share of sessions by a
            half-life in days.
    """

    clicks: Int64s
    shares: Callable[[float], Float32s]

    def gains(self, edges: tuple[Int64s, Int64s], tried: Sequence[Prior]) -> Float64s:
        """Return ``float64 [num_tried, num_edges]``: one over the rank of each edge's
        item, one for the first ten, and one for the first hundred, added.
        """
        return self.deep_gains_of(edges, [self._weighed(prior) for prior in tried])

    def shares_by(self, prior: Prior) -> Float32s:
        """Return ``float32 [num_items]``, each item's share by a prior."""
        return prior.shares(self.shares(prior.half_life_days), self.knows_item)

    def kinds_of(self, item: Int64s) -> Int64s:
        """Return which items were never clicked (0), rarely (1), often (2)."""
        clicks = self.clicks[item]
        return np.where(clicks == 0, 0, np.where(clicks < _RARE_CLICKS, 1, 2)).astype(np.int64)

    def _weighed(self, prior: Prior) -> Weighed:
        # Lengths are alike: they change no order.
        counts = (prior.weight * self.shares_by(prior)).astype(np.float32)

        def scores(rest: Float32s, _: Float32s, __: Int64s) -> Float32s:
            both: Float32s = rest + counts
            return both

        return scores


def with_item_prior(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, parent: Generation | None
) -> TrainedModel:
    """Return a trained model with priors of items beside its vectors, if they are
    wanted and worth something.

    Where sessions hold but clicks, which say how often an item was shown, too, held-out
    edges take that for more than it is worth later: there is none until they are sure
    of one, and never more of it than costs least.

    Args:
        trained: with all else that stands beside the network's vectors.
        arrays: what it was trained on.
        settings: whether they are wanted.
        parent: the generation that training started from: a refresh keeps its prior
            where another is not surely better.
    """
    if not (settings.item_prior and len(trained.query_vectors)):
        return trained
    held_out = trained.held_out
    unseen = held_out.query, held_out.item
    nodes = _nodes(trained, arrays)
    first, tried = (_FIRST, _WITH_VIEWS) if hold_views(arrays) else (PRIOR_OFF, ())
    prior, figures = choose_prior(nodes, unseen, _chosen_before(parent) or first, tried)
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
    nodes: PriorNodes, unseen: tuple[Int64s, Int64s], standing: Prior, tried: Sequence[Prior]
) -> tuple[Prior, dict[str, float]]:
    """Return what priors are to count, and the figures that chose it, by name.

    What is surely better (`surely_better`) replaces what stands: first a half-life,
    then weight and least shares with it.

    Args:
        nodes: with vectors that have not seen the edges.
        unseen: query and item of each edge to judge by.
        standing: what counts until something is surely better.
        tried: weights and least shares.
    """
    edges = nodes.judged(unseen, _MOST_SCORES)
    figures = {"prior_edges": float(len(edges[0]))}
    if len(np.unique(edges[0])) < _LEAST_QUERIES:
        return standing, figures
    at_first = standing if standing.weight else _OF_CLICKS
    by_age = [replace(at_first, half_life_days=days) for days in _HALF_LIVES]
    chosen = _surely_better(nodes, edges, [PRIOR_OFF, *by_age], standing)
    if chosen.weight and tried:
        of_age = [replace(each, half_life_days=chosen.half_life_days) for each in tried]
        chosen = _surely_better(nodes, edges, [PRIOR_OFF, *of_age], chosen)
    without_it, with_it = nodes.gains(edges, [PRIOR_OFF, chosen]).mean(axis=1)
    return chosen, figures | {
        "prior_worth_without": float(without_it),
        "prior_worth": float(with_it),
    }


def _surely_better(
    nodes: PriorNodes,
    edges: tuple[Int64s, Int64s],
    tried: Sequence[Prior],
    standing: Prior,
) -> Prior:
    """Return what stands, or what is surely better: of that, what no kind of items
    surely pays for, where there is such.
    """
    gains = nodes.gains(edges, [PRIOR_OFF, *tried, standing])
    kind = nodes.kinds_of(edges[1])
    return [*tried, standing][surely_better(gains[1:], edges[0], kind, gains[0])]


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
        item_directions=np.zeros((arrays.num_items, 1), dtype=np.float32),
        seen=without(edges, unseen, arrays.num_items),
        clicks=np.bincount(
            arrays.fact_item[arrays.fact_ms < held_out.begin_ms], minlength=arrays.num_items
        ),
        shares=cache(_Seen.of(arrays, sessions).shares),
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
    held_out = trained.held_out
    is_query = arrays.edge_query < len(trained.query_vectors)
    is_known = np.bincount(arrays.edge_item[is_query], minlength=arrays.num_items) > 0
    every = _Seen.of(arrays, np.ones(arrays.num_sessions, dtype=np.bool_))
    shares = prior.shares(every.shares(prior.half_life_days), is_known)
    return replace(
        trained,
        query_vectors=block.queries(trained.query_vectors),
        item_vectors=block.items(trained.item_vectors, shares),
        held_out=replace(
            held_out,
            query_vectors=block.queries(held_out.query_vectors),
            item_vectors=block.items(held_out.item_vectors, nodes.shares_by(prior)),
        ),
        prior=block,
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Which items some sessions have, clicked or seen.

    Attributes:
        item: ``int64 [num_members]``, of each session's distinct items.
        last_ms: ``int64 [num_members]``, when the session ended.
        num_items: how many items there are.
    """

    item: Int64s
    last_ms: Int64s
    num_items: int

    @classmethod
    def of(cls, arrays: GraphArrays, sessions: Bools) -> "_Seen":
        clicked = arrays.fact_session * arrays.num_items + arrays.fact_item
        members = arrays.incidence_session * arrays.num_items + arrays.incidence_item
        pairs = np.unique(np.concatenate([clicked, members]))
        session, item = np.divmod(pairs, max(1, arrays.num_items))
        counts = sessions[session]
        return cls(
            item=item[counts],
            last_ms=arrays.session_last_ms[session[counts]],
            num_items=arrays.num_items,
        )

    def shares(self, half_life_days: float) -> Float32s:
        """Return ``float32 [num_items]``, the share of each item."""
        counts = recency(self.last_ms, half_life_days)
        sessions = np.bincount(self.item, weights=counts, minlength=self.num_items)
        return seen_shares(sessions.astype(np.float64))


def _chosen_before(parent: Generation | None) -> Prior | None:
    """Return what the parent chose, that it counts nothing included; None: it chose
    nothing.
    """
    figures = parent.manifest.evaluation if parent is not None else {}
    if _FIGURES["weight"] not in figures:
        return None
    # All sessions counted alike in generations from before their age did.
    return Prior(**{name: figures.get(figure, 0.0) for name, figure in _FIGURES.items()})
