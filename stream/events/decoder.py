"""Bytes and content-type to interactions and catalogue items, or a reason why not."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
from google.protobuf.message import DecodeError as ProtobufError

from protos import events_v1_pb2 as pb
from protos.text import normalize_query
from stream.actions import Action
from stream.events.limits import CUT_PREFIX, EARLIEST_MS
from stream.events.types import (
    CatalogItem,
    Erasure,
    Interaction,
    Position,
    Record,
    Rejected,
    Rejection,
)
from stream.settings import StreamSettings

JSON_ITEM = "application/json; messageType=freshet.events.v1.CatalogItem"
"""The content-type of JSON that is a catalogue item whatever its keys."""

Event = Interaction | CatalogItem | Erasure

_Message = TypeVar("_Message", pb.Event, pb.EventBatch, pb.CatalogItem, pb.Erasure)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ACTIONS = {action.label: action for action in Action} | {"search-click": Action.CLICK}
_ACTION_BY_NUMBER = {int(action): action for action in Action}
NAMED_ACTIONS: Mapping[str, int] = {
    spelling: int(action)
    for name, action in _ACTIONS.items()
    for spelling in (name, name.replace("-", "_"))
}
"""Actions by the names that neutral lines give them."""

_UBI_ACTIONS = _ACTIONS | {"click-through": Action.CLICK, "watch": Action.VIEW}
_PROTOBUF = {"application/x-protobuf", "application/protobuf"}
_MESSAGES = {
    f"freshet.events.v1.{name}": name for name in ("Event", "EventBatch", "CatalogItem", "Erasure")
}
_PARAMETER = re.compile(r';\s*messagetype\s*=\s*"?([^";\s]+)"?', re.IGNORECASE)
_CATALOG_FIELDS = {"item_id", "title", "text", "attributes", "available", "deleted", "ts_ms"}
_ERASED: dict[str, Literal["user", "session", "item"]] = {
    "user": "user",
    "session": "session",
    "item": "item",
}
_ERASURE_KINDS = {
    pb.ERASURE_KIND_USER: "user",
    pb.ERASURE_KIND_SESSION: "session",
    pb.ERASURE_KIND_ITEM: "item",
}
_SHOWN_CHARS = 80
_MAX_INTEGER_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What one record held.

    Attributes:
        events: the good ones, in the order in which the record has them.
        rejections: the bad ones: at most one for each reason, with the whole record.
        num_ignored: messages that are in order but are not about an item, such as
            impressions.
    """

    events: Sequence[Event]
    rejections: Sequence[Rejection] = ()
    num_ignored: int = 0


class Decoder:
    """Decodes records under the limits of the settings.

    Never raises on what a record contains.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._max_id = settings.max_field_bytes
        self._max_query = settings.max_query_bytes
        self._max_text = settings.max_text_bytes
        self._max_record = settings.max_record_bytes
        self._max_future_ms = round(settings.max_future_seconds * 1000)
        self._message_of_topic = {
            settings.catalog_topic: "CatalogItem",
            settings.erasures_topic: "Erasure",
        }
        self._message_of_topic.pop("", None)
        self._normalize = lru_cache(maxsize=65_536)(normalize_query)
        self._latest_ms = 0
        self._by_encoding: dict[str, Callable[[Record, bytes], Decoded]] = {
            "json": self._json,
            "json-item": self._json_item,
            "cloudevents": self._cloud_event,
            "Event": self._protobuf_event,
            "EventBatch": self._protobuf_batch,
            "CatalogItem": self._protobuf_item,
            "Erasure": self._protobuf_erasure,
        }

    def decode(self, record: Record, now_ms: int) -> Decoded:
        """Return what a record holds; what is wrong with it comes back as rejections.

        Args:
            record: as the source handed it on.
            now_ms: the clock, to tell event times in the future.
        """
        self._latest_ms = now_ms + self._max_future_ms
        try:
            return self._decode(record)
        except Rejected as rejected:
            rejection = Rejection(record=record, reason=rejected.reason, detail=rejected.detail)
            return Decoded(events=(), rejections=(rejection,))

    def _decode(self, record: Record) -> Decoded:
        if record.value is None:
            return self._tombstone(record)
        if len(record.value) > self._max_record:
            raise Rejected(
                "oversized", f"the record has {len(record.value)} bytes of {self._max_record}"
            )
        encoding = self.encoding_of(record.position, record.content_type)
        if encoding not in self._by_encoding:
            raise Rejected("unknown_encoding", f"content-type {_shown(record.content_type)}")
        return self._by_encoding[encoding](record, record.value)

    def encoding_of(self, position: Position, content_type: str) -> str:
        """Return which encoding a record is in."""
        return _encoding(content_type, self._message_of_topic.get(position.source, "Event"))

    def _tombstone(self, record: Record) -> Decoded:
        if self._message_of_topic.get(record.position.source) != "CatalogItem":
            raise Rejected("malformed", "the record has no value")
        if not record.key:
            raise Rejected("missing_field", "a deletion needs the item id as its key")
        try:
            item_id = record.key.decode()
        except UnicodeDecodeError:
            raise Rejected("malformed", "the key is not UTF-8") from None
        return Decoded(events=(CatalogItem(item_id=self._id("key", item_id), deleted=True),))

    # Protobuf

    def _protobuf_event(self, _record: Record, value: bytes) -> Decoded:
        event = _parsed(pb.Event, value)
        interaction = self._interaction(
            ts_ms=event.ts_ms,
            session_id=event.session_id,
            user_id=event.user_id,
            query=event.query,
            item_id=event.item_id,
            action=_numbered_action(event.action),
            needs_query=False,
        )
        return Decoded(events=(interaction,))

    def _protobuf_item(self, _record: Record, value: bytes) -> Decoded:
        item = _parsed(pb.CatalogItem, value)
        decoded = CatalogItem(
            item_id=self._id("item_id", item.item_id),
            title=self._text("title", item.title),
            text=self._text("text", item.text),
            attributes=self._attributes(dict(item.attributes)),
            available=not item.unavailable,
            deleted=item.deleted,
            ts_ms=self._state_time(item.ts_ms),
        )
        return Decoded(events=(decoded,))

    def _protobuf_erasure(self, _record: Record, value: bytes) -> Decoded:
        message = _parsed(pb.Erasure, value)
        kind = _ERASURE_KINDS.get(message.kind)
        if kind is None:
            raise Rejected("unknown_type", f"erasure kind number {message.kind}")
        return Decoded(
            events=(self._erasure({"erase": kind, "id": message.id, "ts_ms": message.ts_ms}),)
        )

    def _protobuf_batch(self, record: Record, value: bytes) -> Decoded:
        batch = _parsed(pb.EventBatch, value)
        num_events = len(batch.action)
        columns = [
            list(batch.ts_offset_ms),
            list(batch.session),
            list(batch.query),
            list(batch.item),
        ]
        lengths = [*map(len, columns), num_events]
        if len(set(lengths)) != 1:
            raise Rejected(
                "malformed", f"the columns of the batch have different lengths: {lengths}"
            )
        if batch.user_ids and len(batch.user_ids) != len(batch.session_ids):
            raise Rejected(
                "malformed", "user_ids must be empty or have one entry for each of session_ids"
            )
        sessions, items, queries = (
            list(batch.session_ids),
            list(batch.item_ids),
            ["", *batch.queries],
        )
        users = list(batch.user_ids) or [""] * len(sessions)
        base_ms = batch.base_ts_ms
        events: list[Event] = []
        problems = _Problems()
        rows = zip(*columns, batch.action, strict=True)
        for row_index, (offset_ms, session, query, item, action) in enumerate(rows):
            try:
                events.append(
                    self._interaction(
                        ts_ms=base_ms + offset_ms,
                        session_id=sessions[session],
                        user_id=users[session],
                        query=queries[query],
                        item_id=items[item],
                        action=_numbered_action(action),
                        needs_query=False,
                    )
                )
            except IndexError:
                problems.add(row_index, "malformed", "an index points past the end of its list")
            except Rejected as rejected:
                problems.add(row_index, rejected.reason, rejected.detail)
        return Decoded(events=events, rejections=problems.rejections(record))

    # JSON

    def _json(self, _record: Record, value: bytes) -> Decoded:
        try:
            line = NEUTRAL_DECODER.decode(value)
        except (ValueError, RecursionError):
            return self._sniffed(_json_object(value))
        if line.data is not msgspec.UNSET or line.action_name is not msgspec.UNSET:
            return self._sniffed(_json_object(value))
        interaction = self._interaction(
            ts_ms=line.ts_ms,
            session_id=line.session_id or "",
            user_id=line.user_id or "",
            query=line.query or "",
            item_id=line.item_id,
            action=_named_action(line.type, _ACTIONS),
            needs_query=line.type.replace("_", "-") == "search-click",
        )
        return Decoded(events=(interaction,))

    def _json_item(self, _record: Record, value: bytes) -> Decoded:
        fields = _json_object(value)
        if "specversion" in fields:
            return self._cloud_event_fields(fields)
        return Decoded(events=(self._catalog_item(fields),))

    def _sniffed(self, fields: dict[str, Any]) -> Decoded:
        if "specversion" in fields:
            return self._cloud_event_fields(fields)
        if "erase" in fields:
            return Decoded(events=(self._erasure(fields),))
        if "action_name" in fields:
            return self._ubi(fields)
        if "ts_ms" in fields or "type" in fields:
            return Decoded(events=(self._neutral(fields),))
        if "item_id" in fields:
            return Decoded(events=(self._catalog_item(fields),))
        raise Rejected(
            "unknown_type",
            f"JSON of no known form, with the keys {', '.join(map(_shown, [*fields][:5]))}",
        )

    def _neutral(self, fields: dict[str, Any]) -> Interaction:
        kind = _string(fields, "type", required=True)
        return self._interaction(
            ts_ms=_integer(fields, "ts_ms"),
            session_id=_string(fields, "session_id"),
            user_id=_string(fields, "user_id"),
            query=_string(fields, "query"),
            item_id=_string(fields, "item_id", required=True),
            action=_named_action(kind, _ACTIONS),
            needs_query=kind.replace("_", "-") == "search-click",
        )

    def _erasure(self, fields: dict[str, Any]) -> Erasure:
        kind = _string(fields, "erase", required=True)
        if kind not in _ERASED:
            raise Rejected("unknown_type", f"erase is {_shown(kind)}, not user, session or item")
        ts_ms = self._time(_integer(fields, "ts_ms"))
        return Erasure(
            kind=_ERASED[kind], id=self._id("id", _string(fields, "id", required=True)), ts_ms=ts_ms
        )

    def _catalog_item(self, fields: dict[str, Any]) -> CatalogItem:
        extras = _extra_attributes(fields)
        texts = [
            _string(fields, "text"),
            *(extras[name] for name in extras if isinstance(fields[name], str)),
        ]
        return CatalogItem(
            item_id=self._id("item_id", _string(fields, "item_id", required=True)),
            title=self._text("title", _string(fields, "title")),
            text=self._text("text", "\n".join(text for text in texts if text.strip())),
            attributes=self._attributes(extras | _string_mapping(fields, "attributes")),
            available=_boolean(fields, "available", default=True),
            deleted=_boolean(fields, "deleted", default=False),
            ts_ms=self._state_time(_integer(fields, "ts_ms", default=0)),
        )

    def _cloud_event(self, _record: Record, value: bytes) -> Decoded:
        return self._cloud_event_fields(_json_object(value))

    def _cloud_event_fields(self, fields: dict[str, Any]) -> Decoded:
        if fields.get("specversion") != "1.0":
            raise Rejected(
                "unknown_type", f"CloudEvents version {_shown(fields.get('specversion'))}, not 1.0"
            )
        kind = _string(fields, "type", required=True)
        if not kind.startswith("freshet."):
            raise Rejected(
                "unknown_type", f"CloudEvents type {_shown(kind)} does not begin with 'freshet.'"
            )
        data = fields.get("data")
        if not isinstance(data, dict):
            _reject_type("data", "an object", data)
        if kind == "freshet.catalog":
            return Decoded(events=(self._catalog_item(_with_state_time(data, fields)),))
        if kind == "freshet.erasure":
            return Decoded(events=(self._erasure(_with_time(data, fields)),))
        if kind != "freshet.event":
            data = data | {"type": kind.removeprefix("freshet.")}
        return Decoded(events=(self._neutral(_with_time(data, fields)),))

    def _ubi(self, fields: dict[str, Any]) -> Decoded:
        kind = _string(fields, "action_name", required=True)
        attributes = _mapping(fields, "event_attributes")
        item_id = _ubi_object_id(_mapping(attributes, "object"))
        action = _UBI_ACTIONS.get(kind.replace("_", "-"))
        if kind == "impression" or (action is None and not item_id):
            return Decoded(events=(), num_ignored=1)
        if action is None:
            _reject_action(kind)
        query = _ubi_query(fields, attributes)
        if action == Action.CLICK and not query and _string(fields, "query_id"):
            raise Rejected(
                "missing_field", "a click with a query_id must carry the text in user_query"
            )
        interaction = self._interaction(
            ts_ms=_ubi_timestamp_ms(fields),
            session_id=_string(fields, "session_id") or _string(fields, "client_id"),
            user_id=_string(fields, "user_id"),
            query=query,
            item_id=item_id,
            action=action,
            needs_query=False,
        )
        return Decoded(events=(interaction,))

    # Validation

    def _interaction(
        self,
        *,
        ts_ms: int,
        session_id: str,
        user_id: str,
        query: str,
        item_id: str,
        action: Action,
        needs_query: bool,
    ) -> Interaction:
        return Interaction(
            ts_ms=self._time(ts_ms),
            session_id=self._session_id(session_id, user_id),
            user_id=self._checked("user_id", user_id, self._max_id) if user_id.strip() else "",
            query=self._query(query, action, needs_query=needs_query),
            item_id=self._id("item_id", item_id),
            action=action,
        )

    def _time(self, ts_ms: int) -> int:
        if not EARLIEST_MS <= ts_ms <= self._latest_ms:
            raise Rejected(
                "absurd_timestamp", f"{_shown(ts_ms)} is before the year 2000 or in the future"
            )
        return ts_ms

    def _state_time(self, ts_ms: int) -> int:
        """A catalogue item may leave its time out: 0."""
        return self._time(ts_ms) if ts_ms else 0

    def _session_id(self, session_id: str, user_id: str) -> str:
        """A session may be without an id where the user is known.

        It is then cut by inactivity.
        """
        if not session_id and user_id.strip():
            return ""
        if session_id.startswith(CUT_PREFIX):
            raise Rejected(
                "malformed", f"session_id begins with {CUT_PREFIX}, which is kept for cut sessions"
            )
        return self._id("session_id", session_id)

    def _query(self, raw: str, action: Action, *, needs_query: bool) -> str:
        if not raw and not needs_query:
            return ""
        query = self._normalize(self._checked("query", raw, self._max_query))
        if not query and (needs_query or action != Action.VIEW):
            raise Rejected("empty_query", f"nothing is left of {_shown(raw)} once it is normalised")
        return self._checked("query", query, self._max_query)

    def _id(self, name: str, text: str) -> str:
        if not text or text.isspace():
            raise Rejected("missing_field", f"{name} is absent or empty")
        return self._checked(name, text, self._max_id)

    def _text(self, name: str, text: str) -> str:
        return self._checked(name, text, self._max_text)

    def _attributes(self, attributes: dict[str, str]) -> dict[str, str]:
        for name, value in attributes.items():
            self._checked("the name of an attribute", name, self._max_id)
            self._text(f"attribute {_shown(name)}", value)
        return attributes

    def _checked(self, name: str, text: str, max_bytes: int) -> str:
        # A character is at most four bytes, so nearly every string is cleared without
        # being encoded.
        if len(text) * 4 > max_bytes and len(text.encode()) > max_bytes:
            raise Rejected("oversized", f"{name} is longer than {max_bytes} bytes")
        return text


def decode(record: Record, settings: StreamSettings, now_ms: int) -> Decoded:
    """Decode one record; a loop should keep a `Decoder`."""
    return Decoder(settings).decode(record, now_ms)


class _Problems:
    """The bad events of a batch.

    The first of each reason is told, the others are counted.
    """

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}

    def add(self, row_index: int, reason: str, detail: str) -> None:
        self._first.setdefault(reason, f"event {row_index} of the batch: {detail}")
        self._count[reason] = self._count.get(reason, 0) + 1

    def rejections(self, record: Record) -> list[Rejection]:
        return [
            Rejection(record=record, reason=reason, detail=f"{detail}{self._others(reason)}")
            for reason, detail in self._first.items()
        ]

    def _others(self, reason: str) -> str:
        num_others = self._count[reason] - 1
        return f" (and {num_others} more)" if num_others else ""


class NeutralLine(msgspec.Struct):
    """The form of nearly every line, read without a detour.

    Anything else is read again, field by field.
    """

    ts_ms: int
    type: str
    item_id: str
    session_id: str | None = None
    user_id: str | None = None
    query: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    action_name: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


NEUTRAL_DECODER = msgspec.json.Decoder(NeutralLine)
_OBJECT_DECODER = msgspec.json.Decoder()


@lru_cache(maxsize=256)
def _encoding(content_type: str, message_of_topic: str) -> str:
    media_type = content_type.split(";", 1)[0].strip().lower()
    parameter = _PARAMETER.search(content_type)
    message = _MESSAGES.get(parameter[1], "unknown") if parameter else message_of_topic
    if media_type in {"", "application/json"}:
        return "json-item" if message == "CatalogItem" else "json"
    if media_type == "application/cloudevents+json":
        return "cloudevents"
    return message if media_type in _PROTOBUF else "unknown"


def _parsed(kind: type[_Message], value: bytes) -> _Message:
    try:
        return kind.FromString(value)
    except ProtobufError as error:
        raise Rejected("malformed", f"not a freshet.events.v1.{kind.__name__}: {error}") from None


def _json_object(value: bytes) -> dict[str, Any]:
    try:
        fields = _OBJECT_DECODER.decode(value)
    except RecursionError:
        raise Rejected("malformed", "the JSON is nested too deeply") from None
    except ValueError as error:
        raise Rejected("malformed", f"not JSON: {error}") from None
    if not isinstance(fields, dict):
        _reject_type("the JSON", "an object", fields)
    return fields


def _named_action(name: str, actions: Mapping[str, Action]) -> Action:
    action = actions.get(name.replace("_", "-"))
    if action is None:
        _reject_action(name)
    return action


def _numbered_action(number: int) -> Action:
    action = _ACTION_BY_NUMBER.get(number)
    if action is not None:
        return action
    if number == pb.ACTION_UNSPECIFIED:
        raise Rejected("missing_field", "action is absent")
    raise Rejected("unknown_type", f"action number {number}")


def _string(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    value = fields.get(name)
    if value is None:
        if required:
            raise Rejected("missing_field", f"{name} is absent")
        return ""
    if not isinstance(value, str):
        _reject_type(name, "a string", value)
    return value


def _integer(fields: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    value = fields.get(name)
    if value is None:
        if default is None:
            raise Rejected("missing_field", f"{name} is absent")
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        _reject_type(name, "an integer", value)
    return value


def _boolean(fields: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        _reject_type(name, "true or false", value)
    return value


def _mapping(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        _reject_type(name, "an object", value)
    return value


def _string_mapping(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    mapping = _mapping(fields, name)
    return {key: _string(mapping, key) for key in mapping}


def _extra_attributes(fields: Mapping[str, Any]) -> dict[str, str]:
    """What a catalogue line says beyond the known fields.

    Lists, objects and null are left out.
    """
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in fields.items()
        if name not in _CATALOG_FIELDS
        and isinstance(value, str | int | float)
        and not _is_huge(value)
    }


def _with_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's data with its time.

    That of the CloudEvent around it, where it has none.
    """
    if data.get("ts_ms") is not None:
        return data
    return data | {"ts_ms": _iso_ms("time", _string(envelope, "time", required=True))}


def _with_state_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalogue item's data with its time: its own, else the CloudEvent's.

    Neither has to say one.
    """
    time = _string(envelope, "time")
    if not time or _integer(data, "ts_ms", default=0):
        return data
    return data | {"ts_ms": _iso_ms("time", time)}


def _ubi_object_id(item: Mapping[str, Any]) -> str:
    value = item.get("object_id")
    if isinstance(value, int) and not isinstance(value, bool) and not _is_huge(value):
        return str(value)
    return _string(item, "object_id")


def _ubi_query(fields: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    query = _string(fields, "user_query") or _string(attributes, "user_query")
    if not query and _string(fields, "message_type").upper() == "QUERY":
        query = _string(fields, "message")
    return query


def _ubi_timestamp_ms(fields: Mapping[str, Any]) -> int:
    value = fields.get("timestamp")
    if isinstance(value, str):
        return _iso_ms("timestamp", value)
    return _integer(fields, "timestamp")


def _iso_ms(name: str, text: str) -> int:
    """Epoch milliseconds of an ISO 8601 time; one without an offset is taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("malformed", f"{name} is not an ISO 8601 time: {_shown(text)}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND


def _reject_type(name: str, wanted: str, value: object) -> NoReturn:
    raise Rejected("wrong_type", f"{name} must be {wanted}, not {_shown(value)}")


def _reject_action(name: str) -> NoReturn:
    raise Rejected("unknown_type", f"unknown action {_shown(name)}")


def _shown(value: object) -> str:
    """A value as a reader of the quarantine wants to see it.

    Short, whatever was sent.
    """
    if isinstance(value, str):
        return repr(value[:_SHOWN_CHARS])
    if _is_huge(value) or isinstance(value, dict | list):
        return f"a huge {type(value).__name__}" if _is_huge(value) else f"a {type(value).__name__}"
    return repr(value)


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS
