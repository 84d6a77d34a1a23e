"""What a caller gives for a field of a request, checked before the contract's messages
are made of it.
"""

import operator
from collections.abc import Sequence
from typing import TypeVar

from freshet_client.errors import QueryRefused

_MOST = (1 << 32) - 1  # of the contract's counts, which are uint32


_Value = TypeVar("_Value")


def count_of(name: str, value: int) -> int:
    """Return a count if the contract can say it.

    Args:
        name: of the argument, for the message.
        value: what was given.

    Raises:
        QueryRefused: it is no whole number, negative, or too large.
    """
    try:
        count = operator.index(value)
    except TypeError:
        count = -1
    if not 0 <= count <= _MOST:
        raise QueryRefused(f"{name} is {value!r}; it must be a small whole number, 0 or more")
    return count


def several_of(name: str, values: Sequence[_Value]) -> Sequence[_Value]:
    """Return several values, unless they are one text, which Python takes for its
    characters.

    Args:
        name: of the argument, for the message.
        values: what was given.

    Raises:
        QueryRefused: it is one text.
    """
    if isinstance(values, str | bytes):
        raise QueryRefused(f"{name} is one text; give a list: [{values!r}]")
    return values
