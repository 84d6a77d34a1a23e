"""User events of Google's Retail API: which count, and who did them."""

from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.types import Interaction
from testing.records import TS_MS, events_of, outcome_of, rejection_of

EVENT = {
    "eventType": "purchase-complete",
    "visitorId": "v-1",
    "eventTime": "2023-11-14T21:56:40Z",
    "productDetails": [
        {"product": {"id": "i1"}, "quantity": 1},
        {"product": {"name": "projects/1/branches/0/products/i2"}},
    ],
}
BOUGHT = Interaction(
    ts_ms=TS_MS, session_id="", user_id="v-1", query="", item_id="i1", action=Action.PURCHASE
)


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("detail-page-view", Action.VIEW),
        ("add-to-cart", Action.ADD_TO_CART),
        ("purchase-complete", Action.PURCHASE),
    ],
)
def test_events(kind: str, action: Action) -> None:
    """Each has an interaction with each product."""
    first = replace(BOUGHT, action=action)

    assert events_of({**EVENT, "eventType": kind}) == [first, replace(first, item_id="i2")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"userInfo": {"userId": "u-1"}}, {"alias_id": "u-1"}),
        (
            {"userInfo": {"userId": "u-1"}, "sessionId": "s-1"},
            {"session_id": "s-1", "user_id": "u-1", "alias_id": "v-1"},
        ),
        ({"userInfo": {"ipAddress": "::1"}}, {}),
        ({"sessionId": "s-1"}, {"session_id": "s-1"}),
        ({"sessionId": 5, "visitorId": 6}, {"session_id": "5", "user_id": "6"}),
        ({"searchQuery": "Red Mug!"}, {"query": "red mug"}),
        ({"productDetails": [{"product": {"id": 4711}}]}, {"item_id": "4711"}),
    ],
)
def test_where_the_fields_are(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """In a session a user that is known counts before the visitor; otherwise the
    visitor's events are cut into sessions.
    """
    assert events_of({**EVENT, **change})[0] == replace(BOUGHT, **expected)


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"eventType": kind, "productDetails": None}
            for kind in ("search", "home-page-view", "category-page-view")
        ),
        {"eventType": "search", "searchQuery": "mug"},
        {"productDetails": []},
    ],
)
def test_events_of_no_use(change: dict[str, Any]) -> None:
    """What was shown or searched is ignored."""
    assert outcome_of({**EVENT, **change}) == ([], [], 1)


def test_a_bad_product_does_not_cost_the_others() -> None:
    """Each is told, a reason once."""
    details = [{"product": {"id": "i1"}}, {"quantity": 1}, {"product": [1]}]

    assert outcome_of({**EVENT, "productDetails": details}) == (
        [BOUGHT],
        [
            ("missing_field", "entry 1 of productDetails: id is absent"),
            ("wrong_type", "entry 2 of productDetails: product must be an object, not a list"),
        ],
        0,
    )


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"eventType": None}, "missing_field", "eventType"),
        ({"eventType": "hover"}, "unknown_type", "hover"),
        ({"eventTime": None}, "missing_field", "eventTime"),
        (
            {"visitorId": None},
            "missing_field",
            "none of sessionId, userInfo.userId, visitorId has a value",
        ),
        ({"productDetails": {}}, "wrong_type", "productDetails"),
        ({"productDetails": None}, "missing_field", "productDetails"),
    ],
)
def test_rejected_events(change: dict[str, Any], reason: str, detail: str) -> None:
    """What is wrong is named."""
    found, said = rejection_of({**EVENT, **change})

    assert (found, detail in said) == (reason, True)
