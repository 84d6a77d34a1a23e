"""Decoding: every encoding, every reason to reject, and never an exception."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.events.decoder import JSON_ITEM, Decoded, decode
from stream.events.limits import EARLIEST_MS
from stream.events.types import CatalogItem, Erasure, Interaction, Position, Record
from stream.reasons import REASONS
from stream.settings import StreamSettings

NOW_MS = 1_700_000_000_000
TS_MS = 1_699_999_000_000
SETTINGS = StreamSettings()

EVENT = "application/x-protobuf; messageType=freshet.events.v1.Event"
BATCH = "application/x-protobuf; messageType=freshet.events.v1.EventBatch"
ITEM = "application/x-protobuf; messageType=freshet.events.v1.CatalogItem"
CLOUD = "application/cloudevents+json"
NEUTRAL: Mapping[str, Any] = {
    "ts_ms": TS_MS,
    "type": "search_click",
    "session_id": "s1",
    "user_id": "u1",
    "query": "Xbox-360!",
    "item_id": "i1",
}
CLICK = Interaction(
    ts_ms=TS_MS, session_id="s1", user_id="u1", query="xbox 360", item_id="i1", action=Action.CLICK
)
UBI: Mapping[str, Any] = {
    "action_name": "click",
    "query_id": "q1",
    "session_id": "s1",
    "client_id": "c1",
    "user_id": "u1",
    "timestamp": "2023-11-14T21:56:40+00:00",
    "user_query": "Xbox-360!",
    "event_attributes": {"object": {"object_id": "i1"}, "position": {"ordinal": 3}},
}


def record(
    value: bytes | Mapping[str, Any] | None,
    content_type: str = "",
    *,
    source: str = "freshet.clicks",
    key: bytes | None = None,
) -> Record:
    """Return a record with these bytes, or with this JSON."""
    content = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record(
        position=Position(source, 0),
        offset=0,
        next_offset=1,
        content_type=content_type,
        key=key,
        value=content,
    )


def events_of(value: bytes | Mapping[str, Any], content_type: str = "", **more: Any) -> list[Any]:
    """Decode what must be good."""
    decoded = decode(record(value, content_type, **more), SETTINGS, NOW_MS)
    assert not decoded.rejections
    return list(decoded.events)


def reason_of(decoded: Decoded) -> tuple[str, str]:
    """Return the one reason and detail of what must be rejected."""
    assert not decoded.events
    (rejection,) = decoded.rejections
    assert rejection.reason in REASONS
    return rejection.reason, rejection.detail


def event(**fields: Any) -> bytes:
    """Return a protobuf event with some fields changed."""
    known: dict[str, Any] = {
        "ts_ms": TS_MS,
        "session_id": "s1",
        "user_id": "u1",
        "query": "Xbox-360!",
        "item_id": "i1",
        "action": pb.ACTION_CLICK,
    }
    return pb.Event(**(known | fields)).SerializeToString()


def batch(**fields: Any) -> pb.EventBatch:
    """Return a batch of three events with some columns changed."""
    known: dict[str, Any] = {
        "session_ids": ["s1", "s2"],
        "user_ids": ["u1", ""],
        "queries": ["Xbox-360!"],
        "item_ids": ["i1", "i2"],
        "base_ts_ms": TS_MS,
        "ts_offset_ms": [0, -5, 7],
        "session": [0, 1, 0],
        "query": [1, 0, 1],
        "item": [0, 1, 1],
        "action": [pb.ACTION_CLICK, pb.ACTION_VIEW, pb.ACTION_PURCHASE],
    }
    return pb.EventBatch(**(known | fields))


def test_neutral_line() -> None:
    """A line of the neutral form becomes an interaction with the query normalised."""
    assert events_of(NEUTRAL) == [CLICK]
    assert events_of(NEUTRAL, "application/json; charset=utf-8") == [CLICK]


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("click", Action.CLICK),
        ("view", Action.VIEW),
        ("add_to_cart", Action.ADD_TO_CART),
        ("add-to-cart", Action.ADD_TO_CART),
        ("purchase", Action.PURCHASE),
        ("search-click", Action.CLICK),
    ],
)
def test_neutral_types(kind: str, action: Action) -> None:
    """Every documented type maps to its action."""
    assert events_of({**NEUTRAL, "type": kind}) == [replace(CLICK, action=action)]


@pytest.mark.parametrize("query", [None, "", "  \t"])
def test_view_without_query(query: str | None) -> None:
    """A view needs no query, and a blank one is none."""
    assert events_of({**NEUTRAL, "type": "view", "query": query})[0].query == ""


def test_user_is_optional() -> None:
    """A null or absent user is no user."""
    without = {name: value for name, value in NEUTRAL.items() if name != "user_id"}
    assert events_of(without)[0].user_id == ""
    assert events_of({**NEUTRAL, "user_id": None})[0].user_id == ""


def test_other_fields_are_ignored() -> None:
    """What a line says beyond the known fields does no harm, whatever it is called."""
    assert events_of({**NEUTRAL, "page": {"a": [1]}, "price": 1.5, "data": {"x": 1}}) == [CLICK]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts_ms": None}, "missing_field"),
        ({"ts_ms": True}, "wrong_type"),
        ({"ts_ms": 1.5}, "wrong_type"),
        ({"ts_ms": "now"}, "wrong_type"),
        ({"ts_ms": EARLIEST_MS - 1}, "absurd_timestamp"),
        ({"ts_ms": NOW_MS + 3_600_001}, "absurd_timestamp"),
        ({"ts_ms": -1}, "absurd_timestamp"),
        ({"ts_ms": 10**30}, "absurd_timestamp"),
        ({"type": None}, "missing_field"),
        ({"type": 3}, "wrong_type"),
        ({"type": "hover"}, "unknown_type"),
        ({"session_id": "", "user_id": ""}, "missing_field"),
        ({"session_id": None, "user_id": None}, "missing_field"),
        ({"session_id": "  "}, "missing_field"),
        ({"session_id": 7}, "wrong_type"),
        ({"session_id": "s" * 1025}, "oversized"),
        ({"session_id": "é" * 513}, "oversized"),
        ({"user_id": "u" * 1025}, "oversized"),
        ({"item_id": ""}, "missing_field"),
        ({"item_id": ["i1"]}, "wrong_type"),
        ({"query": None}, "empty_query"),
        ({"type": "search-click", "query": ""}, "empty_query"),
        ({"query": "?!"}, "empty_query"),
        ({"query": {"text": "xbox"}}, "wrong_type"),
        ({"query": "q" * 513}, "oversized"),
        ({"query": "\ufdfa" * 100}, "oversized"),  # one character that normalises to 18
    ],
)
def test_rejected_neutral_lines(change: dict[str, Any], reason: str) -> None:
    """Each way in which a line can be wrong has its own reason."""
    assert reason_of(decode(record({**NEUTRAL, **change}), SETTINGS, NOW_MS))[0] == reason


@pytest.mark.parametrize("kind", ["click", "add_to_cart", "purchase"])
def test_query_of_nothing_but_punctuation(kind: str) -> None:
    """An action whose search text is empty once normalised is rejected.

    Without any text it is fine.
    """
    line = {**NEUTRAL, "type": kind}
    assert reason_of(decode(record({**line, "query": "*"}), SETTINGS, NOW_MS))[0] == "empty_query"
    assert events_of({**line, "query": None})[0].query == ""


def test_bounds_are_inclusive() -> None:
    """The longest field and the earliest and latest event times are still good."""
    for change in (
        {"ts_ms": EARLIEST_MS},
        {"ts_ms": NOW_MS + 3_600_000},
        {"session_id": "s" * 1024},
        {"session_id": "é" * 512},
        {"query": "q" * 512},
    ):
        assert len(events_of({**NEUTRAL, **change})) == 1


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "malformed"),
        (b"not json", "malformed"),
        (b'{"ts_ms": NaN}', "malformed"),
        (b'{"ts_ms": 1e999}', "malformed"),
        (b'{"session_id": "\xff"}', "malformed"),
        (b'{"session_id": "\\ud800"}', "malformed"),
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


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
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


def test_protobuf_batch() -> None:
    """A batch by columns becomes its events, in order, with users by session and
    queries by index.
    """
    assert events_of(batch().SerializeToString(), BATCH) == [
        CLICK,
        Interaction(
            ts_ms=TS_MS - 5, session_id="s2", user_id="", query="", item_id="i2", action=Action.VIEW
        ),
        replace(CLICK, ts_ms=TS_MS + 7, item_id="i2", action=Action.PURCHASE),
    ]


def test_batch_without_users() -> None:
    """The user column may be left out."""
    decoded = events_of(batch(user_ids=[]).SerializeToString(), BATCH)
    assert [interaction.user_id for interaction in decoded] == ["", "", ""]


def test_empty_batch() -> None:
    """A batch of nothing is nothing."""
    assert events_of(b"", BATCH) == []


@pytest.mark.parametrize(
    "fields",
    [{"item": [0, 1]}, {"query": []}, {"ts_offset_ms": [0, 0, 0, 0]}, {"user_ids": ["u1"]}],
)
def test_batch_of_unequal_columns(fields: dict[str, Any]) -> None:
    """A batch whose columns do not fit each other is rejected whole.

    Nothing in it can be trusted.
    """
    decoded = decode(record(batch(**fields).SerializeToString(), BATCH), SETTINGS, NOW_MS)
    assert reason_of(decoded)[0] == "malformed"


def test_bad_events_of_a_batch_do_not_take_the_good_ones_along() -> None:
    """Each reason is told once with its first event and a count.

    The other events are kept.
    """
    value = batch(
        session=[0, 9, 0], action=[pb.ACTION_CLICK, pb.ACTION_VIEW, 77], item=[0, 1, 1]
    ).SerializeToString()
    decoded = decode(record(value, BATCH), SETTINGS, NOW_MS)
    assert list(decoded.events) == [CLICK]
    assert [(rejection.reason, rejection.detail) for rejection in decoded.rejections] == [
        ("malformed", "event 1 of the batch: an index points past the end of its list"),
        ("unknown_type", "event 2 of the batch: action number 77"),
    ]
    assert {rejection.record.value for rejection in decoded.rejections} == {value}


def test_a_batch_of_bad_events_makes_one_rejection_a_reason() -> None:
    """A large batch in which everything is wrong does not multiply its bytes in the
    quarantine.
    """
    decoded = decode(record(batch(base_ts_ms=1).SerializeToString(), BATCH), SETTINGS, NOW_MS)
    reason, detail = reason_of(decoded)
    assert reason == "absurd_timestamp"
    assert detail.startswith("event 0 of the batch: ")
    assert detail.endswith("(and 2 more)")


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
        ({"data": None}, "wrong_type"),
        ({"data": "text"}, "wrong_type"),
        ({"time": None}, "missing_field"),
        ({"time": "yesterday"}, "malformed"),
        ({"time": "1999-12-31T23:59:59Z"}, "absurd_timestamp"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "absurd_timestamp"),
        ({"time": 3}, "wrong_type"),
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
    assert events_of(line) == [
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


def cloud_item(data: Mapping[str, Any], time: str | None) -> dict[str, Any]:
    """Return a CloudEvent with a catalogue item in it."""
    return {"specversion": "1.0", "type": "freshet.catalog", "time": time, "data": data}


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


def test_a_cloud_event_does_not_overrule_the_time_of_its_item() -> None:
    """The time in the data is the state's; the envelope's may be that of sending."""
    cloud = cloud_item({"item_id": "i1", "ts_ms": TS_MS}, time="2023-11-14T22:00:00Z")

    assert events_of(cloud, CLOUD) == [CatalogItem(item_id="i1", ts_ms=TS_MS)]


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
    ("time", "reason"),
    [("yesterday", "malformed"), ("1999-12-31T23:59:59Z", "absurd_timestamp")],
)
def test_rejected_times_of_cloud_events_with_an_item(time: str, reason: str) -> None:
    """A CloudEvent's time that an item would get is read as an event's is."""
    cloud = cloud_item({"item_id": "i1"}, time)

    assert reason_of(decode(record(cloud, CLOUD), SETTINGS, NOW_MS))[0] == reason


def test_a_line_with_a_time_is_an_event_where_nothing_announces_an_item() -> None:
    """Without an announcement the keys decide, and a time is an event's."""
    line = {"item_id": "i1", "title": "T", "ts_ms": TS_MS}

    assert reason_of(decode(record(line), SETTINGS, NOW_MS)) == (
        "missing_field",
        "type is absent",
    )


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
    assert reason_of(decode(record(line), SETTINGS, NOW_MS))[0] == reason


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


def never_raises(decode_one: Callable[[], Decoded]) -> None:
    """Check that decoding answers, and that what it answers is in order."""
    decoded = decode_one()
    for rejection in decoded.rejections:
        assert rejection.reason in REASONS
        assert len(rejection.detail) < 600
        rejection.detail.encode()
    for found in decoded.events:
        (found.id if isinstance(found, Erasure) else found.item_id).encode()
        if isinstance(found, Interaction):
            assert found.session_id.strip() or found.user_id.strip()
            assert EARLIEST_MS <= found.ts_ms <= NOW_MS + 3_600_000


CONTENT_TYPES = st.sampled_from(
    ["", "application/json", CLOUD, EVENT, BATCH, ITEM, JSON_ITEM, "x/y"]
)
JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELD_NAMES = st.sampled_from(
    [
        *NEUTRAL,
        *UBI,
        "specversion",
        "data",
        "time",
        "title",
        "text",
        "attributes",
        "available",
        "deleted",
    ]
)


@given(st.binary(max_size=200), CONTENT_TYPES)
def test_any_bytes_are_decoded_or_rejected(value: bytes, content_type: str) -> None:
    """Whatever bytes come under whatever content-type, decoding answers with events or
    reasons.
    """
    never_raises(lambda: decode(record(value, content_type), SETTINGS, NOW_MS))


@given(
    st.sampled_from(
        [NEUTRAL, UBI, {"specversion": "1.0", "type": "freshet.click", "data": dict(NEUTRAL)}]
    ),
    st.dictionaries(FIELD_NAMES, JSON_VALUES, max_size=4),
    st.sampled_from(["", CLOUD, JSON_ITEM]),
)
def test_any_change_of_a_message_is_decoded_or_rejected(
    message: Mapping[str, Any], changes: dict[str, Any], content_type: str
) -> None:
    """Known messages with any fields replaced by any JSON are decoded or rejected."""
    value = json.dumps({**message, **changes}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    never_raises(lambda: decode(record(value, content_type), SETTINGS, NOW_MS))


@given(st.data())
def test_any_damage_to_a_batch_is_decoded_or_rejected(data: st.DataObject) -> None:
    """A batch with a few bytes changed never raises, and what is
    accepted is in order.
    """
    value = bytearray(batch().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    never_raises(lambda: decode(record(bytes(value), BATCH), SETTINGS, NOW_MS))
