"""The plain single-threaded batch build of a set of events.

What every store must agree with.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from stream.actions import Action
from stream.events.types import CatalogItem, Interaction, SearchRecord

# The stream settings' defaults and the definition's bound (docs/formats.md), not
# imported: the store is under test.
WEIGHTS = {Action.CLICK: 1.0, Action.ADD_TO_CART: 2.0, Action.PURCHASE: 4.0}
HALF_LIFE_SECONDS = 30 * 86400.0
_MAX_HYPEREDGE_ITEMS = 50

Fact = tuple[str, str, str, Action]


@dataclass(frozen=True)
class Oracle:
    """The facts of some events, and the graph they make by the definition.

    Sums of floats, sets, sorting.
    """

    facts: dict[Fact, int]

    @classmethod
    def of(cls, events: Iterable[Interaction]) -> "Oracle":
        """Collect the facts: (session, query, item, action) at its earliest time."""
        facts: dict[Fact, int] = {}
        for event in events:
            fact = (event.session_id, event.query, event.item_id, event.action)
            facts[fact] = min(event.ts_ms, facts.get(fact, event.ts_ms))
        return cls(facts)

    def edges(
        self, at_ms: int, half_life_seconds: float = HALF_LIFE_SECONDS
    ) -> list[dict[str, Any]]:
        """Return the edges as the dump prints them, sorted."""
        by_edge: dict[tuple[str, str], list[tuple[str, Action, int]]] = defaultdict(list)
        for (session, query, item, action), ts_ms in self.facts.items():
            if query and action is not Action.VIEW:
                by_edge[query, item].append((session, action, ts_ms))
        return [
            _edge(query, item, by_edge[query, item], at_ms, half_life_seconds)
            for query, item in sorted(by_edge)
        ]

    def hyperedges(self) -> list[dict[str, Any]]:
        """Return the hyperedges as the dump prints them, sorted."""
        sessions: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for (session, _, item, _), ts_ms in self.facts.items():
            sessions[session].append((ts_ms, item))
        return [
            {"kind": "hyperedge", "session": session, "items": _kept(seen), "last_ms": max(seen)[0]}
            for session, seen in sorted(sessions.items())
            if len({item for _, item in seen}) > 1
        ]

    def dump(
        self, at_ms: int, half_life_seconds: float = HALF_LIFE_SECONDS
    ) -> list[dict[str, Any]]:
        """Return the whole dump as records."""
        return self.edges(at_ms, half_life_seconds) + self.hyperedges()

    @property
    def watermark_ms(self) -> int:
        """The largest time of a fact.

        The watermark of a store where no fact was seen twice.
        """
        return max(self.facts.values(), default=0)


def newest_states(states: Iterable[CatalogItem]) -> dict[str, CatalogItem]:
    """Return the newest state of each catalogue item, by its id.

    The one with the latest time; at one time a deletion, else the greatest fields.
    Where none of an item has a time, the last one.
    """
    by_id: dict[str, list[CatalogItem]] = defaultdict(list)
    for state in states:
        by_id[state.item_id].append(state)
    return {
        item_id: max(filter(lambda state: state.ts_ms, found), key=_age, default=found[-1])
        for item_id, found in by_id.items()
    }


def _age(state: CatalogItem) -> tuple[Any, ...]:
    texts = state.title, state.text, list(state.attributes.items())
    return state.ts_ms, state.deleted, *texts, state.available


def with_searches(
    events: Iterable[Interaction], searches: Sequence[SearchRecord], join_ms: int
) -> list[Interaction]:
    """Return events, and each that names a search again as an event of its query.

    Texts of one id count from the bound before the earliest to the bound after the
    latest record that says them of one visitor.
    """
    spans: dict[tuple[str, str, frozenset[str]], list[int]] = defaultdict(list)
    for search in searches:
        spans[search.query_id, search.query, frozenset(search.user_ids)].append(search.ts_ms)
    found = []
    for event in events:
        found.append(replace(event, query_id="", alias_id=""))
        found += [
            replace(event, query=query, query_id="", alias_id="")
            for (query_id, query, _), times in spans.items()
            if query
            and query_id == event.query_id
            and min(times) - join_ms <= event.ts_ms <= max(times) + join_ms
        ]
    return found


def with_sessions(events: Iterable[Interaction], gap_ms: int) -> list[Interaction]:
    """Give events without a session one by sorting all events of each visitor and
    cutting once.
    """
    given = list(events)
    named = [event for event in given if event.session_id]
    visits: dict[str, list[Interaction]] = defaultdict(list)
    for event in sorted(given, key=lambda event: event.ts_ms):
        if not event.session_id:
            visits[event.user_id].append(event)
    for user, visit in visits.items():
        start_ms = last_ms = visit[0].ts_ms
        for event in visit:
            start_ms = start_ms if event.ts_ms - last_ms <= gap_ms else event.ts_ms
            last_ms = event.ts_ms
            named.append(replace(event, session_id=f"cut:{user}@{start_ms}"))
    return named


def assert_same_dump(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> None:
    """Compare dumps: everything exactly, weights to one part in a thousand million."""
    assert [_without_weight(record) for record in found] == [
        _without_weight(record) for record in expected
    ]
    assert first_difference(found, expected) == ""


def first_difference(found: Sequence[dict[str, Any]], expected: Sequence[dict[str, Any]]) -> str:
    """Return the first record in which dumps differ, in words.

    Empty: they are the same.
    """
    for left, right in zip_longest(found, expected):
        same = (
            left is not None
            and right is not None
            and _without_weight(left) == _without_weight(right)
        )
        if not same or not math.isclose(
            left.get("weight", 0), right.get("weight", 0), rel_tol=1e-9
        ):
            return f"found {left}, expected {right}"
    return ""


def _edge(
    query: str,
    item: str,
    facts: list[tuple[str, Action, int]],
    at_ms: int,
    half_life_seconds: float,
) -> dict[str, Any]:
    half_life_ms = half_life_seconds * 1000
    actions = [action for _, action, _ in facts]
    times = [ts_ms for _, _, ts_ms in facts]
    return {
        "kind": "edge",
        "query": query,
        "item": item,
        "weight": math.fsum(
            WEIGHTS[action] * 2 ** (-(at_ms - ts_ms) / half_life_ms) for _, action, ts_ms in facts
        ),
        "sessions": len({session for session, _, _ in facts}),
        "first_ms": min(times),
        "last_ms": max(times),
        "actions": {action.label: actions.count(action) for action in sorted(set(actions))},
    }


def _kept(seen: list[tuple[int, str]]) -> list[str]:
    earliest = {item: ts_ms for ts_ms, item in sorted(seen, reverse=True)}
    return [item for _, item in sorted((ts_ms, item) for item, ts_ms in earliest.items())][
        :_MAX_HYPEREDGE_ITEMS
    ]


def _without_weight(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "weight"}
