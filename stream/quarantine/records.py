"""One quarantined record: as a line of a file, and as a record of a topic."""

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

import msgspec

from stream.events.types import RawHeaders, Record, Rejection, SourcePartition
from stream.quarantine.headers import Place, told_by

if TYPE_CHECKING:  # who reads files does not wait for a client of Kafka
    from stream.kafka.python.stored import StoredRecord


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
        value_bytes: how long the value was that is cut; None: it is whole.
        key_bytes: how long the key was that is cut; None: it is whole.
        num_headers: how many headers it had of which some are left out; None: all are
            here.
        headers: what else said what it is.
        headers_base64: all headers of a record of Kafka, in order: name and value.
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
    key_bytes: int | None = None
    num_headers: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    headers_base64: tuple[tuple[str, str | None], ...] = ()

    def __post_init__(self) -> None:
        # a line that nobody wrote is found where it is read, not where it is replayed
        values = [text for _, text in self.headers_base64]
        for text in (self.key_base64, self.value_base64, *values):
            _bytes_of(text)

    @property
    def place(self) -> Place:
        """Where the record was read, which names it."""
        return self.source, self.partition, self.offset

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the record is cut or left out."""
        return self.value_bytes is None and self.key_bytes is None and self.num_headers is None

    @property
    def record(self) -> Record:
        """The record as it came, to be decoded again."""
        return Record(
            position=SourcePartition(self.source, self.partition),
            offset=self.offset,
            next_offset=self.offset + 1,
            content_type=self.content_type,
            key=_bytes_of(self.key_base64),
            value=self.value,
            time_ms=self.time_ms,
            headers=self.headers,
            raw_headers=[(name, _bytes_of(text)) for name, text in self.headers_base64] or None,
        )

    @property
    def value(self) -> bytes | None:
        """The record's bytes as they came."""
        return _bytes_of(self.value_base64)


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
        headers_base64=_packed_headers(record.raw_headers),
    )
    return msgspec.json.encode(quarantined) + b"\n"


def base64_text(content: bytes | None) -> str | None:
    """Return bytes as base64; None: there are none."""
    return None if content is None else b64encode(content).decode()


def _bytes_of(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)


def of_topic(record: "StoredRecord") -> QuarantinedRecord:
    """Return a record of the quarantine topic; of one that is not ours, what can be
    told.
    """
    told = told_by(record.headers)
    texts = told.texts
    value = None if texts.get("source-value") == "null" else record.value
    return QuarantinedRecord(
        reason=texts.get("reason", ""),
        detail=texts.get("detail", ""),
        source=texts.get("source-topic", ""),
        partition=told.number("source-partition") or 0,
        offset=told.number("source-offset") or 0,
        content_type=told.content_type,
        key_base64=base64_text(record.key),
        value_base64=base64_text(value),
        at_ms=told.number("at-ms") or record.time_ms,
        time_ms=told.number("source-time-ms"),
        value_bytes=told.number("source-value-bytes"),
        key_bytes=told.number("source-key-bytes"),
        num_headers=told.number("source-headers"),
        headers=told.attributes,
        headers_base64=_packed_headers(told.own),
    )


def _packed_headers(headers: RawHeaders) -> tuple[tuple[str, str | None], ...]:
    return tuple((name, base64_text(value)) for name, value in headers or ())
