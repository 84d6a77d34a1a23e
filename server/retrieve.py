"""Pure: a query's text to ranked items, from one live generation."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from protos.text import normalize_query
from server.errors import QueryRefused
from server.live import LiveGeneration
from server.settings import ServerSettings
from stream.dtypes import Float32s


class QueryPath(StrEnum):
    """Where a query's vector came from."""

    KNOWN = "known"
    ENCODED = "encoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalQuery:
    """A valid request: `query` is normalised and not empty, `k` at least 1."""

    query: str
    k: int


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


def parse_request(text: str, k: int, settings: ServerSettings) -> RetrievalQuery:
    """Normalise a request and check it against the limits.

    Args:
        text: the query as typed.
        k: how many items are wanted; 0: the server's default.
        settings: the limits.

    Raises:
        QueryRefused: the query is empty (as typed, or once normalised) or too long, or
            `k` is too large.
    """
    if len(text) > settings.max_query_chars:
        raise QueryRefused(
            f"the query has {len(text)} characters; at most {settings.max_query_chars} are read"
        )
    if not 0 <= k <= settings.max_k:
        raise QueryRefused(
            f"k is {k}; it must be from 1 to {settings.max_k}, or 0 for {settings.default_k}"
        )
    query = normalize_query(text)
    if not query:
        what = "is empty" if not text.strip() else "has no letter, digit or symbol"
        raise QueryRefused(f"the query {what}; send the text that was searched for")
    return RetrievalQuery(query=query, k=k or settings.default_k)


def retrieve(live: LiveGeneration, query: RetrievalQuery) -> RetrievalResult:
    """Return the items nearest to a query, by its own vector if the graph knows it,
    else by the encoder's.
    """
    vector = known_vector(live, query.query)
    path = QueryPath.ENCODED if vector is None else QueryPath.KNOWN
    found, scores = live.index.search(
        live.encoder.encode(query.query) if vector is None else vector, query.k
    )
    generation = live.generation
    items = generation.index_items[found].tolist()
    return RetrievalResult(
        path=path,
        item_ids=[generation.item_ids[item] for item in items],
        titles=[generation.item_titles[item] for item in items],
        scores=np.clip(scores, -1.0, 1.0),
    )


def known_vector(live: LiveGeneration, query: str) -> Float32s | None:
    """Return the vector ``float32 [dim]`` of a normalised query, or None where it is
    not in the graph.
    """
    row = live.generation.find_query(query)
    return None if row is None else np.asarray(live.generation.query_vectors[row])
