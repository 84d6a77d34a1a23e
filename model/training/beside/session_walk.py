"""Puts where clicks lead through sessions beside a trained model's vectors.

Like pretrained text it is added when training is over.
"""

from dataclasses import dataclass, replace

import numpy as np

from model.artifact.generation import Generation
from model.beside.session_walk import WALK_OFF, WalkScales
from model.settings import ModelSettings
from model.training.beside.session_directions import query_directions, session_directions
from model.training.beside.walk_scales import FIRST_SCALES, WalkNodes, choose_walk_scales
from model.training.result import TrainedModel
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays

# Share of the members of sessions. It is 0 on logs whose sessions are worth nothing,
# and .67 to .96 where they pay; twice as much is all of them.
_MOST = 0.5
# Of the figures in a manifest, where a refresh finds what its parent chose.
_FIGURES = {
    "query": "walk_scale_query",
    "new_query": "walk_scale_new_query",
    "item": "walk_scale_item",
    "new_item": "walk_scale_new_item",
}


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
    standing = _chosen_before(parent)
    first = FIRST_SCALES if hold_views(arrays) else WALK_OFF
    scales, figures = choose_walk_scales(
        walks.validation, unseen, standing or WALK_OFF, None if standing else first
    )
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


@dataclass(frozen=True, kw_only=True)
class _Walks:
    """A trained model's nodes by all sessions, and by those before the held-out time.

    Attributes:
        whole: by all edges and sessions.
        validation: by what the held-out vectors have seen.
    """

    whole: WalkNodes
    validation: WalkNodes

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
            return cls(whole=whole, validation=validation)
        unseen = held_out.query, held_out.item
        sessions = sessions_before(arrays, unseen, held_out.begin_ms)
        validation = _nodes(trained, arrays, sessions, unseen, settings)
        return cls(whole=whole, validation=validation)

    def beside(self, trained: TrainedModel, scales: WalkScales) -> TrainedModel:
        """Return the model with the block of these scales, and with them among its
        figures.
        """
        figures = {figure: getattr(scales, each) for each, figure in _FIGURES.items()}
        trained = replace(trained, evaluation={**trained.evaluation, **figures})
        if scales.is_off:
            return trained
        block = self.whole.block(scales)
        query_vectors, item_vectors = self.whole.extended(scales)
        unseen_by = self.validation.extended(scales)
        held_out = replace(trained.held_out, query_vectors=unseen_by[0], item_vectors=unseen_by[1])
        return replace(
            trained,
            query_vectors=query_vectors,
            item_vectors=item_vectors,
            held_out=held_out,
            encoder={**trained.encoder, **block.arrays()},
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


def sessions_before(arrays: GraphArrays, unseen: tuple[Int64s, Int64s], begin_ms: int) -> Bools:
    """Return ``bool [num_sessions]``: those that ended before the held-out time began,
    and made no held-out edge.
    """
    before: Bools = arrays.session_last_ms < begin_ms
    facts = arrays.fact_query * arrays.num_items + arrays.fact_item
    before[arrays.fact_session[np.isin(facts, unseen[0] * arrays.num_items + unseen[1])]] = False
    return before


def hold_views(arrays: GraphArrays) -> bool:
    """Return whether most of what is in sessions was not clicked there out of a search:
    what was has been said by the clicks.
    """
    clicked = arrays.fact_session * arrays.num_items + arrays.fact_item
    members = arrays.incidence_session * arrays.num_items + arrays.incidence_item
    return bool(len(members) and (~np.isin(members, clicked)).mean() > _MOST)


def _chosen_before(parent: Generation | None) -> WalkScales | None:
    """Return what the parent chose, that it counts nothing included; None: it chose
    nothing.
    """
    figures = parent.manifest.evaluation if parent is not None else {}
    if _FIGURES["query"] not in figures:
        return None
    # Guesses counted nothing in generations from before them.
    return WalkScales(**{name: figures.get(figure, 0.0) for name, figure in _FIGURES.items()})
