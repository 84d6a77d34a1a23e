"""Bounds: inclusive, in bytes, and the same for every format."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from stream.actions import Action
from stream.events.limits import EARLIEST_MS, Limits
from stream.events.types import CatalogItem, Rejected
from stream.reasons import Repair
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


@pytest.mark.parametrize(
    ("ts_ms", "unit"),
    [
        (NOW_MS // 1000, "seconds"),
        (NOW_MS * 1000, "microseconds"),
        (NOW_MS * 1_000_000, "nanoseconds"),
        (EARLIEST_MS // 1000, "seconds"),
        (EARLIEST_MS // 1000 - 1, None),
        (NOW_MS + 1501, None),
        (2**70, None),
    ],
)
def test_times_in_another_unit(ts_ms: int, unit: str | None) -> None:
    """They are not converted, but the detail says what they look like."""
    with pytest.raises(Rejected) as rejected:
        LIMITS.time(ts_ms)

    assert rejected.value.reason == "absurd_timestamp"
    found = f"looks like {unit}," in rejected.value.detail
    assert found if unit else "looks like" not in rejected.value.detail


def item(**fields: Any) -> tuple[CatalogItem, list[Repair]]:
    """Return what is kept of an item, and what was mended of it."""
    repairs: list[Repair] = []
    return LIMITS.item(CatalogItem(**{"item_id": "i", **fields}), repairs), repairs


def test_a_state_may_have_no_time() -> None:
    """Only a catalogue item may leave its time out; if it says one, bounds hold."""
    assert [item(ts_ms=ts_ms)[0].ts_ms for ts_ms in (0, NOW_MS)] == [0, NOW_MS]
    assert reason_of(lambda: item(ts_ms=1)) == "absurd_timestamp"


def test_sizes_are_in_bytes() -> None:
    """The longest of each is still good, and one byte more is not."""
    assert LIMITS.id("id", "é" * 8) == "é" * 8
    assert reason_of(lambda: LIMITS.id("id", "é" * 8 + "x")) == "oversized"


@pytest.mark.parametrize("name", ["title", "text"])
@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("é" * 16, "é" * 16),
        ("é" * 16 + "x", "é" * 14 + "…"),
        ("x" * 33, "x" * 29 + "…"),
        ("x" * 27 + "é" * 9, "x" * 27 + "é…"),
        ("x" * 28 + "é" * 9, "x" * 28 + "…"),
    ],
)
def test_texts_are_cut(name: str, text: str, kept: str) -> None:
    """Between characters, to no more bytes than allowed with the ellipsis."""
    found, repairs = item(**{name: text})

    assert (getattr(found, name), repairs) == (kept, [] if text == kept else ["cut"])
    assert len(kept.encode()) <= 32


def test_attributes() -> None:
    """A value is cut as a text is; one whose name is longer than an id is left out."""
    found, repairs = item(attributes={"é" * 8: "é" * 16, "x" * 17: "", "y": "z" * 33})

    assert found.attributes == {"é" * 8: "é" * 16, "y": "z" * 29 + "…"}
    assert sorted(repairs) == ["cut", "dropped"]


def test_entities() -> None:
    """Entities are read in the texts of an item, before they are measured."""
    found, repairs = item(
        item_id="&lt;i",
        title="Tom &amp;amp; Jerry",
        text="&quot;" * 8,
        attributes={"&lt;": "5&#39;", "b": "R&D"},
    )

    assert (found.item_id, found.title, found.text) == ("&lt;i", "Tom &amp; Jerry", '"' * 8)
    assert found.attributes == {"&lt;": "5'", "b": "R&D"}
    assert not repairs


def test_ids_that_say_nothing() -> None:
    """An id of nothing but space is none."""
    assert reason_of(lambda: LIMITS.id("id", " \t")) == "missing_field"
    assert reason_of(lambda: item(item_id=" ")) == "missing_field"


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
