"""Decoding: bytes of every kind, every reason to reject, and never an exception."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from stream.events.decoder import decode
from stream.events.formats.catalog import JSON_ITEM
from stream.events.formats.erasure import JSON_ERASURE
from stream.events.limits import EARLIEST_MS
from stream.events.types import CatalogItem, Headers
from testing.records import (
    BATCH,
    CLICK,
    CLOUD,
    EVENT,
    ITEM,
    NEUTRAL,
    NOW_MS,
    SETTINGS,
    TS_MS,
    UBI,
    check_never_raises,
    cloud_item,
    event,
    reason_of,
    record,
)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed"),
        (b"not json", "malformed"),
        (b'{"ts_ms": NaN}', "missing_field"),
        (b'{"ts_ms": 1e999}', "missing_field"),
        (b'{"session_id": "\xff"}', "malformed"),
        (b'{"session_id": "\\ud800"}', "missing_field"),
        (b'{"ts_ms": 1', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'{"a":' * 100_000, "malformed"),
        (b"[]", "wrong_type"),
        (b"3", "wrong_type"),
        (b"null", "wrong_type"),
        (b"{}", "unknown_type"),
        (b'{"hello": "world"}', "unknown_type"),
        (b'{"item_id": ' + b"9" * 10_000 + b"}", "malformed"),
        (b'{"ts_ms": ' + b"9" * 10_000 + b', "type": "view"}', "malformed"),
    ],
)
def test_rejected_bytes(value: bytes, reason: str) -> None:
    """Bytes that are no message of ours are rejected with a reason, however odd they
    are.
    """
    found, detail = reason_of(decode(record(value), SETTINGS, NOW_MS))
    assert found == reason
    assert len(detail) < 400


def test_oversized_record() -> None:
    """A record beyond the limit is rejected without being parsed."""
    value = json.dumps({**NEUTRAL, "pad": "x" * SETTINGS.max_record_bytes}).encode()
    assert reason_of(decode(record(value), SETTINGS, NOW_MS))[0] == "oversized"


_GLUE = b"\3%b" + bytes(range(16)) + b"{}"


@pytest.mark.parametrize("source", ["freshet.clicks", "freshet.catalog", "freshet.erasures"])
@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", CLOUD, JSON_ITEM, "application/x-protobuf", EVENT, BATCH, ITEM],
)
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (b"\0\0\0\1\2" + json.dumps(dict(NEUTRAL)).encode(), "schema id 258, as Confluent"),
        (b"\0\0\0\0\7\0" + event(), "schema id 7, as Confluent"),
        (_GLUE % b"\0", "AWS Glue"),
        (_GLUE % b"\5", "AWS Glue"),
    ],
)
def test_framing_of_a_schema_registry(
    value: bytes, named: str, content_type: str, source: str
) -> None:
    """It is named, whatever is announced inside of it, with what to do."""
    reason, detail = reason_of(decode(record(value, content_type, source=source), SETTINGS, NOW_MS))

    assert reason == "unknown_encoding"
    assert named in detail
    assert "without a registry" in detail


@pytest.mark.parametrize("value", [b"\0", b"\0\0\0\0\1", b"\3\0abc", b"\3\7" + b"x" * 30, b"\1"])
def test_bytes_that_only_begin_like_a_frame(value: bytes) -> None:
    """What is shorter, or goes on otherwise, is malformed as anything else."""
    for content_type in ("", EVENT):
        assert reason_of(decode(record(value, content_type), SETTINGS, NOW_MS))[0] == "malformed"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "application/avro",
        "application/x-protobuf; messageType=somebody.Else",
        "application/x-protobuf; messageType=freshet.events.v1.json",
        "application/x-protobuf; messageType=Event",
        ";",
        "\x00",
    ],
)
def test_unknown_encoding(content_type: str) -> None:
    """A content-type that Freshet does not read is named in the rejection."""
    decoded = decode(record(NEUTRAL, content_type), SETTINGS, NOW_MS)
    if content_type == ";":
        assert list(decoded.events) == [CLICK]
    else:
        assert reason_of(decoded)[0] == "unknown_encoding"


def test_tombstone_deletes_the_item_named_by_its_key() -> None:
    """A record without a value deletes on the catalogue topic.

    Elsewhere or without a key it is rejected.
    """
    catalog = record(None, source="freshet.catalog", key=b"i1")
    assert list(decode(catalog, SETTINGS, NOW_MS).events) == [
        CatalogItem(item_id="i1", deleted=True)
    ]
    for bad, reason in (
        (record(None, source="freshet.catalog"), "missing_field"),
        (record(None, source="freshet.catalog", key=b"\xff"), "malformed"),
        (record(None, key=b"i1"), "malformed"),
    ):
        assert reason_of(decode(bad, SETTINGS, NOW_MS))[0] == reason


@pytest.mark.parametrize(
    ("record_ms", "ts_ms"),
    [
        (None, 0),
        (NOW_MS - 5, NOW_MS - 5),
        (EARLIEST_MS, EARLIEST_MS),
        (EARLIEST_MS - 1, 0),
        (-1, 0),
        (NOW_MS + 3_600_000, NOW_MS + 3_600_000),
        (NOW_MS + 3_600_001, 0),
    ],
)
@pytest.mark.parametrize("form", ["no value", "deleted", "json", "cloudevent", "protobuf"])
def test_a_state_that_says_no_time_is_of_its_records(
    form: str, record_ms: int | None, ts_ms: int
) -> None:
    """Also a deletion without a value.

    A time that is not to be believed is as good as none.
    """
    line: dict[str, Any] = {"item_id": "i1", "deleted": form == "deleted"}
    values = {
        "no value": (None, ""),
        "deleted": (line, ""),
        "json": (line, ""),
        "cloudevent": (
            {
                "specversion": "1.0",
                "type": "freshet.catalog",
                "id": "1",
                "source": "x",
                "data": line,
            },
            CLOUD,
        ),
        "protobuf": (pb.CatalogItem(item_id="i1").SerializeToString(), ITEM),
    }
    value, content_type = values[form]
    state = record(value, content_type, source="freshet.catalog", key=b"i1")
    decoded = decode(replace(state, time_ms=record_ms), SETTINGS, NOW_MS)

    assert list(decoded.events) == [
        CatalogItem(item_id="i1", deleted=form in {"no value", "deleted"}, ts_ms=ts_ms)
    ]


def test_what_says_a_time_keeps_it() -> None:
    """The time of the record is that of a state only where there is no other, and never
    that of an event.
    """
    for said, ts_ms in (({"ts_ms": TS_MS}, TS_MS), ({"ts_ms": None}, NOW_MS), ({}, NOW_MS)):
        state = record({"item_id": "i1", **said}, source="freshet.catalog")
        (item,) = decode(replace(state, time_ms=NOW_MS), SETTINGS, NOW_MS).events
        assert item == CatalogItem(item_id="i1", ts_ms=ts_ms)
    assert list(decode(replace(record(NEUTRAL), time_ms=NOW_MS), SETTINGS, NOW_MS).events) == [
        CLICK
    ]


SOURCES = st.sampled_from(["freshet.clicks", "freshet.catalog", "freshet.erasures", "log.jsonl"])
HEADERS = st.sampled_from(
    [
        (),
        (("ce_specversion", "1.0"), ("ce_type", "freshet.click"), ("ce_time", "2023-11-14")),
        (("ce_specversion", "1.0"), ("ce_type", "com.shop.thing")),
        (("ce_specversion", "2"),),
    ]
)
CONTENT_TYPES = st.sampled_from(
    ["", "application/json", CLOUD, EVENT, BATCH, ITEM, JSON_ITEM, JSON_ERASURE, "x/y"]
)


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["\ud83d", "a\ude00", "2023-11-14T21:56:60z", "1e5", "true", "cut:u@1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


ITEM_LINE = {"item_id": "i1", "title": "T", "attributes": {"a": "b"}, "__deleted": "false"}
MESSAGES: Sequence[Mapping[str, Any]] = [
    NEUTRAL,
    UBI,
    {"specversion": "1.0", "type": "freshet.click", "data": dict(NEUTRAL)},
    cloud_item(ITEM_LINE, time="2023-11-14T21:56:40Z"),
    ITEM_LINE,
    {"op": "u", "before": ITEM_LINE, "after": ITEM_LINE, "source": {"ts_ms": TS_MS}},
    {"schema": {}, "payload": ITEM_LINE},
    {"erase": "user", "id": "u1", "ts_ms": TS_MS},
    {**NEUTRAL, "item_id": None, "items": [{"item_id": "i1"}, "i2"]},
    {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m1",
        "userId": "u1",
        "context": {"sessionId": 3},
        "timestamp": "2023-11-14T21:56:40Z",
        "properties": {"products": [{"product_id": "i1"}, {"sku": "i2"}]},
    },
    {
        "event_name": "purchase",
        "event_timestamp": TS_MS * 1000,
        "user_pseudo_id": "u1",
        "event_params": [{"key": "ga_session_id", "value": {"int_value": 3}}],
        "items": [{"item_id": "i1"}, {"item_id": 2}],
    },
    {
        "eventType": "purchase-complete",
        "visitorId": "u1",
        "eventTime": "2023-11-14T21:56:40Z",
        "productDetails": [{"product": {"id": "i1"}}, {"product": {"name": "a/i2"}}],
    },
]
FIELD_NAMES = st.sampled_from(
    sorted(
        {name for message in MESSAGES for name in message}
        | {"time", "text", "available", "deleted", "__op"}
    )
)


@given(st.binary(max_size=200), CONTENT_TYPES, SOURCES, HEADERS)
def test_any_bytes_are_decoded_or_rejected(
    value: bytes, content_type: str, source: str, headers: Headers
) -> None:
    """Whatever bytes come under whatever content-type, decoding answers with events or
    reasons.
    """
    check_never_raises(record(value, content_type, source=source, headers=headers))
    check_never_raises(record(None, content_type, source=source, headers=headers, key=value))


@given(
    st.sampled_from(MESSAGES),
    st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=4),
    st.sampled_from(["", CLOUD, JSON_ITEM]),
    SOURCES,
    HEADERS,
    st.booleans(),
)
def test_any_change_of_a_message_is_decoded_or_rejected(  # one a source of trouble
    message: Mapping[str, Any],
    changes: dict[str, Any],
    content_type: str,
    source: str,
    headers: Headers,
    escaped: bool,  # hypothesis passes it by place
) -> None:
    """Known messages with any fields replaced by any JSON are decoded or rejected."""
    text = json.dumps({**message, **changes}, ensure_ascii=escaped)
    value = text.encode("utf-8", "surrogatepass")
    check_never_raises(record(value, content_type, source=source, headers=headers))
    check_never_raises(record(None, content_type, source=source, key=value))
