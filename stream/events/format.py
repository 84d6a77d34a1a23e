"""What a format is: how its records are told, and how they are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from stream.events.fields import json_object
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, Rows
from stream.events.types import CatalogItem, Erasure, Interaction, Rejected, SearchRecord
from stream.reasons import Repair

Event = Interaction | CatalogItem | Erasure | SearchRecord


@dataclass(slots=True)
class Content:
    """What one record held, as its format says it.

    Not frozen: there is one a record, and freezing makes it four times as slow to make.

    Attributes:
        events: the good ones, in the order in which the record has them.
        problems: what is wrong with others: at most one for each reason.
        num_ignored: messages that are in order but are not about an item.
        repairs: one for each text of an item that was cut, and each that was left out.
        ignored_as: why, one of `stream.reasons.IGNORED`.
    """

    events: Sequence[Event]
    problems: Sequence[Rejected] = ()
    num_ignored: int = 0
    repairs: Sequence[Repair] = ()
    ignored_as: str = "other"


IGNORED = Content((), num_ignored=1)
"""A record that is in order but not about an item, such as an impression."""

DecodeBytes = Callable[[bytes, Limits], Content]
ReadObject = Callable[[dict[str, Any], Limits], Content]
ReadColumns = Callable[[Sequence[Any], Rows], tuple[RawColumns, Rows]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Format:
    """A format: one line of the table.

    Both ways of decoding raise `Rejected`, and nothing else, whatever the bytes are.

    Attributes:
        name: for people and tests.
        content_types: what announces it: a media type, in lower case, with
            ``; messageType=NAME`` where the media type alone does not say enough.
        keys: an event in JSON of which its content-type says no more is of this format
            if it has one of these keys, and none of a format further up in the table.
        decode: returns what a record holds.
        read: the same for JSON that is parsed already; a format with `keys` has it.
        read_columns: the fast path, if there is one. It takes the values of a batch and
            the rows that are of this format, and returns what it could read, and the
            rows that must be decoded one by one.
    """

    name: str
    content_types: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    decode: DecodeBytes
    read: ReadObject | None = None
    read_columns: ReadColumns | None = None


def json_format(
    *,
    name: str,
    read: ReadObject,
    keys: tuple[str, ...] = (),
    content_types: tuple[str, ...] = (),
    read_columns: ReadColumns | None = None,
) -> Format:
    """Return a format of which every record is one JSON object.

    `Format` says what the arguments are.
    """

    def decode(value: bytes, limits: Limits) -> Content:
        return read(json_object(value), limits)

    return Format(
        name=name,
        content_types=content_types,
        keys=keys,
        decode=decode,
        read=read,
        read_columns=read_columns,
    )
