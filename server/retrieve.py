"""Pure: a query's text to ranked items, from one live view."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from protos.text import normalize_query, text_key
from server.errors import QueryRefused
from server.overlay.search import Nearest, search
from server.overlay.view import LiveView
from server.settings import ServerSettings
from stream.dtypes import Float32s


class QueryPath(StrEnum):
    """Where a query's vector came from."""

    FRESH = "fresh"
    KNOWN = "known"
    ENCODED = "encoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalQuery:
    """A valid request.

    Attributes:
        query: normalised, not empty.
        k: at least 1.
        min_reflected_ms: least reflected time of the answer, UTC epoch milliseconds; 0:
            any.
        max_age_seconds: greatest age of the answer; infinity: any.
    """

    query: str
    k: int
    min_reflected_ms: int = 0
    max_age_seconds: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalResult:
    """Ranked items, best first.

    Attributes:
        path: where the query's vector came from.
        item_ids: external ids.
        titles: titles, empty where the catalogue has none.
        scores: ``float32 [len(item_ids)]`` cosines, descending.
    """

    path: QueryPath
    item_ids: list[str]
    titles: list[str]
    scores: Float32s


def parse_request(
    text: str,
    k: int,
    settings: ServerSettings,
    *,
    min_reflected_ms: int = 0,
    max_age_seconds: float = math.inf,
) -> RetrievalQuery:
    """Normalise a request and check it against the limits.

    Args:
        text: the query as typed.
        k: how many items are wanted; 0: the server's default.
        settings: the limits.
        min_reflected_ms: see `RetrievalQuery`.
        max_age_seconds: see `RetrievalQuery`.

    Raises:
        QueryRefused: the query is empty (as typed, or once normalised) or too long, `k`
            is too large, or no answer can be as fresh as it says.
    """
    if len(text) > settings.max_query_chars:
        raise QueryRefused(
            f"the query has {len(text)} characters; at most {settings.max_query_chars} are read"
        )
    if not 0 <= k <= settings.max_k:
        raise QueryRefused(
            f"k is {k}; it must be from 1 to {settings.max_k}, or 0 for {settings.default_k}"
        )
    if min_reflected_ms < 0:
        raise QueryRefused(
            f"min_freshness.reflected_ms is {min_reflected_ms}; it must be a time in UTC epoch "
            "milliseconds, such as that of an earlier receipt"
        )
    if not max_age_seconds > 0:
        raise QueryRefused(
            f"min_freshness.max_age_seconds is {max_age_seconds}; it must be more than 0"
        )
    query = normalize_query(text)
    if not query:
        what = "is empty" if not text.strip() else "has no letter, digit or symbol"
        raise QueryRefused(f"the query {what}; send the text that was searched for")
    return RetrievalQuery(
        query=query,
        k=k or settings.default_k,
        min_reflected_ms=min_reflected_ms,
        max_age_seconds=max_age_seconds,
    )


def retrieve(view: LiveView, query: RetrievalQuery) -> RetrievalResult:
    """Return the items nearest to a query, by its own vector if the overlay or the
    generation knows it, else by the encoder's.
    """
    path, vector = query_vector(view, query.query)
    return _result(view, path, search(view.live, view.overlay, vector, query.k))


def query_vector(view: LiveView, query: str) -> tuple[QueryPath, Float32s]:
    """Return the vector ``float32 [dim]`` of a normalised query, and where it came
    from.
    """
    row = view.overlay.queries.get(query)
    if row is not None:
        return QueryPath.FRESH, view.overlay.rows.query_vectors[row]
    vector = known_vector(view, query)
    if vector is not None:
        return QueryPath.KNOWN, vector
    return QueryPath.ENCODED, view.live.encoder.encode(query)


def known_vector(view: LiveView, query: str) -> Float32s | None:
    """Return the generation's vector ``float32 [dim]`` of a normalised query, or None
    where it is not in the graph, or was erased since.
    """
    generation, gone = view.live.generation, view.overlay.gone_queries
    row = generation.find_query(query)
    if row is None or (gone and text_key(query) in gone):
        return None
    return np.asarray(generation.query_vectors[row])


def _result(view: LiveView, path: QueryPath, nearest: Nearest) -> RetrievalResult:
    generation, fresh = view.live.generation, view.overlay.rows
    found = list(zip(nearest.from_overlay.tolist(), nearest.rows.tolist(), strict=True))
    return RetrievalResult(
        path=path,
        item_ids=[
            fresh.item_ids[row] if is_fresh else generation.item_ids[row] for is_fresh, row in found
        ],
        titles=[
            fresh.item_titles[row] if is_fresh else generation.item_titles[row]
            for is_fresh, row in found
        ],
        scores=np.clip(nearest.scores, -1.0, 1.0),
    )
