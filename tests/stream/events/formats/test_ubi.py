"""UBI: where UBI 1.x puts what is read, and what is passed over."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.decoder import decode
from stream.reasons import IGNORED
from testing.records import (
    CLICK,
    NOW_MS,
    SEARCH,
    SETTINGS,
    TS_MS,
    UBI,
    UBI_SEARCH,
    events_of,
    outcome_of,
    reason_of,
    record,
    rejection_of,
)


def about(**fields: Any) -> dict[str, Any]:
    """Return the attributes of an event on an object."""
    return {"event_attributes": {"object": fields}}


def ignored_as(message: Mapping[str, Any]) -> str:
    """Return why a message is ignored, which holds nothing and has nothing wrong."""
    decoded = decode(record(message), SETTINGS, NOW_MS)
    assert (list(decoded.events), list(decoded.rejections), decoded.num_ignored) == ([], [], 1)
    assert decoded.ignored_as in IGNORED
    return decoded.ignored_as


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
        ("Purchase", Action.PURCHASE),
    ],
)
def test_ubi_actions(name: str, action: Action) -> None:
    """UBI's own action names map to ours."""
    assert events_of({**UBI, "action_name": name})[0].action == action


def test_ubi_variants() -> None:
    """UBI leaves freedom in where the query is, how time is written, numeric ids."""
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
    assert events_of({**UBI, **about(object_id=17)})[0].item_id == "17"


def test_an_action_without_a_text_names_its_search() -> None:
    """The id counts where the text is not there: whatever the action is."""
    for name, action in (("click", Action.CLICK), ("purchase", Action.PURCHASE)):
        found = events_of({**UBI, "action_name": name, "user_query": None})
        assert found == [replace(CLICK, action=action, query="", query_id="q1")]
    assert events_of({**UBI, "user_query": "", "query_id": 7})[0].query_id == "7"
    assert events_of({**UBI, "user_query": "", "query_id": " "})[0].query_id == ""


@pytest.mark.parametrize(
    ("ids", "session_id", "user_id", "alias_id"),
    [
        ({"session_id": "s1", "client_id": "c1", "user_id": "u1"}, "s1", "u1", "c1"),
        ({"session_id": "s1", "client_id": "c1"}, "s1", "c1", ""),
        ({"session_id": "s1", "client_id": "u1", "user_id": "u1"}, "s1", "u1", ""),
        ({"session_id": "s1"}, "s1", "", ""),
        ({"client_id": "c1", "user_id": "u1"}, "", "c1", "u1"),
        ({"client_id": "c1", "session_id": " "}, "", "c1", ""),
        ({"user_id": "u1", "client_id": ""}, "", "u1", ""),
        ({"client_id": 12, "user_id": 7}, "", "12", "7"),
    ],
)
def test_who_it_was(ids: dict[str, Any], session_id: str, user_id: str, alias_id: str) -> None:
    """A client is no session: it is the visitor where there is none, and an id to be
    erased by beside that of who is logged in.
    """
    (found,) = events_of({**UBI, "session_id": None, "client_id": None, **ids})
    assert (found.session_id, found.user_id, found.alias_id) == (session_id, user_id, alias_id)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"action_name": "impression"}, "impression"),
        ({"action_name": "page_exit", **about(idle=3)}, "other_action"),
        ({"action_name": "on_search", "event_attributes": None}, "other_action"),
        ({"action_name": "wishlist"}, "other_action"),
        ({"action_name": "brand_filter", **about(object_id="Acme")}, "other_action"),
        ({"action_name": "login", "timestamp": None, "client_id": None}, "other_action"),
        ({"event_attributes": None}, "no_item"),
        (about(), "no_item"),
        (about(object_id=" "), "no_item"),
        (about(object_id="Acme", object_id_field="brand"), "no_item"),
        (about(object_id="top left", object_id_field="Location"), "no_item"),
        (about(object_id="Shoes", object_id_field="categories"), "no_item"),
        (about(object_id="red sh", object_id_field="search_suggestion"), "no_item"),
        (about(object_id="Acme", object_id_type="Brand"), "no_item"),
        ({"event_attributes": []}, "no_item"),
        ({"event_attributes": {"object": [{"object_id": ""}, {}]}}, "no_item"),
    ],
)
def test_actions_of_no_use(change: dict[str, Any], reason: str) -> None:
    """What an application logs that is not about an item is counted and left out."""
    assert ignored_as({**UBI, **change}) == reason


@pytest.mark.parametrize("field", ["sku", "ean", "product", "isbn_code", None, ["brand"]])
def test_any_other_field_may_name_items(field: object) -> None:
    """What the field of an item's id is called is free."""
    assert events_of({**UBI, **about(object_id="i1", object_id_field=field)}) == [CLICK]


def test_an_order_of_many_objects() -> None:
    """Each is bought; one that is no item is left out, one that is wrong is told."""
    listed = [{"object_id": "i1"}, {"object_id": "Acme", "object_id_field": "brand"}]
    order = {**UBI, "event_attributes": {"object": [*listed, {"object_id": 2}, 7]}}

    events, rejections, num_ignored = outcome_of(order)
    assert events == [CLICK, replace(CLICK, item_id="2")]
    assert rejections == [("wrong_type", "entry 2 of object: the product must be an object, not 7")]
    assert num_ignored == 0


def test_attributes_in_a_string() -> None:
    """A table of SQL holds them as text."""
    assert events_of({**UBI, "event_attributes": json.dumps(UBI["event_attributes"])}) == [CLICK]


def test_a_search_that_says_no_time() -> None:
    """Before version 1.2 a query has no field for it: that of its record in Kafka
    counts, if it is to be believed.
    """
    untimed = {name: value for name, value in UBI_SEARCH.items() if name != "timestamp"}
    found = record(untimed)
    timed = replace(found, time_ms=TS_MS)

    assert list(decode(timed, SETTINGS, NOW_MS).events) == [SEARCH]
    for time_ms in (None, 0, NOW_MS * 2):
        decoded = decode(replace(found, time_ms=time_ms), SETTINGS, NOW_MS)
        assert reason_of(decoded) == ("missing_field", "timestamp is absent")


def test_ubi_search() -> None:
    """A query record gives the text of its id, and who searched."""
    assert events_of(UBI_SEARCH) == [SEARCH]
    both = {**UBI_SEARCH, "user_id": "m1", "timestamp": TS_MS}
    assert events_of(both) == [replace(SEARCH, user_ids=("u1", "m1"))]
    assert events_of({**UBI_SEARCH, "client_id": None}) == [replace(SEARCH, user_ids=())]
    assert events_of({**UBI_SEARCH, "query_id": 12}) == [replace(SEARCH, query_id="12")]
    assert events_of({**UBI_SEARCH, "user_query": 360}) == [replace(SEARCH, query="360")]


@pytest.mark.parametrize("text", ["", None, "  ", "*:*"])
def test_a_search_without_a_text(text: str | None) -> None:
    """A page of a category has an id that actions name, and no text."""
    assert events_of({**UBI_SEARCH, "user_query": text}) == [replace(SEARCH, query="")]


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        ({"query_id": None}, "missing_field", "query_id"),
        ({"query_id": []}, "wrong_type", "query_id"),
        ({"timestamp": None}, "missing_field", "timestamp"),
        ({"timestamp": 7}, "absurd_timestamp", "7"),
        ({"user_query": "a" * 600}, "oversized", "query"),
        ({"query_id": "a" * 2000}, "oversized", "query_id"),
    ],
)
def test_rejected_searches(change: dict[str, Any], reason: str, detail: str) -> None:
    """A rejected query record names the field that is wrong."""
    found = rejection_of({**UBI_SEARCH, **change})
    assert found[0] == reason
    assert detail in found[1]


@pytest.mark.parametrize(
    "line",
    [
        {"index": {"_index": "ubi_queries", "_id": "7"}},
        {"index": {}},
        {"create": {"_index": "ubi_events"}},
        {"create": {"_index": "ubi_events", "pipeline": "p", "require_alias": True}},
        {"index": {"_id": "7", "version": 3, "version_type": "external", "if_seq_no": 1}},
    ],
)
def test_index_lines(line: dict[str, Any]) -> None:
    """The lines before documents in a bulk export are passed over."""
    assert ignored_as(line) == "index_line"


@pytest.mark.parametrize("line", [{"index": 3}, {"index": {}, "a": 1}, {"index": {"a": 1}}])
def test_what_only_looks_like_an_index_line(line: dict[str, Any]) -> None:
    """Anything else with such a key is unknown."""
    assert rejection_of(line)[0] == "unknown_type"


@pytest.mark.parametrize("blank", ["", "  ", "\t"])
def test_a_blank_query_leaves_the_search_that_is_named(blank: str) -> None:
    """A form sends it where nobody typed anything."""
    event = {**UBI, "user_query": blank, "query_id": "q-1"}

    assert [(each.query, each.query_id) for each in events_of(event)] == [("", "q-1")]


@pytest.mark.parametrize(
    ("change", "query"),
    [
        ({"message_type": "Query", "message": 501}, "501"),
        ({"message_type": 5, "message": {}}, ""),
        ({"user_query": " ", "message_type": "QUERY", "message": "tea"}, "tea"),
        ({"user_query": " ", "message_type": "QUERY", "message": " "}, ""),
    ],
)
def test_messages(change: dict[str, Any], query: str) -> None:
    """A number is a query too, and a message of another type says nothing."""
    assert events_of({**UBI, "user_query": None, **change})[0].query == query


def test_hits() -> None:
    """The documents of an index are read out of what surrounds them."""
    around = {"_index": "ubi", "_id": "1", "_score": 1.0}
    assert events_of({**around, "_source": UBI}) == [CLICK]
    assert events_of({**around, "_source": UBI_SEARCH}) == [SEARCH]
    assert rejection_of({**around, "_source": {"title": "T"}})[0] == "unknown_type"
    assert rejection_of({**around, "_source": [UBI]})[0] == "wrong_type"


@pytest.mark.parametrize(
    ("change", "reason", "detail"),
    [
        (about(object_id=True), "wrong_type", "object_id"),
        ({"event_attributes": [1]}, "wrong_type", "event_attributes"),
        (
            {"session_id": None, "client_id": "", "user_id": ""},
            "missing_field",
            "none of session_id, user_id, client_id",
        ),
        ({"timestamp": None}, "missing_field", "timestamp"),
        ({"timestamp": "soon"}, "malformed", "timestamp"),
        ({"timestamp": {}}, "wrong_type", "timestamp"),
        ({"user_query": ["a"]}, "wrong_type", "user_query"),
        ({"user_query": None, "query_id": ["a"]}, "wrong_type", "query_id"),
        ({"user_query": None, "query_id": "a" * 2000}, "oversized", "query_id"),
        ({"user_id": "a" * 2000}, "oversized", "user_id"),
        ({"client_id": "a" * 2000, "user_id": "u1"}, "oversized", "alias_id"),
        ({"action_name": 3}, "wrong_type", "action_name"),
    ],
)
def test_rejected_ubi(change: dict[str, Any], reason: str, detail: str) -> None:
    """A rejected UBI event names the field that is wrong."""
    found = reason_of(decode(record({**UBI, **change}), SETTINGS, NOW_MS))
    assert found[0] == reason
    assert detail in found[1]
