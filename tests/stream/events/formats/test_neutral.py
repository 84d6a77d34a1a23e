"""Neutral lines: what is read of them, and what is wrong with others."""

import json
from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.decoder import decode
from stream.events.formats.neutral import read_columns
from stream.events.limits import EARLIEST_MS
from testing.records import (
    CLICK,
    NEUTRAL,
    NOW_MS,
    SETTINGS,
    TS_MS,
    events_of,
    outcome_of,
    reason_of,
    record,
    rejection_of,
)


def test_neutral_line() -> None:
    """A line of the neutral form becomes an interaction with the query normalised."""
    assert events_of(NEUTRAL) == [CLICK]
    assert events_of(NEUTRAL, "application/json; charset=utf-8") == [CLICK]


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("click", Action.CLICK),
        ("view", Action.VIEW),
        ("add_to_cart", Action.ADD_TO_CART),
        ("add-to-cart", Action.ADD_TO_CART),
        ("purchase", Action.PURCHASE),
        ("search-click", Action.CLICK),
        ("search_click", Action.CLICK),
    ],
)
def test_neutral_types(kind: str, action: Action) -> None:
    """Every documented type maps to its action, also when many lines are read."""
    line = {**NEUTRAL, "type": kind}
    assert events_of(line) == [replace(CLICK, action=action)]
    columns, unread = read_columns([json.dumps(line).encode()], [0])
    assert (columns.action.tolist(), unread) == ([action], [])


@pytest.mark.parametrize("query", [None, "", "  \t"])
def test_actions_without_query(query: str | None) -> None:
    """Only a search click needs a query, and a blank one is none."""
    assert events_of({**NEUTRAL, "type": "purchase", "query": query})[0].query == ""
    assert events_of({**NEUTRAL, "type": "view", "query": query})[0].query == ""


def test_user_is_optional() -> None:
    """A null or absent user is no user."""
    without = {name: value for name, value in NEUTRAL.items() if name != "user_id"}
    assert events_of(without)[0].user_id == ""
    assert events_of({**NEUTRAL, "user_id": None})[0].user_id == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"session_id": " "}, {"session_id": ""}),
        ({"item_id": 4711}, {"item_id": "4711"}),
        ({"item_id": 12.0}, {"item_id": "12"}),
        ({"session_id": 81}, {"session_id": "81"}),
        ({"session_id": None, "user_id": 77}, {"session_id": "", "user_id": "77"}),
        ({"user_id": 2**70}, {"user_id": str(2**70)}),
        ({"query": 360}, {"query": "360"}),
        ({"query": "xbox\ud83d"}, {"query": "xbox\ufffd"}),
        ({"ts_ms": float(TS_MS)}, {}),
        ({"ts_ms": TS_MS + 0.75}, {}),
        ({"ts_ms": str(TS_MS)}, {}),
        ({"ts_ms": f"{TS_MS}.75"}, {}),
        ({"ts_ms": "2023-11-14T21:56:40Z"}, {}),
        ({"ts_ms": "2023-11-14t21:55:60z"}, {"ts_ms": TS_MS - 40_000}),
    ],
)
def test_odd_values_are_used(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """Numbers are ids and texts, texts are times, and half a surrogate pair costs its
    character.
    """
    assert events_of({**NEUTRAL, **change}) == [replace(CLICK, **expected)]


def test_lines_with_numbers_as_ids_have_the_column_path() -> None:
    """They are read with the plain ones; what neither form fits is left."""
    lines: list[dict[str, Any]] = [
        {**NEUTRAL},
        {**NEUTRAL, "item_id": 4711, "session_id": 0, "user_id": None},
        {**NEUTRAL, "item_id": 1.5},
        {**NEUTRAL, "user_id": 2**70},
        {**NEUTRAL, "item_id": 7, "data": 1},
    ]
    values = [json.dumps(line).encode() for line in lines]

    columns, unread = read_columns(values, [*range(len(lines))])

    assert columns.row.tolist() == [0, 1, 3]
    assert unread == [2, 4]
    assert columns.item.texts == ["i1", "4711", "i1"]
    assert columns.session.texts == ["s1", "0", "s1"]
    assert columns.user.texts == ["u1", "", str(2**70)]


_ORDER = {**NEUTRAL, "type": "purchase", "item_id": None}


@pytest.mark.parametrize(
    "items", [[{"item_id": "i1"}, {"item_id": 2, "price": 3}], ["i1", 2], ["i1", {"item_id": 2.0}]]
)
@pytest.mark.parametrize("item_id", [None, ""])
def test_an_order_of_many_items(items: list[Any], item_id: str | None) -> None:
    """Each is an interaction of its own, also in a CloudEvent."""
    line = {**_ORDER, "item_id": item_id, "items": items}
    bought = replace(CLICK, action=Action.PURCHASE)
    expected = [bought, replace(bought, item_id="2")]

    assert events_of(line) == expected
    cloud = {"specversion": "1.0", "type": "freshet.purchase", "data": line}
    assert events_of(cloud) == expected


def test_a_bad_item_of_an_order_does_not_cost_the_others() -> None:
    """Each is told, a reason once; one that has an item by itself needs no others."""
    items: list[Any] = [{"item_id": ""}, "i1", {}, {"item_id": []}]
    no_id = "item_id must be a string or a whole number, not a list"

    assert outcome_of({**_ORDER, "items": items}) == (
        [replace(CLICK, action=Action.PURCHASE)],
        [
            ("missing_field", "entry 0 of items: item_id is absent or empty (and 1 more)"),
            ("wrong_type", f"entry 3 of items: {no_id}"),
        ],
        0,
    )
    assert outcome_of({**_ORDER, "items": []}) == ([], [], 1)
    assert events_of({**NEUTRAL, "items": 7}) == [CLICK]
    assert rejection_of({**_ORDER, "items": 7})[0] == "wrong_type"


def test_other_fields_are_ignored() -> None:
    """What a line says beyond the known fields does no harm, whatever it is called."""
    assert events_of({**NEUTRAL, "page": {"a": [1]}, "price": 1.5, "data": {"x": 1}}) == [CLICK]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts_ms": None}, "missing_field"),
        ({"ts_ms": True}, "wrong_type"),
        ({"ts_ms": 1.5}, "absurd_timestamp"),
        ({"ts_ms": "now"}, "malformed"),
        ({"ts_ms": NOW_MS // 1000}, "absurd_timestamp"),
        ({"ts_ms": []}, "wrong_type"),
        ({"ts_ms": EARLIEST_MS - 1}, "absurd_timestamp"),
        ({"ts_ms": NOW_MS + 3_600_001}, "absurd_timestamp"),
        ({"ts_ms": -1}, "absurd_timestamp"),
        ({"ts_ms": 10**30}, "absurd_timestamp"),
        ({"type": None}, "missing_field"),
        ({"type": 3}, "wrong_type"),
        ({"type": "hover"}, "unknown_type"),
        ({"session_id": "", "user_id": ""}, "missing_field"),
        ({"session_id": None, "user_id": None}, "missing_field"),
        ({"session_id": "  ", "user_id": " "}, "missing_field"),
        ({"session_id": 7.5}, "wrong_type"),
        ({"session_id": True}, "wrong_type"),
        ({"session_id": "\ud83d"}, "malformed"),
        ({"user_id": "\ud83d"}, "malformed"),
        ({"item_id": "\ud83d"}, "malformed"),
        ({"session_id": "s" * 1025}, "oversized"),
        ({"session_id": "é" * 513}, "oversized"),
        ({"user_id": "u" * 1025}, "oversized"),
        ({"item_id": ""}, "missing_field"),
        ({"item_id": ["i1"]}, "wrong_type"),
        ({"query": None}, "empty_query"),
        ({"type": "search-click", "query": ""}, "empty_query"),
        ({"query": "?!"}, "empty_query"),
        ({"query": {"text": "xbox"}}, "wrong_type"),
        ({"query": "q" * 513}, "oversized"),
        ({"query": "\ufdfa" * 100}, "oversized"),  # one character that normalises to 18
    ],
)
def test_rejected_neutral_lines(change: dict[str, Any], reason: str) -> None:
    """Each way in which a line can be wrong has its own reason."""
    assert reason_of(decode(record({**NEUTRAL, **change}), SETTINGS, NOW_MS))[0] == reason


@pytest.mark.parametrize("kind", ["click", "add_to_cart", "purchase"])
def test_query_of_nothing_but_punctuation(kind: str) -> None:
    """An action whose search text is empty once normalised is rejected.

    Without any text it is fine.
    """
    line = {**NEUTRAL, "type": kind}
    assert reason_of(decode(record({**line, "query": "*"}), SETTINGS, NOW_MS))[0] == "empty_query"
    assert events_of({**line, "query": None})[0].query == ""


def test_bounds_are_inclusive() -> None:
    """The longest field and the earliest and latest event times are still good."""
    for change in (
        {"ts_ms": EARLIEST_MS},
        {"ts_ms": NOW_MS + 3_600_000},
        {"session_id": "s" * 1024},
        {"session_id": "é" * 512},
        {"query": "q" * 512},
    ):
        assert len(events_of({**NEUTRAL, **change})) == 1
