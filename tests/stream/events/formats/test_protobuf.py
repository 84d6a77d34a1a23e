"""Single protobuf messages, held to the rules of every format."""

from typing import Any

import pytest

from protos import events_v1_pb2 as pb
from stream.events.decoder import decode
from stream.events.types import CatalogItem
from testing.records import (
    BATCH,
    CLICK,
    EVENT,
    ITEM,
    NOW_MS,
    SETTINGS,
    event,
    events_of,
    reason_of,
    record,
)


@pytest.mark.parametrize(
    "content_type",
    [
        EVENT,
        'Application/X-Protobuf;MESSAGETYPE="freshet.events.v1.Event"',
        "application/x-protobuf; charset=x ; messageType=freshet.events.v1.Event; q=1",
        "application/protobuf",
        "application/x-protobuf",
    ],
)
def test_protobuf_event(content_type: str) -> None:
    """A single event is read under every spelling of its content-type."""
    assert events_of(event(), content_type) == [CLICK]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"action": 0}, "missing_field"),
        ({"action": 99}, "unknown_type"),
        ({"session_id": "", "user_id": " "}, "missing_field"),
        ({"item_id": ""}, "missing_field"),
        ({"ts_ms": 0}, "absurd_timestamp"),
        ({"ts_ms": 2**62}, "absurd_timestamp"),
        ({"query": "..."}, "empty_query"),
        ({"item_id": "i" * 2000}, "oversized"),
    ],
)
def test_rejected_protobuf_events(fields: dict[str, Any], reason: str) -> None:
    """A protobuf event is held to the same rules."""
    assert reason_of(decode(record(event(**fields), EVENT), SETTINGS, NOW_MS))[0] == reason


@pytest.mark.parametrize("content_type", [EVENT, BATCH, ITEM])
def test_protobuf_that_does_not_parse(content_type: str) -> None:
    """Bytes that are not the announced message are malformed."""
    assert (
        reason_of(decode(record(b"\xff\xff\xff", content_type), SETTINGS, NOW_MS))[0] == "malformed"
    )


def test_protobuf_catalogue_item() -> None:
    """A protobuf item is read by its parameter, or by its topic where there is none."""
    value = pb.CatalogItem(
        item_id="i1", title="T", text="x", attributes={"a": "b"}, unavailable=True
    ).SerializeToString()
    expected = CatalogItem(
        item_id="i1", title="T", text="x", attributes={"a": "b"}, available=False
    )
    assert events_of(value, ITEM) == [expected]
    assert events_of(value, "application/x-protobuf", source="freshet.catalog") == [expected]
