"""Pure: which edges and hyperedges differ before and after a write, from its sessions'
facts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream.dtypes import Bools, Int64s
from stream.events.columns import Keys
from stream.feed.changes import EdgeChanges, MemberRows, SessionChanges
from stream.graph.facts import (
    MAX_HYPEREDGE_ITEMS,
    MIN_HYPEREDGE_ITEMS,
    FactColumns,
    hyperedge_rows,
    times_of,
)
from stream.graph.keysets import distinct, indexes_of, order_by, run_starts

ItemIds = Callable[[Keys], Mapping[int, str]]
"""Returns the ids of items by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FactTable:
    """All facts that a write's sessions have before it, after it, or both.

    Attributes:
        facts: in ascending order of (session, query, item, action), each once; those
            that are there after it at the time that they have then.
        was_in: ``bool [num_facts]`` there before.
        is_in: ``bool [num_facts]`` there after.
        old_stamp: ``uint64 [num_facts]`` `FactColumns.stamp` before, of those that were
            there.
        by_item: ``int64 [num_facts]`` the facts in order of (session, item); None: it
            is found.
    """

    facts: FactColumns
    was_in: Bools
    is_in: Bools
    old_stamp: Keys
    by_item: Int64s | None = None

    def take(self, index: Int64s | Bools) -> "FactTable":
        """Return the facts at these indexes, or where a mask is true."""
        return FactTable(
            facts=self.facts.take(index),
            was_in=self.was_in[index],
            is_in=self.is_in[index],
            old_stamp=self.old_stamp[index],
        )

    def with_gone(self, gone: FactColumns) -> "FactTable":
        """Return the table with facts of other sessions that were there before."""
        if not len(gone):
            return self
        size, rest = len(gone), len(self.facts)
        facts = FactColumns.concatenate([self.facts, gone])
        order = order_by(facts.session, facts.query, facts.item, facts.action)
        return FactTable(
            facts=facts,
            was_in=np.append(self.was_in, np.ones(size, dtype=np.bool_)),
            is_in=np.append(self.is_in, np.zeros(size, dtype=np.bool_)),
            old_stamp=np.append(self.old_stamp, gone.stamp),
        ).take(order if rest else np.arange(size))


def edge_changes(table: FactTable) -> EdgeChanges:
    """Return by how much the distinct sessions of edges change; one edge may be there
    once a session.
    """
    # Facts that make edges, by (session, query, item): a run is one session on one
    # edge, which counts as long as any fact of the run is there.
    facts = table.facts
    rows = np.flatnonzero(facts.makes_edge)
    if not len(rows):
        return EdgeChanges.empty()
    session, query, item = facts.session[rows], facts.query[rows], facts.item[rows]
    firsts = np.flatnonzero(run_starts(session, query, item))
    was_in = np.logical_or.reduceat(table.was_in[rows], firsts)
    is_in = np.logical_or.reduceat(table.is_in[rows], firsts)
    changed = np.flatnonzero(was_in != is_in)
    kept = firsts[changed]
    return EdgeChanges(query[kept], item[kept], np.where(is_in[changed], 1, -1).astype(np.int64))


def session_changes(
    table: FactTable, item_ids: ItemIds, partial: Keys | None = None
) -> SessionChanges:
    """Return the sessions whose hyperedges differ, with their members.

    Args:
        table: all facts of each session.
        item_ids: asked for the items of sessions with more than a hyperedge keeps.
        partial: ``uint64 [num_partial]`` sessions of which queries that stay are left
            out; None: none.
    """
    if not len(table.facts):
        return SessionChanges.empty()
    starts = run_starts(table.facts.session)
    number = np.cumsum(starts) - 1
    num_sessions = int(number[-1]) + 1
    items = _items(table, number, num_sessions, item_ids)
    queries = _queries(table, number)
    rows = MemberRows(*(np.concatenate(pair) for pair in zip(items, queries, strict=True)))
    # Without two items there is no hyperedge, and so no member of it.
    was_edge = np.bincount(items.session[items.was_in], minlength=num_sessions)
    is_edge = np.bincount(items.session[items.is_in], minlength=num_sessions)
    rows = rows._replace(
        was_in=rows.was_in & (was_edge >= MIN_HYPEREDGE_ITEMS)[rows.session],
        is_in=rows.is_in & (is_edge >= MIN_HYPEREDGE_ITEMS)[rows.session],
    )
    is_changed = np.zeros(num_sessions, dtype=np.bool_)
    is_changed[rows.session[rows.was_in != rows.is_in]] = True
    is_told = is_changed[rows.session] & (rows.was_in | rows.is_in)
    is_partial = np.zeros(num_sessions, dtype=np.bool_)
    if partial is not None and len(partial):
        is_partial = np.isin(table.facts.session[starts], partial)
        is_told &= ~(is_partial[rows.session] & rows.is_query & (rows.was_in == rows.is_in))
    told = np.flatnonzero(is_told)
    rows = rows.take(told[np.argsort(rows.session[told], kind="stable")])
    dense = np.cumsum(is_changed) - 1
    return SessionChanges.of_rows(
        rows._replace(session=dense[rows.session]), is_partial[is_changed]
    )


def _items(table: FactTable, number: Int64s, num_sessions: int, item_ids: ItemIds) -> MemberRows:
    """Return the items that hyperedges keep, by (session, item)."""
    facts = table.facts
    order = table.by_item
    if order is None:
        order = order_by(facts.session, facts.item)
    session, item = number[order], facts.item[order]
    firsts = np.flatnonzero(run_starts(session, item))
    rows = MemberRows(
        session=session[firsts],
        member=item[firsts],
        is_query=np.zeros(len(firsts), dtype=np.bool_),
        was_in=np.logical_or.reduceat(table.was_in[order], firsts),
        is_in=np.logical_or.reduceat(table.is_in[order], firsts),
    )
    sizes = np.bincount(rows.session, minlength=num_sessions)
    is_over = sizes > MAX_HYPEREDGE_ITEMS
    if not is_over.any():
        return rows
    own = table.take(is_over[number])
    over = number[is_over[number]]
    names = item_ids(distinct(own.facts.item))
    return rows._replace(
        was_in=rows.was_in
        & _is_kept(rows, is_over, over, own.facts, own.was_in, own.old_stamp, names),
        is_in=rows.is_in
        & _is_kept(rows, is_over, over, own.facts, own.is_in, own.facts.stamp, names),
    )


def _is_kept(  # one side of a table
    rows: MemberRows,
    is_over: Bools,
    session: Int64s,
    facts: FactColumns,
    is_there: Bools,
    stamp: Keys,
    names: Mapping[int, str],
) -> Bools:
    """Return which items hyperedges keep; all of those of sessions that have few.

    Args:
        rows: by (session, item).
        is_over: ``bool [num_sessions]`` which sessions have many.
        session: the number of each fact's.
        facts: of the sessions that have many.
        is_there: which of these count.
        stamp: theirs.
        names: ids of their items.
    """
    keys = np.array(sorted(names), dtype=np.uint64)
    ids = [names[key] for key in keys.tolist()]
    ranks = np.empty(len(keys), dtype=np.int64)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    place = indexes_of(keys, facts.item)
    session, place = session[is_there], place[is_there]
    kept = hyperedge_rows(session, place, times_of(stamp[is_there]), ranks[place])
    is_kept = ~is_over[rows.session]
    many = np.flatnonzero(is_over[rows.session])
    codes = rows.session[many] * len(keys) + indexes_of(keys, rows.member[many])
    is_kept[many] = np.isin(codes, session[kept] * len(keys) + place[kept])
    return is_kept


def _queries(table: FactTable, number: Int64s) -> MemberRows:
    """Return the queries of facts that make edges, by (session, query)."""
    rows = np.flatnonzero(table.facts.makes_edge)
    session, query = number[rows], table.facts.query[rows]
    if not len(rows):
        none = np.empty(0, dtype=np.bool_)
        return MemberRows(session, query, none, none, none)
    firsts = np.flatnonzero(run_starts(session, query))
    return MemberRows(
        session=session[firsts],
        member=query[firsts],
        is_query=np.ones(len(firsts), dtype=np.bool_),
        was_in=np.logical_or.reduceat(table.was_in[rows], firsts),
        is_in=np.logical_or.reduceat(table.is_in[rows], firsts),
    )


def wide_changes(
    before: Mapping[int, Sequence[int]],
    after: Mapping[int, Sequence[int]],
    joined: Mapping[int, Sequence[int]],
) -> SessionChanges:
    """Return the changes of sessions that were wide before a write.

    Args:
        before: some items of each, as many as a hyperedge keeps.
        after: the same after the write.
        joined: the queries that each had no fact of that makes an edge, and has now.
    """
    rows: list[tuple[int, int, bool, bool, bool]] = []
    number = 0
    for key, items in after.items():
        stays, queries = set(before[key]), joined.get(key, ())
        if len(items) < MIN_HYPEREDGE_ITEMS or not (queries or stays != set(items)):
            continue
        was_edge = len(stays) >= MIN_HYPEREDGE_ITEMS
        rows += [(number, item, False, was_edge and item in stays, True) for item in items]
        rows += [(number, query, True, False, True) for query in queries]
        number += 1
    if not rows:
        return SessionChanges.empty()
    session, member, is_query, was_in, is_in = zip(*rows, strict=True)
    members = MemberRows(
        session=np.array(session, dtype=np.int64),
        member=np.array(member, dtype=np.uint64),
        is_query=np.array(is_query, dtype=np.bool_),
        was_in=np.array(was_in, dtype=np.bool_),
        is_in=np.array(is_in, dtype=np.bool_),
    )
    return SessionChanges.of_rows(members, np.ones(number, dtype=np.bool_))
