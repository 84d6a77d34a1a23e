"""Tells JSON by its keys, where nothing announces which format it is in."""

from collections.abc import Sequence
from typing import Any, NoReturn

from stream.events.fields import json_object, shown
from stream.events.format import Content, Format, ReadObject, json_format
from stream.events.formats.catalog import JSON_ITEM, read_item
from stream.events.formats.cloudevents import CLOUD_EVENTS
from stream.events.formats.neutral import plain_content, read_columns
from stream.events.formats.table import FORMATS
from stream.events.limits import Limits
from stream.events.types import Rejected

_SHOWN_KEYS = 5  # of an object of no known form: enough to know what sent it


def reject_unknown(found: dict[str, Any], _limits: Limits) -> NoReturn:
    """Reject a JSON object that no format knows, with some of its keys."""
    keys = ", ".join(map(shown, [*found][:_SHOWN_KEYS]))
    raise Rejected("unknown_type", f"JSON of no known form, with the keys {keys}")


def reader_by_keys(formats: Sequence[Format], otherwise: ReadObject = reject_unknown) -> ReadObject:
    """Return what reads a JSON object as the first of some formats that has one of its
    keys.

    Args:
        formats: in the order in which they are tried.
        otherwise: reads an object with no key of theirs.
    """
    readers = [(key, form.read) for form in formats if form.read for key in form.keys]

    def read(found: dict[str, Any], limits: Limits) -> Content:
        for key, read_as in readers:
            if key in found:
                return read_as(found, limits)
        return otherwise(found, limits)

    return read


_read_any = reader_by_keys(FORMATS)
_read_item = reader_by_keys([CLOUD_EVENTS], otherwise=read_item)


def _decode_any(value: bytes, limits: Limits) -> Content:
    """Try first what nearly every line is, which spares the look at its keys."""
    content = plain_content(value, limits)
    return _read_any(json_object(value), limits) if content is None else content


ANY_JSON = Format(
    name="json",
    content_types=("application/json",),
    decode=_decode_any,
    read_columns=read_columns,
)
"""JSON of which no more is announced than that it is JSON."""

ITEM_JSON = json_format(name="json item", content_types=(JSON_ITEM,), read=_read_item)
"""JSON that is announced as a catalogue item, bare or in a CloudEvent."""
