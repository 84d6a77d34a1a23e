"""Track calls of Segment and RudderStack: which events count, and who did them."""

from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.types import Interaction
from testing.records import TS_MS, events_of, outcome_of, rejection_of

CALL = {
    "type": "track",
    "event": "Product Clicked",
    "messageId": "m-1",
    "anonymousId": "a-1",
    "userId": "u-1",
    "timestamp": "2023-11-14T21:56:40.000Z",
    "properties": {"product_id": "i1", "sku": "k1", "query": "Red Mug!", "position": 3},
}
CLICK = Interaction(
    ts_ms=TS_MS,
    session_id="",
    user_id="a-1",
    alias_id="u-1",
    query="red mug",
    item_id="i1",
    action=Action.CLICK,
)


def order(*products: Any) -> dict[str, Any]:
    """Return an order."""
    return {**CALL, "event": "Order Completed", "properties": {"products": [*products]}}


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("Product Viewed", Action.VIEW),
        ("Viewed Product", Action.VIEW),
        ("Product Clicked", Action.CLICK),
        ("product_added", Action.ADD_TO_CART),
        ("Added  Product", Action.ADD_TO_CART),
        ("order-completed", Action.PURCHASE),
        ("Completed Order", Action.PURCHASE),
    ],
)
def test_events_of_one_product(name: str, action: Action) -> None:
    """Both versions of the names count, in any case."""
    assert events_of({**CALL, "event": name}) == [replace(CLICK, action=action)]


def test_an_order_of_many_products() -> None:
    """Each is bought; a bad one does not cost the others."""
    bought = replace(CLICK, query="", action=Action.PURCHASE)
    value = order({"product_id": "i1"}, {"sku": "k2"}, {"name": "X"}, {"product_id": 3}, "i4", {})

    events, rejections, num_ignored = outcome_of(value)

    assert events == [replace(bought, item_id=item_id) for item_id in ("i1", "k2", "3")]
    assert rejections == [
        ("missing_field", "entry 2 of products: product_id is absent (and 1 more)"),
        ("wrong_type", "entry 4 of products: the product must be an object, not 'i4'"),
    ]
    assert num_ignored == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"userId": None}, {"alias_id": ""}),
        ({"userId": ""}, {"alias_id": ""}),
        ({"userId": 7}, {"alias_id": "7"}),
        ({"anonymousId": None}, {"user_id": "u-1", "alias_id": ""}),
        (
            {"context": {"sessionId": 1699998}},
            {"session_id": "a-1.1699998", "user_id": "u-1", "alias_id": "a-1"},
        ),
        (
            {"context": {"sessionId": 9}, "anonymousId": None},
            {"session_id": "u-1.9", "user_id": "u-1", "alias_id": ""},
        ),
        (
            {"context": {"sessionId": 9}, "anonymousId": " "},
            {"session_id": "u-1.9", "user_id": "u-1", "alias_id": ""},
        ),
        ({"context": {"library": {}}}, {}),
        ({"timestamp": None, "originalTimestamp": "2023-11-14T21:56:40Z"}, {}),
        ({"properties": {"sku": "k1"}}, {"item_id": "k1", "query": ""}),
        ({"properties": {"id": "k1"}}, {"item_id": "k1", "query": ""}),
        ({"properties": {"product_id": " ", "sku": "k1"}}, {"item_id": "k1", "query": ""}),
        ({"properties": {"product_id": "k1", "products": []}}, {"item_id": "k1", "query": ""}),
        ({"properties": '{"product_id": "k1"}'}, {"item_id": "k1", "query": ""}),
        ({"properties": {"products": '[{"id": "k1"}]'}}, {"item_id": "k1", "query": ""}),
        ({"context": []}, {}),
        ({"properties": {"product_id": 12.0, "query": 360}}, {"item_id": "12", "query": "360"}),
        ({"messageId": None}, {}),
    ],
)
def test_where_the_fields_are(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """A visit is an id only together with its device; without one the device's events
    are cut into sessions.
    """
    assert events_of({**CALL, **change}) == [replace(CLICK, **expected)]


@pytest.mark.parametrize(
    "change",
    [
        {"event": "Products Searched"},
        {"event": "Product List Viewed", "properties": {"products": [{"product_id": "i1"}]}},
        {"event": "Checkout Started", "properties": {"products": [{"product_id": "i1"}]}},
        {"event": "Video Paused", "properties": None},
        {"event": "Order Completed", "properties": {"products": []}},
        *({"type": kind, "event": None} for kind in ("page", "identify", "screen", "group")),
    ],
)
def test_calls_of_no_use(change: dict[str, Any]) -> None:
    """What is in order is ignored: searches, lists, and whatever else is tracked."""
    assert outcome_of({**CALL, **change}) == ([], [], 1)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"type": "click"}, "missing_field", "'event'"),
        ({"type": None}, "missing_field", "'event'"),
        ({"event": None}, "missing_field", "event"),
        ({"timestamp": None}, "missing_field", "timestamp"),
        ({"timestamp": "soon"}, "malformed", "timestamp"),
        ({"properties": [1]}, "wrong_type", "properties"),
        ({"properties": {}}, "missing_field", "product_id"),
        ({"properties": {"products": {}}}, "wrong_type", "products"),
        ({"userId": None, "anonymousId": None}, "missing_field", "none of anonymousId, userId"),
        ({"context": {"sessionId": {}}}, "wrong_type", "sessionId"),
        (
            {"context": {"sessionId": 9}, "anonymousId": "", "userId": None},
            "missing_field",
            "none of anonymousId, userId",
        ),
    ],
)
def test_rejected_calls(change: dict[str, Any], reason: str, detail: str) -> None:
    """What is wrong is named."""
    found, said = rejection_of({**CALL, **change})

    assert (found, detail in said) == (reason, True)
