"""Bounds: inclusive, in bytes, and the same for every format."""

from collections.abc import Callable
from functools import partial

import pytest

from stream.actions import Action
from stream.events.limits import EARLIEST_MS, Limits
from stream.events.types import Rejected
from stream.settings import StreamSettings

NOW_MS = 1_700_000_000_000
LIMITS = Limits.at(
    StreamSettings(
        max_field_bytes=16, max_query_bytes=24, max_text_bytes=32, max_future_seconds=1.5
    ),
    NOW_MS,
)


def reason_of(check: Callable[[], object]) -> str:
    """Return the reason with which something is rejected."""
    with pytest.raises(Rejected) as rejected:
        check()
    return rejected.value.reason


def test_times() -> None:
    """From the year 2000 until as far ahead as the settings allow."""
    assert LIMITS.time(EARLIEST_MS) == EARLIEST_MS
    assert LIMITS.time(NOW_MS + 1500) == NOW_MS + 1500
    for ts_ms in (EARLIEST_MS - 1, NOW_MS + 1501, 0, 2**70):
        assert reason_of(partial(LIMITS.time, ts_ms)) == "absurd_timestamp"


def test_a_state_may_have_no_time() -> None:
    """Only a catalogue item may leave its time out; if it says one, bounds hold."""
    assert (LIMITS.state_time(0), LIMITS.state_time(NOW_MS)) == (0, NOW_MS)
    assert reason_of(lambda: LIMITS.state_time(1)) == "absurd_timestamp"


def test_sizes_are_in_bytes() -> None:
    """The longest of each is still good, and one byte more is not."""
    assert LIMITS.id("id", "é" * 8) == "é" * 8
    assert reason_of(lambda: LIMITS.id("id", "é" * 8 + "x")) == "oversized"
    assert LIMITS.text("text", "é" * 16) == "é" * 16
    assert reason_of(lambda: LIMITS.text("text", "é" * 16 + "x")) == "oversized"


def test_attributes() -> None:
    """Names are as long as ids, values as texts."""
    fitting = {"é" * 8: "é" * 16}

    assert LIMITS.attributes(fitting) == fitting
    assert reason_of(lambda: LIMITS.attributes({"x" * 17: ""})) == "oversized"
    assert reason_of(lambda: LIMITS.attributes({"x": "y" * 33})) == "oversized"


def test_ids_that_say_nothing() -> None:
    """An id of nothing but space is none; a format's empty text is fine."""
    assert reason_of(lambda: LIMITS.id("id", " \t")) == "missing_field"
    assert LIMITS.text("text", "") == ""


@pytest.mark.parametrize(
    ("session_id", "user_id", "reason"),
    [("", "", "missing_field"), ("", " ", "missing_field"), ("cut:u@1", "u", "malformed")],
)
def test_sessions(session_id: str, user_id: str, reason: str) -> None:
    """A session or a user must be known, and a cut session is nobody else's."""
    assert reason_of(lambda: interaction(session_id, user_id)) == reason
    assert interaction("", "u") == ("", "u")
    assert interaction("s", " ") == ("s", "")


def interaction(session_id: str, user_id: str) -> tuple[str, str]:
    """Return what is kept of a session and a user."""
    found = LIMITS.interaction(
        ts_ms=NOW_MS,
        session_id=session_id,
        user_id=user_id,
        query="",
        item_id="i",
        action=Action.VIEW,
    )
    return found.session_id, found.user_id
