"""The faster Kafka client, an extra.

Confluent-kafka (librdkafka), for the consuming side.
"""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream.errors import SourceUnavailable
from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.access.refusals import unreachable
from stream.kafka.access.security import confluent_options
from stream.kafka.access.tokens import TokenUnavailable
from stream.kafka.client import (
    MAX_POLL_INTERVAL_SECONDS,
    BrokerAway,
    Changes,
    ContentTypes,
    OffsetsGone,
    PassedOver,
    TopicDescription,
    batch_of_columns,
)
from stream.kafka.python_client import KafkaPythonClient
from stream.settings import StreamSettings

logger = logging.getLogger(__name__)

# Seconds for a broker to show that it is there.
_ANSWER_SECONDS = 1.0
# Seconds for an answer about topics and groups, which nobody waits for; chosen by hand.
_ADMIN_SECONDS = 5.0
# Seconds to leave the group in; without that the broker waits a session timeout.
_CLOSE_SECONDS = 5.0
# Seconds between two looks whether the group was left.
_CLOSE_POLL_SECONDS = 0.05
# KiB fetched ahead of the worker: bounds memory; many times a batch.
_MAX_FETCHED_KBYTES = 32 * 1024
# Bytes; the library's own default. Half as much would be less than a fetch may bring.
_LEAST_RECEIVED_BYTES = 100_000_000
# Complaints remembered of a client that lives long; the first tries say all.
_MAX_CAUSES = 9
_CAUSE = re.compile(r"(?:\[thrd:[^\]]*\]: )?(?:\S+: )*(?P<cause>.*?)(?: \(after .*)?$", re.DOTALL)
_MISSING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001  # their public name
_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError._FATAL}  # noqa: SLF001  # as above
_GONE = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}  # noqa: SLF001  # as above


class ConfluentClient:
    """Makes consumers.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: group, timeouts, sizes.
    """

    def __init__(self, bootstrap: str, settings: StreamSettings) -> None:
        self._bootstrap = bootstrap
        self._settings = settings

    def partition_counts(self, topics: Collection[str]) -> dict[str, int]:
        """Return how many partitions topics have; 0: there is no such topic."""
        causes = _Causes()
        consumer = self._connect(causes)
        try:
            return {topic: self._partition_count(consumer, causes, topic) for topic in topics}
        finally:
            consumer.close()

    def group(self, topic: str) -> "ConfluentGroup":
        """Join the consumer group for the partitions of a topic."""
        options: dict[str, Any] = {
            "group.protocol": self._settings.group_protocol,
            "max.poll.interval.ms": MAX_POLL_INTERVAL_SECONDS * 1000,
            "topic.metadata.refresh.interval.ms": self._topic_check_ms,
        }
        if self._settings.group_protocol == "classic":  # else the brokers say these
            session_ms = round(self._settings.session_timeout_seconds * 1000)
            options |= {
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": session_ms // 4,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        if self._settings.worker_id:
            options["group.instance.id"] = self._settings.worker_id
        causes = _Causes()
        consumer = self._connect(causes, **options)
        return ConfluentGroup(self._bootstrap, consumer, topic, causes, self._settings)

    def reader(self) -> "ConfluentReader":
        """Connect a reader."""
        options = {
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": _MAX_FETCHED_KBYTES,
            # It bounds what zstd unpacks to, and must be above the largest fetch.
            "receive.message.max.bytes": max(_LEAST_RECEIVED_BYTES, self._settings.max_batch_bytes),
        }
        return ConfluentReader(
            self._bootstrap,
            self._connect(_Causes(), **options),
            self._admin_client(),
            self._settings,
        )

    def admin(self) -> "ConfluentAdmin":
        """Make what asks about topics and groups; it connects when it is asked."""
        return ConfluentAdmin(self._admin_client(), self._settings.group_id)

    def _admin_client(self) -> AdminClient:
        options: dict[str, Any] = {
            "bootstrap.servers": self._bootstrap,
            "client.id": "freshet-stream",
            "error_cb": lambda _error: None,  # what is asked says itself what went wrong
            "log_level": 0,
            **self._security,
        }
        return AdminClient(options)

    @property
    def _security(self) -> dict[str, Any]:
        try:
            return confluent_options(self._settings)
        except TokenUnavailable as error:
            raise SourceUnavailable(str(error)) from error

    @property
    def _topic_check_ms(self) -> int:
        return round(self._settings.topic_check_seconds * 1000)

    def _connect(self, causes: "_Causes", **options: Any) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "client.id": "freshet-stream",
                "group.id": self._settings.group_id,
                "allow.auto.create.topics": False,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "check.crcs": True,
                "error_cb": causes.note,
                # Errors come by the callback. A Python logger would be called by a
                # thread that closing waits for while it holds the interpreter's lock:
                # neither would ever return.
                "log_level": 0,
                **self._security,
                **options,
            }
        )

    def _partition_count(self, consumer: Consumer, causes: "_Causes", topic: str) -> int:
        try:
            found = consumer.list_topics(topic, timeout=self._settings.bootstrap_timeout_seconds)
        except KafkaException as error:
            consumer.poll(0)  # lets it say why
            noted = causes.noted or [_text(error.args[0])]
            raise SourceUnavailable(unreachable(self._bootstrap, noted, self._settings)) from error
        metadata = found.topics[topic]
        if metadata.error is not None and metadata.error.code() not in _MISSING:
            raise _refused(self._bootstrap, metadata.error)
        return len(metadata.partitions)


class ConfluentGroup:
    """A place in a consumer group.

    What it is given stays paused, so that nothing is fetched.
    """

    def __init__(
        self,
        bootstrap: str,
        consumer: Consumer,
        topic: str,
        causes: "_Causes",
        settings: StreamSettings,
    ) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer
        self._settings = settings
        self._causes = causes
        self._changes: Changes | None = None
        consumer.subscribe(
            [topic],
            on_assign=self._on_assign,
            on_revoke=lambda _consumer, revoked: self._tell(
                lambda changes, numbers: changes.revoked(numbers), revoked
            ),
            on_lost=lambda _consumer, lost: self._tell(
                lambda changes, numbers: changes.lost(numbers), lost
            ),
        )

    def poll(self, changes: Changes) -> None:
        """Take part in what the group does, without waiting.

        The client calls back within, and hands what was revoked over when that returns.
        """
        self._changes = changes
        try:
            message = self._consumer.poll(0)
        except KafkaException as error:
            raise _refused(self._bootstrap, error.args[0]) from error
        finally:
            self._changes = None
        cause = self._causes.fatal or (message.error() if message is not None else None)
        if cause is not None and not _is_passing(cause, self._settings):
            raise _refused(self._bootstrap, cause)

    def commit(self, offsets: Mapping[SourcePartition, int], *, wait_seconds: float = 0.0) -> None:
        """Tell Kafka how far it is."""
        packed = [_partition(position, offset) for position, offset in offsets.items()]
        with suppress(KafkaException):
            if packed and wait_seconds:
                self._consumer.commit(offsets=packed, asynchronous=False)
            elif packed:
                self._consumer.commit(offsets=packed)

    def close(self) -> None:
        """Leave the group.

        What it is given at this very moment is given back first: closing would wait for
        that without end.
        """
        with suppress(KafkaException):
            self._consumer.unsubscribe()
            deadline = time.monotonic() + _CLOSE_SECONDS
            self._consumer.poll(0)
            while self._consumer.assignment() and time.monotonic() < deadline:
                self._consumer.poll(_CLOSE_POLL_SECONDS)
        with suppress(KafkaException):
            self._consumer.close()

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        consumer.incremental_assign(
            [TopicPartition(each.topic, each.partition, OFFSET_END) for each in assigned]
        )
        consumer.pause(assigned)
        self._tell(lambda changes, numbers: changes.assigned(numbers), assigned)

    def _tell(
        self, say: Callable[[Changes, Collection[int]], None], partitions: Iterable[TopicPartition]
    ) -> None:
        numbers = sorted(partition.partition for partition in partitions)
        if self._changes is not None and numbers:
            say(self._changes, numbers)


class ConfluentReader:
    """Reads the partitions that it is given."""

    def __init__(
        self, bootstrap: str, consumer: Consumer, admin: AdminClient, settings: StreamSettings
    ) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer
        self._admin = admin
        self._settings = settings
        self._passed_over: list[PassedOver] = []
        self._content_types = ContentTypes()
        self._next: dict[SourcePartition, int | None] = {}

    def assign(self, positions: Collection[SourcePartition]) -> None:
        """Read these and no others; `seek` starts the new ones."""
        dropped = [position for position in self._next if position not in positions]
        if dropped:
            self._consumer.incremental_unassign([_partition(position) for position in dropped])
        for position in dropped:
            del self._next[position]

    def seek(self, offsets: Mapping[SourcePartition, int | None]) -> None:
        """Go on at these offsets; None: at the oldest record.

        What was fetched before is dropped.
        """
        known = [_partition(position) for position in offsets if position in self._next]
        if known:
            self._consumer.incremental_unassign(known)
        self._consumer.incremental_assign(
            [
                _partition(position, OFFSET_BEGINNING if offset is None else offset)
                for position, offset in offsets.items()
            ]
        )
        self._next.update(offsets)

    def poll(self, max_wait_seconds: float) -> list[RecordBatch]:
        """Return the next records."""
        messages = self._consumer.consume(1, max_wait_seconds)
        if not messages:
            return []
        messages += self._consumer.consume(self._settings.batch_records - 1, 0)
        found: dict[tuple[str | None, int | None], list[Any]] = defaultdict(list)
        failed = []
        for message in messages:
            if message.error() is None:
                found[message.topic(), message.partition()].append(message)
            else:
                failed.append(message)
        batches = [self._batch(_position(messages[0]), messages) for messages in found.values()]
        self._next |= {batch.position: batch.next_offset for batch in batches}
        if failed:
            self._handle(failed, batches)
        return batches

    def earliest(self, positions: Collection[SourcePartition]) -> dict[SourcePartition, int]:
        """Return the offsets of the oldest records."""
        return {position: self._watermarks(position)[0] for position in positions}

    def end(self, position: SourcePartition) -> int | None:
        """Return where a partition ended when it was last fetched from."""
        _, end = self._consumer.get_watermark_offsets(_partition(position), cached=True)
        return end if end >= 0 else None

    def next_offset(self, position: SourcePartition) -> int | None:
        """Return where reading resumes, past transaction marks too."""
        return self._next.get(position)

    def ends(self, positions: Collection[SourcePartition]) -> dict[SourcePartition, int]:
        """Ask where partitions end now.

        On a connection of its own: on the consumer's, each answer waits for the fetch
        before it, half a second where nothing comes.
        """
        newest: Any = OffsetSpec
        asked = self._admin.list_offsets(
            {_partition(position): newest.latest() for position in positions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_ANSWER_SECONDS,
        )
        try:
            return {
                SourcePartition(at.topic, at.partition): answer.result().offset
                for at, answer in asked.items()
            }
        except KafkaException as error:
            raise BrokerAway(_text(error.args[0])) from error

    def passed_over(self) -> list[PassedOver]:
        """Return the batches that were passed over since the last call."""
        found, self._passed_over = self._passed_over, []
        return found

    def why_silent(self, position: SourcePartition) -> str:
        """Return why the broker does not answer within a moment; empty: it does."""
        try:
            self._watermarks(position)
        except BrokerAway as error:
            return str(error) or "no answer"
        return ""

    def close(self) -> None:
        """Disconnect."""
        with suppress(KafkaException):
            self._consumer.close()

    def _watermarks(self, position: SourcePartition) -> tuple[int, int]:
        try:
            found = self._consumer.get_watermark_offsets(
                _partition(position), timeout=_ANSWER_SECONDS
            )
        except KafkaException as error:
            raise BrokerAway(_text(error.args[0])) from error
        if found is None:
            raise BrokerAway("no answer")
        return found

    def _handle(self, failed: list[Message], batches: list[RecordBatch]) -> None:
        """Record ends, and raise what is more than that.

        Records that came with it come again.
        """
        gone: dict[SourcePartition, int] = {}
        for message in failed:
            error = message.error()
            assert error is not None  # noqa: S101  # that is why it is here
            if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
                self._next[_position(message)] = message.offset()
            elif error.code() == KafkaError._BAD_COMPRESSION:  # noqa: SLF001  # its public name
                self._pass_over(_position(message), message.offset())
            elif error.code() in _GONE and message.topic() is not None:
                gone[_position(message)] = self._next.get(_position(message)) or 0
            elif not _is_passing(error, self._settings):
                raise _refused(self._bootstrap, error)
            else:
                logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, _text(error))
        if gone:
            self.seek({batch.position: batch.offsets[0] for batch in batches})
            raise OffsetsGone(gone)

    def _pass_over(self, position: SourcePartition, offset: int | None) -> None:
        """Go on behind a batch that the library could not unpack.

        It does not say where that ends; the other client, which is always there, does.
        """
        first = offset if offset is not None and offset >= 0 else self._next.get(position) or 0
        other = KafkaPythonClient(self._bootstrap, self._settings)
        found = other.failing_batch(position, first)
        if found is None:
            logger.warning("batch not unpacked position=%s offset=%d", position, first)
        else:
            self._passed_over.append(found)
            self.seek({position: found.next_offset})

    def _batch(self, position: SourcePartition, found: list[Any]) -> RecordBatch:
        return batch_of_columns(
            position,
            [message.offset() for message in found],
            [message.headers() for message in found],
            [message.key() for message in found],
            [message.value() for message in found],
            [message.timestamp()[1] for message in found],
            self._content_types,
        )


class ConfluentAdmin:
    """Asks the brokers about topics and groups."""

    def __init__(self, client: AdminClient, group_id: str) -> None:
        self._client = client
        self._group_id = group_id

    def describe(self, topics: Collection[str]) -> dict[str, TopicDescription]:
        """Return what the brokers say of topics."""
        asked = self._client.describe_topics(
            TopicCollection(list(topics)), request_timeout=_ADMIN_SECONDS
        )
        return {topic: _description(answer) for topic, answer in asked.items()}

    def shares(self, topic: str) -> list[set[int]]:
        """Return the partitions of a topic that each member of the group has."""
        asked = self._client.describe_consumer_groups(
            [self._group_id], request_timeout=_ADMIN_SECONDS
        )
        try:
            members = asked[self._group_id].result().members
        except KafkaException as error:
            raise BrokerAway(_text(error.args[0])) from error
        return [
            {
                each.partition
                for each in (member.assignment.topic_partitions if member.assignment else ())
                if each.topic == topic
            }
            for member in members
        ]

    def close(self) -> None:
        """Do nothing: it disconnects when it is forgotten."""


def _description(answer: Any) -> TopicDescription:
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() in _MISSING:
            return TopicDescription(0, "")
        raise BrokerAway(_text(error.args[0])) from error
    words = found.topic_id.get_most_significant_bits(), found.topic_id.get_least_significant_bits()
    number = (words[0] % (1 << 64) << 64) + words[1] % (1 << 64)
    return TopicDescription(len(found.partitions), str(UUID(int=number)) if number else "")


class _Causes:
    """Remembers what the client complained about that is not just a consequence."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.fatal: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = error
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # its public name
            self.noted = [*self.noted[-_MAX_CAUSES:], _text(error)]


def _partition(position: SourcePartition, offset: int | None = None) -> TopicPartition:
    if offset is None:
        return TopicPartition(position.source, position.partition)
    return TopicPartition(position.source, position.partition, offset)


def _position(message: Message) -> SourcePartition:
    topic, partition = message.topic(), message.partition()
    assert topic is not None  # noqa: S101  # only messages of a partition are asked
    assert partition is not None  # noqa: S101  # as above
    return SourcePartition(topic, partition)


def _is_passing(error: KafkaError, settings: StreamSettings) -> bool:
    """Whether the client recovers by itself.

    Brokers that are away, leaders that move, ends of partitions; a token that ran out,
    for the next may come late, and whether tokens fit at all was seen at the start.
    """
    refusals = {KafkaError._FATAL} if settings.uses_tokens else _REFUSALS  # noqa: SLF001  # as above
    is_local = error.code() < 0 and error.code() not in refusals
    return not error.fatal() and (is_local or bool(error.retriable()) or error.code() in _MISSING)


def _text(error: KafkaError) -> str:
    match = _CAUSE.match(error.str())
    return match["cause"] if match else error.str()


def _refused(bootstrap: str, error: KafkaError) -> SourceUnavailable:
    is_fenced = (
        error.code() == KafkaError.FENCED_INSTANCE_ID
        or "same group.instance.id" in error.str()
        or "instance ID is still used" in error.str()
    )
    if is_fenced:  # the code of a fatal error does not say which
        return SourceUnavailable(
            "another freshet stream joined the group with this stream.worker_id; give each its own"
        )
    if "ConsumerGroupHeartbeat" in error.str() or error.code() == KafkaError.UNSUPPORTED_VERSION:
        return SourceUnavailable(
            f"Kafka at {bootstrap} does not share partitions out ({_text(error)}): it is older "
            "than 4.0, or told not to; set stream.group_protocol to classic"
        )
    return SourceUnavailable(
        f"Kafka at {bootstrap} refused ({_text(error)}); check the broker's log and this "
        "client's rights"
    )
