"""UBI events: where UBI 1.3 puts what is read."""

from typing import Any

import pytest

from stream.actions import Action
from stream.events.decoder import decode
from testing.records import (
    CLICK,
    NOW_MS,
    SETTINGS,
    TS_MS,
    UBI,
    events_of,
    reason_of,
    record,
)


def test_ubi_click() -> None:
    """A UBI click reads its item, session, user, time and query from where UBI 1.3 puts
    them.
    """
    assert events_of(UBI) == [CLICK]


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("click_through", Action.CLICK),
        ("view", Action.VIEW),
        ("watch", Action.VIEW),
        ("add_to_cart", Action.ADD_TO_CART),
        ("purchase", Action.PURCHASE),
    ],
)
def test_ubi_actions(name: str, action: Action) -> None:
    """UBI's own action names map to ours."""
    assert events_of({**UBI, "action_name": name})[0].action == action


def test_ubi_variants() -> None:
    """UBI leaves freedom in where the query is, how time is written, numeric ids,
    client or session.
    """
    without_query = {name: value for name, value in UBI.items() if name != "user_query"}
    for variant in (
        {**without_query, "message_type": "QUERY", "message": "Xbox-360!"},
        {
            **without_query,
            "event_attributes": {"object": {"object_id": "i1"}, "user_query": "xbox 360"},
        },
        {**UBI, "timestamp": TS_MS},
        {**UBI, "timestamp": "2023-11-14T21:56:40"},
        {**UBI, "timestamp": "2023-11-14T22:56:40.000+01:00"},
    ):
        assert events_of(variant) == [CLICK]
    assert events_of({**UBI, "session_id": None})[0].session_id == "c1"
    assert events_of({**UBI, "event_attributes": {"object": {"object_id": 17}}})[0].item_id == "17"


@pytest.mark.parametrize(
    "change",
    [
        {"action_name": "impression"},
        {"action_name": "page_exit", "event_attributes": {"object": {"idle": 3}}},
        {"action_name": "on_search", "event_attributes": None},
    ],
)
def test_ubi_messages_that_are_ignored(change: dict[str, Any]) -> None:
    """Impressions, and whatever an application logs that is not about an item, are
    counted and left out.
    """
    decoded = decode(record({**UBI, **change}), SETTINGS, NOW_MS)
    assert (list(decoded.events), list(decoded.rejections), decoded.num_ignored) == ([], [], 1)


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"action_name": "wishlist"}, "unknown_type", "wishlist"),
        ({"user_query": None}, "missing_field", "user_query"),
        ({"event_attributes": {"object": {}}}, "missing_field", "item_id"),
        ({"event_attributes": {"object": {"object_id": True}}}, "wrong_type", "object_id"),
        ({"event_attributes": []}, "wrong_type", "event_attributes"),
        ({"session_id": None, "client_id": "", "user_id": ""}, "missing_field", "session_id"),
        ({"timestamp": None}, "missing_field", "timestamp"),
        ({"timestamp": "soon"}, "malformed", "timestamp"),
        ({"timestamp": {}}, "wrong_type", "timestamp"),
        ({"user_query": ["a"]}, "wrong_type", "user_query"),
    ],
)
def test_rejected_ubi(change: dict[str, Any], reason: str, detail: str) -> None:
    """A rejected UBI event names the field that is wrong."""
    found = reason_of(decode(record({**UBI, **change}), SETTINGS, NOW_MS))
    assert found[0] == reason
    assert detail in found[1]
