"""Which format a record is announced to be in, by its content-type and its topic."""

import re
from collections.abc import Callable, Iterable, Mapping

from protos import events_v1_pb2 as pb
from stream.events.format import Format
from stream.events.formats.cloudevents import Entity
from stream.events.sniffer import UNMAPPED
from stream.events.types import Record
from stream.settings import StreamSettings

EVENT = pb.Event.DESCRIPTOR.full_name
ITEM = pb.CatalogItem.DESCRIPTOR.full_name
ERASURE = pb.Erasure.DESCRIPTOR.full_name

_JSON, _PROTOBUF = "application/json", "application/x-protobuf"
# The last three are what clients say of bytes that they know nothing of.
_OTHER_NAMES = {
    "": _JSON,
    "text/json": _JSON,
    "text/x-json": _JSON,
    "application/x-json": _JSON,
    "application/jsonl": _JSON,
    "application/x-ndjson": _JSON,
    "application/protobuf": _PROTOBUF,
    "application/vnd.google.protobuf": _PROTOBUF,
    "application/octet-stream": _JSON,
    "text/plain": _JSON,
    "*/*": _JSON,
}
_ANY_JSON = "+json"  # what the names of other forms of JSON end in, by RFC 6839
_PARAMETER = re.compile(r';\s*messagetype\s*=\s*"?([^";\s]+)"?', re.IGNORECASE)
_ANY_MESSAGE = ""
_ERASURE_MARKS = (b'"erase"', b"freshet.erasure")
_ENTITIES: Mapping[str, Entity] = {EVENT: "event", ITEM: "catalog", ERASURE: "erasure"}
_STRUCTURED = "application/cloudevents"
_QUOTES = "\"'"  # a client that writes headers as JSON puts them around a text


def messages_of_topics(settings: StreamSettings) -> Mapping[str, str]:
    """Return the messages that topics hold; any other source holds events."""
    messages = {settings.catalog_topic: ITEM, settings.erasures_topic: ERASURE}
    messages.pop("", None)
    return messages


def means_erasure(record: Record, settings: StreamSettings) -> bool:
    """Return whether a record that cannot be used was meant as an erasure, as far as
    that can be told of something malformed: where it came from, its content-type, or
    what JSON of an erasure has.
    """
    value = record.value or b""
    return (
        (bool(settings.erasures_topic) and record.position.source == settings.erasures_topic)
        or ERASURE in record.content_type
        or any(mark in value for mark in _ERASURE_MARKS)
    )


FormatOf = Callable[[str, str], Format | None]
"""Returns the format that is announced; None: one that Freshet does not read.

It takes the content-type as it came, empty where there is none, and the message that
the record is where its content-type names none.
"""


def announcements(formats: Iterable[Format]) -> FormatOf:
    """Return what tells formats by their content-types.

    Args:
        formats: of which a later one with the content-type of an earlier one counts.
    """
    by_announcement = {
        _parts(content_type, _ANY_MESSAGE): form
        for form in formats
        for content_type in form.content_types
    }

    def announced(content_type: str, message_of_source: str) -> Format | None:
        media_type, message = _parts(content_type, message_of_source)
        found = by_announcement.get((media_type, message))
        if found is None and message in _ENTITIES:
            return by_announcement.get((media_type, _ANY_MESSAGE))
        return found

    return announced


def binary_source(content_type: str, message_of_source: str) -> Entity | None:
    """Return what the source of a CloudEvent in binary mode holds; None: its data are
    not JSON, or its content-type alone says what it is.

    Args:
        content_type: of the data; empty: it is JSON.
        message_of_source: what the record is where its content-type names no message.
    """
    media_type, message = _parts(content_type, message_of_source)
    return _ENTITIES.get(message) if media_type == _JSON else None


def _parts(content_type: str, default_message: str) -> tuple[str, str]:
    """Return the media type by the name that its format has, and the message."""
    content_type = content_type.strip().strip(_QUOTES)
    media_type = content_type.split(";", 1)[0].strip().lower()
    media_type = _OTHER_NAMES.get(media_type, media_type)
    if media_type.endswith(_ANY_JSON) and not media_type.startswith(_STRUCTURED):
        media_type = _JSON
    parameter = _PARAMETER.search(content_type)
    return media_type, parameter[1] if parameter else default_message


announced_format = announcements(UNMAPPED.formats)
"""Tells formats where nothing is mapped."""
