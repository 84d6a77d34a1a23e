"""CloudEvents 1.0: an envelope around any other JSON of Freshet's own, in the value
(structured mode) or in the headers (binary mode).
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from stream.events import fields
from stream.events.format import Content, Format, ReadColumns, ReadObject
from stream.events.formats.catalog import read_item
from stream.events.formats.change_capture import payload_of, says_deleted
from stream.events.formats.erasure import erasure_of
from stream.events.formats.neutral import UNREADABLE, ActionName, action_numbers, read_line
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, RawTexts, Rows, parse_all, reading_whole, times_of
from stream.events.types import Headers, Rejected

Entity = Literal["event", "catalog", "erasure"]
"""What an envelope holds, by the name that its type gives it."""

_PREFIX = "freshet."
_ATTRIBUTE = "ce_"
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


def envelope_reader(source: Entity, *, is_announced: bool) -> ReadObject:
    """Return what reads an envelope of a source of events, items or erasures.

    Args:
        source: what the source holds.
        is_announced: a content-type or headers say that it is a CloudEvent, so that its
            type says what it holds, whatever the source. Otherwise the source does, and
            a type that says something else is rejected.
    """

    def read(envelope: dict[str, Any], limits: Limits) -> Content:
        kind = _kind(envelope)
        data = _data(envelope)
        entity = _entity(kind, source)
        if entity != source and not is_announced:
            raise Rejected(
                "unknown_type",
                f"CloudEvents type {fields.shown(kind)} in a source of {source}s; publish it to "
                "its own topic, or with the content-type application/cloudevents+json",
            )
        return _content(entity, kind, data, envelope, limits)

    return read


def _kind(envelope: Mapping[str, Any]) -> str:
    if envelope.get("specversion") != "1.0":
        version = fields.shown(envelope.get("specversion"))
        raise Rejected("unknown_type", f"CloudEvents version {version}, not 1.0")
    return fields.string(envelope, "type", required=True)


def _data(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of an envelope: an object, or the bytes of one in Base64."""
    data, packed = envelope.get("data"), envelope.get("data_base64")
    if data is None and isinstance(packed, str):
        try:
            return fields.json_object(b64decode(packed, validate=True))
        except ValueError:
            raise Rejected("malformed", "data_base64 is not Base64") from None
    if not isinstance(data, dict):
        fields.reject_type("data", "an object", data)
    return data


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
    return data | {"ts_ms": envelope.get("time")}


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


def read_binary(value: bytes, headers: Headers, source: Entity, limits: Limits) -> Content:
    """Return what a CloudEvent in Kafka's binary mode holds.

    Args:
        value: its data, in JSON.
        headers: its attributes, each with ``ce_`` before its name.
        source: what the source holds, where its type does not say.
        limits: what is believed.
    """
    envelope: dict[str, Any] = {
        name.lower().removeprefix(_ATTRIBUTE): text for name, text in headers
    }
    return _ANNOUNCED[source](envelope | {"data": fields.json_object(value)}, limits)


_ANNOUNCED: Mapping[Entity, ReadObject] = {
    source: envelope_reader(source, is_announced=True) for source in ("event", "catalog", "erasure")
}


def _format(
    source: Entity,
    name: str,
    content_type: str,
    *keys: str,
    read_columns: ReadColumns | None = None,
) -> Format:
    read = _ANNOUNCED[source]

    def decode(value: bytes, limits: Limits) -> Content:
        return read(fields.json_object(value), limits)

    return Format(
        name=name,
        content_types=(content_type,),
        keys=keys,
        decode=decode,
        read=envelope_reader(source, is_announced=False),
        read_columns=read_columns,
    )


CLOUD_EVENTS = _format(
    "event",
    "cloudevents",
    "application/cloudevents+json",
    "specversion",
    read_columns=read_columns,
)
CLOUD_ITEMS = _format(
    "catalog",
    "cloudevents of items",
    "application/cloudevents+json; messageType=freshet.events.v1.CatalogItem",
)
CLOUD_ERASURES = _format(
    "erasure",
    "cloudevents of erasures",
    "application/cloudevents+json; messageType=freshet.events.v1.Erasure",
)
