"""What the stream wants of a Kafka client.

A place in a consumer group, and records of given partitions.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stream.events.types import Headers, RawHeaders, RecordBatch, SourcePartition

MAX_POLL_INTERVAL_SECONDS = 1800
"""How long a worker may be at work between two polls before its partitions are given
away.
"""

_CONTENT_TYPE = "content-type"
_CLOUD_EVENT_PREFIX = "ce_"
_CLOUD_EVENT_MARK = "ce_specversion"  # the attribute that every CloudEvent must have
# Headers remembered as text; a topic has a handful, and garbage must not fill memory.
_MAX_CONTENT_TYPES = 1000


class BrokerAway(Exception):
    """The broker did not answer; the client retries by itself."""


class OffsetsGone(Exception):
    """The broker does not have the offsets that were to be read next."""

    def __init__(self, offsets: Mapping[SourcePartition, int]) -> None:
        super().__init__(str(offsets))
        self.offsets = offsets


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A batch of records that a reader could not unpack, and went on behind.

    Attributes:
        position: where it is.
        first_offset: of its first record.
        next_offset: where reading resumed.
        num_records: how many records it has.
        reason: ``too_large`` (it unpacks to more than `max_batch_bytes`) or
            ``damaged``.
        detail: what was wrong, for people.
    """

    position: SourcePartition
    first_offset: int
    next_offset: int
    num_records: int
    reason: str
    detail: str


class Changes(Protocol):
    """Who is told which partitions of the group's topic come and go.

    It must not raise.
    """

    def assigned(self, partitions: Collection[int]) -> None:
        """These are this member's from now on."""

    def revoked(self, partitions: Collection[int]) -> None:
        """These are to be handed over.

        Others get them when this returns, not before.
        """

    def lost(self, partitions: Collection[int]) -> None:
        """These may be somebody else's already."""


class Group(Protocol):
    """A place in a consumer group that shares out the partitions of one topic.

    Reads no records.
    """

    def poll(self, changes: Changes) -> None:
        """Take part in what the group does, without waiting; heartbeats need no call.

        Raises:
            BrokerAway: it will be tried again.
            SourceUnavailable: the group refuses this member.
        """

    def commit(self, offsets: Mapping[SourcePartition, int], *, wait_seconds: float = 0.0) -> None:
        """Tell Kafka how far it is, for lag monitors; a failure does not matter.

        Args:
            offsets: of any partitions.
            wait_seconds: for the answer; 0: do not wait.
        """

    def close(self) -> None:
        """Leave the group; a static member's partitions are kept for it until its
        session times out.
        """


class Reader(Protocol):
    """Reads the partitions that it is given, as a member of no group."""

    def assign(self, positions: Collection[SourcePartition]) -> None:
        """Read these and no others; go on where it was in those that it reads already.

        Seek in new ones.
        """

    def seek(self, offsets: Mapping[SourcePartition, int | None]) -> None:
        """Go on at these offsets; None: at the oldest record."""

    def poll(self, max_wait_seconds: float) -> list[RecordBatch]:
        """Return the next records, at most `batch_records`, as soon as there are any.

        Raises:
            OffsetsGone: seek, then go on.
            BrokerAway: it will be tried again.
            SourceUnavailable: the broker refuses this client.
        """

    def earliest(self, positions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        """Return the offsets of the oldest records.

        Raises:
            BrokerAway: they are not known.
        """

    def end(self, position: SourcePartition) -> int | None:
        """Return where a partition ended when it was last fetched from.

        None: it was not yet.
        """

    def next_offset(self, position: SourcePartition) -> int | None:
        """Return where reading resumes, past what is not a record.

        None: not known yet.
        """

    def ends(self, positions: Collection[SourcePartition]) -> Mapping[SourcePartition, int]:
        """Ask where partitions end now: every record that had reached one when it was
        asked is before its end.

        Raises:
            BrokerAway: the broker does not answer within a moment.
        """

    def passed_over(self) -> Sequence[PassedOver]:
        """Return the batches that were passed over since the last call."""

    def why_silent(self, position: SourcePartition) -> str:
        """Return why the broker does not answer within a moment; empty: it does."""

    def close(self) -> None:
        """Disconnect."""


class TopicDescription(NamedTuple):
    """What a broker says of a topic.

    Attributes:
        num_partitions: 0: there is no such topic.
        topic_id: differs between two topics that had one name, one after the other or
            in two clusters; empty: there is no such topic, or the broker gives none
            (before Kafka 2.8).
    """

    num_partitions: int
    topic_id: str


class Admin(Protocol):
    """Asks the brokers about topics and groups. Used by one thread."""

    def describe(self, topics: Collection[str]) -> Mapping[str, TopicDescription]:
        """Return what the brokers say of topics.

        Raises:
            BrokerAway: they do not, or not now.
        """

    def shares(self, topic: str) -> Sequence[Collection[int]]:
        """Return the partitions of a topic that each member of the settings' group has.

        Raises:
            BrokerAway: the brokers do not say, or not now.
        """

    def close(self) -> None:
        """Disconnect."""


class KafkaClient(Protocol):
    """A client library."""

    def partition_counts(self, topics: Collection[str]) -> Mapping[str, int]:
        """Return how many partitions topics have; 0: there is no such topic.

        Raises:
            SourceUnavailable: no broker answers.
        """

    def group(self, topic: str) -> Group:
        """Join the consumer group of the settings, for the partitions of a topic.

        Raises:
            SourceUnavailable: no broker answers.
        """

    def reader(self) -> Reader:
        """Connect a reader.

        Raises:
            SourceUnavailable: no broker answers.
        """

    def admin(self) -> Admin:
        """Connect what asks about topics and groups.

        Raises:
            SourceUnavailable: no broker answers.
        """


class ContentTypes:
    """Reads the announced encoding off a record's headers, each distinct one decoded
    once.

    Attributes:
        has_cloud_events: whether a record that was read had attributes of a CloudEvent
            in its headers.
    """

    def __init__(self) -> None:
        self._texts: dict[bytes | None, str] = {}
        self.has_cloud_events = False

    def of(self, headers: RawHeaders) -> str:
        """Return the content type; empty: none is announced."""
        content_type = None
        for name, value in headers or ():
            if name == _CONTENT_TYPE or name.lower() == _CONTENT_TYPE:
                if content_type is None:
                    text = self._texts.get(value)
                    content_type = self._learn(value) if text is None else text
            elif name.lower() == _CLOUD_EVENT_MARK:
                self.has_cloud_events = True
        return content_type or ""

    def _learn(self, value: bytes | None) -> str:
        if len(self._texts) >= _MAX_CONTENT_TYPES:
            self._texts.clear()
        text = self._texts[value] = (value or b"").decode("utf-8", "replace")
        return text


def batch_of_columns(  # a column each
    position: SourcePartition,
    offsets: Sequence[int],
    headers: Sequence[RawHeaders],
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    times_ms: Sequence[int],
    content_types: ContentTypes,
) -> RecordBatch:
    """Return Kafka records of one partition as a batch."""
    of = content_types.of
    content_types.has_cloud_events = False
    announced = [of(each) for each in headers]
    has_cloud_events = content_types.has_cloud_events
    return RecordBatch(
        position=position,
        offsets=offsets,
        next_offsets=[offset + 1 for offset in offsets],
        content_types=announced,
        keys=keys,
        values=values,
        times_ms=times_ms,
        headers=[cloud_event_attributes(each) for each in headers] if has_cloud_events else (),
        raw_headers=headers,
    )


def cloud_event_attributes(headers: RawHeaders) -> Headers:
    """Return the attributes of a CloudEvent in binary mode; none: it is not one."""
    found = [
        (name, (value or b"").decode("utf-8", "replace"))
        for name, value in headers or ()
        if name.lower().startswith(_CLOUD_EVENT_PREFIX)
    ]
    return found if any(name.lower() == _CLOUD_EVENT_MARK for name, _ in found) else ()
