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
    assert fields.string(found, "a") == fields.identifier(found, "a") == ""
    assert fields.text(found, "a") == ""
    assert fields.time(found, "a", default=7) == 7
    assert fields.truth(found, "a", default=True) is True
    assert fields.mapping(found, "a") == {}
    assert reason_of(lambda: fields.string(found, "a", required=True)) == "missing_field"
    assert reason_of(lambda: fields.identifier(found, "a", required=True)) == "missing_field"
    assert reason_of(lambda: fields.time(found, "a")) == "missing_field"


@pytest.mark.parametrize(
    ("read", "values"),
    [
        (lambda found: fields.string(found, "a"), [1, True, [], {}]),
        (lambda found: fields.text(found, "a"), [True, [], {}]),
        (lambda found: fields.identifier(found, "a"), [True, 1.5, 2.0**54, 1e300, [], {}]),
        (lambda found: fields.truth(found, "a", default=True), ["maybe", 2, 0.5, [], {}]),
        (lambda found: fields.mapping(found, "a"), ["", 1, True, [1], "x", "[1]", "{x}"]),
        (lambda found: fields.time(found, "a"), [True, [], {}]),
    ],
)
def test_other_types(read: Callable[[dict[str, Any]], object], values: list[Any]) -> None:
    """What cannot be meant is never turned into the wanted type."""
    assert {reason_of(partial(read, {"a": value})) for value in values} == {"wrong_type"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("A-1", "A-1"),
        (" 7 ", " 7 "),
        (4711, "4711"),
        (-5, "-5"),
        (0, "0"),
        (12.0, "12"),
        (-0.0, "0"),
        (2.0**53, "9007199254740992"),
        (2**53 + 1, "9007199254740993"),
        (10**38, "1" + "0" * 38),
    ],
)
def test_ids(value: object, text: str) -> None:
    """Whole numbers are the same ids as their decimal texts."""
    assert fields.identifier({"a": value}, "a") == text


@pytest.mark.parametrize(
    ("value", "text"), [("x", "x"), (1984, "1984"), (9.5, "9.5"), (10**30, "1" + "0" * 30)]
)
def test_texts(value: object, text: str) -> None:
    """A number is the text that JSON writes it as."""
    assert fields.text({"a": value}, "a") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"a\\ud83d"', "a\ufffd"),
        (b'"\\ude00\\ud83d b"', "\ufffd\ufffd b"),
        (b'"\\ud83d\\ude00\\ud83d"', "\U0001f600\ufffd"),
        (b'"\xed\xa0\xbd!"', "\ufffd!"),
        (b'"\xed\xa0\xbd\xed\xb8\x80"', "\U0001f600"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud83d"', "\\ud83d"),
    ],
)
def test_half_a_surrogate_pair(value: bytes, text: str) -> None:
    """Written as an escape or as bytes, it is replaced in a text; a whole one is
    its character; the rest of the JSON is read.
    """
    found = fields.json_object(b'{"a": ' + value + b', "b": [1, 2.5, "\xc3\xa9"]}')

    assert fields.string(found, "a") == fields.text(found, "a") == text
    assert found["b"] == [1, 2.5, "é"]
    if "\ufffd" in text:
        assert reason_of(lambda: fields.identifier(found, "a")) == "malformed"


@pytest.mark.parametrize(
    "rest", [b"nan", b"+Infinity", b"9" * 10_000, b"\xff", b"[" * 100_000, b""]
)
def test_half_a_surrogate_pair_excuses_nothing_else(rest: bytes) -> None:
    """What is no JSON stays none."""
    value = b'{"a": "\\ud83d", "b": ' + rest + b"}"

    assert reason_of(lambda: fields.json_object(value)) == "malformed"


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        *((value, True) for value in (True, 1, 1.0, "true", " TRUE ", "yes", "1", "t", "Y")),
        *((value, False) for value in (False, 0, "false", "No", "0", "f", "n")),
    ],
)
def test_truths(value: object, *, truth: bool) -> None:
    """True and false are also read as texts and numbers that say so."""
    assert fields.truth({"a": value}, "a", default=not truth) is truth


@pytest.mark.parametrize(
    ("said", "ts_ms"),
    [
        ("1970-01-01T00:00:01", 1000),
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01t00:00:01z", 1000),
        ("1970-01-01 00:00:01 UTC", 1000),
        (" 1970-01-01T00:00:01+0000 ", 1000),
        ("19700101T000001Z", 1000),
        ("1970-01-01T00:00:00.001999999Z", 1),
        ("1970-01-01T01:00:00.0019+01:00", 1),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("1970-01-01T00:00:60Z", 60_000),
        ("1970-01-01T00:59:60.25+01:00", 250),
        ("1969-12-31t23:59:60z", 0),
        ("19691231T235960", 0),
        (1500, 1500),
        (1500.0, 1500),
        (1500.75, 1500),
        (-0.5, -1),
        ("1500", 1500),
        (" 1500.75 ", 1500),
        ("1.5e3", 1500),
        ("1.5007E+3", 1500),
        ("1970-01-01T00:00:01Z[UTC]", 1000),
        ("1970-01-01T02:00:01+02:00[Europe/Berlin]", 1000),
        ("1970-01-01 00:00:00.25 +00:00", 250),
        ("1970-01-01 02:00:01.5 +0200", 1500),
        ("1970-01-01 00:00:01 Z", 1000),
        ("1970-01-01T02:00:01+02[Europe/Berlin]", 1000),
        ("1969-12-31T22:00:01\u221202:00", 1000),
        ("1969-12-31T24:00:00Z", 0),
        ("1969-12-31 24:00", 0),
        ("1970-01-01T24:00:00.0+01:00", 82_800_000),
        ("1970-W01-4T24Z", 86_400_000),
        (2**70, 2**70),
        (1e300, int(1e300)),
    ],
)
def test_times(said: object, ts_ms: int) -> None:
    """Milliseconds as numbers and texts, and ISO 8601 as it is written; UTC unless it
    says otherwise; parts of a millisecond are dropped, and second 60 is the next.
    """
    assert fields.time({"a": said}, "a") == ts_ms


@pytest.mark.parametrize(
    "said",
    [
        "soon",
        "1970-01-01T00:00:01?",
        "1970-01-01T00:00:61Z",
        "1970-01-01T00:00:600",
        "1970-13-01T00:00:60Z",
        "1970-01-01T00:00:01[Europe/Berlin]",
        "1970-01-01 00:00:01 Europe/Berlin",
        "1970-01-01T24:00:01Z",
        "1970-01-01T25:00:00Z",
        "9" * 40,
        "1e300",
        "٣",
    ],
)
def test_texts_that_are_no_times(said: str) -> None:
    """They are malformed, and named."""
    assert reason_of(lambda: fields.time({"a": said}, "a")) == "malformed"


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_what_is_blank_says_nothing(blank: str | None) -> None:
    """Exports of tables write a blank where there is no value."""
    assert fields.time({"a": blank}, "a", default=7) == 7
    assert fields.truth({"a": blank}, "a", default=True)
    assert reason_of(lambda: fields.time({"a": blank}, "a")) == "missing_field"


@pytest.mark.parametrize("nothing", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1E+400"])
def test_numbers_that_are_none_are_null(nothing: bytes) -> None:
    """They are not JSON, but many libraries write them; the rest is read."""
    found = fields.json_object(b'{"a": ' + nothing + b', "b": "NaN 1e999"}')

    assert found == {"a": None, "b": "NaN 1e999"}


@pytest.mark.parametrize("character", [b"\t", b"\n", b"\r", b"\0", b"\x1f", b"\x1b[0m"])
def test_control_characters_in_texts(character: bytes) -> None:
    """Descriptions that were pasted have them, and writers that escape nothing."""
    found = fields.json_object(b'{"a": "x' + character + b'y", "b": 1}')

    assert found == {"a": f"x{character.decode()}y", "b": 1}
    assert reason_of(lambda: fields.json_object(b'{"a": 1 ' + character + b"2}")) == "malformed"


def test_json_in_a_string() -> None:
    """What encodes twice, and tables of SQL, write it: an object or a list is read, of
    PHP's empty object nothing is lost.
    """
    found: dict[str, Any] = {"a": '{"b": 1}', "c": "[1]", "d": [], "e": None}

    assert fields.json_object(b'"{\\"a\\": 1}"') == {"a": 1}
    assert fields.mapping(found, "a") == {"b": 1}
    assert fields.listing(found, "c") == [1]
    assert (fields.mapping(found, "d"), fields.listing(found, "d")) == ({}, [])
    assert fields.listing(found, "e") is None
    others: list[Any] = [{}, "", "{}", "x", 1, True]
    for other in others:
        assert reason_of(partial(fields.listing, {"a": other}, "a")) == "wrong_type"
    for value in (b'"x"', b'"[1]"', b'"{x}"', b'"\\"{}\\""'):
        assert reason_of(partial(fields.json_object, value)) == "wrong_type"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"$oid": "5f"}, "5f"),
        ({"$numberLong": "9007199254740993"}, 9007199254740993),
        ({"$numberDecimal": "9.90"}, 9.9),
        ({"$numberDecimal": "NaN"}, None),
        ({"$numberInt": "1x"}, "1x"),
        ({"$numberInt": 7}, 7),
        ({"$date": "2023-11-14T21:56:40Z"}, "2023-11-14T21:56:40Z"),
        ({"$date": {"$numberLong": "5"}}, "5"),
        ({"$date": {"x": 1}}, {"$date": {"x": 1}}),
        ({"$oid": "5f", "x": 1}, {"$oid": "5f", "x": 1}),
        ({"oid": "5f"}, {"oid": "5f"}),
        ({}, {}),
        ("x", "x"),
    ],
)
def test_extended_json(value: Any, expected: Any) -> None:
    """MongoDB writes what JSON has no type for as an object of one field."""
    assert fields.bare(value) == expected


def test_byte_order_marks_before_json() -> None:
    """What was read of a file in another program may begin with them."""
    assert fields.json_object(b"\xef\xbb\xbf" * 1000 + b'{"a": 1}') == {"a": 1}


def test_actions() -> None:
    """Both spellings of a name count; a format may have names of its own."""
    assert fields.action("add_to_cart") == fields.action("add-to-cart") == Action.ADD_TO_CART
    assert fields.action("search_click") == fields.action(" Search_Click ") == Action.CLICK
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
