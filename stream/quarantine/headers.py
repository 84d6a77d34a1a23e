"""What a record of the quarantine topic says in its headers: its own, then ours, then
those of Kafka Connect.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from stream.events.types import Record, Rejection
from stream.kafka.client import ContentTypes, cloud_event_attributes

MAX_VALUE_BYTES = 512 * 1024
"""Bytes of a value; a longer one is cut for the topic.

A broker takes 1 MiB of record by default, of which this, the key, the headers and what
we say take two thirds at most: twice as much would be refused there, and stop the
stream.
"""

MAX_KEY_BYTES = 64 * 1024
"""Bytes of a key, cut like a value: many times an id. Twice as many: see there."""

MAX_OWN_HEADERS_BYTES = 128 * 1024
"""Bytes of a record's own headers, names and values; what is beyond is left out. Many
times a trace and a schema. Twice as many: see the value.
"""

# Bytes of a text of ours: a detail is a line. Twice as many show more of a long one.
_MAX_TEXT_BYTES = 4 * 1024

CONTENT_TYPE = "content-type"

_REASON = "reason"
_CONNECT = "__connect.errors."

# What Connect calls the step that failed, by our reason; the others are of decoding.
_STAGES: Mapping[str, str] = MappingProxyType({"key_collision": "TASK_PUT", "too_late": "TASK_PUT"})
_DECODING_STAGE = "VALUE_CONVERTER"

Place = tuple[str, int, int]
"""Source, partition and offset of a record."""

ByteHeaders = list[tuple[str, bytes]]


class Told(NamedTuple):
    """What the headers of a record of the quarantine topic say.

    Attributes:
        texts: what we say of it, by our names.
        own: the headers that the record came with, in order.
    """

    texts: Mapping[str, str]
    own: Sequence[tuple[str, bytes]]

    def number(self, name: str) -> int | None:
        """Return a number that we say; None: we say none."""
        text = self.texts.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() else None

    @property
    def content_type(self) -> str:
        """What the record announced; empty: nothing."""
        return self.texts.get(CONTENT_TYPE) or ContentTypes().of(self.own)

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """The attributes of a CloudEvent in binary mode; none: it is not one."""
        return tuple(cloud_event_attributes(self.own))


def headers_of(rejection: Rejection, now_ms: int, group_id: str) -> ByteHeaders:
    """Return the headers of a rejection in the quarantine topic.

    The record's own come first and as they were, so that ours are the last of their
    name: they begin at the last ``reason``.

    Args:
        rejection: what was rejected.
        now_ms: when, UTC epoch milliseconds.
        group_id: of the consumer group that read it; Connect's name of the connector.
    """
    record = rejection.record
    own = own_headers(record)
    kept = _fitting(own)
    place = record.position.source, record.position.partition, record.offset
    texts = {
        _REASON: rejection.reason,
        "detail": rejection.detail,
        **place_headers(place),
        "at-ms": str(now_ms),
    }
    if record.time_ms is not None:
        texts["source-time-ms"] = str(record.time_ms)
    if record.value is None:
        texts["source-value"] = "null"
    elif len(record.value) > MAX_VALUE_BYTES:
        texts["source-value-bytes"] = str(len(record.value))
    if record.key is not None and len(record.key) > MAX_KEY_BYTES:
        texts["source-key-bytes"] = str(len(record.key))
    if len(kept) < len(own):
        texts["source-headers"] = str(len(own))
        if record.content_type:
            texts[CONTENT_TYPE] = record.content_type
    return [*kept, *_packed(texts | _connect_headers(rejection, group_id))]


def marks_of(place: Place, reason: str, detail: str, now_ms: int) -> ByteHeaders:
    """Return the headers of a record of the topic that says something of a place."""
    texts = {_REASON: reason, "detail": detail, **place_headers(place), "at-ms": str(now_ms)}
    return _packed(texts)


def place_headers(place: Place) -> dict[str, str]:
    """Return the headers that name the place of a record."""
    source, partition, offset = place
    return {
        "source-topic": source,
        "source-partition": str(partition),
        "source-offset": str(offset),
    }


def told_by(headers: Sequence[tuple[str, bytes | None]]) -> Told:
    """Return what headers of a record of the quarantine topic say; of a record that is
    not ours, what can be told.
    """
    begins = [number for number, (name, _) in enumerate(headers) if name == _REASON]
    begin = begins[-1] if begins else len(headers)
    texts = _texts(headers[begin:])
    if "source-topic" not in texts:  # earlier marks, and what is not ours
        texts = _texts(headers) | texts
    return Told(texts, [(name, value or b"") for name, value in headers[:begin]])


def own_headers(record: Record) -> ByteHeaders:
    """Return the headers that a record came with, its content-type among them; those
    without a value with an empty one, for the client sends no other.
    """
    headers = [(name, value or b"") for name, value in record.raw_headers or ()]
    if not headers:
        headers = [(name, text.encode()) for name, text in record.headers]
    if record.content_type and not ContentTypes().of(headers):
        headers.append((CONTENT_TYPE, record.content_type.encode("utf-8", "backslashreplace")))
    return headers


def _connect_headers(rejection: Rejection, group_id: str) -> dict[str, str]:
    """Return what a sink of Kafka Connect says of a record in its dead letter queue,
    but for what there is none of here: a task, a class and a stack trace.
    """
    record = rejection.record
    return {
        _CONNECT + "topic": record.position.source,
        _CONNECT + "partition": str(record.position.partition),
        _CONNECT + "offset": str(record.offset),
        _CONNECT + "connector.name": group_id,
        _CONNECT + "stage": _STAGES.get(rejection.reason, _DECODING_STAGE),
        # tools group by this name, so it is the reason's and not that of one class
        _CONNECT + "exception.class.name": f"freshet.{rejection.reason}",
        _CONNECT + "exception.message": rejection.detail,
    }


def _packed(texts: Mapping[str, str]) -> ByteHeaders:
    return [
        (name, text.encode("utf-8", "backslashreplace")[:_MAX_TEXT_BYTES])
        for name, text in texts.items()
    ]


def _texts(headers: Sequence[tuple[str, bytes | None]]) -> dict[str, str]:
    return {name: (value or b"").decode("utf-8", "replace") for name, value in headers}


def _fitting(headers: ByteHeaders) -> ByteHeaders:
    """Return the headers that fit, in order."""
    kept: ByteHeaders = []
    left = MAX_OWN_HEADERS_BYTES
    for name, value in headers:
        size = len(name.encode()) + len(value)
        if size <= left:
            kept.append((name, value))
            left -= size
    return kept
