"""Batches by columns: the good events of a record, and what is wrong with others."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.events.decoder import decode
from stream.events.types import Interaction
from testing.records import (
    BATCH,
    CLICK,
    NOW_MS,
    SETTINGS,
    TS_MS,
    batch,
    check_never_raises,
    events_of,
    reason_of,
    record,
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


@given(st.data())
def test_any_damage_to_a_batch_is_decoded_or_rejected(data: st.DataObject) -> None:
    """A batch with a few bytes changed never raises, and what is
    accepted is in order.
    """
    value = bytearray(batch().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    check_never_raises(record(bytes(value), BATCH))
