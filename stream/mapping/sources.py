"""Where the value of a field is: at a path, or nowhere, for it is a constant."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.errors import SettingsInvalid

_CONSTANT = "value"  # the one key of a table that is a constant
# A segment of a path: what is between two dots, or in quotation marks, in which a
# backslash takes the next sign as it is.
_SEGMENT = re.compile(r'"((?:[^"\\]|\\.)+)"|([^."\s][^."]*)')
_ESCAPED = re.compile(r"\\(.)")

FieldPath = tuple[str, ...]
"""The names of fields, each within the one before it; of a list, the place in it."""


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where the value of a field comes from.

    Attributes:
        paths: the first one at which there is something counts.
        constant: the value of every record; None: it is at a path.
        label: the paths for people, as a rejection names them.
    """

    paths: tuple[FieldPath, ...] = ()
    constant: Any = None
    label: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        label = " or ".join(map(".".join, self.paths)) if self.paths else "a constant"
        object.__setattr__(self, "label", label)  # made once: each record asks for it


def source_of(place: str, value: object) -> FieldSource:
    """Return where a field comes from: a path, a list of paths, or a constant."""
    if isinstance(value, str):
        return FieldSource((_path(place, value),))
    if isinstance(value, Mapping):
        if value.keys() != {_CONSTANT} or not isinstance(value[_CONSTANT], str | int | float):
            raise SettingsInvalid(
                f"{place} is a table, which must be a constant, written {{ {_CONSTANT} = "
                '"..." }; a path is a text, such as "product.sku"'
            )
        return FieldSource(constant=value[_CONSTANT])
    if isinstance(value, Sequence) and value and all(isinstance(each, str) for each in value):
        return FieldSource(tuple(_path(place, each) for each in value))
    raise SettingsInvalid(
        f'{place} is {value!r}; it must be a path, such as "product.sku", a list of paths, of '
        f'which the first with a value counts, or a constant, {{ {_CONSTANT} = "..." }}'
    )


def _path(place: str, text: str) -> FieldPath:
    segments: list[str] = []
    end = 0
    while match := _SEGMENT.match(text, end):
        quoted, plain = match.groups()
        segments.append(plain.rstrip() if quoted is None else _ESCAPED.sub(r"\1", quoted))
        end = match.end()
        if end == len(text):
            return tuple(segments)
        if text[end] != ".":
            break
        end += 1
    raise SettingsInvalid(
        f"{place} is {text!r}, which is no path; write names with dots between them, and a name "
        "that has a dot in quotation marks, as in 'cart.\"item.id\"'"
    )
