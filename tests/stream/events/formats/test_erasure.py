"""Erasures: every encoding, and what is wrong with others."""

import json
from dataclasses import replace
from typing import Any

import pytest

from protos import events_v1_pb2 as pb
from stream.events.decoder import decode
from stream.events.formats.erasure import JSON_ERASURE
from stream.events.types import Erasure
from testing.records import (
    CLOUD,
    ERASURE,
    NOW_MS,
    SETTINGS,
    TS_MS,
    events_of,
    record,
    rejection_of,
)

LINE = {"erase": "user", "id": "u1", "ts_ms": TS_MS}
USER = Erasure(kind="user", id="u1", ts_ms=TS_MS)


def test_every_encoding_of_an_erasure() -> None:
    """A line, a CloudEvent and a message say the same; the topic may announce it."""
    cloud = {
        "specversion": "1.0",
        "type": "freshet.erasure",
        "time": "2023-11-14T21:56:40Z",
        "data": {"erase": "user", "id": "u1"},
    }
    message = pb.Erasure(kind=pb.ERASURE_KIND_USER, id="u1", ts_ms=TS_MS).SerializeToString()

    assert events_of(LINE, JSON_ERASURE) == [USER]
    assert events_of(LINE, source="freshet.erasures") == [USER]
    assert events_of(cloud, CLOUD) == [USER]
    assert events_of(message, ERASURE) == [USER]
    assert events_of(message, "application/x-protobuf", source="freshet.erasures") == [USER]


@pytest.mark.parametrize("kind", ["user", "session", "item"])
def test_what_can_be_erased(kind: Any) -> None:
    """A user, a session and an item can be."""
    assert events_of({**LINE, "erase": kind}, JSON_ERASURE) == [
        Erasure(kind=kind, id="u1", ts_ms=TS_MS)
    ]


@pytest.mark.parametrize(
    "said", [None, 0, 1, -5, TS_MS * 1000, 2**70, "soon", "9999-01-01T00:00:00Z", {}, True]
)
def test_no_erasure_is_refused_for_its_time(said: Any) -> None:
    """Without a time, or with one of a clock that is wrong, it counts all the same."""
    cloud = {"specversion": "1.0", "type": "freshet.erasure", "time": said, "data": LINE}
    untimed = {key: value for key, value in LINE.items() if key != "ts_ms"}

    assert events_of({**LINE, "ts_ms": said}, JSON_ERASURE) == [replace(USER, ts_ms=0)]
    assert events_of({**cloud, "data": untimed}, CLOUD) == [replace(USER, ts_ms=0)]


def test_an_erasure_that_says_nothing_of_its_time() -> None:
    """The field may be left out, of JSON and of a message."""
    message = pb.Erasure(kind=pb.ERASURE_KIND_USER, id="u1").SerializeToString()
    ahead = pb.Erasure(kind=pb.ERASURE_KIND_USER, id="u1", ts_ms=TS_MS * 9).SerializeToString()

    assert events_of({"erase": "user", "id": "u1"}, JSON_ERASURE) == [replace(USER, ts_ms=0)]
    for found in (message, ahead):
        assert events_of(found, ERASURE) == [replace(USER, ts_ms=0)]


def test_a_number_is_an_id() -> None:
    """Platforms whose ids are numbers write them so."""
    assert events_of({**LINE, "id": 4711}, JSON_ERASURE) == [replace(USER, id="4711")]


@pytest.mark.parametrize("kind", ["User", " USER ", "user"])
def test_capitals_keep_nobodys_data(kind: str) -> None:
    """What is meant is clear."""
    assert events_of({**LINE, "erase": kind}, JSON_ERASURE) == [USER]


def test_many_erasures_in_a_record() -> None:
    """A list of them is read, on its topic or announced; one that cannot be used costs
    no other.
    """
    listed = json.dumps([LINE, {"erase": "item", "id": 7}]).encode()
    with_bad = json.dumps([LINE, {"erase": "user"}, 7, {"id": "x"}]).encode()

    found = [USER, Erasure(kind="item", id="7", ts_ms=0)]
    assert events_of(listed, source="freshet.erasures") == found
    assert events_of(listed, JSON_ERASURE) == found
    decoded = decode(record(with_bad, JSON_ERASURE), SETTINGS, NOW_MS)
    assert decoded.events == [USER]
    assert [(each.reason, each.detail) for each in decoded.rejections] == [
        ("missing_field", "erasure 1: id is absent (and 1 more)"),
        ("wrong_type", "erasure 2: erasure must be an object, not 7"),
    ]


def test_an_erasure_that_was_encoded_twice() -> None:
    """A string of JSON is that JSON."""
    assert events_of(json.dumps(json.dumps(LINE)).encode(), JSON_ERASURE) == [USER]


def test_a_deletion_on_the_erasures_topic_is_no_erasure() -> None:
    """It does not say what its key is of, and must not pass without a word."""
    reason, detail = rejection_of(None, source="freshet.erasures")

    assert reason == "malformed"
    assert "a user, a session or an item" in detail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"erase": "shop"}, "unknown_type"),
        ({"erase": 3}, "wrong_type"),
        ({"erase": None}, "missing_field"),
        ({"id": ""}, "missing_field"),
        ({"id": None}, "missing_field"),
        ({"id": True}, "wrong_type"),
        ({"id": 7.5}, "wrong_type"),
        ({"id": "u" * 1025}, "oversized"),
        ({"erase": "session", "id": "cut:u1@1700000000000"}, "malformed"),
    ],
)
def test_rejected_erasures(change: dict[str, Any], reason: str) -> None:
    """An erasure that cannot be understood is rejected with its reason."""
    assert rejection_of({**LINE, **change}, JSON_ERASURE)[0] == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": 0}, "unknown_type"),
        ({"id": " "}, "missing_field"),
        ({"kind": pb.ERASURE_KIND_SESSION, "id": "cut:u1@1700000000000"}, "malformed"),
    ],
)
def test_rejected_protobuf_erasures(fields: dict[str, Any], reason: str) -> None:
    """A message is held to the same rules."""
    known: dict[str, Any] = {"kind": pb.ERASURE_KIND_USER, "id": "u1", "ts_ms": TS_MS}
    message = pb.Erasure(**(known | fields))

    assert rejection_of(message.SerializeToString(), ERASURE)[0] == reason
