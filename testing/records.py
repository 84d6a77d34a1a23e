"""Records for decoding, and what they must decode to."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

from protos import events_v1_pb2 as pb
from protos.text import text_key
from stream.actions import Action
from stream.events.columns import NO_KEY, EventColumns, Texts
from stream.events.decoder import Decoded, Decoder, decode
from stream.events.fast_path import ColumnDecoder, DecodedBatch
from stream.events.limits import EARLIEST_MS
from stream.events.types import (
    CatalogItem,
    Erasure,
    Headers,
    Interaction,
    Record,
    RecordBatch,
    SearchRecord,
    SourcePartition,
)
from stream.reasons import REASONS
from stream.registry.open import open_registry
from stream.settings import StreamSettings

NOW_MS = 1_700_000_000_000
TS_MS = 1_699_999_000_000
SETTINGS = StreamSettings()

_MAX_DETAIL_CHARS = 600  # a few shown values; a record is never quoted whole

EVENT = "application/x-protobuf; messageType=freshet.events.v1.Event"
BATCH = "application/x-protobuf; messageType=freshet.events.v1.EventBatch"
ITEM = "application/x-protobuf; messageType=freshet.events.v1.CatalogItem"
ERASURE = "application/x-protobuf; messageType=freshet.events.v1.Erasure"
CLOUD = "application/cloudevents+json"

CLICK = Interaction(
    ts_ms=TS_MS, session_id="s1", user_id="u1", query="xbox 360", item_id="i1", action=Action.CLICK
)
"""What `NEUTRAL`, `UBI`, `event()` and the first event of `batch()` are."""

NEUTRAL: Mapping[str, Any] = {
    "ts_ms": TS_MS,
    "type": "search_click",
    "session_id": "s1",
    "user_id": "u1",
    "query": "Xbox-360!",
    "item_id": "i1",
}
UBI: Mapping[str, Any] = {
    "action_name": "click",
    "query_id": "q1",
    "session_id": "s1",
    "client_id": "u1",
    "timestamp": "2023-11-14T21:56:40+00:00",
    "user_query": "Xbox-360!",
    "event_attributes": {"object": {"object_id": "i1"}, "position": {"ordinal": 3}},
}
UBI_SEARCH: Mapping[str, Any] = {
    "application": "shop",
    "query_id": "q1",
    "client_id": "u1",
    "user_query": "Xbox-360!",
    "query_attributes": {},
    "query_response_id": "r1",
    "query_response_hit_ids": ["i1", "i2"],
    "timestamp": "2023-11-14T21:56:40+00:00",
}
SEARCH = SearchRecord(query_id="q1", query="xbox 360", user_ids=("u1",), ts_ms=TS_MS)
"""What `UBI_SEARCH` is."""


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


def cloud_item(data: Mapping[str, Any], time: str | None) -> dict[str, Any]:
    """Return a CloudEvent with a catalogue item in it."""
    return {"specversion": "1.0", "type": "freshet.catalog", "time": time, "data": data}


def record(
    value: bytes | Mapping[str, Any] | None,
    content_type: str = "",
    *,
    source: str = "freshet.clicks",
    key: bytes | None = None,
    headers: Headers = (),
) -> Record:
    """Return a record with these bytes, or with this JSON."""
    content = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record(
        position=SourcePartition(source, 0),
        offset=0,
        next_offset=1,
        content_type=content_type,
        key=key,
        value=content,
        headers=headers,
    )


def records(
    found: Sequence[tuple[str, bytes | None]], headers: Sequence[Headers] = ()
) -> RecordBatch:
    """Return records of one partition, from their content-types, values and headers."""
    return RecordBatch(
        position=SourcePartition("freshet.clicks", 0),
        offsets=range(len(found)),
        next_offsets=range(1, len(found) + 1),
        content_types=[content_type for content_type, _ in found],
        keys=[None] * len(found),
        values=[value for _, value in found],
        headers=headers,
    )


def events_of(
    value: bytes | Mapping[str, Any] | None, content_type: str = "", **more: Any
) -> list[Any]:
    """Decode what must be good."""
    decoded = decode(record(value, content_type, **more), SETTINGS, NOW_MS)
    assert not decoded.rejections
    return list(decoded.events)


def rejection_of(
    value: bytes | Mapping[str, Any] | None, content_type: str = "", **more: Any
) -> tuple[str, str]:
    """Return the reason and detail with which a record is rejected."""
    return reason_of(decode(record(value, content_type, **more), SETTINGS, NOW_MS))


def outcome_of(value: Mapping[str, Any]) -> tuple[list[Any], list[tuple[str, str]], int]:
    """Return the events of an event in JSON, the reasons and details of what is
    rejected of it, and how much is ignored.
    """
    decoded = decode(record(value), SETTINGS, NOW_MS)
    rejections = [(each.reason, each.detail) for each in decoded.rejections]
    return list(decoded.events), rejections, decoded.num_ignored


def reason_of(decoded: Decoded) -> tuple[str, str]:
    """Return the one reason and detail of what must be rejected."""
    assert not decoded.events
    (rejection,) = decoded.rejections
    assert rejection.reason in REASONS
    return rejection.reason, rejection.detail


def check_never_raises(found: Record) -> None:
    """Check that decoding answers, and that what it answers is in order."""
    decoded = decode(found, SETTINGS, NOW_MS)
    for rejection in decoded.rejections:
        assert rejection.reason in REASONS
        assert len(rejection.detail) < _MAX_DETAIL_CHARS
        rejection.detail.encode()
    for event in decoded.events:
        if isinstance(event, SearchRecord):
            assert event.query_id.strip()
            continue
        (event.id if isinstance(event, Erasure) else event.item_id).encode()
        if isinstance(event, Interaction):
            assert event.session_id.strip() or event.user_id.strip()
            assert EARLIEST_MS <= event.ts_ms <= NOW_MS + 3_600_000


def check_batch_decodes_as_its_records(batch: RecordBatch, settings: StreamSettings) -> None:
    """Check that the fast path, with `freshet_native` and without, gives the same
    events, items, erasures and rejections as decoding record by record, each with its
    record; and the same again once its texts are known.
    """
    for natively in (False, True):
        decoder = ColumnDecoder(settings, natively=natively)
        for _ in range(2):
            _check_decoded(batch, decoder.decode(batch, NOW_MS), decoder.texts, settings)


def _check_decoded(
    batch: RecordBatch, decoded: DecodedBatch, texts: Texts, settings: StreamSettings
) -> None:
    full = Decoder(settings)
    expected = [(row, full.decode(batch.record(row), NOW_MS)) for row in range(len(batch))]
    events = [(row, event) for row, one in expected for event in one.events]
    interactions = [(row, event) for row, event in events if isinstance(event, Interaction)]
    assert sorted(_interactions(texts, decoded.events), key=repr) == sorted(
        ((row, replace(event, query_id="", alias_id="")) for row, event in interactions), key=repr
    )
    assert sorted(_references(decoded)) == sorted(
        (row, _key(event.query_id), _key(event.alias_id))
        for row, event in interactions
        if event.query_id or event.alias_id
    )
    assert decoded.items == [
        (event, row) for row, event in events if isinstance(event, CatalogItem)
    ]
    assert decoded.searches == [event for _, event in events if isinstance(event, SearchRecord)]
    assert decoded.erasures == [event for _, event in events if isinstance(event, Erasure)]
    assert sorted(decoded.rejections, key=repr) == sorted(
        (rejection for _, one in expected for rejection in one.rejections), key=repr
    )
    assert decoded.repairs == Counter(chain.from_iterable(one.repairs for _, one in expected))
    ignored = Counter[str]()
    for _, one in expected:
        ignored[one.ignored_as] += one.num_ignored
    assert decoded.ignored == +ignored


def _references(decoded: DecodedBatch) -> list[tuple[int, int, int]]:
    """Return what events say beside their columns, each with its row."""
    found = decoded.references
    rows = decoded.events.row[found.event].tolist()
    return list(zip(rows, found.query_id.tolist(), found.alias.tolist(), strict=True))


def _key(text: str) -> int:
    return text_key(text) if text else NO_KEY


def _interactions(texts: Texts, columns: EventColumns) -> list[tuple[int, Interaction]]:
    """Return columns as objects again, each with its row."""

    def text(known: Mapping[int, str], key: Any) -> str:
        return "" if int(key) == NO_KEY else known[int(key)]

    return [
        (
            int(columns.row[number]),
            Interaction(
                ts_ms=int(columns.ts_ms[number]),
                session_id=text(texts.sessions, columns.session[number]),
                user_id=text(texts.users, columns.user[number]),
                query=text(texts.queries, columns.query[number]),
                item_id=text(texts.items, columns.item[number]),
                action=Action(int(columns.action[number])),
            ),
        )
        for number in range(len(columns))
    ]


def read_framed(value: bytes | None, settings: StreamSettings, **more: Any) -> Decoded:
    """Return what a record's value is read as, by the registry of the settings."""
    found = record(value, more.pop("content_type", ""), **more)
    return Decoder(settings, open_registry(settings)).decode(found, NOW_MS)


def refusal_of_framed(value: bytes, settings: StreamSettings) -> tuple[str, str]:
    """Return the reason and the detail with which a value is rejected."""
    found = read_framed(value, settings)
    assert not found.events
    (rejection,) = found.rejections
    assert rejection.record.value == value
    return rejection.reason, rejection.detail
