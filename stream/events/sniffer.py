"""JSON of which no more is announced than that it is JSON: the source says what it
holds, and keys, or the mapping of the settings, in which form.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stream.events.fields import json_object, json_value
from stream.events.format import (
    Content,
    Format,
    ReadColumns,
    ReadObject,
    content_of_all,
    json_format,
)
from stream.events.formats import cloudevents, neutral, ubi
from stream.events.formats.catalog import JSON_ITEM, item_reader, read_item
from stream.events.formats.change_capture import NameFields, inserted, unnamed
from stream.events.formats.cloudevents import (
    DataReaders,
    ReadBinary,
    binary_reader,
    formats_of_envelopes,
)
from stream.events.formats.erasure import JSON_ERASURE, read_erasure
from stream.events.formats.mapped import item_namer, mapped_event_reader
from stream.events.formats.neutral import plain_content, reject_foreign
from stream.events.formats.table import (
    CLOUD_BATCHES,
    CLOUD_ERASURES,
    CLOUD_ITEMS,
    FORMATS,
    read_binary,
    read_foreign,
)
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, Rows, joined
from stream.mapping.mappings import Mappings


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


def in_envelope_or_bare(envelope: Format, bare: ReadObject) -> ReadObject:
    """Return what reads an object as a CloudEvent where it is one, else by itself."""
    read_envelope = envelope.read
    assert read_envelope is not None  # noqa: S101  # it is JSON

    def read(found: dict[str, Any], limits: Limits) -> Content:
        is_enveloped = found.get("specversion") is not None
        return (read_envelope if is_enveloped else bare)(found, limits)

    return read


_COLUMNS = {
    b'"specversion"': cloudevents.read_columns,
    b'"action_name"': ubi.read_columns,
    b"": neutral.read_columns,
}
"""What reads many lines of each form at once, by what lines of that form alone have; in
the order in which forms are tried.
"""


def columns_reader(readers: Mapping[bytes, ReadColumns]) -> ReadColumns:
    """Return what reads lines as those of one form, the first one's, then those that
    are of no such form as those of the others.

    Args:
        readers: of each form, by what its lines alone have, in the order in which they
            are tried; the last is of any line.
    """

    def read_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
        first = next((mark for mark in readers if rows and mark in values[rows[0]]), b"")
        columns, unread = readers[first](values, rows)
        parts = [columns]
        for mark, read in readers.items():
            marked = [row for row in unread if mark != first and mark in values[row]]
            if marked:
                columns, still_unread = read(values, marked)
                parts.append(columns)
                unread = sorted({*unread} - {*marked} | {*still_unread})
        return joined(parts), unread

    return read_columns


def _read_event_natively(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read neutral lines, where the first is one for all that its marks say; otherwise
    none, so that lines of another form are not looked at in vain.
    """
    is_marked = any(mark and mark in values[rows[0]] for mark in _COLUMNS)
    columns, unread = neutral.read_natively(values, [] if is_marked else rows)
    return columns, rows if is_marked else unread


def event_json(read: ReadObject, read_columns: ReadColumns, mark: bytes = b"") -> Format:
    """Return the format of an event in JSON.

    Args:
        read: reads what is no plain neutral line, with what change capture wrote around
            it taken away.
        read_columns: reads many at once.
        mark: what lines have that are tried as neutral ones.
    """

    def decode(value: bytes, limits: Limits) -> Content:
        # Tried first is what nearly every line is, which spares the look at its keys.
        content = plain_content(value, limits) if mark in value else None
        return read(inserted(json_object(value)), limits) if content is None else content

    return Format(
        name="json event",
        content_types=("application/json",),
        decode=decode,
        read_columns=read_columns,
        read_natively=None if mark else _read_event_natively,
    )


EVENT_JSON = event_json(reader_by_keys(FORMATS), columns_reader(_COLUMNS))
"""An event in JSON, of the form that its keys tell."""


def item_json(envelope: Format, read: ReadObject) -> Format:
    """Return the format of a catalogue item in JSON, bare or in a CloudEvent.

    Args:
        envelope: of an item.
        read: reads a bare one.
    """
    return json_format(
        name="json item", content_types=(JSON_ITEM,), read=in_envelope_or_bare(envelope, read)
    )


ITEM_JSON = item_json(CLOUD_ITEMS, read_item)
"""A catalogue item in JSON, bare or in a CloudEvent."""

_read_erasure = in_envelope_or_bare(CLOUD_ERASURES, read_erasure)


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

# Freshet's own forms are read by columns, whatever is mapped; other lines are not tried
# in vain, which costs as much as reading them.
_OWN_MARK = b'"ts_ms"'
_OWN_COLUMNS = columns_reader(
    {
        b'"specversion"': cloudevents.read_columns,
        _OWN_MARK: neutral.read_columns,
        b"": lambda values, rows: (neutral.read_columns(values, [])[0], rows),
    }
)


class FormatSet(NamedTuple):
    """All that is read, under one mapping.

    Attributes:
        formats: of which a later one with the content-type of an earlier one counts.
        read_binary: reads CloudEvents in binary mode.
        named: names the fields of a row of the catalogue, and of its key.
    """

    formats: tuple[Format, ...]
    read_binary: ReadBinary
    named: NameFields


UNMAPPED = FormatSet((*FORMATS, *SOURCE_FORMATS), read_binary, unnamed)
"""What is read where nothing is mapped."""


def format_set(mappings: Mappings) -> FormatSet:
    """Return what is read under the mapping of the settings."""
    if mappings.event is None and mappings.item is None:
        return UNMAPPED
    named = unnamed if mappings.item is None else item_namer(mappings.item)
    read_one = read_item if mappings.item is None else item_reader(named)
    mapped = None if mappings.event is None else mapped_event_reader(mappings.event)
    readers = DataReaders(known=read_foreign, mapped=mapped, item=read_one)
    envelopes = formats_of_envelopes(readers)
    formats = [envelopes.events, envelopes.items, envelopes.erasures, *envelopes.batches]
    formats.append(item_json(envelopes.items, read_one))
    if mapped is not None:
        read_event = in_envelope_or_bare(envelopes.events, mapped)
        formats.append(event_json(read_event, _OWN_COLUMNS, _OWN_MARK))
    return FormatSet((*UNMAPPED.formats, *formats), binary_reader(readers), named)
