"""CloudEvents: their type, their time, their data."""

from dataclasses import replace
from typing import Any

import pytest

from stream.events.decoder import decode
from stream.events.types import CatalogItem
from testing.records import (
    CLICK,
    CLOUD,
    NEUTRAL,
    NOW_MS,
    SETTINGS,
    TS_MS,
    cloud_item,
    events_of,
    reason_of,
    record,
)


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
