"""Decoding by the batch gives what decoding record by record gives, whatever is in the
records.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from protos.text import text_key
from stream.events.fast_path import ColumnDecoder
from stream.events.types import Headers
from stream.settings import StreamSettings
from testing.records import (
    BATCH,
    EVENT,
    NOW_MS,
    check_batch_decodes_as_its_records,
    event,
    records,
)

SETTINGS = StreamSettings(max_field_bytes=16, max_query_bytes=24, max_record_bytes=65536)

ids = st.sampled_from(["s-1", "s-2", "é漢", "", " ", "x" * 16, "x" * 17, "cut:u@1"])
queries = st.sampled_from(
    ["", "tv", "TV!", " tv ", "red shoes", "?!", "q" * 24, "q" * 25, "クエリ"]
)
times = st.sampled_from(
    [NOW_MS, NOW_MS - 1, 946_684_800_000, 946_684_799_999, NOW_MS + 3_600_001, -5, 2**62]
)
actions = st.integers(0, 5)

protobuf_events = st.builds(
    lambda **fields: (EVENT, pb.Event(**fields).SerializeToString()),
    ts_ms=times,
    session_id=ids,
    user_id=ids,
    query=queries,
    item_id=ids,
    action=actions,
)


@st.composite
def protobuf_batches(draw: st.DrawFn) -> tuple[str, bytes]:
    """Return a batch, whose columns or indexes may not fit."""
    count = draw(st.integers(0, 5))
    sessions, items = (
        draw(st.lists(ids, min_size=1, max_size=3)),
        draw(st.lists(ids, min_size=1, max_size=3)),
    )
    searched = draw(st.lists(queries, max_size=3))

    def column(values: st.SearchStrategy[int]) -> list[int]:
        return draw(
            st.lists(values, min_size=count, max_size=count + (draw(st.integers(0, 9)) == 0))
        )

    message = pb.EventBatch(
        session_ids=sessions,
        user_ids=draw(st.sampled_from([[], ["u"] * len(sessions), ["u"]])),
        queries=searched,
        item_ids=items,
        base_ts_ms=draw(times),
        ts_offset_ms=column(st.sampled_from([0, -7, 5, 2**62, -(2**62)])),
        session=column(st.integers(0, len(sessions) - (draw(st.integers(0, 9)) > 0))),
        query=column(st.integers(0, len(searched))),
        item=column(st.integers(0, len(items) - 1)),
        action=column(actions),  # type: ignore[arg-type]  # numbers that the enum lacks are wanted
    )
    return BATCH, message.SerializeToString()


neutral_lines = st.builds(
    lambda **fields: (
        "",
        json.dumps({name: value for name, value in fields.items() if value != "-"}).encode(),
    ),
    ts_ms=times | st.sampled_from([2**70, "-", None, "soon", str(NOW_MS), NOW_MS + 0.5, "1e9"]),
    type=st.sampled_from(
        ["search_click", "click", "view", "add-to-cart", "add_to_cart", "purchase", "swipe", 3]
    )
    | st.sampled_from(["Search_Click", " click"]),
    session_id=ids | st.sampled_from(["-", None, 7, 12.0, 1.5, True, "\ud83d"]),
    user_id=ids | st.sampled_from(["-", None, 7, 12.0, 1.5, "\ud83d"]),
    query=queries | st.sampled_from(["-", None, 360, True, "tv\ud83d"]),
    item_id=ids | st.sampled_from(["-", None, 7, 12.0, 2**70, 1.5, [], "\ud83d"]),
    items=st.sampled_from(["-", "-", ["i-1", 2, {}], [], '["i-1"]']),
    data=st.sampled_from(["-", "-", {}]),
    action_name=st.sampled_from(["-", "-", "click"]),
)


def _json_lines(
    build: Callable[..., dict[str, Any]], **values: st.SearchStrategy[Any]
) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return lines of some fields; one that is "-" is absent."""

    def line(**found: Any) -> tuple[str, bytes]:
        return "", json.dumps(build(**{k: v for k, v in found.items() if v != "-"})).encode()

    return st.builds(line, **values)


good_ids = st.sampled_from(["s-1", "s-2", "é漢"])
odd_ids = good_ids | good_ids | ids | st.sampled_from(["-", None, 7, True])
odd_times = (
    st.just(NOW_MS)
    | times
    | st.sampled_from(
        [
            "2024-05-01T10:00:00Z",
            "2024-05-01T10:00:00.250Z",
            "2024-05-01t10:00:00z",
            "2024-05-01T10:00:60Z",
            "2024-13-01T10:00:00Z",
            "2024-05-01T10:00:00+02:00",
            "2024-05-01T10:00:00",
            "1714557600000",
            "",
            "-",
            None,
        ]
    )
)
kinds = st.sampled_from(["view", "click", "purchase"]) | st.sampled_from(
    ["view", "click", "search_click", "Click", "watch", "impression", "swipe", "-", 3]
)


def _action(attribute_query: str | None = None, **fields: Any) -> dict[str, Any]:
    item = {name: fields.pop(name) for name in tuple(fields) if name.startswith("object_id")}
    return fields | {"event_attributes": {"object": item, "user_query": attribute_query}}


ubi_actions = _json_lines(
    _action,
    action_name=kinds,
    timestamp=odd_times,
    session_id=odd_ids,
    client_id=odd_ids,
    user_id=odd_ids,
    query_id=odd_ids | st.just("  q-1 "),
    user_query=queries | st.sampled_from(["-", None, 4]),
    message_type=st.sampled_from(["-", "-", "INFO", "query"]),
    message=st.sampled_from(["-", "tv"]),
    specversion=st.sampled_from(["-", "-", "-", "1.0"]),
    object_id=odd_ids,
    object_id_field=st.sampled_from(["-", "-", "product", "Price", ""]),
    object_id_type=st.sampled_from(["-", "-", "-", "post", "Brands", 3]),
    attribute_query=st.sampled_from(["-", "-", "tv"]),
)


def _envelope(**fields: Any) -> dict[str, Any]:
    inner = [name for name in fields if name.startswith("data_")]
    data = {name.removeprefix("data_"): fields[name] for name in inner}
    around = {name: value for name, value in fields.items() if name not in inner}
    return {"data": data} | around


cloud_events = _json_lines(
    _envelope,
    specversion=st.sampled_from(["1.0", "1.0", "1.0", "0.3", 1.0]),
    type=st.sampled_from(["freshet.view", "freshet.click", "freshet.event"])
    | st.sampled_from(["freshet.search_click", "freshet.swipe", "shop.click"]),
    time=st.sampled_from(["2024-05-01T10:00:00Z", "2024-05-01T10:00:00.250Z"])
    | st.just("2024-05-01T10:00:00.999Z")
    | odd_times,
    data=st.sampled_from([*["-"] * 9, [], "x", '{"session_id": "s-1", "item_id": "i"}']),
    data_ts_ms=st.just("-") | st.just("-") | st.just(NOW_MS) | odd_times,
    data_type=st.just("-") | st.just("view") | kinds,
    data_session_id=odd_ids,
    data_user_id=odd_ids,
    data_query=queries | st.sampled_from(["-", None, 4]),
    data_item_id=odd_ids,
)
others = st.sampled_from(
    [
        ("", b'{"item_id": "i-1", "title": "One"}'),
        ("", b'{"erase": "user", "id": "u-1", "ts_ms": 1700000000000}'),
        ("", b'{"erase": "shop", "id": "u-1", "ts_ms": 1700000000000}'),
        ("", b'{"action_name": "impression", "session_id": "s"}'),
        ("", b"not json"),
        ("", b"[" * 500),
        ("", b"x" * 65537),
        (EVENT, b"\xff\xff"),
        (BATCH, b"\xff"),
        ("text/plain", b"x"),
        ("", b'{"ts_ms": 1699999999999, "type": "view", "item_id": "i-1", "user_id": "u\t1"}'),
        ("", b'"{\\"ts_ms\\": 1699999999999, \\"type\\": \\"view\\"}"'),
        ("application/cloudevents-batch+json", b'[{"specversion": "1.0"}, 7]'),
        ("application/cloudevents+json", b'{"specversion": "1.0"}'),
        ("", None),
    ]
)


BINARY = (
    ("ce_specversion", "1.0"),
    ("ce_type", "freshet.view"),
    ("ce_time", "2023-11-14T21:56:40Z"),
)


@given(
    st.lists(protobuf_events | protobuf_batches() | neutral_lines | others, max_size=12),
    st.none() | st.integers(0, 2**12 - 1),
)
@settings(max_examples=400)
def test_batches_decode_as_their_records_do(
    found: list[tuple[str, bytes | None]], in_binary_mode: int | None
) -> None:
    """The same events, items, erasures and rejections, each with its record, also where
    some are CloudEvents by their headers.
    """
    headers: list[Headers] = []
    if in_binary_mode is not None:
        headers = [BINARY if in_binary_mode >> row & 1 else () for row in range(len(found))]

    check_batch_decodes_as_its_records(records(found, headers), SETTINGS)


@pytest.mark.parametrize("natively", [False, True])
def test_texts_are_forgotten_once_there_are_many(
    monkeypatch: pytest.MonkeyPatch, natively: bool
) -> None:
    """What was interned goes only when it is large, and is worked out anew."""
    monkeypatch.setattr("stream.events.fast_path._MAX_TEXTS", 2)
    decoder = ColumnDecoder(SETTINGS, natively=natively)
    line = b'{"ts_ms": 1700000000000, "type": "view", "session_id": "s-%d", "item_id": "a"}'
    for number in range(3):
        decoder.decode(records([("", line % number)]), NOW_MS)
    decoder.forget_if_large()
    assert (len(decoder.texts.sessions), len(decoder.texts.items)) == (0, 1)
    assert len(decoder.decode(records([("", line % 1)]), NOW_MS).events) == 1


@pytest.mark.parametrize("natively", [False, True])
def test_a_text_with_the_key_of_another_is_rejected(natively: bool) -> None:
    """Two items that share a key are never taken for one: the second is rejected, with
    its record.
    """
    decoder = ColumnDecoder(SETTINGS, natively=natively)
    decoder.texts.items[text_key("two")] = "another"
    batch = records([(EVENT, event(item_id="one")), (EVENT, event(item_id="two"))])

    decoded = decoder.decode(batch, NOW_MS)

    assert decoded.events.row.tolist() == [0]
    assert [(each.reason, each.record) for each in decoded.rejections] == [
        ("key_collision", batch.record(1))
    ]
