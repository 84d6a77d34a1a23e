"""Single protobuf messages of `freshet.events.v1`: event, catalogue item, erasure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as ProtobufMessage

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.events import native
from stream.events.fields import reject_framed
from stream.events.format import Content, Format
from stream.events.limits import Limits
from stream.events.raw_columns import (
    RawColumns,
    Rows,
    columns_of_bytes,
    parse_all,
    raw_columns_of,
)
from stream.events.types import CatalogItem, Erasure, Rejected
from stream.reasons import Repair

_MEDIA_TYPE = "application/x-protobuf"
_ACTIONS = {int(action): action for action in Action}
_ERASURE_KINDS: Mapping[int, Literal["user", "session", "item"]] = {
    pb.ERASURE_KIND_USER: "user",
    pb.ERASURE_KIND_SESSION: "session",
    pb.ERASURE_KIND_ITEM: "item",
}

_Message = TypeVar("_Message", bound=ProtobufMessage)


def content_type_of(message: type[ProtobufMessage]) -> str:
    """Return the content-type that announces a message."""
    return f"{_MEDIA_TYPE}; messageType={message.DESCRIPTOR.full_name}"


def parsed(message: type[_Message], value: bytes) -> _Message:
    """Return a message, or reject bytes that are none."""
    try:
        return message.FromString(value)
    except DecodeError as error:
        reject_framed(value)
        name = message.DESCRIPTOR.full_name
        raise Rejected("malformed", f"not a {name}: {error}") from None


def action_of(number: int) -> Action:
    """Return the action that a message gives by its number."""
    action = _ACTIONS.get(number)
    if action is not None:
        return action
    if number == pb.ACTION_UNSPECIFIED:
        raise Rejected("missing_field", "action is absent")
    raise Rejected("unknown_type", f"action number {number}")


def _decode_event(value: bytes, limits: Limits) -> Content:
    event = parsed(pb.Event, value)
    interaction = limits.interaction(
        ts_ms=event.ts_ms,
        session_id=event.session_id,
        user_id=event.user_id,
        query=event.query,
        item_id=event.item_id,
        action=action_of(event.action),
    )
    return Content((interaction,))


def _read_event_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    events, good_rows, bad_rows = parse_all(pb.Event.FromString, values, rows, DecodeError)
    return raw_columns_of(events, good_rows), bad_rows


def _read_events_natively(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    return columns_of_bytes(native.read_events(values, rows))


def _decode_item(value: bytes, limits: Limits) -> Content:
    item = parsed(pb.CatalogItem, value)
    decoded = CatalogItem(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        attributes=dict(item.attributes),
        available=not item.unavailable,
        deleted=item.deleted,
        ts_ms=item.ts_ms,
    )
    repairs: list[Repair] = []
    return Content((limits.item(decoded, repairs),), repairs=repairs)


def _decode_erasure(value: bytes, limits: Limits) -> Content:
    message = parsed(pb.Erasure, value)
    kind = _ERASURE_KINDS.get(message.kind)
    if kind is None:
        raise Rejected("unknown_type", f"erasure kind number {message.kind}")
    erased_id = limits.erased_id(kind, message.id)
    return Content((Erasure(kind=kind, id=erased_id, ts_ms=limits.asked_time(message.ts_ms)),))


PROTOBUF_EVENT = Format(
    name="protobuf event",
    content_types=(content_type_of(pb.Event),),
    decode=_decode_event,
    read_columns=_read_event_columns,
    read_natively=_read_events_natively,
)
PROTOBUF_ITEM = Format(
    name="protobuf item", content_types=(content_type_of(pb.CatalogItem),), decode=_decode_item
)
PROTOBUF_ERASURE = Format(
    name="protobuf erasure", content_types=(content_type_of(pb.Erasure),), decode=_decode_erasure
)
