"""Erasures: every encoding, and what is wrong with others."""

from typing import Any

import pytest

from protos import events_v1_pb2 as pb
from stream.events.types import Erasure
from testing.records import CLOUD, ERASURE, TS_MS, events_of, rejection_of

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

    assert events_of(LINE) == [USER]
    assert events_of(cloud, CLOUD) == [USER]
    assert events_of(message, ERASURE) == [USER]
    assert events_of(message, "application/x-protobuf", source="freshet.erasures") == [USER]


@pytest.mark.parametrize("kind", ["user", "session", "item"])
def test_what_can_be_erased(kind: Any) -> None:
    """A user, a session and an item can be."""
    assert events_of({**LINE, "erase": kind}) == [Erasure(kind=kind, id="u1", ts_ms=TS_MS)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"erase": "shop"}, "unknown_type"),
        ({"erase": 3}, "wrong_type"),
        ({"erase": None}, "missing_field"),
        ({"ts_ms": None}, "missing_field"),
        ({"ts_ms": 1}, "absurd_timestamp"),
        ({"id": ""}, "missing_field"),
        ({"id": 7}, "wrong_type"),
        ({"id": "u" * 1025}, "oversized"),
    ],
)
def test_rejected_erasures(change: dict[str, Any], reason: str) -> None:
    """An erasure that cannot be understood is rejected with its reason."""
    assert rejection_of({**LINE, **change})[0] == reason


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"kind": 0}, "unknown_type"),
        ({"ts_ms": 0}, "absurd_timestamp"),
        ({"id": " "}, "missing_field"),
    ],
)
def test_rejected_protobuf_erasures(fields: dict[str, Any], reason: str) -> None:
    """A message is held to the same rules."""
    known: dict[str, Any] = {"kind": pb.ERASURE_KIND_USER, "id": "u1", "ts_ms": TS_MS}
    message = pb.Erasure(**(known | fields))

    assert rejection_of(message.SerializeToString(), ERASURE)[0] == reason
