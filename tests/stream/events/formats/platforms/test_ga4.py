"""Events of Google Analytics 4: which count, and who did them."""

from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.types import Interaction
from testing.records import TS_MS, events_of, outcome_of, rejection_of


def parameter(key: str, **value: Any) -> dict[str, Any]:
    """Return a parameter of an event."""
    return {"key": key, "value": value}


EVENT = {
    "event_date": "20231114",
    "event_timestamp": TS_MS * 1000 + 999,
    "event_name": "select_item",
    "event_params": [
        parameter("page_location", string_value="https://shop/", int_value=None),
        parameter("search_term", string_value="Red Mug!"),
        parameter("ga_session_id", string_value=None, int_value=1699998),
    ],
    "user_pseudo_id": "p.1",
    "user_id": None,
    "items": [{"item_id": "i1", "item_name": "Mug"}, {"item_id": "i2"}],
}
CLICK = Interaction(
    ts_ms=TS_MS,
    session_id="p.1.1699998",
    user_id="p.1",
    query="red mug",
    item_id="i1",
    action=Action.CLICK,
)


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("view_item", Action.VIEW),
        ("select_item", Action.CLICK),
        ("add_to_cart", Action.ADD_TO_CART),
        ("purchase", Action.PURCHASE),
    ],
)
def test_events(name: str, action: Action) -> None:
    """Each has an interaction with each item."""
    first = replace(CLICK, action=action)

    assert events_of({**EVENT, "event_name": name}) == [first, replace(first, item_id="i2")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {
                "event_params": {
                    "ga_session_id": 1699998,
                    "search_term": {"string_value": "Red mug"},
                }
            },
            {},
        ),
        ({"event_params": []}, {"session_id": "", "query": ""}),
        (
            {"event_params": [{"key": "x"}, {"key": "y", "value": 5}]},
            {"session_id": "", "query": ""},
        ),
        ({"items": '[{"item_id": "i1"}, {"item_id": "i2"}]'}, {}),
        ({"user_id": "u-1"}, {"user_id": "u-1", "alias_id": "p.1"}),
        (
            {"user_id": "u-1", "event_params": []},
            {"session_id": "", "query": "", "alias_id": "u-1"},
        ),
        (
            {"user_id": "u-1", "user_pseudo_id": None},
            {"user_id": "u-1", "session_id": "u-1.1699998"},
        ),
        ({"event_timestamp": str(TS_MS * 1000)}, {}),
        ({"event_timestamp": TS_MS * 1000.0}, {}),
        ({"event_params": None}, {"session_id": "", "query": ""}),
        (
            {"event_params": [parameter("ga_session_id", int_value="5"), None]},
            {"session_id": "p.1.5", "query": ""},
        ),
        ({"items": [{"item_id": 4711}]}, {"item_id": "4711"}),
    ],
)
def test_where_the_fields_are(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """A visit is an id only together with its device; numbers may be texts, as exports
    to JSON have them.
    """
    assert events_of({**EVENT, **change})[0] == replace(CLICK, **expected)


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"event_name": name}
            for name in ("search", "view_item_list", "view_search_results", "page_view", "my_event")
        ),
        {"items": []},
        {"items": None},
        {"items": [{"item_id": "(not set)"}]},
        {"user_pseudo_id": None},
        {"user_pseudo_id": "", "user_id": " "},
    ],
)
def test_events_of_no_use(change: dict[str, Any]) -> None:
    """Lists, searches, and what is of no item or of nobody known are ignored.

    All visitors who gave no consent are not one with the ids of their visits.
    """
    assert outcome_of({**EVENT, **change}) == ([], [], 1)


def test_a_bad_item_does_not_cost_the_others() -> None:
    """Each is told, a reason once; one that is not set is none."""
    items = [{"item_id": "(not set)"}, {"item_id": ""}, {"item_id": "i1"}, {"item_name": "x"}, []]

    assert outcome_of({**EVENT, "items": items}) == (
        [CLICK],
        [
            ("missing_field", "entry 0 of items: item_id is absent or empty (and 1 more)"),
            ("wrong_type", "entry 3 of items: the product must be an object, not a list"),
        ],
        0,
    )


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"event_name": None}, "missing_field", "event_name"),
        ({"event_timestamp": None}, "missing_field", "event_timestamp"),
        ({"event_timestamp": "2023-11-14"}, "malformed", "microseconds"),
        ({"event_timestamp": TS_MS * 1_000_000}, "absurd_timestamp", "microseconds"),
        ({"event_params": "x"}, "wrong_type", "event_params"),
        ({"items": {}}, "wrong_type", "items"),
    ],
)
def test_rejected_events(change: dict[str, Any], reason: str, detail: str) -> None:
    """What is wrong is named."""
    found, said = rejection_of({**EVENT, **change})

    assert (found, detail in said) == (reason, True)
