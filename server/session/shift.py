"""Pure: where a session draws a query, by the vectors of a live view."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from model.context import shifted
from server.overlay.vectors import fresh_vector, item_vector, known_vector
from server.overlay.view import LiveView
from server.session.context import SessionContext
from stream.dtypes import Float32s


class MemberOutcome(StrEnum):
    """What became of an item or a query that a request sends of its session."""

    USED = "used"
    """It is in the mean that the query was shifted by."""

    UNKNOWN = "unknown"
    """Neither generation nor overlay has a vector of it, or it is gone."""

    OLDER = "older"
    """Enough newer ones were sent, or the same again, or it is the asked query, or too
    long to be known.
    """

    WITHOUT_WEIGHT = "without_weight"
    """It is not looked up: the live generation gains nothing by its kind."""


class ContextShift(NamedTuple):
    """A query's vector in its session."""

    vector: Float32s
    """``float32 [dim]``, a unit vector."""

    outcomes: Mapping[MemberOutcome, int]
    """How many members met with each outcome."""


NOTHING_MET: Final[Mapping[MemberOutcome, int]] = MappingProxyType({})
"""How many members of no session met with each outcome."""


def shift(view: LiveView, vector: Float32s, context: SessionContext) -> ContextShift:
    """Return where a query points in its session, see `model.context.shifted`.

    Args:
        view: whose vectors, and whose generation's weights.
        vector: ``float32 [dim]``, the query's own.
        context: the session.
    """
    sent = len(context.item_ids) + len(context.queries) + context.older
    if not sent:
        return ContextShift(vector, NOTHING_MET)
    weights = view.live.generation.context_weights
    items = [item_vector(view, id_) for id_ in context.item_ids] if weights.items else []
    queries = [_query_vector(view, text) for text in context.queries] if weights.queries else []
    known_items, known_queries = _known(items, len(vector)), _known(queries, len(vector))
    used, looked_up = len(known_items) + len(known_queries), len(items) + len(queries)
    outcomes = {
        MemberOutcome.USED: used,
        MemberOutcome.UNKNOWN: looked_up - used,
        MemberOutcome.OLDER: context.older,
        MemberOutcome.WITHOUT_WEIGHT: sent - context.older - looked_up,
    }
    return ContextShift(shifted(vector, known_items, known_queries, weights), outcomes)


def _query_vector(view: LiveView, query: str) -> Float32s | None:
    fresh = fresh_vector(view, query)
    return known_vector(view, query) if fresh is None else fresh


def _known(vectors: Sequence[Float32s | None], dim: int) -> Float32s:
    """Return those that are there, ``float32 [n, dim]``."""
    found = [vector for vector in vectors if vector is not None]
    return np.array(found, dtype=np.float32).reshape(-1, dim)
