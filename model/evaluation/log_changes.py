"""What changed in the graph of a log between two times, as a store's feed tells it."""

from collections.abc import Sequence

import numpy as np

from stream.dtypes import Int64s
from stream.events.columns import Keys
from stream.feed.changes import EdgeChanges, KeyedTexts, MemberRows, SessionChanges, ShardChanges
from stream.graph.arrays import GraphArrays
from stream.graph.facts import MIN_HYPEREDGE_ITEMS

_NEVER_MS = np.iinfo(np.int64).max


class LogChanges:
    """The changes of a log, in order of event time.

    Its catalogue does not change, and nobody is erased.

    Args:
        whole: the graph of the whole log.
    """

    def __init__(self, whole: GraphArrays) -> None:
        self._whole = whole
        edge, session, self._click_ms = _first_clicks(whole)
        self._click_query = whole.query_keys[whole.edge_query[edge]]
        self._click_item = whole.item_keys[whole.edge_item[edge]]
        sessions = np.concatenate([session, whole.incidence_session])
        times = np.concatenate([self._click_ms, whole.incidence_ms])
        order = np.argsort(times, kind="stable")
        self._touched, self._touched_ms = sessions[order], times[order]
        self._named = _first_times(whole)

    def between(self, since_ms: int, until_ms: int) -> ShardChanges | None:
        """Return what events from one time on and before another changed; None:
        nothing.
        """
        first, last = np.searchsorted(self._touched_ms, [since_ms, until_ms])
        if first == last:
            return None
        sessions = np.unique(self._touched[first:last]).tolist()
        before = [self._members(session, since_ms) for session in sessions]
        after = [self._members(session, until_ms) for session in sessions]
        clicks = slice(*np.searchsorted(self._click_ms, [since_ms, until_ms]).tolist())
        whole, (query_ms, item_ms) = self._whole, self._named
        once = np.ones(clicks.stop - clicks.start, dtype=np.int64)
        edges = EdgeChanges(self._click_query[clicks], self._click_item[clicks], once)
        rows = [
            _rows(number, keys, was, now, is_query=is_query)
            for number, (old, new) in enumerate(zip(before, after, strict=True))
            for keys, was, now, is_query in (
                (whole.item_keys, old[0], new[0], False),
                (whole.query_keys, old[1], new[1], True),
            )
        ]
        members = MemberRows(*map(np.concatenate, zip(*rows, strict=True)))
        return ShardChanges(
            shard=0,
            sequence=0,
            edges=edges.summed(),
            sessions=SessionChanges.of_rows(members, np.zeros(len(sessions), dtype=np.bool_)),
            query_names=_names(
                whole.query_keys, whole.query_texts, _within(query_ms, since_ms, until_ms)
            ),
            item_names=_names(
                whole.item_keys, whole.item_ids, _within(item_ms, since_ms, until_ms)
            ),
        )

    def _members(self, session: int, before_ms: int) -> tuple[Int64s, Int64s]:
        """Return items and queries of a session's hyperedge as the events before a time
        make it; none where it has none.
        """
        whole, nothing = self._whole, np.zeros(0, dtype=np.int64)
        of_session = slice(
            *np.searchsorted(whole.incidence_session, [session, session + 1]).tolist()
        )
        items = whole.incidence_item[of_session][whole.incidence_ms[of_session] < before_ms]
        if len(items) < MIN_HYPEREDGE_ITEMS:
            return nothing, nothing
        of_session = slice(*np.searchsorted(whole.fact_session, [session, session + 1]).tolist())
        queries = whole.fact_query[of_session][whole.fact_ms[of_session] < before_ms]
        return items, np.unique(queries)


def _first_clicks(whole: GraphArrays) -> tuple[Int64s, Int64s, Int64s]:
    """Return edge, session and time of the first fact that a session has on an edge, in
    order of time, ``int64 [num_clicks]`` each.
    """
    num_sessions = max(1, whole.num_sessions)
    clicks, of_fact = np.unique(
        whole.edge_of_fact * num_sessions + whole.fact_session, return_inverse=True
    )
    first_ms = np.full(len(clicks), _NEVER_MS)
    np.minimum.at(first_ms, of_fact, whole.fact_ms)
    order = np.argsort(first_ms, kind="stable")
    return clicks[order] // num_sessions, clicks[order] % num_sessions, first_ms[order]


def _first_times(whole: GraphArrays) -> tuple[tuple[Int64s, Int64s], tuple[Int64s, Int64s]]:
    """Return for queries and for items: those that events name, and when one first did,
    in order of that time, ``int64 [n]`` each.
    """
    item = np.concatenate([whole.fact_item, whole.incidence_item])
    item_ms = np.concatenate([whole.fact_ms, whole.incidence_ms])
    return _firsts(whole.fact_query, whole.fact_ms), _firsts(item, item_ms)


def _firsts(node: Int64s, ms: Int64s) -> tuple[Int64s, Int64s]:
    order = np.argsort(ms, kind="stable")
    nodes, first = np.unique(node[order], return_index=True)
    by_time = np.argsort(first)
    return nodes[by_time], ms[order][first[by_time]]


def _within(named: tuple[Int64s, Int64s], since_ms: int, until_ms: int) -> list[int]:
    nodes, times = named
    first, last = np.searchsorted(times, [since_ms, until_ms])
    found: list[int] = nodes[first:last].tolist()
    return found


def _names(keys: Keys, texts: Sequence[str], nodes: list[int]) -> KeyedTexts:
    return KeyedTexts(keys[nodes], [texts[node] for node in nodes])


def _rows(session: int, keys: Keys, was: Int64s, now: Int64s, *, is_query: bool) -> MemberRows:
    """Return a session's members of one kind, before and after."""
    nodes = np.union1d(was, now).astype(np.int64)
    return MemberRows(
        session=np.full(len(nodes), session, dtype=np.int64),
        member=keys[nodes],
        is_query=np.full(len(nodes), is_query),
        was_in=np.isin(nodes, was),
        is_in=np.isin(nodes, now),
    )
