"""One quarantined record: as a line of a file, and as a record of a topic."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from stream.events.types import Record, Rejection, SourcePartition

if TYPE_CHECKING:  # who reads files does not wait for a client of Kafka
    from stream.kafka.producer import Headers
    from stream.kafka.python_client import StoredRecord

MAX_TOPIC_VALUE_BYTES = 512 * 1024
"""Bytes of a value; a longer one is cut for the topic.

A broker takes 1 MiB of record by default, and base64 and headers add a third: twice as
much would be refused there, and stop the stream.
"""


CONTENT_TYPE = "content-type"


_OWN_HEADERS = frozenset(
    {
        *("reason", "detail", "at-ms", CONTENT_TYPE),
        *("source-topic", "source-partition", "source-offset"),
        *("source-time-ms", "source-value", "source-value-bytes"),
    }
)


Place = tuple[str, int, int]
"""Source, partition and offset of a record."""


class QuarantinedRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the quarantine file.

    Attributes:
        reason: one of `stream.reasons.REASONS`.
        detail: what was wrong, for people.
        source: topic or file.
        partition: of the topic; 0 for a file.
        offset: of the record in the topic, or of the line in the unpacked file.
        content_type: as announced; empty: none was.
        key_base64: the record's key; None: it had none.
        value_base64: the record's bytes; None: it had none.
        at_ms: when it was rejected.
        time_ms: the record's own time; None: not known.
        value_bytes: how long the record was whose value is cut; None: it is whole.
        headers: what else said what it is.
    """

    reason: str
    detail: str
    source: str
    partition: int
    offset: int
    content_type: str
    key_base64: str | None
    value_base64: str | None
    at_ms: int
    time_ms: int | None = None
    value_bytes: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> Place:
        """Where the record was read, which names it."""
        return self.source, self.partition, self.offset

    @property
    def record(self) -> Record:
        """The record as it came, to be decoded again."""
        return Record(
            position=SourcePartition(self.source, self.partition),
            offset=self.offset,
            next_offset=self.offset + 1,
            content_type=self.content_type,
            key=None if self.key_base64 is None else b64decode(self.key_base64),
            value=self.value,
            time_ms=self.time_ms,
            headers=self.headers,
        )

    @property
    def value(self) -> bytes | None:
        """The record's bytes as they came."""
        return None if self.value_base64 is None else b64decode(self.value_base64)


LINE_DECODER = msgspec.json.Decoder(QuarantinedRecord)


def line_of(rejection: Rejection, now_ms: int) -> bytes:
    """Return a rejection as a line of the quarantine file."""
    record = rejection.record
    quarantined = QuarantinedRecord(
        reason=rejection.reason,
        detail=rejection.detail,
        source=record.position.source,
        partition=record.position.partition,
        offset=record.offset,
        content_type=record.content_type,
        key_base64=base64_text(record.key),
        value_base64=base64_text(record.value),
        at_ms=now_ms,
        time_ms=record.time_ms,
        headers=tuple(record.headers),
    )
    return msgspec.json.encode(quarantined) + b"\n"


def base64_text(content: bytes | None) -> str | None:
    """Return bytes as base64; None: there are none."""
    return None if content is None else b64encode(content).decode()


def headers_of(rejection: Rejection, now_ms: int) -> "Headers":
    """Return what a record of the quarantine topic says beside its value."""
    record = rejection.record
    headers = dict(record.headers) | {
        "reason": rejection.reason,
        "detail": rejection.detail,
        **place_headers((record.position.source, record.position.partition, record.offset)),
        "at-ms": str(now_ms),
    }
    if record.content_type:
        headers["content-type"] = record.content_type
    if record.time_ms is not None:
        headers["source-time-ms"] = str(record.time_ms)
    if record.value is None:
        headers["source-value"] = "null"
    elif len(record.value) > MAX_TOPIC_VALUE_BYTES:
        headers["source-value-bytes"] = str(len(record.value))
    return [(name, value.encode("utf-8", "backslashreplace")) for name, value in headers.items()]


def place_headers(place: Place) -> dict[str, str]:
    """Return the headers that name the place of a record."""
    source, partition, offset = place
    return {
        "source-topic": source,
        "source-partition": str(partition),
        "source-offset": str(offset),
    }


def of_topic(record: "StoredRecord") -> QuarantinedRecord:
    """Return a record of the quarantine topic; of one that is not ours, what can be
    told.
    """
    texts = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    value = None if texts.get("source-value") == "null" else record.value
    return QuarantinedRecord(
        reason=texts.get("reason", ""),
        detail=texts.get("detail", ""),
        source=texts.get("source-topic", ""),
        partition=_number(texts, "source-partition") or 0,
        offset=_number(texts, "source-offset") or 0,
        content_type=texts.get(CONTENT_TYPE, ""),
        key_base64=base64_text(record.key),
        value_base64=base64_text(value),
        at_ms=_number(texts, "at-ms") or record.time_ms,
        time_ms=_number(texts, "source-time-ms"),
        value_bytes=_number(texts, "source-value-bytes"),
        headers=tuple((name, text) for name, text in texts.items() if name not in _OWN_HEADERS),
    )


def _number(texts: Mapping[str, str], name: str) -> int | None:
    text = texts.get(name, "")
    return int(text) if text.isdecimal() else None
