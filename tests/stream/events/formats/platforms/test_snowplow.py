"""Enriched events of Snowplow: which count, and who did them."""

from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.types import Interaction
from testing.records import TS_MS, events_of, outcome_of, rejection_of

_ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action_1"
_PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product_1"
_SESSIONS = "contexts_com_snowplowanalytics_snowplow_client_session_1"
EVENT: dict[str, Any] = {
    "app_id": "shop",
    "event_vendor": "com.snowplowanalytics.snowplow.ecommerce",
    "event_name": "snowplow_ecommerce_action",
    "collector_tstamp": "2023-11-14T21:56:41.000Z",
    "derived_tstamp": "2023-11-14T21:56:40.000Z",
    "domain_userid": "d-1",
    "domain_sessionid": "s-1",
    "user_id": "u-1",
    _ACTION: {"type": "transaction"},
    _PRODUCTS: [{"id": "i1", "price": 5}, {"id": 7}],
}
BOUGHT = Interaction(
    ts_ms=TS_MS,
    session_id="s-1",
    user_id="u-1",
    alias_id="d-1",
    query="",
    item_id="i1",
    action=Action.PURCHASE,
)


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("product_view", Action.VIEW),
        ("list_click", Action.CLICK),
        ("add_to_cart", Action.ADD_TO_CART),
        ("transaction", Action.PURCHASE),
    ],
)
def test_events(kind: str, action: Action) -> None:
    """Each has an interaction with each product."""
    first = replace(BOUGHT, action=action)
    assert events_of({**EVENT, _ACTION: {"type": kind}}) == [first, replace(first, item_id="7")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"derived_tstamp": None}, {"ts_ms": TS_MS + 1000}),
        ({"user_id": None}, {"user_id": "d-1", "alias_id": ""}),
        ({"domain_sessionid": None}, {"session_id": "", "user_id": "d-1", "alias_id": "u-1"}),
        (
            {
                "domain_sessionid": None,
                "domain_userid": None,
                _SESSIONS: [{"sessionId": "s-2", "userId": "d-2"}],
            },
            {"session_id": "s-2", "alias_id": "d-2"},
        ),
        ({_SESSIONS: [5]}, {}),
    ],
)
def test_where_the_fields_are(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """Of browsers on top, of telephones in the context of their session."""
    assert events_of({**EVENT, **change})[0] == replace(BOUGHT, **expected)


@pytest.mark.parametrize(
    "change",
    [
        {_ACTION: {"type": "remove_from_cart"}},
        {_ACTION: None, "event_name": "page_view"},
        {_PRODUCTS: None},
        {_PRODUCTS: []},
    ],
)
def test_what_is_of_no_use_is_ignored(change: dict[str, Any]) -> None:
    """Other actions, other events, and actions with no product."""
    assert outcome_of({**EVENT, **change}) == ([], [], 1)


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({_ACTION: 5}, "wrong_type", "must be an object"),
        ({_ACTION: {"type": 5}}, "wrong_type", "type must be a string"),
        ({_PRODUCTS: "i1"}, "wrong_type", "must be a list"),
        ({_PRODUCTS: [{}]}, "missing_field", "entry 0 of"),
        ({"derived_tstamp": "soon"}, "malformed", "derived_tstamp"),
        ({"derived_tstamp": None, "collector_tstamp": None}, "missing_field", "derived_tstamp"),
        (
            {"domain_sessionid": None, "domain_userid": None, "user_id": ""},
            "missing_field",
            "none of domain_sessionid, user_id, domain_userid has a value",
        ),
    ],
)
def test_what_cannot_be_used(change: dict[str, Any], reason: str, words: str) -> None:
    """It is quarantined with its reason, once for each."""
    found, detail = rejection_of({**EVENT, **change})

    assert found == reason
    assert words in detail
