"""One record to the events in it, or to the reason why it cannot be used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Protocol

from stream.events.announcement import (
    ERASURE,
    EVENT,
    ITEM,
    announcements,
    binary_source,
    messages_of_topics,
)
from stream.events.fields import shown
from stream.events.format import Content, Event, Format
from stream.events.formats.catalog import read_item
from stream.events.formats.change_capture import DeletedByKey, item_id_of_key
from stream.events.limits import EARLIEST_MS, Limits
from stream.events.sniffer import format_set
from stream.events.types import (
    CatalogItem,
    Record,
    RecordBatch,
    Rejected,
    Rejection,
    SearchRecord,
    SourcePartition,
)
from stream.mapping.mappings import mappings_of
from stream.reasons import Repair
from stream.settings import StreamSettings

# Pairs of a content-type and a topic's message. A broker has a handful; twice as many
# would only help against garbage, which costs some 2 us a record.
_MAX_ANNOUNCEMENTS = 256
# What a frame of Confluent's registry begins with, and neither JSON nor Protobuf.
_FRAME = b"\0"


@dataclass(slots=True)
class Decoded:
    """What one record held. Not frozen, as `Content` is not.

    Attributes:
        events: the good ones, in the order in which the record has them.
        rejections: the bad ones: at most one for each reason, with the whole record.
        num_ignored: messages that are in order but are not about an item, such as
            impressions.
        repairs: one for each text of an item that was cut, and each that was left out.
        ignored_as: why, one of `stream.reasons.IGNORED`.
    """

    events: Sequence[Event]
    rejections: Sequence[Rejection] = ()
    num_ignored: int = 0
    repairs: Sequence[Repair] = ()
    ignored_as: str = "other"


class Frames(Protocol):
    """Takes away what the serializers of a schema registry put around a message.

    Both methods raise `RegistryUnavailable` where the registry does not answer: nothing
    is wrong with the records.
    """

    def unframed(self, value: bytes) -> tuple[str | None, bytes]:
        """Return what is in a frame: its content-type, None for that of the record, and
        its bytes; or reject it.
        """

    def unframed_batch(self, batch: RecordBatch) -> RecordBatch:
        """Return records without frames; what cannot be read stays in its own."""


class Decoder:
    """Decodes records under the limits of the settings.

    Never raises on what a record contains.

    Args:
        settings: the limits, and the mapping.
        frames: those of a schema registry; None: there is none, and what is framed is
            rejected.

    Raises:
        RegistryUnavailable: from `decode`, where the registry must be asked and does
            not answer.
    """

    def __init__(self, settings: StreamSettings, frames: Frames | None = None) -> None:
        self._frames = frames
        self._max_record = settings.max_record_bytes
        self._message_of_topic = messages_of_topics(settings)
        self._limits_at = lru_cache(maxsize=1)(partial(Limits.at, settings))
        read = format_set(mappings_of(settings.mapping))
        self._read_binary, self._named = read.read_binary, read.named
        self._format_of = lru_cache(maxsize=_MAX_ANNOUNCEMENTS)(announcements(read.formats))

    def decode(self, record: Record, now_ms: int) -> Decoded:
        """Return what a record holds; what is wrong with it comes back as rejections.

        Args:
            record: as the source returned it.
            now_ms: the clock, to tell event times in the future.
        """
        limits = self._limits_at(now_ms)
        try:
            content = self._content_or_deletion(record, limits)
            events = [_with_time(event, record, limits) for event in content.events]
        except Rejected as rejected:
            return Decoded((), (_rejection(record, rejected),))
        rejections = [_rejection(record, problem) for problem in content.problems]
        return Decoded(events, rejections, content.num_ignored, content.repairs, content.ignored_as)

    def format_of(self, position: SourcePartition, content_type: str) -> Format | None:
        """Return which format a record is in; None: one that Freshet does not read."""
        return self._format_of(content_type, self._message_of_topic.get(position.source, EVENT))

    def _content_or_deletion(self, record: Record, limits: Limits) -> Content:
        try:
            return self._content(record, limits)
        except DeletedByKey as deletion:
            if not record.key:
                raise
            item_id = self._item_id_of_key(record.key)
            return read_item({**deletion.row, "item_id": item_id}, limits)

    def _content(self, record: Record, limits: Limits) -> Content:
        if record.value is None:
            return self._tombstone(record, limits)
        self._check_size(record.value)
        if self._frames is not None and record.value.startswith(_FRAME):
            content_type, value = self._frames.unframed(record.value)
            self._check_size(value)
            content_type = record.content_type if content_type is None else content_type
            record = replace(record, value=value, content_type=content_type)
        return self._content_of_value(record, record.value or b"", limits)

    def _content_of_value(self, record: Record, value: bytes, limits: Limits) -> Content:
        if record.headers:
            message = self._message_of_topic.get(record.position.source, EVENT)
            source = binary_source(record.content_type, message)
            if source is not None:
                return self._read_binary(value, record.headers, source, limits)
        form = self.format_of(record.position, record.content_type)
        if form is None:
            raise Rejected(
                "unknown_encoding",
                f"content-type {shown(record.content_type)} is none that is read; say "
                "application/json, application/cloudevents+json or application/x-protobuf, as the "
                "bytes are, or leave the header out of JSON",
            )
        return form.decode(value, limits)

    def _check_size(self, value: bytes) -> None:
        if len(value) > self._max_record:
            raise Rejected("oversized", f"the record has {len(value)} bytes of {self._max_record}")

    def _item_id_of_key(self, key: bytes) -> str:
        """Return the id of the item that a record's key names, which may be framed."""
        if self._frames is not None and key.startswith(_FRAME):
            _, key = self._frames.unframed(key)
        return item_id_of_key(key, self._named)

    def _tombstone(self, record: Record, limits: Limits) -> Content:
        """A deletion: it says no event time, for a record has no more than its key."""
        message = self._message_of_topic.get(record.position.source)
        if message == ERASURE:
            raise Rejected(
                "malformed",
                "the record has no value: an erasure must say whether its id is of a user, "
                "a session or an item",
            )
        if message != ITEM:
            raise Rejected("malformed", "the record has no value")
        if not record.key:
            raise Rejected("missing_field", "a deletion needs the item id as its key")
        item_id = limits.id("key", self._item_id_of_key(record.key))
        return Content((CatalogItem(item_id=item_id, deleted=True),))


def decode(record: Record, settings: StreamSettings, now_ms: int) -> Decoded:
    """Decode one record; a loop should keep a `Decoder`."""
    return Decoder(settings).decode(record, now_ms)


def _with_time(event: Event, record: Record, limits: Limits) -> Event:
    """Return a state of an item, or a search, that says no time as of the time of its
    record, where that is to be believed; anything else as it is. A search must have
    one.
    """
    if not isinstance(event, CatalogItem | SearchRecord) or event.ts_ms:
        return event
    said_ms = record.time_ms or 0
    if EARLIEST_MS <= said_ms <= limits.latest_ms:
        return replace(event, ts_ms=said_ms)
    if isinstance(event, SearchRecord):
        raise Rejected("missing_field", "timestamp is absent")
    return event


def _rejection(record: Record, problem: Rejected) -> Rejection:
    return Rejection(record=record, reason=problem.reason, detail=problem.detail)
