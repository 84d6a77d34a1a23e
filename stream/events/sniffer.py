"""JSON of which no more is announced than that it is JSON: the source says what it
holds, and keys tell in which form.
"""

from collections.abc import Sequence
from typing import Any

from stream.events.fields import json_object, json_value
from stream.events.format import Content, Format, ReadObject, content_of_all, json_format
from stream.events.formats import cloudevents, neutral, ubi
from stream.events.formats.catalog import JSON_ITEM, read_item
from stream.events.formats.change_capture import inserted
from stream.events.formats.erasure import JSON_ERASURE, read_erasure
from stream.events.formats.neutral import plain_content, reject_foreign
from stream.events.formats.table import CLOUD_BATCHES, CLOUD_ERASURES, CLOUD_ITEMS, FORMATS
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, Rows, joined


def reader_by_keys(formats: Sequence[Format], otherwise: ReadObject = reject_foreign) -> ReadObject:
    """Return what reads a JSON object as the first of some formats that has one of its
    keys with a value, or, where no format has, with null.

    Args:
        formats: in the order in which they are tried.
        otherwise: reads an object with no key of theirs.
    """
    readers = [(key, form.read) for form in formats if form.read for key in form.keys]

    def read(found: dict[str, Any], limits: Limits) -> Content:
        named = [(key, read_as) for key, read_as in readers if key in found]
        for key, read_as in named:
            if found[key] is not None:
                return read_as(found, limits)
        read_as = named[0][1] if named else otherwise
        return read_as(found, limits)

    return read


def _in_envelope_or_bare(envelope: Format, bare: ReadObject) -> ReadObject:
    """Return what reads an object as a CloudEvent where it is one, else by itself."""
    read_envelope = envelope.read
    assert read_envelope is not None  # noqa: S101  # it is JSON

    def read(found: dict[str, Any], limits: Limits) -> Content:
        is_enveloped = found.get("specversion") is not None
        return (read_envelope if is_enveloped else bare)(found, limits)

    return read


_read_event = reader_by_keys(FORMATS)


def _decode_event(value: bytes, limits: Limits) -> Content:
    """Try first what nearly every line is, which spares the look at its keys."""
    content = plain_content(value, limits)
    return _read_event(inserted(json_object(value)), limits) if content is None else content


_COLUMNS = {
    b'"specversion"': cloudevents.read_columns,
    b'"action_name"': ubi.read_columns,
    b"": neutral.read_columns,
}
"""What reads many lines of each form at once, by what lines of that form alone have; in
the order in which forms are tried.
"""


def _read_event_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read lines as those of one form, the first one's, then those that are of no such
    form as those of the others.
    """
    first = next((mark for mark in _COLUMNS if rows and mark in values[rows[0]]), b"")
    columns, unread = _COLUMNS[first](values, rows)
    parts = [columns]
    for mark, read in _COLUMNS.items():
        marked = [row for row in unread if mark != first and mark in values[row]]
        if marked:
            columns, still_unread = read(values, marked)
            parts.append(columns)
            unread = sorted({*unread} - {*marked} | {*still_unread})
    return joined(parts), unread


def _read_event_natively(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read neutral lines, where the first is one for all that its marks say; otherwise
    none, so that lines of another form are not looked at in vain.
    """
    is_marked = any(mark and mark in values[rows[0]] for mark in _COLUMNS)
    columns, unread = neutral.read_natively(values, [] if is_marked else rows)
    return columns, rows if is_marked else unread


EVENT_JSON = Format(
    name="json event",
    content_types=("application/json",),
    decode=_decode_event,
    read_columns=_read_event_columns,
    read_natively=_read_event_natively,
)
"""An event in JSON, of the form that its keys tell."""

ITEM_JSON = json_format(
    name="json item",
    content_types=(JSON_ITEM,),
    read=_in_envelope_or_bare(CLOUD_ITEMS, read_item),
)
"""A catalogue item in JSON, bare or in a CloudEvent."""

_read_erasure = _in_envelope_or_bare(CLOUD_ERASURES, read_erasure)


def _decode_erasures(value: bytes, limits: Limits) -> Content:
    found = json_value(value)
    if isinstance(found, list):
        return content_of_all(found, "erasure", lambda each: _read_erasure(each, limits))
    return _read_erasure(json_object(value), limits)


ERASURE_JSON = Format(
    name="json erasure", content_types=(JSON_ERASURE,), decode=_decode_erasures, read=_read_erasure
)
"""An erasure in JSON, or a list of them, bare or in a CloudEvent."""

SOURCE_FORMATS = (
    EVENT_JSON,
    ITEM_JSON,
    ERASURE_JSON,
    CLOUD_ITEMS,
    CLOUD_ERASURES,
    *CLOUD_BATCHES,
)
"""What JSON is by what its source holds, beside the formats of the table."""
