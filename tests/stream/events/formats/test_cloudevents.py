"""CloudEvents: their type, their time, their data, in the value or in the headers."""

import json
from base64 import b64encode, encodebytes
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.decoder import decode
from stream.events.formats.catalog import JSON_ITEM
from stream.events.types import CatalogItem, Erasure, Headers
from testing.records import (
    CLICK,
    CLOUD,
    EVENT,
    NEUTRAL,
    NOW_MS,
    SEARCH,
    SETTINGS,
    TS_MS,
    UBI,
    UBI_SEARCH,
    check_batch_decodes_as_its_records,
    cloud_item,
    event,
    events_of,
    reason_of,
    record,
    records,
    rejection_of,
)

BATCHED = "application/cloudevents-batch+json; charset=utf-8"


def test_cloud_event() -> None:
    """A CloudEvent's type is the action and its time the event time, unless the data
    say otherwise.
    """
    data = {"session_id": "s1", "user_id": "u1", "query": "Xbox-360!", "item_id": "i1"}
    cloud = {
        "specversion": "1.0",
        "id": "1",
        "source": "/shop",
        "type": "freshet.click",
        "time": "2023-11-14T21:56:40Z",
        "data": data,
    }
    assert events_of(cloud, CLOUD) == [CLICK]
    assert events_of(cloud) == [CLICK]
    assert events_of({**cloud, "data": {**data, "ts_ms": TS_MS + 1}}, CLOUD) == [
        replace(CLICK, ts_ms=TS_MS + 1)
    ]
    whole = {**cloud, "type": "freshet.event", "data": dict(NEUTRAL)}
    assert events_of(whole, CLOUD) == [CLICK]
    item = {
        **cloud,
        "type": "freshet.catalog",
        "data": {"item_id": "i1", "title": "A title", "type": "game"},
    }
    (decoded,) = events_of(item, CLOUD)
    assert decoded == CatalogItem(
        item_id="i1", title="A title", text="game", attributes={"type": "game"}, ts_ms=TS_MS
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"specversion": "0.3"}, "unknown_type"),
        ({"type": "com.example.click"}, "unknown_type"),
        ({"type": "freshet.hover"}, "unknown_type"),
        ({"type": None}, "missing_field"),
        ({"data": None}, "missing_field"),
        ({"data": "text"}, "wrong_type"),
        ({"time": None}, "missing_field"),
        ({"time": "yesterday"}, "malformed"),
        ({"time": "1999-12-31T23:59:59Z"}, "absurd_timestamp"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "absurd_timestamp"),
        ({"time": 3}, "absurd_timestamp"),
        ({"time": {}}, "wrong_type"),
    ],
)
def test_rejected_cloud_events(change: dict[str, Any], reason: str) -> None:
    """What is wrong with a CloudEvent is told apart."""
    cloud = {
        "specversion": "1.0",
        "type": "freshet.view",
        "time": "2023-11-14T21:56:40Z",
        "data": {"session_id": "s", "item_id": "i"},
    }
    assert reason_of(decode(record({**cloud, **change}, CLOUD), SETTINGS, NOW_MS))[0] == reason


def test_a_cloud_event_does_not_overrule_the_time_of_its_item() -> None:
    """The time in the data is the state's; the envelope's may be that of sending."""
    cloud = cloud_item({"item_id": "i1", "ts_ms": TS_MS}, time="2023-11-14T22:00:00Z")

    assert events_of(cloud, CLOUD) == [CatalogItem(item_id="i1", ts_ms=TS_MS)]


@pytest.mark.parametrize(
    ("time", "reason"),
    [("yesterday", "malformed"), ("1999-12-31T23:59:59Z", "absurd_timestamp")],
)
def test_rejected_times_of_cloud_events_with_an_item(time: str, reason: str) -> None:
    """A CloudEvent's time that an item would get is read as an event's is."""
    cloud = cloud_item({"item_id": "i1"}, time)

    assert reason_of(decode(record(cloud, CLOUD), SETTINGS, NOW_MS))[0] == reason


_DATA = {"session_id": "s1", "user_id": "u1", "query": "Xbox-360!", "item_id": "i1"}
_TIME = "2023-11-14T21:56:40Z"
_ITEM = CatalogItem(item_id="i1", title="T", ts_ms=TS_MS)
_USER = Erasure(kind="user", id="u1", ts_ms=TS_MS)


def attributes(kind: str, time: str | None = _TIME, version: str = "1.0") -> Headers:
    """Return the headers of a CloudEvent in binary mode."""
    said = {
        "ce_specversion": version,
        "ce_id": "1",
        "ce_source": "/shop",
        "ce_type": kind,
        "ce_time": time,
    }
    return [(name, value) for name, value in said.items() if value is not None]


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "text/json", "application/vnd.shop+json"]
)
@pytest.mark.parametrize(
    ("source", "kind", "data", "expected"),
    [
        ("freshet.clicks", "freshet.click", _DATA, CLICK),
        ("freshet.clicks", "freshet.search_click", _DATA, CLICK),
        ("freshet.sessions", "freshet.event", {**_DATA, "type": "click"}, CLICK),
        ("freshet.clicks", "com.shop.click", {**_DATA, "type": "click"}, CLICK),
        (
            "freshet.clicks",
            "freshet.click",
            {**_DATA, "ts_ms": TS_MS + 1},
            replace(CLICK, ts_ms=TS_MS + 1),
        ),
        ("freshet.catalog", "freshet.catalog", {"item_id": "i1", "title": "T"}, _ITEM),
        ("freshet.catalog", "com.shop.product.updated", {"item_id": "i1", "title": "T"}, _ITEM),
        ("freshet.clicks", "freshet.catalog", {"item_id": "i1", "title": "T"}, _ITEM),
        ("freshet.erasures", "freshet.erasure", {"erase": "user", "id": "u1"}, _USER),
        ("freshet.erasures", "com.shop.forget", {"erase": "user", "id": "u1"}, _USER),
    ],
)
def test_binary_mode(
    source: str, kind: str, data: dict[str, Any], expected: Any, content_type: str
) -> None:
    """The headers say what the structured mode's envelope says; what a foreign type
    holds is the source's to say.
    """
    headers = attributes(kind)

    assert events_of(data, content_type, source=source, headers=headers) == [expected]


_GONE = CatalogItem(item_id="i1", deleted=True, ts_ms=TS_MS)
_CHANGE = {"before": {"item_id": "i1"}, "after": None}


@pytest.mark.parametrize(
    ("kind", "more", "data", "expected"),
    [
        ("io.debezium.postgresql.DataChangeEvent", "d", _CHANGE, _GONE),
        ("io.debezium.x", "d", {"schema": {}, "payload": _CHANGE}, _GONE),
        ("io.debezium.x", "d", {"item_id": "i1"}, _GONE),
        ("io.debezium.x", "u", {"after": {"item_id": "i1", "title": "T"}}, _ITEM),
        ("io.debezium.x", None, {"schema": {}, "payload": {**_CHANGE, "op": "d"}}, _GONE),
        ("com.shop.product.deleted", None, {"item_id": "i1", "deleted": True}, _GONE),
        ("com.shop.product.removed", None, {"item_id": "i1", "__deleted": "true"}, _GONE),
    ],
)
def test_change_capture_in_an_envelope(
    kind: str, more: str | None, data: dict[str, Any], expected: CatalogItem
) -> None:
    """Debezium says beside the data what was done; a deletion that the data say too is
    one, whatever the type is called.
    """
    operation = {} if more is None else {"iodebeziumop": more}
    cloud = {"specversion": "1.0", "type": kind, "time": _TIME, "data": data, **operation}
    headers = [*attributes(kind), *((f"ce_{name}", text) for name, text in operation.items())]

    assert events_of(cloud, source="freshet.catalog") == [expected]
    assert events_of(data, source="freshet.catalog", headers=headers) == [expected]


@pytest.mark.parametrize("word", ["deleted", "Destroyed", "unpublished", "archived", "purge"])
def test_what_may_be_a_deletion_is_no_state(word: str) -> None:
    """Its data name the item and say no more: taken for a state they would list it,
    without its title.
    """
    cloud = {"specversion": "1.0", "type": f"com.shop.product.{word}", "data": {"item_id": "i1"}}

    assert rejection_of(cloud, source="freshet.catalog")[0] == "unknown_type"


def test_data_in_base64() -> None:
    """Some SDKs pack what they were given as bytes, JSON too."""
    packed = b64encode(json.dumps(_DATA).encode()).decode()
    cloud = {"specversion": "1.0", "type": "freshet.click", "time": _TIME, "data_base64": packed}

    assert events_of(cloud) == [CLICK]
    for broken, reason in (("!", "malformed"), (packed[:-4], "malformed"), (7, "wrong_type")):
        assert rejection_of({**cloud, "data_base64": broken})[0] == reason


def test_data_in_base64_of_other_writers() -> None:
    """Lines that were cut, as MIME has them, are one text."""
    packed = encodebytes(json.dumps(_DATA).encode()).decode()
    cloud = {"specversion": "1.0", "type": "freshet.click", "time": _TIME, "data_base64": packed}

    assert "\n" in packed[:-1]
    assert events_of(cloud) == [CLICK]


@pytest.mark.parametrize("version", ["1.0", 1, 1.0])
@pytest.mark.parametrize("content_type", ["", CLOUD])
def test_data_as_a_string(version: object, content_type: str) -> None:
    """Who publishes text by Dapr, or encodes twice, sends JSON in a string."""
    cloud = {
        "specversion": version,
        "type": "com.dapr.event.sent",
        "datacontenttype": "text/plain",
        "data": json.dumps(dict(NEUTRAL)),
    }
    assert events_of(cloud, content_type) == [CLICK]


@pytest.mark.parametrize("mode", ["structured", "announced", "binary"])
def test_a_foreign_type_around_another_form(mode: str) -> None:
    """Its data are what they are: an envelope makes no difference."""
    kind = "com.shop.event"
    products = {
        "eventType": "add-to-cart",
        "visitorId": "u1",
        "sessionId": "s1",
        "eventTime": _TIME,
        "productDetails": [{"product": {"id": "i1"}}],
    }

    def read(data: Mapping[str, Any]) -> list[Any]:
        if mode == "binary":
            return events_of(data, headers=attributes(kind))
        cloud = {"specversion": "1.0", "type": kind, "time": _TIME, "data": data}
        return events_of(cloud, CLOUD if mode == "announced" else "")

    assert read(UBI) == [CLICK]
    assert read(UBI_SEARCH) == [SEARCH]
    assert [each.action for each in read(products)] == [Action.ADD_TO_CART]
    assert read({**_DATA, "type": "Search_Click", "properties": {}}) == [CLICK]


def test_a_batch() -> None:
    """Each event of a list is read; one that cannot be used costs no other."""
    cloud = {"specversion": "1.0", "type": "freshet.click", "time": _TIME, "data": _DATA}
    erasure = {"erase": "user", "id": "u1", "ts_ms": TS_MS}
    others = [
        {**cloud, "type": "freshet.erasure", "data": erasure},
        {"specversion": "1.0", "type": "org.ubi", "data": {**UBI, "action_name": "impression"}},
        {**cloud, "type": "freshet.hover"},
        [],
    ]
    found = record(json.dumps([cloud, *others]).encode(), BATCHED)

    decoded = decode(found, SETTINGS, NOW_MS)
    assert decoded.events == [CLICK, Erasure(kind="user", id="u1", ts_ms=TS_MS)]
    assert [(each.reason, each.detail) for each in decoded.rejections] == [
        ("unknown_type", "event 3: unknown action 'hover'"),
        ("wrong_type", "event 4: event must be an object, not a list"),
    ]
    assert (decoded.num_ignored, decoded.ignored_as) == (1, "impression")


def test_a_batch_of_items() -> None:
    """On the catalogue topic it holds states, whatever their types are called."""
    cloud = {"specversion": "1.0", "type": "com.shop.item.updated", "time": _TIME}
    listed = [{**cloud, "data": {"item_id": name, "title": "T"}} for name in ("i1", "i2")]
    value = json.dumps(listed).encode()

    found = events_of(value, BATCHED, source="freshet.catalog")
    assert [(item.item_id, item.ts_ms) for item in found] == [("i1", TS_MS), ("i2", TS_MS)]
    assert rejection_of(b"{}", BATCHED)[0] == "wrong_type"
    assert events_of(b"[]", BATCHED) == []


def test_the_time_of_an_item_is_called_as_it_is() -> None:
    """Who reads the quarantine looks for the envelope's field."""
    reason, detail = rejection_of(cloud_item({"item_id": "i1"}, time="yesterday"), CLOUD)

    assert (reason, detail.split()[0]) == ("malformed", "time")


def test_content_types_go_before_the_headers_of_a_cloud_event() -> None:
    """Protobuf and the structured mode need no headers; a message that is named is
    what the source holds.
    """
    headers = attributes("com.shop.thing")
    cloud = {"specversion": "1.0", "type": "freshet.click", "time": _TIME, "data": _DATA}

    assert events_of(event(), EVENT, headers=headers) == [CLICK]
    assert events_of(cloud, CLOUD, headers=headers) == [CLICK]
    assert events_of({"item_id": "i1", "title": "T"}, JSON_ITEM, headers=headers) == [_ITEM]


@pytest.mark.parametrize(
    ("source", "headers", "data", "reason", "detail"),
    [
        ("freshet.clicks", attributes("freshet.click", None), _DATA, "missing_field", "time"),
        ("freshet.clicks", attributes("freshet.hover"), _DATA, "unknown_type", "hover"),
        ("freshet.clicks", attributes("com.shop.click"), _DATA, "unknown_type", "com.shop.click"),
        (
            "freshet.clicks",
            attributes("freshet.click", version="0.3"),
            _DATA,
            "unknown_type",
            "1.0",
        ),
        ("freshet.clicks", [("ce_specversion", "1.0")], _DATA, "missing_field", "type"),
        ("freshet.clicks", attributes("freshet.click"), b"[]", "wrong_type", "an object"),
        ("freshet.clicks", attributes("freshet.click"), b"{", "malformed", "not JSON"),
        (
            "freshet.catalog",
            attributes("com.shop.product.deleted"),
            {"item_id": "i1"},
            "unknown_type",
            "deletion",
        ),
    ],
)
def test_rejected_in_binary_mode(
    source: str, headers: Headers, data: Any, reason: str, detail: str
) -> None:
    """What is wrong is told apart as in the structured mode."""
    found, said = rejection_of(data, "application/json", source=source, headers=headers)

    assert (found, detail in said) == (reason, True)


def test_binary_mode_in_a_batch() -> None:
    """Records with and without attributes are each read as what they are, also where
    one would be a neutral line without them.
    """
    line = json.dumps(NEUTRAL).encode()
    found: list[tuple[str, Headers]] = [
        ("", ()),
        ("", attributes("freshet.view")),
        ("", attributes("com.shop.click")),
        ("text/plain", attributes("freshet.view")),
        (EVENT, attributes("freshet.view")),
    ]
    batch = records([(name, line) for name, _ in found], [headers for _, headers in found])

    check_batch_decodes_as_its_records(batch, SETTINGS)
    check_batch_decodes_as_its_records(batch.rows(1, 3), SETTINGS)
    assert batch.rows(1, 3).record(0).headers == attributes("freshet.view")
    assert [found.action for found in events_of(line, headers=attributes("freshet.view"))] == [
        Action.VIEW
    ]
