"""CloudEvents 1.0: an envelope around any other JSON of Freshet's own, in the value
(structured mode) or in the headers (binary mode).
"""

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from stream.events import fields
from stream.events.format import (
    Content,
    Format,
    ReadColumns,
    ReadIfKnown,
    ReadObject,
    content_of_all,
)
from stream.events.formats.catalog import read_item
from stream.events.formats.change_capture import inserted, payload_of, says_deleted
from stream.events.formats.erasure import erasure_of
from stream.events.formats.neutral import (
    UNREADABLE,
    ActionName,
    action_numbers,
    names_action,
    read_line,
)
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, RawTexts, Rows, parse_all, reading_whole, times_of
from stream.events.types import Headers, Rejected

Entity = Literal["event", "catalog", "erasure"]
"""What an envelope holds, by the name that its type gives it."""

_PREFIX = "freshet."
_ATTRIBUTE = "ce_"
_VERSIONS = ("1.0", 1)  # some write it as a number, which then may be 1.0
# What the types of foreign envelopes say of an item that is gone. Taken for a state it
# would be listed again.
_DELETIONS = (
    "archive",
    "delete",
    "destroy",
    "discontinue",
    "erased",
    "expire",
    "purge",
    "remove",
    "retire",
    "tombstone",
    "unlist",
    "unpublish",
    "withdraw",
)
# Where Debezium says in an envelope what was done, which its data then do not say.
_OPERATION = "iodebeziumop"


ReadBinary = Callable[[bytes, Headers, Entity, Limits], Content]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReaders:
    """What reads the data of envelopes that are not of Freshet's own type.

    Attributes:
        known: reads an event; None: it is of no other form than a neutral line.
        mapped: reads an event by the mapping of the settings, in the place of `known`,
            with the attributes of its envelope beside its data; None: there is none.
        item: reads an item.
    """

    known: ReadIfKnown
    mapped: ReadObject | None = None
    item: ReadObject = read_item


def envelope_reader(source: Entity, readers: DataReaders, *, is_announced: bool) -> ReadObject:
    """Return what reads an envelope of a source of events, items or erasures.

    Args:
        source: what the source holds.
        readers: read the data.
        is_announced: a content-type or headers say that it is a CloudEvent, so that its
            type says what it holds, whatever the source. Otherwise the source does, and
            a type that says something else is rejected.
    """

    def read(envelope: dict[str, Any], limits: Limits) -> Content:
        kind = _kind(envelope)
        data = _data(envelope)
        entity = _entity(kind, source)
        if entity == "event":
            data = inserted(_with_operation(payload_of(data), envelope))
        if entity != source and not is_announced:
            raise Rejected(
                "unknown_type",
                f"CloudEvents type {fields.shown(kind)} in a source of {source}s; publish it to "
                "its own topic, or with the content-type application/cloudevents+json",
            )
        if entity == "event" and not kind.startswith(_PREFIX):
            if readers.mapped is not None:
                return readers.mapped(_attributes(envelope) | data, limits)
            content = None if names_action(data) else readers.known(data, limits)
            if content is not None:
                return content
        return _content(entity, kind, data, envelope, limits, readers.item)

    return read


def _attributes(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an envelope by the names of their headers in binary
    mode.
    """
    return {
        _ATTRIBUTE + name: value
        for name, value in envelope.items()
        if name not in ("data", "data_base64")
    }


def _kind(envelope: Mapping[str, Any]) -> str:
    if envelope.get("specversion") not in _VERSIONS:
        version = fields.shown(envelope.get("specversion"))
        raise Rejected("unknown_type", f"CloudEvents version {version}, not 1.0")
    return fields.string(envelope, "type", required=True)


def _data(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of an envelope: an object, its JSON in a string, or the bytes of
    that in Base64.
    """
    data, packed = envelope.get("data"), envelope.get("data_base64")
    if data is None and packed is not None:
        if not isinstance(packed, str):
            fields.reject_type("data_base64", "a string", packed)
        try:
            return fields.json_object(b64decode("".join(packed.split()), validate=True))
        except ValueError:
            raise Rejected("malformed", "data_base64 is not Base64") from None
    if data is None:
        raise Rejected("missing_field", "data is absent")
    return fields.mapping(envelope, "data")


def _entity(kind: str, source: Entity) -> Entity:
    """Return what an envelope holds: what a type of Freshet's own says, else what its
    source holds.
    """
    if kind == "freshet.catalog":
        return "catalog"
    if kind == "freshet.erasure":
        return "erasure"
    return "event" if kind.startswith(_PREFIX) else source


def _content(
    entity: Entity,
    kind: str,
    data: dict[str, Any],
    envelope: Mapping[str, Any],
    limits: Limits,
    read_item: ReadObject,
) -> Content:
    if entity == "catalog":
        data = _with_operation(payload_of(data), envelope)
        looks_deleted = any(word in kind.lower() for word in _DELETIONS)
        if looks_deleted and not kind.startswith(_PREFIX) and not says_deleted(data):
            raise Rejected(
                "unknown_type",
                f"CloudEvents type {fields.shown(kind)} looks like a deletion; publish "
                'freshet.catalog with "deleted": true, or a record without a value',
            )
        return read_item(_with_state_time(data, envelope), limits)
    if entity == "erasure":
        return Content((erasure_of(_with_any_time(data, envelope), limits),))
    if not kind.startswith(_PREFIX):
        if data.get("type") is None:
            raise Rejected(
                "unknown_type",
                f"CloudEvents type {fields.shown(kind)} is none of Freshet's, and the data have "
                "no type: call it freshet.click, freshet.view, ..., or say type in the data",
            )
    elif kind != "freshet.event":
        data = data | {"type": kind.removeprefix(_PREFIX)}
    return read_line(_with_time(data, envelope), limits)


def _with_operation(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return what Debezium changed with what was done, which its envelope may say."""
    if "op" in data or _OPERATION not in envelope:
        return data
    is_change = bool(data.keys() & {"before", "after"})
    return data | {"op" if is_change else "__op": envelope[_OPERATION]}


def _with_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's data with its time: its own, else the envelope's."""
    if not fields.is_nothing(data.get("ts_ms")):
        return data
    return data | {"ts_ms": fields.time(envelope, "time")}


def _with_any_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an erasure's data with its time, which nobody has to say."""
    return data if data.get("ts_ms") is not None else data | {"ts_ms": envelope.get("time")}


def _with_state_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalogue item's data with its time: its own, else the envelope's.

    Neither has to say one.
    """
    if fields.time(data, "ts_ms", default=0):
        return data
    return data | {"ts_ms": fields.time(envelope, "time", default=0)}


class _Data(msgspec.Struct, gc=False):
    item_id: str
    type: ActionName | None = None
    ts_ms: int | None = None
    session_id: str | None = None
    user_id: str | None = None
    query: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    """The form of nearly every envelope of an event, read without a detour.

    Whatever does not fit it is read again, field by field.
    """

    specversion: Literal["1.0"]
    type: Literal[
        "freshet.event",
        "freshet.view",
        "freshet.click",
        "freshet.add-to-cart",
        "freshet.add_to_cart",
        "freshet.purchase",
        "freshet.search-click",
        "freshet.search_click",
    ]
    data: _Data
    time: str | None = None


_ENVELOPE_DECODER = msgspec.json.Decoder(_Envelope)


def read_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read plain envelopes of events; the rows returned beside them are of no such
    form.
    """
    envelopes, good_rows, bad_rows = parse_all(
        reading_whole(_ENVELOPE_DECODER.decode), values, rows, UNREADABLE
    )
    listed = [each.data for each in envelopes]
    kinds = [
        (each.data.type or "") if each.type == "freshet.event" else each.type[len(_PREFIX) :]
        for each in envelopes
    ]
    queries = [data.query or "" for data in listed]
    columns = RawColumns(
        ts_ms=times_of(
            [(each.time or 0) if each.data.ts_ms is None else each.data.ts_ms for each in envelopes]
        ),
        session=RawTexts([data.session_id or "" for data in listed]),
        user=RawTexts([data.user_id or "" for data in listed]),
        query=RawTexts(queries),
        item=RawTexts([data.item_id for data in listed]),
        action=action_numbers(kinds, queries),
        row=np.array(good_rows, dtype=np.int32),
    )
    return columns, bad_rows


class Envelopes(NamedTuple):
    """CloudEvents as formats.

    Attributes:
        events: of a source of events.
        items: of a source of catalogue items.
        erasures: of a source of erasures.
        batches: lists of each of them.
    """

    events: Format
    items: Format
    erasures: Format
    batches: tuple[Format, ...]


def formats_of_envelopes(readers: DataReaders) -> Envelopes:
    """Return the formats of CloudEvents.

    Args:
        readers: read the data.
    """
    message = "; messageType=freshet.events.v1."
    kinds: tuple[tuple[Entity, str, str], ...] = (
        ("event", "cloudevents", ""),
        ("catalog", "cloudevents of items", f"{message}CatalogItem"),
        ("erasure", "cloudevents of erasures", f"{message}Erasure"),
    )
    single = [
        _format(
            name,
            "application/cloudevents+json" + suffix,
            envelope_reader(source, readers, is_announced=True),
            read=envelope_reader(source, readers, is_announced=False),
            keys=() if suffix else ("specversion",),
            read_columns=None if suffix else read_columns,
        )
        for source, name, suffix in kinds
    ]
    batches = [
        _batch_format(
            f"batch of {name}",
            "application/cloudevents-batch+json" + suffix,
            envelope_reader(source, readers, is_announced=True),
        )
        for source, name, suffix in kinds
    ]
    events, items, erasures = single
    return Envelopes(events, items, erasures, tuple(batches))


def binary_reader(readers: DataReaders) -> ReadBinary:
    """Return what reads a CloudEvent in Kafka's binary mode.

    It takes its data, in JSON; its attributes, each with ``ce_`` before its name; what
    the source holds, where its type does not say; and what is believed.

    Args:
        readers: read the data.
    """
    sources: tuple[Entity, ...] = ("event", "catalog", "erasure")
    of_source = {source: envelope_reader(source, readers, is_announced=True) for source in sources}

    def read(value: bytes, headers: Headers, source: Entity, limits: Limits) -> Content:
        envelope: dict[str, Any] = {
            name.lower().removeprefix(_ATTRIBUTE): text for name, text in headers
        }
        return of_source[source](envelope | {"data": fields.json_object(value)}, limits)

    return read


def _format(
    name: str,
    content_type: str,
    read_announced: ReadObject,
    *,
    read: ReadObject,
    keys: tuple[str, ...],
    read_columns: ReadColumns | None,
) -> Format:
    def decode(value: bytes, limits: Limits) -> Content:
        return read_announced(fields.json_object(value), limits)

    return Format(
        name=name,
        content_types=(content_type,),
        keys=keys,
        decode=decode,
        read=read,
        read_columns=read_columns,
    )


def _batch_format(name: str, content_type: str, read: ReadObject) -> Format:
    def decode(value: bytes, limits: Limits) -> Content:
        listed = fields.json_value(value)
        return content_of_all(listed, "event", lambda envelope: read(envelope, limits))

    return Format(name=name, content_types=(content_type,), decode=decode)
