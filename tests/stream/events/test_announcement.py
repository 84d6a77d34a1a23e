"""Which format content-types and topics announce."""

import pytest

from stream.events.announcement import (
    ERASURE,
    EVENT,
    ITEM,
    announced_format,
    means_erasure,
    messages_of_topics,
)
from stream.events.format import Format
from stream.events.formats.protobuf import PROTOBUF_ERASURE, PROTOBUF_EVENT, PROTOBUF_ITEM
from stream.events.formats.table import CLOUD_ERASURES, CLOUD_EVENTS, CLOUD_ITEMS, FORMATS
from stream.events.sniffer import ERASURE_JSON, EVENT_JSON, ITEM_JSON
from stream.settings import StreamSettings
from testing.records import record

CLOUD = "application/cloudevents+json"
ANNOUNCED = [
    (each, form)
    for form in (*FORMATS, ITEM_JSON, ERASURE_JSON, CLOUD_ITEMS, CLOUD_ERASURES)
    for each in form.content_types
    if each != CLOUD
]


@pytest.mark.parametrize(("content_type", "form"), ANNOUNCED)
@pytest.mark.parametrize("message", [EVENT, ITEM, ERASURE])
def test_a_content_type_decides(content_type: str, form: Format, message: str) -> None:
    """What a content-type announces is what it is, on whatever topic."""
    assert announced_format(content_type, message) is form


@pytest.mark.parametrize(
    ("content_type", "message", "form"),
    [
        ("application/x-protobuf", EVENT, PROTOBUF_EVENT),
        ("application/protobuf", ITEM, PROTOBUF_ITEM),
        ("Application/X-Protobuf; charset=x", ERASURE, PROTOBUF_ERASURE),
        ("application/json", ITEM, ITEM_JSON),
        ("", ITEM, ITEM_JSON),
        ("application/json", ERASURE, ERASURE_JSON),
        ("", ERASURE, ERASURE_JSON),
        ("", EVENT, EVENT_JSON),
        ("application/json; charset=x", EVENT, EVENT_JSON),
        ("application/vnd.shop.event.v2+json; charset=utf-8", EVENT, EVENT_JSON),
        ("application/ld+json", ITEM, ITEM_JSON),
        ('"application/json"', EVENT, EVENT_JSON),
        ("application/octet-stream", ERASURE, ERASURE_JSON),
        ("text/plain; charset=utf-8", EVENT, EVENT_JSON),
        ("application/x-ndjson", ITEM, ITEM_JSON),
        ("*/*", EVENT, EVENT_JSON),
        ("application/vnd.google.protobuf", EVENT, PROTOBUF_EVENT),
        (f"application/json; messageType={EVENT}", ITEM, EVENT_JSON),
        (f"{CLOUD}; charset=utf-8", EVENT, CLOUD_EVENTS),
        (f"{CLOUD}; charset=utf-8", ITEM, CLOUD_ITEMS),
        (CLOUD, ERASURE, CLOUD_ERASURES),
    ],
)
def test_a_topic_decides_where_the_content_type_names_no_message(
    content_type: str, message: str, form: Format
) -> None:
    """An encoding without a message is of the message of the topic."""
    assert announced_format(content_type, message) is form


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xml",
        "application/cloudevents",
        "application/cloudevents+avro",
        "avro/binary+4711",
        "application/x-protobuf; messageType=somebody.Else",
        "application/json; messageType=somebody.Else",
        "application/json; messageType=freshet.events.v1.EventBatch",
        "\x00",
    ],
)
def test_what_freshet_does_not_read(content_type: str) -> None:
    """An unknown media type, or a message that it cannot hold, is no format."""
    assert announced_format(content_type, EVENT) is None


def test_topics_announce_items_and_erasures() -> None:
    """A topic that is switched off announces nothing."""
    settings = StreamSettings(catalog_topic="items", erasures_topic="")

    assert messages_of_topics(settings) == {"items": ITEM}


@pytest.mark.parametrize(
    ("value", "content_type", "source", "is_meant"),
    [
        (b"garbage", "", "freshet.erasures", True),
        (None, "", "freshet.erasures", True),
        (b"\xff", f"application/x-protobuf; messageType={ERASURE}", "freshet.clicks", True),
        (b'{"erase": "user", "id": ""}', "", "log.jsonl", True),
        (b'{"type": "freshet.erasure", "data"', "", "freshet.clicks", True),
        (b'{"type": "click"}', "", "freshet.clicks", False),
        (None, "", "freshet.catalog", False),
    ],
)
def test_what_is_meant_as_an_erasure(
    value: bytes | None, content_type: str, source: str, is_meant: bool
) -> None:
    """It has an alert of its own when it cannot be carried out, also where it is cut
    short.
    """
    found = record(value, content_type, source=source)

    assert means_erasure(found, StreamSettings()) is is_meant
    unnamed = StreamSettings(erasures_topic="")
    assert not means_erasure(record(b"x", source=""), unnamed)
