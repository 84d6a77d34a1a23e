"""Which values of attributes a filter may ask for, and what they are."""

import math

import pytest

from protos.attributes import MAX_VALUE_BYTES, askable, is_askable, members_of, number_of


@pytest.mark.parametrize(
    ("value", "number"),
    [
        *(("12", 12.0), ("-12.5", -12.5), ("+3", 3.0), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0)),
        ("007", 7.0),
    ],
)
def test_decimal_numbers_are_numbers(value: str, number: float) -> None:
    """As JSON, CSV and people write them."""
    assert number_of(value) == number


@pytest.mark.parametrize(
    "value",
    [
        *("", " 12", "12 EUR", "12,50", "1_000", "0x1f", "nan", "inf", "1e999", "true", "1.2.3"),
        *(".", "e5", "٣", "2026-11-30"),
    ],
)
def test_what_else_looks_like_one_is_none(value: str) -> None:
    """Python's own reading is wider: underscores, infinities, other scripts' digits."""
    assert math.isnan(number_of(value))


def test_lists_are_taken_apart() -> None:
    """As the stream joins the values of a list; each member once."""
    assert members_of("red, blue, red") == ("red", "blue")
    assert members_of("12,50") == ()
    assert members_of("red") == ()
    assert members_of("red, ") == ("red",)


def test_texts_and_blanks_are_not_askable() -> None:
    """A description is no value, nor is the empty cell of a feed."""
    umlauts = "ä" * (MAX_VALUE_BYTES // 2)
    attributes = {"a": "x", "b": "", "c": " \t", "d": umlauts, "e": umlauts + "a", "": "x"}

    assert askable(attributes) == {"a": "x", "d": umlauts}
    assert is_askable("x" * MAX_VALUE_BYTES)
    assert not is_askable("x" * (MAX_VALUE_BYTES + 1))
