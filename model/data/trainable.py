"""The trainable part of a snapshot: the graph without deleted items, and with titles as
queries where the log has no searches.
"""

from dataclasses import dataclass, replace

import numpy as np

from model.errors import TrainingRefused
from protos.text import normalize_query, text_key
from stream.actions import Action
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays

_EDGE_ARRAYS = (
    "edge_query",
    "edge_item",
    "edge_weight",
    "edge_sessions",
    "edge_first_ms",
    "edge_last_ms",
)
_FACT_ARRAYS = ("fact_session", "fact_query", "fact_item", "fact_action", "fact_ms")
_INCIDENCE_ARRAYS = ("incidence_session", "incidence_item", "incidence_ms")


@dataclass(frozen=True, kw_only=True)
class TrainableGraph:
    """The arrays to train on.

    Attributes:
        arrays: without what deleted items took part in.
        titles_as_queries: the log has no queries; those of `arrays` are item titles, to
            be dropped again.
    """

    arrays: GraphArrays
    titles_as_queries: bool


def select_trainable(arrays: GraphArrays) -> TrainableGraph:
    """Leave deleted items out; where no query was ever clicked from, let the titles of
    items stand in.

    Raises:
        TrainingRefused: there is neither a click from a search nor a session of two
            items with titles.
    """
    kept = without_items(arrays, arrays.item_deleted)
    if len(kept.edge_query):
        return TrainableGraph(arrays=kept, titles_as_queries=False)
    with_titles = _titles_as_queries(kept)
    if not len(with_titles.edge_query):
        raise TrainingRefused(
            "nothing to learn from: no click from a search, and no session of two items with "
            "titles; "
            "publish events for `freshet stream` to read"
        )
    return TrainableGraph(arrays=with_titles, titles_as_queries=True)


def without_items(arrays: GraphArrays, left_out: Bools) -> GraphArrays:
    """Return a graph without what some items took part in.

    Args:
        arrays: the graph.
        left_out: ``bool [num_items]``, which.
    """
    if not left_out.any():
        return arrays
    edges = ~left_out[arrays.edge_item]
    facts = ~left_out[arrays.fact_item]
    incidences = ~left_out[arrays.incidence_item]
    return replace(
        arrays,
        **{name: getattr(arrays, name)[edges] for name in _EDGE_ARRAYS},
        **{name: getattr(arrays, name)[facts] for name in _FACT_ARRAYS},
        **{name: getattr(arrays, name)[incidences] for name in _INCIDENCE_ARRAYS},
    )


def _titles_as_queries(arrays: GraphArrays) -> GraphArrays:
    """Make facts (session, title of an item, item) of each item of a session and its
    neighbours in it.
    """
    titles = [normalize_query(title) for title in arrays.item_titles]
    texts = sorted({title for title in titles if title}, key=text_key)
    number = {text: query for query, text in enumerate(texts)}
    title_of = np.array([number.get(title, -1) for title in titles], dtype=np.int64)
    session, item, ms = arrays.incidence_session, arrays.incidence_item, arrays.incidence_ms
    # Incidences come by session, so neighbours in a session are rows in turn. Each item
    # answers its own title, and those of the items before and after it.
    near = np.flatnonzero(session[1:] == session[:-1])
    all_ = np.arange(len(session))
    at = np.concatenate([all_, near, near + 1])
    clicked = np.concatenate([all_, near + 1, near])
    named = title_of[item[at]] >= 0
    at, clicked = at[named], clicked[named]
    return _with_facts(arrays, texts, (session[at], title_of[item[at]], item[clicked], ms[clicked]))


def _with_facts(
    arrays: GraphArrays, query_texts: list[str], facts: tuple[Int64s, Int64s, Int64s, Int64s]
) -> GraphArrays:
    """Return `arrays` with other queries and with clicks (session, query, item, time)
    in place of its own.
    """
    session, query, item, ms = facts
    # An edge is a distinct code of (query, item), ascending; a session counts once for
    # each edge that it made, whatever the number of its facts.
    num_items = max(1, len(arrays.item_keys))
    codes, edge = np.unique(query * num_items + item, return_inverse=True)
    made_by = np.unique(edge * max(1, arrays.num_sessions) + session) // max(1, arrays.num_sessions)
    first_ms = np.full(len(codes), np.iinfo(np.int64).max)
    last_ms = np.zeros(len(codes), dtype=np.int64)
    np.minimum.at(first_ms, edge, ms)
    np.maximum.at(last_ms, edge, ms)
    sessions = np.bincount(made_by, minlength=len(codes)).astype(np.int32)
    return replace(
        arrays,
        query_keys=np.array([text_key(text) for text in query_texts], dtype=np.uint64),
        query_texts=query_texts,
        edge_query=codes // num_items,
        edge_item=codes % num_items,
        edge_weight=sessions.astype(np.float32),
        edge_sessions=sessions,
        edge_first_ms=first_ms,
        edge_last_ms=last_ms,
        fact_session=session,
        fact_query=query,
        fact_item=item,
        fact_action=np.full(len(session), int(Action.CLICK), dtype=np.int8),
        fact_ms=ms,
    )
