"""Typed readers: the value, or what is wrong with it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions import Action
from stream.events import fields
from stream.events.types import Rejected


def reason_of(read: Callable[[], object]) -> str:
    """Return the reason with which something is rejected."""
    with pytest.raises(Rejected) as rejected:
        read()
    return rejected.value.reason


@pytest.mark.parametrize("found", [{}, {"a": None}])
def test_what_is_absent_or_null(found: dict[str, Any]) -> None:
    """Null is as good as absent: empty, the default, or missing where required."""
    assert fields.string(found, "a") == ""
    assert fields.integer(found, "a", default=7) == 7
    assert fields.boolean(found, "a", default=True) is True
    assert fields.mapping(found, "a") == {}
    assert fields.string_mapping(found, "a") == {}
    assert reason_of(lambda: fields.string(found, "a", required=True)) == "missing_field"
    assert reason_of(lambda: fields.integer(found, "a")) == "missing_field"
    assert reason_of(lambda: fields.time(found, "a")) == "missing_field"
    assert reason_of(lambda: fields.iso_time(found, "a")) == "missing_field"


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (lambda found: fields.string(found, "a"), [1, True, [], {}]),
        (lambda found: fields.integer(found, "a"), ["1", True, 1.0, [], {}]),
        (lambda found: fields.boolean(found, "a", default=True), ["true", 1, [], {}]),
        (lambda found: fields.mapping(found, "a"), ["", 1, True, []]),
        (lambda found: fields.string_mapping(found, "a"), [{"b": 1}, {"b": []}]),
        (lambda found: fields.time(found, "a"), [True, 1.5, [], {}]),
        (lambda found: fields.iso_time(found, "a"), [1, True, [], {}]),
    ],
)
def test_other_types(read: Callable[[dict[str, Any]], object], values: list[Any]) -> None:
    """A value of another type is never turned into the wanted one."""
    assert {reason_of(partial(read, {"a": value})) for value in values} == {"wrong_type"}


@pytest.mark.parametrize(
    ("text", "ts_ms"),
    [
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:00.0019+01:00", 1),
        ("1969-12-31T23:59:59.9995Z", -1),
    ],
)
def test_iso_times(text: str, ts_ms: int) -> None:
    """Times are UTC unless they say otherwise; parts of a millisecond are dropped."""
    assert fields.iso_time({"a": text}, "a") == ts_ms
    assert fields.time({"a": text}, "a") == ts_ms
    assert fields.time({"a": ts_ms}, "a") == ts_ms
    assert reason_of(lambda: fields.time({"a": f"{text}?"}, "a")) == "malformed"


def test_actions() -> None:
    """Both spellings of a name count; a format may have names of its own."""
    assert fields.action("add_to_cart") == fields.action("add-to-cart") == Action.ADD_TO_CART
    assert fields.action("search_click") == Action.CLICK
    assert fields.action("watch", {"watch": Action.VIEW}) == Action.VIEW
    assert reason_of(lambda: fields.action("watch")) == "unknown_type"


@pytest.mark.parametrize(
    ("value", "reason"),
    [(b"[]", "wrong_type"), (b"{", "malformed"), (b"[" * 100_000, "malformed")],
)
def test_bytes_that_are_no_json_object(value: bytes, reason: str) -> None:
    """Anything but an object is rejected."""
    assert fields.json_object(b'{"a": [1]}') == {"a": [1]}
    assert reason_of(lambda: fields.json_object(value)) == reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_is_shown_short(value: object) -> None:
    """Whatever was sent, a reader of the quarantine sees a line of it."""
    assert len(fields.shown(value)) < 1000


def test_what_is_too_long_to_show() -> None:
    """A long text is cut; a number beyond 64 bits and what is nested are named."""
    assert fields.shown("x" * 200) == repr("x" * 80)
    assert fields.shown(10**30) == "a huge int"
    assert fields.shown([1]) == "a list"
    assert (fields.is_huge(2**64 - 1), fields.is_huge(2**64)) == (False, True)
