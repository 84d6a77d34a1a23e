"""Catalogue items: every encoding, their time, their types and sizes."""

from dataclasses import replace
from typing import Any

import pytest

from protos import events_v1_pb2 as pb
from stream.events.decoder import decode
from stream.events.formats.catalog import JSON_ITEM
from stream.events.limits import EARLIEST_MS
from stream.events.types import CatalogItem
from testing.records import (
    CLOUD,
    ITEM,
    NOW_MS,
    SETTINGS,
    TS_MS,
    cloud_item,
    events_of,
    reason_of,
    record,
    rejection_of,
)


def test_catalogue_line() -> None:
    """Strings beyond title and text join the text and are kept as attributes.

    Numbers are attributes only.
    """
    line = {
        "item_id": "i1",
        "title": "A title",
        "text": "A text",
        "brand": "Acme",
        "empty": "",
        "price": 3.5,
        "sizes": [1, 2],
        "attributes": {"colour": "red"},
        "available": False,
    }
    assert events_of(line, JSON_ITEM) == [
        CatalogItem(
            item_id="i1",
            title="A title",
            text="A text\nAcme",
            attributes={
                "brand": "Acme",
                "empty": "",
                "price": "3.5",
                "sizes": "1, 2",
                "colour": "red",
            },
            available=False,
        )
    ]


def test_catalogue_line_with_a_type() -> None:
    """Where it is known that a line is a catalogue item, a field called type is an
    attribute like others.
    """
    line = {"item_id": "i1", "title": "T", "type": "game", "ts_ms": TS_MS}
    expected = CatalogItem(
        item_id="i1", title="T", text="game", attributes={"type": "game"}, ts_ms=TS_MS
    )
    assert events_of(line, JSON_ITEM) == [expected]
    assert events_of(line, source="freshet.catalog") == [expected]


@pytest.mark.parametrize("deleted", [False, True])
def test_time_of_a_catalogue_item(deleted: bool) -> None:
    """Every encoding that can say when a state or a deletion was made says it."""
    item = CatalogItem(item_id="i1", deleted=deleted, ts_ms=TS_MS)
    line = {"item_id": "i1", "deleted": deleted, "ts_ms": TS_MS}
    message = pb.CatalogItem(item_id="i1", deleted=deleted, ts_ms=TS_MS)

    assert events_of(line, JSON_ITEM) == [item]
    assert events_of(line, "application/json", source="freshet.catalog") == [item]
    assert events_of(message.SerializeToString(), ITEM) == [item]
    assert events_of(cloud_item(line, time=None), CLOUD) == [item]


@pytest.mark.parametrize("said", [{}, {"ts_ms": None}, {"ts_ms": 0}])
def test_catalogue_item_without_a_time(said: dict[str, Any]) -> None:
    """A time that is absent, null or 0 is not said; a CloudEvent's own then counts."""
    line = {"item_id": "i1", **said}
    without = CatalogItem(item_id="i1")

    assert events_of(line, JSON_ITEM) == [without]
    assert events_of(pb.CatalogItem(item_id="i1").SerializeToString(), ITEM) == [without]
    assert events_of(cloud_item(line, time=None), CLOUD) == [without]
    assert events_of(cloud_item(line, time="2023-11-14T21:56:40Z"), CLOUD) == [
        replace(without, ts_ms=TS_MS)
    ]


@pytest.mark.parametrize(
    ("ts_ms", "reason"),
    [
        (EARLIEST_MS - 1, "absurd_timestamp"),
        (NOW_MS + 3_600_001, "absurd_timestamp"),
        (-1, "absurd_timestamp"),
        (False, "wrong_type"),
        ("now", "malformed"),
        (NOW_MS // 1000, "absurd_timestamp"),
    ],
)
def test_rejected_times_of_catalogue_items(ts_ms: Any, reason: str) -> None:
    """An item's time is held to the bounds of an event's: one in the future would stay
    the newest for ever.
    """
    line = {"item_id": "i1", "ts_ms": ts_ms}
    found = [
        decode(record(line, JSON_ITEM), SETTINGS, NOW_MS),
        decode(record(cloud_item(line, time=None), CLOUD), SETTINGS, NOW_MS),
    ]
    if isinstance(ts_ms, int) and not isinstance(ts_ms, bool):
        message = pb.CatalogItem(item_id="i1", ts_ms=ts_ms)
        found.append(decode(record(message.SerializeToString(), ITEM), SETTINGS, NOW_MS))

    assert {reason_of(one)[0] for one in found} == {reason}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"item_id": ""}, "missing_field"),
        ({"item_id": 7.5}, "wrong_type"),
        ({"item_id": True}, "wrong_type"),
        ({"item_id": "\ud83d"}, "malformed"),
        ({"item_id": "i" * 1025}, "oversized"),
        ({"item_id": "i", "deleted": "perhaps"}, "wrong_type"),
        ({"item_id": "i", "deleted": []}, "wrong_type"),
    ],
)
def test_rejected_catalogue_lines(line: dict[str, Any], reason: str) -> None:
    """What names an item, or whether it is deleted, is never guessed."""
    assert rejection_of(line, JSON_ITEM)[0] == reason


@pytest.mark.parametrize(
    "line",
    [
        {"ts_ms": TS_MS, "type": "view", "user_id": "jane", "item_id": "i"},
        {"event": "click", "session_id": "s", "user_id": "jane", "query": "q", "item_id": "i"},
        {"event": "click", "timestamp": TS_MS, "user_id": "jane", "query": "q", "item_id": "i"},
        {"behavior": "pv", "time": 1, "user_id": "jane", "item_id": "i"},
        {"event_name": "view_item", "user_pseudo_id": "p.1", "item_id": "i"},
        {"eventType": "click", "visitorId": "v", "item_id": "i"},
        {"action_name": "click", "session_id": "s"},
        {"event_name": "purchase", "user_pseudo_id": "p.1", "items": [{"item_id": "i"}]},
        {"action": "buy", "customer-id": 7, "item_id": "i", "price": 9.5},
        {"userId": "jane", "item_id": "i", "rating": 5, "Timestamp": 978300760},
    ],
)
def test_an_event_is_no_item(line: dict[str, Any]) -> None:
    """Else the ids of its session and user became texts of the item, out of reach of
    their erasure, and its title was gone.
    """
    reason, detail = rejection_of(line, JSON_ITEM)

    assert reason == "unknown_type"
    assert "--source" in detail
    assert events_of({"item_id": "i", **line, "title": "T"}, JSON_ITEM) != []


@pytest.mark.parametrize(
    "said",
    [
        {"name": "Lamp", "type": "used"},
        {"name": "Lamp", "timestamp": TS_MS},
        {"description": "A lamp", "event": "sale"},
        {"price": 9.5, "type": "used"},
        {"available": True, "time": TS_MS},
    ],
)
def test_a_seller_makes_no_event(said: dict[str, Any]) -> None:
    """A marketplace names the user that sells an item."""
    line = {"item_id": "i", "user_id": 7, **said}
    assert events_of(line, JSON_ITEM)[0].attributes["user_id"] == "7"


@pytest.mark.parametrize("line", [{}, {"id": "A", "name": "Lamp"}, {"item_id": None, "sku": 1}])
def test_an_item_without_an_id_is_named_by_what_it_has(line: dict[str, Any]) -> None:
    """Its fields are in the detail, so that the misnamed one is seen."""
    reason, detail = rejection_of(line, JSON_ITEM)

    assert reason == "missing_field"
    assert "item_id is absent" in detail
    assert [name for name in line if repr(name) not in detail] == []


@pytest.mark.parametrize(
    ("line", "kept", "repairs"),
    [
        ({"item_id": 4711}, {"item_id": "4711"}, []),
        ({"item_id": 12.0}, {"item_id": "12"}, []),
        ({"title": 1984}, {"title": "1984"}, []),
        ({"title": ["Red", "lamp", 3]}, {"title": "Red lamp 3"}, []),
        ({"title": None, "text": None, "attributes": None, "available": None}, {}, []),
        ({"title": True}, {}, ["dropped"]),
        ({"title": {"en": "Lamp", "de": "Lampe"}}, {"title": "Lamp Lampe"}, []),
        ({"title": {"en": "Lamp", "nl": "Lamp", "fr": None}}, {"title": "Lamp"}, []),
        ({"title": [{"@language": "en", "@value": "Lamp"}]}, {"title": "Lamp"}, []),
        ({"title": {"en": True, "de": "Lampe"}}, {"title": "Lampe"}, ["dropped"]),
        ({"text": {"en": ["One", ["two"]], "locale": "en"}}, {"text": "One two"}, []),
        ({"text": [[[[[["x"]]]]]]}, {}, ["dropped"]),
        ({"title": "La\ud83dmp"}, {"title": "La\ufffdmp"}, []),
        ({"title": "t" * 70_000}, {"title": "t" * 65_533 + "…"}, ["cut"]),
        ({"text": "é" * 40_000}, {"text": "é" * 32_766 + "…"}, ["cut"]),
        ({"text": [{"p": "x"}, "y"]}, {"text": "x y"}, []),
        ({"attributes": {"color": ["red", "blue"]}}, {"attributes": {"color": "red, blue"}}, []),
        (
            {"attributes": {"price": 9.99, "n": 2**70}},
            {"attributes": {"price": "9.99", "n": str(2**70)}},
            [],
        ),
        (
            {"attributes": {"on": True, "off": False, "none": None}},
            {"attributes": {"on": "true", "off": "false"}},
            [],
        ),
        ({"attributes": {"empty": [], "nothing": [None], "no": {}}}, {}, []),
        (
            {"attributes": {"size": {"eu": 42, "fit": {"w": "wide"}}}},
            {"attributes": {"size.eu": "42", "size.fit.w": "wide"}},
            [],
        ),
        ({"attributes": {"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}}, {}, ["dropped"]),
        (
            {"attributes": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}},
            {"attributes": {"a.b.c.d.e.f": "1"}},
            [],
        ),
        (
            {"attributes": {"tags": ["x", {"y": 1}, ["z"], {"y": 2}]}},
            {"attributes": {"tags": "x, z", "tags.y": "1, 2"}},
            [],
        ),
        ({"attributes": ["red"]}, {}, ["dropped"]),
        ({"attributes": "red"}, {}, ["dropped"]),
        ({"attributes": " "}, {}, []),
        ({"attributes": '{"size": {"eu": 42}}'}, {"attributes": {"size.eu": "42"}}, []),
        ({"attributes": "{size: 42}"}, {}, ["dropped"]),
        (
            {"attributes": [{"name": "color", "value": "red"}, {"key": "size", "values": [4, 5]}]},
            {"attributes": {"color": "red", "size": "4, 5"}},
            [],
        ),
        (
            {"attributes": [{"color": "red"}, 7, {"attribute_code": "fit", "value": None}]},
            {"attributes": {"color": "red"}},
            ["dropped"],
        ),
        (
            {"specs": [{"code": "color", "value": "red"}, {"code": "color", "value": "blue"}]},
            {"attributes": {"specs.color": "red, blue"}, "text": "red\nblue"},
            [],
        ),
        (
            {"attributes": {"a": {"$numberDecimal": "9.90"}, "b": {"$oid": "x"}, "c": {"$x": 1}}},
            {"attributes": {"a": "9.9", "b": "x", "c.$x": "1"}},
            [],
        ),
        (
            {"attributes": {"a": 10.0, "b": [1e2, 10.5], "c": -0.0, "d": 1e300}},
            {"attributes": {"a": "10", "b": "100, 10.5", "c": "0", "d": "1e300"}},
            [],
        ),
        ({"item_id": {"$oid": "5f"}}, {"item_id": "5f"}, []),
        ({"item_id": {"$numberLong": "4711"}}, {"item_id": "4711"}, []),
        ({"title": {"$numberInt": "1984"}}, {"title": "1984"}, []),
        ({"ts_ms": {"$date": {"$numberLong": str(TS_MS)}}}, {"ts_ms": TS_MS}, []),
        ({"ts_ms": {"$date": "2023-11-14T21:56:40Z"}}, {"ts_ms": TS_MS}, []),
        ({"available": {"$numberInt": "0"}}, {"available": False}, []),
        ({"available": "http://www.schema.org/OutOfStock"}, {"available": False}, []),
        ({"attributes": {"n" * 1025: "x", "m": "y"}}, {"attributes": {"m": "y"}}, ["dropped"]),
        ({"attributes": {"b\ud83d": "\ud83d"}}, {"attributes": {"b\ufffd": "\ufffd"}}, []),
        (
            {"categories": ["Home", "Lamps", 3]},
            {"attributes": {"categories": "Home, Lamps, 3"}, "text": "Home\nLamps"},
            [],
        ),
        (
            {"maker": {"name": "Acme", "year": 1950}},
            {"attributes": {"maker.name": "Acme", "maker.year": "1950"}, "text": "Acme"},
            [],
        ),
        ({"available": "in stock"}, {}, []),
        ({"available": "perhaps"}, {}, ["dropped"]),
        ({"available": " "}, {}, []),
        *(
            ({"available": value}, {"available": True}, [])
            for value in ("5", "0.5", "schema:MadeToOrder", "available for order")
        ),
        *(
            ({"available": value}, {"available": False}, [])
            for value in ("-2", "0.0", "https://schema.org/Reserved", "Not in stock", "n")
        ),
        ({"attributes": {"price": float("nan")}}, {}, []),
        ({"available": ["no"]}, {}, ["dropped"]),
        *(
            ({"available": value}, {"available": True}, [])
            for value in (True, 1, 12, 0.5, "yes", "TRUE", "in_stock", "InStock", "pre-order")
        ),
        *(
            ({"available": value}, {"available": False}, [])
            for value in (False, 0, -1, "no", "0", "out of stock", "https://schema.org/OutOfStock")
        ),
        *(({"deleted": value}, {"deleted": True}, []) for value in (True, "true", "yes", 1)),
        *(({"deleted": value}, {}, []) for value in (False, "false", 0, None)),
        ({"ts_ms": str(TS_MS)}, {"ts_ms": TS_MS}, []),
        ({"ts_ms": "2023-11-14t21:56:40z"}, {"ts_ms": TS_MS}, []),
    ],
)
def test_odd_values_never_cost_the_item(
    line: dict[str, Any], kept: dict[str, Any], repairs: list[str]
) -> None:
    """What can be meant is used, what cannot is left out and counted."""
    expected = CatalogItem(**{"item_id": "i", **kept})
    found = record({"item_id": "i", **line}, JSON_ITEM)

    decoded = decode(found, SETTINGS, NOW_MS)

    assert (list(decoded.events), list(decoded.rejections)) == ([expected], [])
    assert list(decoded.repairs) == repairs
    assert events_of(cloud_item({"item_id": "i", **line}, time=None), CLOUD) == [expected]


@pytest.mark.parametrize(
    ("line", "is_available"),
    [
        ({"availability": "out of stock"}, False),
        ({"availability": "https://schema.org/InStock"}, True),
        ({"availability": 0, "available": None}, False),
        ({"availability": "sold out", "available": ""}, False),
        ({"availability": "sold out", "available": True}, True),
        ({"availability": "in stock", "available": 0}, False),
        ({"availability": "within a week"}, True),
    ],
)
def test_availability_of_product_feeds(line: dict[str, Any], *, is_available: bool) -> None:
    """Feeds of Google, Facebook and schema.org call it so; it is an attribute, too."""
    decoded = decode(record({"item_id": "i", **line}, JSON_ITEM), SETTINGS, NOW_MS)

    (item,) = decoded.events
    assert isinstance(item, CatalogItem)
    assert item.available is is_available
    assert item.attributes == {"availability": str(line["availability"])}
    assert not decoded.repairs


def test_texts_of_a_protobuf_item_are_cut() -> None:
    """A message is held to the same lengths."""
    message = pb.CatalogItem(
        item_id="i", title="t" * 70_000, attributes={"a": "b", "n" * 1025: ""}
    ).SerializeToString()

    decoded = decode(record(message, ITEM), SETTINGS, NOW_MS)

    (item,) = decoded.events
    assert isinstance(item, CatalogItem)
    assert (len(item.title), item.attributes) == (65_534, {"a": "b"})
    assert sorted(decoded.repairs) == ["cut", "dropped"]
