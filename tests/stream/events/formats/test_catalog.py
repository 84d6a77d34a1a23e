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
            attributes={"brand": "Acme", "empty": "", "price": "3.5", "colour": "red"},
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
        ("now", "wrong_type"),
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
    if reason == "absurd_timestamp":
        message = pb.CatalogItem(item_id="i1", ts_ms=ts_ms)
        found.append(decode(record(message.SerializeToString(), ITEM), SETTINGS, NOW_MS))

    assert {reason_of(one)[0] for one in found} == {reason}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"item_id": ""}, "missing_field"),
        ({"item_id": 7}, "wrong_type"),
        ({"item_id": "i", "title": 7}, "wrong_type"),
        ({"item_id": "i", "deleted": "yes"}, "wrong_type"),
        ({"item_id": "i", "attributes": {"a": 1}}, "wrong_type"),
        ({"item_id": "i", "title": "t" * 70_000}, "oversized"),
        ({"item_id": "i", "a" * 2000: "x"}, "oversized"),
    ],
)
def test_rejected_catalogue_lines(line: dict[str, Any], reason: str) -> None:
    """A catalogue line is held to types and sizes too."""
    assert rejection_of(line, JSON_ITEM)[0] == reason
