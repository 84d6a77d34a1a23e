"""Clicks with what their session held before them."""

from dataclasses import dataclass

import numpy as np

from model.context import NEWEST_MEMBERS
from stream.dtypes import Int64s
from stream.graph.arrays import GraphArrays


@dataclass(frozen=True, kw_only=True)
class SessionClicks:
    """Clicks from searches whose session held something before them.

    Attributes:
        session: ``int64 [num_clicks]``, the session of each.
        query: ``int64 [num_clicks]``, the query that was asked.
        item: ``int64 [num_clicks]``, the item that was clicked.
        items: for each click ``int64 [n]``: the newest items of its session before it,
            oldest first; not empty.
        queries: for each click ``int64 [n]``: the newest queries of its session before
            it, oldest first, the asked one left out.
        answered: for each click ``int64 [n]``: the items clicked for the same query in
            its session before it. A graph has a session's clicks once each, so none of
            these can be what was clicked.
    """

    session: Int64s
    query: Int64s
    item: Int64s
    items: list[Int64s]
    queries: list[Int64s]
    answered: list[Int64s]

    def __len__(self) -> int:
        return len(self.query)


def session_clicks(arrays: GraphArrays, begin_ms: int, *, most: int | None = None) -> SessionClicks:
    """Return the clicks since a time that have something before them in their session.

    What has the same time as a click is not before it. A click counts at its first
    time, whatever is done with the item for that query later.

    Args:
        arrays: the graph that has them.
        begin_ms: when the first of them may be, UTC epoch milliseconds.
        most: only the newest so many; None: all.
    """
    facts = _first_facts(arrays)
    facts = facts[arrays.fact_ms[facts] >= begin_ms]
    begins = np.searchsorted(arrays.incidence_session, np.arange(arrays.num_sessions + 1))
    # Incidences of a session are in order of time, so its first one is its oldest.
    oldest_ms = np.full(arrays.num_sessions, np.iinfo(np.int64).max)
    has_items = begins[1:] > begins[:-1]
    oldest_ms[has_items] = arrays.incidence_ms[begins[:-1][has_items]]
    facts = facts[oldest_ms[arrays.fact_session[facts]] < arrays.fact_ms[facts]]
    facts = facts[np.argsort(arrays.fact_ms[facts], kind="stable")]
    facts = facts if most is None else facts[len(facts) - min(most, len(facts)) :]
    befores = [_before(arrays, begins, fact) for fact in facts.tolist()]
    return SessionClicks(
        session=arrays.fact_session[facts],
        query=arrays.fact_query[facts],
        item=arrays.fact_item[facts],
        items=[items for items, _, _ in befores],
        queries=[queries for _, queries, _ in befores],
        answered=[answered for _, _, answered in befores],
    )


def _first_facts(arrays: GraphArrays) -> Int64s:
    """Return the earliest fact of each session, query and item, whatever the action."""
    order = np.lexsort(
        (arrays.fact_ms, arrays.fact_item, arrays.fact_query, arrays.fact_session)
    ).astype(np.int64)
    is_first = np.zeros(len(order), dtype=np.bool_)
    is_first[:1] = True
    for column in (arrays.fact_session, arrays.fact_query, arrays.fact_item):
        is_first[1:] |= np.diff(column[order]) != 0
    return order[is_first]


def _before(arrays: GraphArrays, begins: Int64s, fact: int) -> tuple[Int64s, Int64s, Int64s]:
    """Return items, queries and answered items of a fact's session before it."""
    session, ms = arrays.fact_session[fact], arrays.fact_ms[fact]
    rows = slice(begins[session], begins[session + 1])
    items = arrays.incidence_item[rows][arrays.incidence_ms[rows] < ms]
    low, high = np.searchsorted(arrays.fact_session, [session, session + 1])
    earlier = low + np.flatnonzero(arrays.fact_ms[low:high] < ms)
    earlier = earlier[np.argsort(arrays.fact_ms[earlier], kind="stable")]
    is_same = arrays.fact_query[earlier] == arrays.fact_query[fact]
    asked = arrays.fact_query[earlier[~is_same]]
    # Each at its first time: `unique` names the place of the first of equals.
    _, first = np.unique(asked, return_index=True)
    queries = asked[np.sort(first)]
    answered = np.unique(arrays.fact_item[earlier[is_same]])
    return items[-NEWEST_MEMBERS:], queries[-NEWEST_MEMBERS:], answered
