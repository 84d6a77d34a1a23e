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

    def take(self, rows: Int64s) -> "SessionClicks":
        """Return some of the clicks, by their places, ``int64 [n]``."""
        return SessionClicks(
            session=self.session[rows],
            query=self.query[rows],
            item=self.item[rows],
            items=[self.items[row] for row in rows],
            queries=[self.queries[row] for row in rows],
            answered=[self.answered[row] for row in rows],
        )

    def renumbered(self, query: Int64s, item: Int64s, context_query: Int64s) -> "SessionClicks":
        """Return the clicks in the numbering of another graph.

        What it does not have is no context; clicks whose query or item it does not
        have, or that are left without an item before them, are left out.

        Args:
            query: ``int64 [num_queries]``, the other number of each asked query, or -1.
            item: ``int64 [num_items]``, the same of each item.
            context_query: ``int64 [num_queries]``, the same of each query as context.
        """
        there = SessionClicks(
            session=self.session,
            query=query[self.query],
            item=item[self.item],
            items=[_known(item[each]) for each in self.items],
            queries=[_known(context_query[each]) for each in self.queries],
            answered=[_known(item[each]) for each in self.answered],
        )
        has_items = np.array([len(each) > 0 for each in there.items], dtype=np.bool_)
        return there.take(np.flatnonzero((there.query >= 0) & (there.item >= 0) & has_items))


def session_clicks(
    arrays: GraphArrays, begin_ms: int, *, end_ms: int | None = None, most: int | None = None
) -> SessionClicks:
    """Return the clicks since a time that have something before them in their session.

    What has the same time as a click is not before it. A click counts at its first
    time, whatever is done with the item for that query later. Items are those of the
    session's hyperedge and of its clicks: one whose session has a single item is in no
    hyperedge, so a view of it alone is not known.

    Args:
        arrays: the graph that has them.
        begin_ms: when the first of them may be, UTC epoch milliseconds.
        end_ms: they are before that; None: up to the newest.
        most: only the newest so many; None: all.
    """
    facts = first_facts(arrays, begin_ms)
    if end_ms is not None:
        facts = facts[arrays.fact_ms[facts] < end_ms]
    oldest_ms = np.full(arrays.num_sessions, np.iinfo(np.int64).max)
    np.minimum.at(oldest_ms, arrays.incidence_session, arrays.incidence_ms)
    np.minimum.at(oldest_ms, arrays.fact_session, arrays.fact_ms)
    facts = facts[oldest_ms[arrays.fact_session[facts]] < arrays.fact_ms[facts]]
    facts = facts[np.argsort(arrays.fact_ms[facts], kind="stable")]
    facts = facts if most is None else facts[len(facts) - min(most, len(facts)) :]
    befores = [_before(arrays, fact) for fact in facts.tolist()]
    return SessionClicks(
        session=arrays.fact_session[facts],
        query=arrays.fact_query[facts],
        item=arrays.fact_item[facts],
        items=[items for items, _, _ in befores],
        queries=[queries for _, queries, _ in befores],
        answered=[answered for _, _, answered in befores],
    )


def _known(numbers: Int64s) -> Int64s:
    return numbers[numbers >= 0]


def first_facts(arrays: GraphArrays, begin_ms: int) -> Int64s:
    """Return the earliest fact of each session, query and item, whatever the action, of
    those whose earliest is not before a time.

    Only sessions that have a fact since then are sorted: a refresh asks for a few.
    """
    is_late = np.zeros(arrays.num_sessions, dtype=np.bool_)
    is_late[arrays.fact_session[arrays.fact_ms >= begin_ms]] = True
    facts = np.flatnonzero(is_late[arrays.fact_session])
    columns = (arrays.fact_session, arrays.fact_query, arrays.fact_item)
    order = facts[np.lexsort([column[facts] for column in (arrays.fact_ms, *reversed(columns))])]
    is_first = np.zeros(len(order), dtype=np.bool_)
    is_first[:1] = True
    for column in columns:
        is_first[1:] |= np.diff(column[order]) != 0
    first = order[is_first]
    return first[arrays.fact_ms[first] >= begin_ms]


def _before(arrays: GraphArrays, fact: int) -> tuple[Int64s, Int64s, Int64s]:
    """Return items, queries and answered items of a fact's session before it."""
    session, ms = arrays.fact_session[fact], arrays.fact_ms[fact]
    low, high = np.searchsorted(arrays.incidence_session, [session, session + 1])
    members = low + np.flatnonzero(arrays.incidence_ms[low:high] < ms)
    low, high = np.searchsorted(arrays.fact_session, [session, session + 1])
    earlier = low + np.flatnonzero(arrays.fact_ms[low:high] < ms)
    earlier = earlier[np.argsort(arrays.fact_ms[earlier], kind="stable")]
    is_same = arrays.fact_query[earlier] == arrays.fact_query[fact]
    items = np.concatenate([arrays.incidence_item[members], arrays.fact_item[earlier]])
    times_ms = np.concatenate([arrays.incidence_ms[members], arrays.fact_ms[earlier]])
    items = _each_once(items[np.argsort(times_ms, kind="stable")])
    queries = _each_once(arrays.fact_query[earlier[~is_same]])
    answered = np.unique(arrays.fact_item[earlier[is_same]])
    return items[-NEWEST_MEMBERS:], queries[-NEWEST_MEMBERS:], answered


def _each_once(values: Int64s) -> Int64s:
    """Return the different values in the order of their first places."""
    _, first = np.unique(values, return_index=True)
    return values[np.sort(first)]
