"""Pure: the items nearest to an item, from one live view."""

import math
from dataclasses import dataclass, replace

import numpy as np

from protos import retrieval_v1_pb2 as retrieval_pb
from server.errors import ItemUnknown, QueryRefused
from server.filters.conditions import Filter, FilterReport
from server.overlay.search import Nearest, search
from server.overlay.vectors import item_vector
from server.overlay.view import LiveView
from server.retrieve import check_limits, nearest_items
from server.settings import ServerSettings
from stream.dtypes import Bools

# Of an id in a message: more than catalogues have. Twice as many say no more.
_SHOWN_CHARS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarQuery:
    """A valid request.

    Attributes:
        item_id: as the catalogue has it.
        k: at least 1.
        min_reflected_ms: see `server.retrieve.RetrievalQuery`.
        max_age_seconds: likewise.
        filter: which items may be in the answer; None: all others.
    """

    item_id: str
    k: int
    min_reflected_ms: int = 0
    max_age_seconds: float = math.inf
    filter: Filter | None = None


def parse_similar(
    item_id: str,
    k: int,
    settings: ServerSettings,
    *,
    min_reflected_ms: int = 0,
    max_age_seconds: float = math.inf,
) -> SimilarQuery:
    """Check a request against the limits.

    Args:
        item_id: as sent.
        k: how many items are wanted; 0: the server's default.
        settings: the limits.
        min_reflected_ms: see `SimilarQuery`.
        max_age_seconds: see `SimilarQuery`.

    Raises:
        QueryRefused: a value is outside them.
    """
    check_item_id(item_id, settings)
    check_limits(k, settings, min_reflected_ms, max_age_seconds)
    return SimilarQuery(
        item_id=item_id,
        k=k or settings.default_k,
        min_reflected_ms=min_reflected_ms,
        max_age_seconds=max_age_seconds,
    )


def check_item_id(item_id: str, settings: ServerSettings) -> None:
    """Check that an id may be one.

    Raises:
        QueryRefused: it is empty or longer than any that was learned.
    """
    if not item_id:
        raise QueryRefused(
            "item_id is empty; send the id of an item as the catalogue has it",
            request_field="item_id",
        )
    if len(item_id) > settings.max_query_chars:
        raise QueryRefused(
            f"item_id has {len(item_id)} characters; at most {settings.max_query_chars} are read",
            request_field="item_id",
        )


def similar_items(view: LiveView, query: SimilarQuery) -> tuple[Nearest, FilterReport | None]:
    """Return the items nearest to an item, itself left out, and what became of the
    filter.

    Raises:
        ItemUnknown: the view has no vector of it.
        NoAttributes: the filter asks for attributes, and the generation has none.
        QueryRefused: it asks for numbers where an attribute has none.
    """
    vector = item_vector(view, query.item_id)
    if vector is None:
        raise ItemUnknown(unknown_item(view, query.item_id))
    if query.filter is not None:
        others = (*query.filter.excluded_ids, query.item_id)
        return nearest_items(view, vector, query.k, replace(query.filter, excluded_ids=others))
    found = search(view.live, view.overlay, vector, query.k + 1)
    kept = np.flatnonzero(~_is_item(view, found, query.item_id))[: query.k]
    others_alone = Nearest(
        from_overlay=found.from_overlay[kept],
        rows=found.rows[kept],
        scores=found.scores[kept],
    )
    return others_alone, None


def source_of(view: LiveView, item_id: str) -> retrieval_pb.VectorSource:
    """Return where the vector of a known item is from."""
    if item_id in view.overlay.items:
        return retrieval_pb.VECTOR_SOURCE_OVERLAY
    return retrieval_pb.VECTOR_SOURCE_GENERATION


def unknown_item(view: LiveView, item_id: str) -> str:
    """Return what to tell who asks for an item that is not there."""
    # A status travels with the end of a call, where gRPC's clients take 8 kB.
    shown = item_id if len(item_id) <= _SHOWN_CHARS else f"{item_id[:_SHOWN_CHARS]}..."
    if item_id in view.overlay.gone_ids:
        return f"item {shown!r} is deleted, and in no answer"
    return (
        f"neither generation {view.generation_id} nor its overlay has item {shown!r}; send "
        "the id of an item of the catalogue or of the events"
    )


def _is_item(view: LiveView, found: Nearest, item_id: str) -> Bools:
    """Return ``bool [n]``, which of the found items is this one: a row of the overlay
    or of the generation, never of both.
    """
    row = view.overlay.items.get(item_id)
    is_fresh = row is not None
    place = row if is_fresh else view.live.generation.find_item(item_id)
    own: Bools = (found.from_overlay == is_fresh) & (found.rows == place)
    return own
