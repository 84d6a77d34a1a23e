"""Rules of attributes that every package must apply identically: which values a filter
may ask for, which of them are lists, which are numbers.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

MAX_VALUE_BYTES: Final = 256
"""Longest value that a filter may ask for, in UTF-8.

A longer one is a text, such as a description. Twice as many would let twice as much of
such texts into the memory of servers.
"""

_LIST_SEPARATOR = ", "  # as the stream joins the values of a list in JSON
_BYTES_OF_CHARACTER = 4  # at most, in UTF-8
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_askable(value: str) -> bool:
    """Return whether a filter may ask for a value: it is neither blank nor a text."""
    fits = (
        len(value) * _BYTES_OF_CHARACTER <= MAX_VALUE_BYTES
        or len(value.encode("utf-8", "surrogatepass")) <= MAX_VALUE_BYTES
    )
    return fits and bool(value.strip())


def askable(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that a filter may ask for."""
    return {name: value for name, value in attributes.items() if name and is_askable(value)}


def members_of(value: str) -> tuple[str, ...]:
    """Return the values in a list such as ``red, blue``, each once; none where it is a
    single value.
    """
    if _LIST_SEPARATOR not in value:
        return ()
    return tuple(dict.fromkeys(part for part in value.split(_LIST_SEPARATOR) if part.strip()))


def number_of(value: str) -> float:
    """Return the decimal number that a value is, such as ``-12.5`` or ``1e3``; NaN:
    it is none.
    """
    if _NUMBER.fullmatch(value) is None:
        return math.nan
    number = float(value)
    return number if math.isfinite(number) else math.nan
