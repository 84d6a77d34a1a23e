"""Pure: a query's text to ranked items, from one live view."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from protos.text import normalize_query
from server.answers import hits
from server.errors import QueryRefused
from server.filters.conditions import Filter, FilterReport
from server.filters.search import search_filtered
from server.overlay.search import Nearest, search, with_marked
from server.overlay.vectors import fresh_vector, known_vector
from server.overlay.view import LiveView
from server.session.context import NO_SESSION, SessionContext, parse_context
from server.session.shift import NOTHING_MET, MemberOutcome, shift
from server.settings import ServerSettings
from stream.dtypes import Float32s


class QueryPath(StrEnum):
    """Where a query's vector came from."""

    FRESH = "fresh"
    KNOWN = "known"
    ENCODED = "encoded"


class RetrievalQuery(NamedTuple):
    """A valid request.

    Attributes:
        query: normalised, not empty.
        k: at least 1.
        min_reflected_ms: least reflected time of the answer, UTC epoch milliseconds; 0:
            any.
        max_age_seconds: greatest age of the answer; infinity: any.
        context: the running session.
        filter: which items may be in the answer; None: all.
    """

    query: str
    k: int
    min_reflected_ms: int = 0
    max_age_seconds: float = math.inf
    context: SessionContext = NO_SESSION
    filter: Filter | None = None

    @property
    def wants_freshness(self) -> bool:
        """Whether an answer may be too old for it."""
        return self.min_reflected_ms > 0 or self.max_age_seconds < math.inf


class RetrievalResult(NamedTuple):
    """Ranked items, best first.

    Attributes:
        path: where the query's vector came from.
        view: the live view that it is of.
        nearest: the items, as the view has them.
        context: how many members of the session met with each outcome.
        vector: ``float32 [dim]``, what was searched for.
        filter: what became of the request's filter; None: it had none.
    """

    path: QueryPath
    view: LiveView
    nearest: Nearest
    context: Mapping[MemberOutcome, int]
    vector: Float32s
    filter: FilterReport | None = None

    @property
    def num_from_overlay(self) -> int:
        """How many of the items are the overlay's."""
        return self.nearest.from_overlay.tobytes().count(1)

    @property
    def scores(self) -> Float32s:
        """``float32 [n]`` cosines, descending."""
        scores: Float32s = np.minimum(np.maximum(self.nearest.scores, -1), 1)
        return scores

    @property
    def item_ids(self) -> list[str]:
        """External ids."""
        return names_of(self.view, self.nearest)[0]

    @property
    def titles(self) -> list[str]:
        """Titles, empty where the catalogue has none."""
        return names_of(self.view, self.nearest)[1]

    def hits(self) -> bytes:
        """Return the hits as bytes of a response; see `server.answers.hits`."""
        if not hits.IS_NATIVE:
            return hits.with_scores(self.kept_hits(), self.scores)
        generation, fresh = self.view.live.generation, self.view.overlay.rows
        return hits.native_hits(
            self.nearest.rows,
            self.nearest.from_overlay,
            self.nearest.scores,
            generation.item_ids,
            generation.item_titles,
            fresh.item_ids,
            fresh.item_titles,
        )

    def kept_hits(self) -> list[bytes]:
        """Return the hits, each without its score; those that were shown are kept."""
        generation, fresh = self.view.live.generation, self.view.overlay.rows
        keys: list[Hashable] = self.nearest.rows.tolist()
        if self.nearest.from_overlay.any():
            # An overlay is replaced each second, most of its items are not.
            keys = [
                (fresh.item_ids[row], fresh.item_titles[row]) if is_fresh else row
                for is_fresh, row in self._found()
            ]

        def texts(places: Sequence[int]) -> list[tuple[bytes, bytes]]:
            wanted = [keys[place] for place in places]
            rows = [key for key in wanted if isinstance(key, int)]
            stored = zip(
                generation.item_ids.encoded(rows), generation.item_titles.encoded(rows), strict=True
            )
            return [
                (key[0].encode(), key[1].encode()) if isinstance(key, tuple) else next(stored)
                for key in wanted
            ]

        return self.view.live.hits.of(keys, texts)

    def _found(self) -> Iterator[tuple[bool, int]]:
        nearest = self.nearest
        return zip(nearest.from_overlay.tolist(), nearest.rows.tolist(), strict=True)


def parse_request(
    text: str,
    k: int,
    settings: ServerSettings,
    *,
    min_reflected_ms: int = 0,
    max_age_seconds: float = math.inf,
    context_item_ids: Sequence[str] = (),
    context_queries: Sequence[str] = (),
) -> RetrievalQuery:
    """Normalise a request and check it against the limits.

    Args:
        text: the query as typed.
        k: how many items are wanted; 0: the server's default.
        settings: the limits.
        min_reflected_ms: see `RetrievalQuery`.
        max_age_seconds: see `RetrievalQuery`.
        context_item_ids: items of the running session, oldest first.
        context_queries: its queries as typed, oldest first.

    Raises:
        QueryRefused: the query is empty or too long (as typed, or once normalised), `k`
            is too large, or no answer can be as fresh as it says.
    """
    if len(text) > settings.max_query_chars:
        raise QueryRefused(
            f"the query has {len(text)} characters; at most {settings.max_query_chars} are read",
            request_field="query",
        )
    check_limits(k, settings, min_reflected_ms, max_age_seconds)
    query = normalize_query(text)
    if not query:
        what = "is empty" if not text.strip() else "has no letter, digit or symbol"
        raise QueryRefused(
            f"the query {what}; send the text that was searched for", request_field="query"
        )
    if len(query) > settings.max_query_chars:
        raise QueryRefused(
            f"the query has {len(query)} characters once it is normalised; at most "
            f"{settings.max_query_chars} are read",
            request_field="query",
        )
    return RetrievalQuery(
        query=query,
        k=k or settings.default_k,
        min_reflected_ms=min_reflected_ms,
        max_age_seconds=max_age_seconds,
        context=parse_context(context_item_ids, context_queries, query, settings.max_query_chars),
    )


def check_limits(
    k: int, settings: ServerSettings, min_reflected_ms: int, max_age_seconds: float
) -> None:
    """Check what all requests for items may have.

    Args:
        k: see `parse_request`.
        settings: the limits.
        min_reflected_ms: see `RetrievalQuery`.
        max_age_seconds: see `RetrievalQuery`.

    Raises:
        QueryRefused: one of them is outside the limits.
    """
    if not 0 <= k <= settings.max_k:
        raise QueryRefused(
            f"k is {k}; it must be from 1 to {settings.max_k}, or 0 for {settings.default_k}",
            request_field="k",
        )
    if min_reflected_ms < 0:
        raise QueryRefused(
            f"min_freshness.reflected_ms is {min_reflected_ms}; it must be a time in UTC epoch "
            "milliseconds, such as that of an earlier receipt",
            request_field="min_freshness.reflected_ms",
        )
    if not max_age_seconds > 0:
        raise QueryRefused(
            f"min_freshness.max_age_seconds is {max_age_seconds}; it must be more than 0",
            request_field="min_freshness.max_age_seconds",
        )


def retrieve(view: LiveView, query: RetrievalQuery, *, is_probe: bool = False) -> RetrievalResult:
    """Return the items nearest to a query, by its own vector if the overlay or the
    generation knows it, else by the encoder's; in a session by the vector that it is
    shifted to.

    Args:
        view: what is answered from.
        query: the request.
        is_probe: the answer has the items of probes, too, beside the `k` nearest.
    """
    path, own = query_vector(view, query.query)
    vector, outcomes = own, NOTHING_MET
    if query.context is not NO_SESSION:
        vector, outcomes = shift(view, own, query.context)
    nearest, report = nearest_items(view, vector, query.k, query.filter)
    if is_probe:
        nearest = with_marked(view.overlay, vector, nearest)
    return RetrievalResult(
        path=path, view=view, nearest=nearest, context=outcomes, vector=vector, filter=report
    )


def nearest_items(
    view: LiveView, vector: Float32s, k: int, wanted: Filter | None
) -> tuple[Nearest, FilterReport | None]:
    """Return the `k` nearest items that a filter lets in, or all there are, and what
    became of the filter.

    Args:
        view: generation and overlay.
        vector: ``float32 [dim]``, a unit vector.
        k: how many, at least one.
        wanted: the filter; None: every item may be in the answer.

    Raises:
        NoAttributes: the filter asks for attributes, and the generation has none.
        QueryRefused: it asks for numbers where an attribute has none.
    """
    if wanted is None:
        return search(view.live, view.overlay, vector, k), None
    return search_filtered(view, vector, k, wanted)


def query_vector(view: LiveView, query: str) -> tuple[QueryPath, Float32s]:
    """Return the vector ``float32 [dim]`` of a normalised query, and where it came
    from.
    """
    fresh = fresh_vector(view, query)
    if fresh is not None:
        return QueryPath.FRESH, fresh
    vector = known_vector(view, query)
    if vector is not None:
        return QueryPath.KNOWN, vector
    return QueryPath.ENCODED, view.live.encoder.encode(query)


def names_of(view: LiveView, nearest: Nearest) -> tuple[list[str], list[str]]:
    """Return the ids and the titles of found items."""
    generation, fresh = view.live.generation, view.overlay.rows
    found = list(zip(nearest.from_overlay.tolist(), nearest.rows.tolist(), strict=True))
    item_ids = [
        fresh.item_ids[row] if is_fresh else generation.item_ids[row] for is_fresh, row in found
    ]
    titles = [
        fresh.item_titles[row] if is_fresh else generation.item_titles[row]
        for is_fresh, row in found
    ]
    return item_ids, titles
