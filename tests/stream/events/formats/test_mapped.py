"""Tests of JSON that is read by the mapping of the settings."""

import json
import re
import tomllib
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions import Action
from stream.events.decoder import Decoded, Decoder
from stream.events.types import CatalogItem, Headers, Interaction
from stream.settings import StreamSettings
from testing.records import (
    CLICK,
    CLOUD,
    EVENT,
    NEUTRAL,
    NOW_MS,
    TS_MS,
    check_batch_decodes_as_its_records,
    event,
    record,
    records,
)

MAPPING: dict[str, object] = {
    "event": {
        "time": "at",
        "time_unit": "s",
        "action": ["what.kind", "ce_type"],
        "session_id": "visit.id",
        "user_id": ["customer.id", "customer.email"],
        "device_id": "cookie",
        "query": "search.0.text",
        "item_id": "sku",
        "items": "lines",
        "actions": {
            "opened": "click",
            "found": "search_click",
            "bought": "purchase",
            "moved": "ignore",
            "shop.product.seen": "view",
            "7": "view",
        },
    },
    "item": {
        "item_id": "sku",
        "title": "names.de",
        "available": "stock",
        "time": "changed",
        "time_unit": "us",
    },
}
SETTINGS = StreamSettings(mapping=MAPPING)
OPENED: dict[str, Any] = {
    "at": TS_MS // 1000,
    "what": {"kind": "Opened"},
    "visit": {"id": "s1"},
    "customer": {"id": "u1"},
    "search": [{"text": "Xbox-360!"}],
    "sku": "i1",
}
ROW: dict[str, Any] = {"sku": 7, "names": {"de": "Schuh"}, "stock": 0, "color": "red"}
SHOE = CatalogItem(
    item_id="7", title="Schuh", text="red", attributes={"color": "red"}, available=False
)


def _decode(
    value: bytes | Mapping[str, Any] | None,
    content_type: str = "",
    *,
    settings: StreamSettings = SETTINGS,
    source: str = "freshet.clicks",
    key: bytes | None = None,
    headers: Headers = (),
) -> Decoded:
    found = record(value, content_type, source=source, key=key, headers=headers)
    return Decoder(settings).decode(found, NOW_MS)


def _events(value: Any, content_type: str = "", **more: Any) -> list[Any]:
    decoded = _decode(value, content_type, **more)
    assert not decoded.rejections
    return list(decoded.events)


def _rejection(value: Mapping[str, Any] | bytes, **more: Any) -> tuple[str, str]:
    decoded = _decode(value, **more)
    assert not decoded.events
    (rejection,) = decoded.rejections
    return rejection.reason, rejection.detail


def _items(value: Any, **more: Any) -> list[Any]:
    return _events(value, source="freshet.catalog", **more)


def test_fields_are_where_the_mapping_says() -> None:
    """Also within lists, and the first of several paths that has a value."""
    assert _events(OPENED) == [CLICK]
    by_email = OPENED | {"customer": {"id": " ", "email": "a@b"}}
    assert _events(by_email) == [replace(CLICK, user_id="a@b")]


@pytest.mark.parametrize(
    ("at", "unit", "ts_ms"),
    [
        (TS_MS // 1000, "s", TS_MS),
        (TS_MS / 1000 + 0.5, "s", TS_MS + 500),
        (str(TS_MS // 1000), "s", TS_MS),
        (TS_MS, "ms", TS_MS),
        (TS_MS * 1000 + 999, "us", TS_MS),
        (str(TS_MS * 1_000_000), "ns", TS_MS),
        ("2023-11-14T21:56:40Z", "s", TS_MS),
        ("2023-11-14T21:56:40Z", "ns", TS_MS),
    ],
)
def test_units_of_time(at: object, unit: str, ts_ms: int) -> None:
    """A number is in the unit that the mapping says; ISO 8601 has none."""
    settings = StreamSettings(mapping={"event": {"time": "ts_ms", "time_unit": unit}})
    line = dict(NEUTRAL) | {"ts_ms": at, "type": "click", "more": 1}
    if unit == "ms" or isinstance(at, str | float):
        (found,) = _events(line, settings=settings)
    else:  # else it would be a neutral line, which has milliseconds
        line = {**line, "when": at}
        del line["ts_ms"]
        settings = StreamSettings(mapping={"event": {"time": "when", "time_unit": unit}})
        (found,) = _events(line, settings=settings)
    assert found.ts_ms == ts_ms


def test_an_action_may_be_a_number_or_a_constant() -> None:
    """A topic of clicks alone need not say that they are."""
    assert _events(OPENED | {"what": {"kind": 7}}) == [replace(CLICK, action=Action.VIEW)]
    mapping = {"event": {"action": {"value": "purchase"}, "item_id": "sku"}}
    line = {"ts_ms": TS_MS, "user_id": "u", "sku": 5}
    (found,) = _events(line, settings=StreamSettings(mapping=mapping))
    assert (found.action, found.item_id) == (Action.PURCHASE, "5")


def test_a_list_of_items_is_an_event_with_each() -> None:
    """An entry is an object, or the id itself; a bad one costs no other."""
    bought = OPENED | {"what": {"kind": "bought"}, "lines": [{"sku": "a"}, 7, {}, None]}
    decoded = _decode(bought)

    assert [(each.item_id, each.action) for each in decoded.events] == [  # type: ignore[union-attr]
        ("a", Action.PURCHASE),
        ("7", Action.PURCHASE),
    ]
    (rejection,) = decoded.rejections
    assert (rejection.reason, rejection.detail) == (
        "missing_field",
        "entry 2 of lines: item_id (sku) is absent or empty (and 1 more)",
    )


def test_a_list_of_no_items_is_ignored() -> None:
    """An empty basket is in order."""
    assert _decode(OPENED | {"lines": []}).ignored_as == "no_item"


def test_devices_are_visitors() -> None:
    """Without a session the device's visits are cut, with the user as its alias."""
    line = OPENED | {"visit": None, "cookie": "c1"}
    assert _events(line) == [replace(CLICK, session_id="", user_id="c1", alias_id="u1")]


def test_actions_of_no_use_are_ignored() -> None:
    """Those that the table says, and others where the mapping says so."""
    assert _decode(OPENED | {"what": {"kind": "moved"}}).ignored_as == "other_action"
    lenient = {"event": {"action": "kind", "actions": {"x": "view"}, "other_actions": "ignore"}}
    decoded = _decode({"kind": "y"}, settings=StreamSettings(mapping=lenient))
    assert (decoded.num_ignored, decoded.ignored_as) == (1, "other_action")


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"at": None}, "missing_field", "time (at) is absent"),
        ({"at": ""}, "missing_field", "time (at) is absent"),
        ({"at": {}}, "wrong_type", "time (at) must be"),
        ({"at": True}, "wrong_type", "time (at) must be"),
        ({"at": "soon"}, "malformed", "time (at) is neither a number of s nor ISO 8601: 'soon'"),
        ({"at": "1e99999999"}, "malformed", "neither a number of s"),
        ({"at": "NaN"}, "malformed", "neither a number of s"),
        ({"at": 1e300}, "absurd_timestamp", "a huge int"),
        ({"at": TS_MS}, "absurd_timestamp", "future"),
        ({"what": None}, "missing_field", "action (what.kind or ce_type) is absent or empty"),
        ({"what": "opened"}, "missing_field", "action (what.kind or ce_type) is absent or empty"),
        ({"what": {"kind": []}}, "wrong_type", "must be a string, not a list"),
        ({"what": {"kind": "slept"}}, "unknown_type", "unknown action 'slept'"),
        ({"what": {"kind": "x" * 9999}}, "unknown_type", "stream.mapping.event.actions"),
        ({"visit": {}, "customer": 5}, "missing_field", "none of session_id (visit.id), user_id"),
        ({"visit": {"id": {}}}, "wrong_type", "visit.id must be a string or a whole number"),
        ({"visit": {"id": 1.5}}, "wrong_type", "visit.id must be"),
        ({"sku": None}, "missing_field", "item_id (sku) is absent or empty"),
        ({"sku": ["i1"]}, "wrong_type", "sku must be a string or a whole number, not a list"),
        ({"sku": "i" * 2000}, "oversized", "item_id is longer than"),
        ({"search": [{"text": {}}]}, "wrong_type", "search.0.text must be a string"),
        ({"what": {"kind": "found"}, "search": []}, "empty_query", ""),
        ({"lines": "a"}, "wrong_type", "lines must be a list"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(
    change: dict[str, Any], reason: str, words: str
) -> None:
    """The detail has the field, and where the mapping looked for it."""
    found, detail = _rejection(OPENED | change)

    assert found == reason
    assert words in detail


def test_of_a_key_that_is_doubled_the_last_counts() -> None:
    """As JSON's readers have it."""
    twice = json.dumps(OPENED).replace('"sku": "i1"', '"sku": "i0", "sku": "i1"').encode()
    assert _events(twice) == [CLICK]


def test_json_within_texts_is_read() -> None:
    """An object that something encoded twice is the object."""
    packed = OPENED | {"what": json.dumps({"kind": "opened"})}
    assert _events(packed) == [CLICK]
    assert _events(json.dumps(json.dumps(packed)).encode()) == [CLICK]


def test_own_forms_are_read_beside_a_mapping() -> None:
    """Whole neutral lines, protobuf, and CloudEvents of Freshet's own types."""
    enveloped = {"specversion": "1.0", "type": "freshet.search_click", "data": dict(NEUTRAL)}

    assert _events(NEUTRAL) == [CLICK]
    assert _events(event(), EVENT) == [CLICK]
    assert _events(enveloped) == [CLICK]
    assert _events(enveloped, CLOUD) == [CLICK]


@pytest.mark.parametrize("content_type", ["", CLOUD, "application/cloudevents-batch+json"])
def test_data_of_cloud_events_are_mapped(content_type: str) -> None:
    """With the attributes of the envelope beside them, as headers have them."""
    data = OPENED | {"what": None}
    envelope: dict[str, Any] = {"specversion": "1.0", "type": "shop.product.seen", "id": "1"}
    packed = b64encode(json.dumps(data).encode()).decode()
    expected = [replace(CLICK, action=Action.VIEW)]

    for found in (envelope | {"data": data}, envelope | {"data_base64": packed}):
        listed = [found, found] if "batch" in content_type else found
        value = json.dumps(listed).encode()
        assert _events(value, content_type) == expected * (2 if "batch" in content_type else 1)
    headers = [(f"ce_{name}", text) for name, text in envelope.items()]
    assert _events(data, headers=headers) == expected


def test_what_change_capture_wrote_around_an_event_is_taken_away() -> None:
    """Paths begin at the row."""
    change = {"op": "c", "before": None, "after": OPENED}
    assert _events(change) == [CLICK]
    assert _events({"schema": {}, "payload": change}) == [CLICK]


def test_items_are_mapped() -> None:
    """What is mapped to nothing keeps its name, or is an attribute."""
    assert _items(ROW) == [SHOE]
    assert _items(ROW | {"changed": TS_MS * 1000}) == [replace(SHOE, ts_ms=TS_MS)]
    assert _items({"sku": 7, "title": "T", "item_id": "no"}) == [
        CatalogItem(item_id="7", title="T")
    ]


def test_attributes_may_be_named() -> None:
    """Then other fields are none."""
    named = {"item": {"item_id": "sku", "attributes": {"size": "specs.eu", "lot": "lot"}}}
    row = {"sku": "i", "specs": {"eu": 42}, "color": "red", "title": "T"}
    (item,) = _items(row, settings=StreamSettings(mapping=named))
    assert item == CatalogItem(item_id="i", title="T", attributes={"size": "42"})

    at_path = {"item": {"item_id": "sku", "attributes": "specs"}}
    (item,) = _items(row, settings=StreamSettings(mapping=at_path))
    assert item == CatalogItem(item_id="i", title="T", attributes={"eu": "42"})


@pytest.mark.parametrize(
    ("value", "key", "item"),
    [
        ({"op": "u", "before": None, "after": ROW, "ts_ms": TS_MS}, None, SHOE),
        ({"op": "d", "before": {"sku": 7}, "after": None, "ts_ms": TS_MS}, None, None),
        ({"op": "d", "before": None, "after": None, "ts_ms": TS_MS}, b'{"sku": 7}', None),
        (ROW | {"__deleted": "false", "__source_ts_ms": TS_MS}, None, SHOE),
        (ROW | {"__deleted": "true", "__source_ts_ms": TS_MS}, None, None),
        ({"__deleted": "true", "__ts_ms": TS_MS}, b'{"payload": {"sku": 7}, "schema": {}}', None),
        (None, b'{"sku": "7"}', None),
        (None, b"7", None),
    ],
)
def test_rows_of_change_capture_are_mapped(
    value: Any, key: bytes | None, item: CatalogItem | None
) -> None:
    """Whatever is around them, deletions and their keys included."""
    (found,) = _items(value, key=key)

    if item is None:
        assert (found.item_id, found.deleted) == ("7", True)
        assert found.ts_ms == (0 if value is None else TS_MS)
    else:
        assert found == replace(item, ts_ms=TS_MS)


def test_items_in_cloud_events_are_mapped() -> None:
    """Their time counts where the row has none."""
    envelope = {"specversion": "1.0", "type": "shop.changed", "time": "2023-11-14T21:56:40Z"}
    assert _items(envelope | {"data": ROW}) == [replace(SHOE, ts_ms=TS_MS)]


def test_items_are_as_they_were_where_events_alone_are_mapped() -> None:
    """And the other way round."""
    events_only = StreamSettings(mapping={"event": MAPPING["event"]})
    items_only = StreamSettings(mapping={"item": MAPPING["item"]})

    assert _items({"item_id": "i"}, settings=events_only) == [CatalogItem(item_id="i")]
    assert _events(NEUTRAL, settings=items_only) == [CLICK]
    assert _rejection(OPENED, settings=items_only)[0] == "unknown_type"


def test_the_example_of_the_documentation_is_read() -> None:
    """What docs/formats.md maps is what it says."""
    text = (Path(__file__).parents[4] / "docs" / "formats.md").read_text(encoding="utf-8")
    section = text.split("### Mapping")[1]
    line, toml = re.findall(r"```(?:json|toml)\n(.*?)```", section, re.DOTALL)[:2]
    settings = StreamSettings(**tomllib.loads(toml)["stream"])

    (found,) = _events(line.encode(), settings=settings)
    assert (found.session_id, found.user_id, found.query) == ("v-1", "7", "red shoes")
    assert (found.action, found.item_id, found.ts_ms) == (Action.CLICK, "sku-12", 1_700_000_000_000)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["opened", "bought", TS_MS // 1000, "{}", "[]", "\ud83d"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kind", "id", "email", "text", "sku", "de", "0"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
_FIELDS = ["at", "what", "visit", "customer", "cookie", "search", "sku", "lines", "names", "stock"]


@given(st.lists(st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=10), max_size=5))
def test_odd_events_are_decoded_alike_by_the_fast_path(changes: list[dict[str, Any]]) -> None:
    """Whatever is at the paths, both ways of decoding agree, and neither raises."""
    lines = [json.dumps(OPENED | change).encode() for change in changes]
    found: list[tuple[str, bytes | None]] = [("", line) for line in lines]
    found += [("", json.dumps(NEUTRAL).encode()), (EVENT, event())]
    check_batch_decodes_as_its_records(records(found), SETTINGS)


@given(st.dictionaries(st.sampled_from(["sku", "names", "stock", "changed"]), _VALUES))
def test_odd_items_are_read_or_refused(row: dict[str, Any]) -> None:
    """Nothing that is at the paths raises."""
    decoded = _decode(json.dumps(row).encode(), source="freshet.catalog")
    assert len(decoded.events) + len(decoded.rejections) == 1
    assert not any(isinstance(each, Interaction) for each in decoded.events)
