"""Pure rules of the graph: how sessions merge, what that does to edges, which items a hyperedge keeps.

A fact is (session, query or none, item, action) at the earliest event time at which it was seen. Nothing here
reads or writes a store.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stream.decay import ZERO, Decayed, add, contribution, subtract
from stream.events import Action

NO_QUERY = 0
MAX_HYPEREDGE_ITEMS = 50
MIN_HYPEREDGE_ITEMS = 2

_EDGE_ACTIONS = tuple(int(action) for action in Action if action is not Action.VIEW)
_VIEW = int(Action.VIEW)

FactKey = tuple[int, int, int]
"""``(query_key, item_key, action)``; the query key is `NO_QUERY` where the action came from no search."""

EdgeKey = tuple[int, int]
"""``(query_key, item_key)``."""


@dataclass(frozen=True, slots=True)
class SessionState:
    """What is stored of a session: exact id, users seen in it (sorted), earliest time of each fact."""

    session_id: str
    user_ids: tuple[str, ...] = ()
    facts: Mapping[FactKey, int] = field(default_factory=dict)


@dataclass(slots=True)
class EdgeChange:
    """What one session's new and moved facts do to one edge.

    Attributes:
        added: ``(action, ts_ms)`` of facts that now count.
        removed: ``(action, ts_ms)`` of facts that no longer count at that time: they moved earlier.
        joins: the session had no fact on this edge before.
        latest_ms: time of the session's latest fact on this edge, after the change.
    """

    added: list[tuple[int, int]] = field(default_factory=list)
    removed: list[tuple[int, int]] = field(default_factory=list)
    joins: bool = False
    latest_ms: int = 0


@dataclass(frozen=True, slots=True)
class SessionMerge:
    """The outcome of `merge_session`. `state` is None where nothing changed."""

    state: SessionState | None
    edges: Mapping[EdgeKey, EdgeChange]
    num_new_facts: int


class ActionTally(NamedTuple):
    """How often one action made an edge, and the decayed sum of those facts."""

    num_facts: int
    total: Decayed


@dataclass(frozen=True, slots=True)
class EdgeState:
    """What is stored of one edge, over all its facts. `actions` is in ascending order of action number."""

    sessions: int
    first_ms: int
    last_ms: int
    actions: Mapping[int, ActionTally]


def merge_session(state: SessionState, seen: Mapping[FactKey, int], user_ids: Iterable[str]) -> SessionMerge:
    """Merge observed facts into a session.

    Args:
        state: the session as stored; without facts for a new one.
        seen: earliest observed time of each observed fact, milliseconds.
        user_ids: users observed with them; empty strings are ignored.

    Returns:
        The new state, the changes to edges by edge key, and the number of facts not known before.
    """
    before = state.facts
    users = _merge_users(state.user_ids, user_ids)
    if not before:
        return SessionMerge(SessionState(state.session_id, users, seen), _edge_changes(seen, {}), len(seen))
    newer = {key: ts_ms for key, ts_ms in seen.items() if ts_ms < before.get(key, ts_ms + 1)}
    if not newer and users == state.user_ids:
        return SessionMerge(None, {}, 0)
    facts = {**before, **newer}
    changes = _edge_changes(newer, before)
    for (query_key, item_key), change in changes.items():
        keys = [(query_key, item_key, action) for action in _EDGE_ACTIONS]
        change.joins = not any(key in before for key in keys)
        change.latest_ms = max(facts[key] for key in keys if key in facts)
    return SessionMerge(SessionState(state.session_id, users, facts), changes, len(facts) - len(before))


def _edge_changes(newer: Mapping[FactKey, int], before: Mapping[FactKey, int]) -> dict[EdgeKey, EdgeChange]:
    """Group new and moved facts by edge, as if the session had no other facts on them."""
    changes: dict[EdgeKey, EdgeChange] = {}
    for key, ts_ms in newer.items():
        query_key, item_key, action = key
        if query_key == NO_QUERY or action == _VIEW:
            continue
        change = changes.get((query_key, item_key))
        if change is None:
            changes[query_key, item_key] = change = EdgeChange(
                [(action, ts_ms)], [], joins=True, latest_ms=ts_ms
            )
        else:
            change.added.append((action, ts_ms))
            change.latest_ms = max(change.latest_ms, ts_ms)
        if key in before:
            change.removed.append((action, before[key]))
    return changes


def merge_edge(
    edge: EdgeState | None,
    changes: Sequence[EdgeChange],
    half_life_ms: int,
    find_last_ms: Callable[[], int],
) -> EdgeState:
    """Apply the changes that sessions made to one edge.

    Args:
        edge: the edge as stored; None for a new one.
        changes: one for each session that changed it.
        half_life_ms: the store's half-life.
        find_last_ms: returns the time of the edge's latest fact after the changes. Called only where the fact
            that was the latest moved earlier, which the stored edge alone cannot answer.
    """
    tallies = dict(edge.actions) if edge else {}
    sessions = edge.sessions if edge else 0
    first_ms = edge.first_ms if edge else changes[0].latest_ms
    last_ms = edge.last_ms if edge else changes[0].latest_ms
    for change in changes:
        sessions += change.joins
        for action, ts_ms in change.added:
            part = contribution(ts_ms, half_life_ms)
            tally = tallies.get(action)
            tallies[action] = (
                ActionTally(1, part) if tally is None else ActionTally(tally[0] + 1, add(tally[1], part))
            )
            first_ms = min(ts_ms, first_ms)
            last_ms = max(ts_ms, last_ms)
        for action, ts_ms in change.removed:
            num_facts, total = tallies[action]
            tallies[action] = ActionTally(num_facts - 1, subtract(total, contribution(ts_ms, half_life_ms)))
    actions = tallies if len(tallies) == 1 else dict(sorted(tallies.items()))
    moved_last = edge is not None and any(
        ts_ms == edge.last_ms for change in changes for _, ts_ms in change.removed
    )
    return EdgeState(sessions, first_ms, find_last_ms() if moved_last else last_ms, actions)


def add_edges(left: EdgeState, right: EdgeState) -> EdgeState:
    """Return one edge from two shards' shares of it: sessions never span shards, so everything adds."""
    tallies = dict(left.actions)
    for action, (num_facts, total) in right.actions.items():
        known_facts, known_total = tallies.get(action, _NO_TALLY)
        tallies[action] = ActionTally(known_facts + num_facts, add(known_total, total))
    return EdgeState(
        sessions=left.sessions + right.sessions,
        first_ms=min(left.first_ms, right.first_ms),
        last_ms=max(left.last_ms, right.last_ms),
        actions=dict(sorted(tallies.items())),
    )


def earliest(left: Mapping[FactKey, int], right: Mapping[FactKey, int]) -> dict[FactKey, int]:
    """Return the union of two sets of facts, each at its earliest time."""
    return {**left, **right, **{key: min(left[key], right[key]) for key in left.keys() & right.keys()}}


def hyperedge(facts: Mapping[FactKey, int], item_id_of: Callable[[int], str]) -> list[tuple[int, int]]:
    """Return ``(earliest_ms, item_key)`` of the items a session's hyperedge keeps, in (time, item id) order.

    The distinct items over all facts, whatever the action; at most `MAX_HYPEREDGE_ITEMS`, the earliest; none
    where there are fewer than `MIN_HYPEREDGE_ITEMS`.
    """
    first_ms: dict[int, int] = {}
    for (_, item_key, _), ts_ms in facts.items():
        if ts_ms < first_ms.get(item_key, ts_ms + 1):
            first_ms[item_key] = ts_ms
    if len(first_ms) < MIN_HYPEREDGE_ITEMS:
        return []
    members = sorted((ts_ms, item_id_of(item_key), item_key) for item_key, ts_ms in first_ms.items())
    return [(ts_ms, item_key) for ts_ms, _, item_key in members[:MAX_HYPEREDGE_ITEMS]]


def _merge_users(known: tuple[str, ...], seen: Iterable[str]) -> tuple[str, ...]:
    new = {user_id for user_id in seen if user_id}
    return known if new.issubset(known) else tuple(sorted(new.union(known)))


_NO_TALLY = ActionTally(0, ZERO)
