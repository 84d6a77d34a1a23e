"""The Kafka client that is always there: kafka-python, for the consuming side."""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    FencedInstanceIdError,
    KafkaError,
    LogTruncationError,
    OffsetOutOfRangeError,
    RetriableError,
)
from kafka.future import Future

from stream.errors import SourceUnavailable
from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.access.reach import Connections, reaching
from stream.kafka.access.security import python_options
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
from stream.kafka.python_batches import bound_batches
from stream.settings import StreamSettings

logger = logging.getLogger(__name__)

# Milliseconds for a broker to show that it is there.
_ANSWER_MS = 1000
# Milliseconds for an answer about topics and groups, which nobody waits for; chosen by
# hand.
_ADMIN_MS = 5000
# Seconds that a fetch of one batch is waited for at a time.
_FETCH_SECONDS = 0.5
# Milliseconds to leave the group in; else the broker waits a session timeout.
_CLOSE_MS = 5000
# Milliseconds between two polls of the thread that keeps the membership.
_GROUP_POLL_MS = 500

_Say = Callable[[Changes, Collection[int]], None]


class StoredRecord(NamedTuple):
    """A record of a topic, whole.

    Attributes:
        headers: names and values, in order.
        time_ms: its own time, UTC epoch milliseconds.
    """

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    time_ms: int


class KafkaPythonClient:
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
        with self._reaching() as connections:
            consumer = self._connect(kafka_client=connections)
            try:
                return {topic: len(consumer.partitions_for_topic(topic) or ()) for topic in topics}
            finally:
                consumer.close(autocommit=False)

    def group(self, topic: str) -> "KafkaPythonGroup":
        """Join the consumer group for the partitions of a topic."""
        assignor = CooperativeStickyAssignor()
        session_ms = round(self._settings.session_timeout_seconds * 1000)
        with self._reaching() as connections:
            consumer = self._connect(
                kafka_client=connections,
                group_id=self._settings.group_id,
                group_instance_id=self._settings.worker_id or None,
                partition_assignment_strategy=[assignor],
                session_timeout_ms=session_ms,
                heartbeat_interval_ms=session_ms // 4,
                max_poll_interval_ms=MAX_POLL_INTERVAL_SECONDS * 1000,
                metadata_max_age_ms=round(self._settings.topic_check_seconds * 1000),
            )
            return KafkaPythonGroup(self._bootstrap, consumer, connections, topic, assignor)

    def reader(self) -> "KafkaPythonReader":
        """Connect a reader."""
        with self._reaching() as connections:
            consumer = self._connect(
                kafka_client=connections,
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_poll_records=self._settings.batch_records,
            )
        return KafkaPythonReader(self._bootstrap, consumer, self._settings.max_batch_bytes)

    def failing_batch(self, position: SourcePartition, offset: int) -> PassedOver | None:
        """Return the batch at an offset if it cannot be unpacked.

        None: it can, or is not to be had within `bootstrap_timeout_seconds`.
        """
        reader = self.reader()
        deadline = time.monotonic() + self._settings.bootstrap_timeout_seconds
        try:
            reader.assign([position])
            reader.seek({position: offset})
            while time.monotonic() < deadline:
                found, failed = reader.poll(_FETCH_SECONDS), reader.passed_over()
                if found or failed:
                    return failed[0] if failed and failed[0].next_offset > offset else None
        except (BrokerAway, OffsetsGone):
            return None
        finally:
            reader.close()
        return None

    def admin(self) -> "KafkaPythonAdmin":
        """Connect what asks about topics and groups."""
        with self._reaching() as connections:
            client = KafkaAdminClient(
                bootstrap_servers=self._bootstrap.split(","),
                client_id="freshet-stream",
                bootstrap_timeout_ms=_ADMIN_MS,
                request_timeout_ms=_ADMIN_MS,
                kafka_client=connections,
                **python_options(self._settings),
            )
        return KafkaPythonAdmin(client, self._settings.group_id)

    def stored_records(self, topic: str) -> Iterator[StoredRecord]:
        """Yield the records that a topic has now, a partition's in order.

        Raises:
            SourceUnavailable: no broker answers, or there is no such topic.
        """
        with self._reaching() as connections:
            consumer = self._connect(kafka_client=connections, isolation_level="read_committed")
            try:
                yield from _to_the_end(consumer, topic, self._bootstrap)
            finally:
                consumer.close(autocommit=False)

    def _reaching(self) -> Any:
        return reaching(self._bootstrap, self._settings, SourceUnavailable)

    def _connect(self, **more: Any) -> Any:
        return KafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","),
            bootstrap_timeout_ms=round(self._settings.bootstrap_timeout_seconds * 1000),
            client_id="freshet-stream",
            allow_auto_create_topics=False,
            enable_auto_commit=False,
            check_crcs=True,
            metrics_enabled=False,
            **python_options(self._settings),
            **more,
        )


def _to_the_end(consumer: Any, topic: str, bootstrap: str) -> Iterator[StoredRecord]:
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise SourceUnavailable(f"Kafka at {bootstrap} has no topic {topic}; check its name")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    consumer.seek_to_beginning(*partitions)
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for found in consumer.poll(timeout_ms=_ANSWER_MS).values():
            for message in found:
                yield StoredRecord(
                    message.key, message.value, tuple(message.headers), message.timestamp
                )


class KafkaPythonGroup:
    """A place in a consumer group.

    What it is given stays paused, so that nothing is fetched.

    A thread of its own polls: the client drops a join that ends while nobody waits for
    it, and other members must not wait until the worker comes round.
    """

    def __init__(
        self,
        bootstrap: str,
        consumer: Any,
        connections: Connections,
        topic: str,
        assignor: CooperativeStickyAssignor,
    ) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer
        self._connections = connections
        self._listener = _Listener(consumer, assignor)
        self._failure: KafkaError | None = None
        self._polled_at = time.monotonic()
        self._closing = Event()
        consumer.subscribe([topic], listener=self._listener)
        # Joining before the metadata is here would assign nothing, and the group would
        # join again.
        consumer.partitions_for_topic(topic)
        self._thread = Thread(target=self._take_part, name="kafka-group", daemon=True)
        self._thread.start()

    def poll(self, changes: Changes) -> None:
        """Tell what the group did, without waiting.

        What was revoked is handed over when this returns.
        """
        self._polled_at = time.monotonic()
        if self._listener.tell(changes):
            self._consumer.commit_async({})  # wakes the client's thread
        failure, self._failure = self._failure, None
        if isinstance(failure, RetriableError):
            raise BrokerAway(str(failure)) from failure
        if failure is not None:
            raise _refused(self._bootstrap, failure) from failure

    def commit(self, offsets: Mapping[SourcePartition, int], *, wait_seconds: float = 0.0) -> None:
        """Tell Kafka how far it is.

        What is refused without waiting comes out of a later poll.
        """
        packed = {
            TopicPartition(position.source, position.partition): OffsetAndMetadata(offset, "", -1)
            for position, offset in offsets.items()
        }
        if wait_seconds:
            with suppress(KafkaError):
                self._consumer.commit(packed, timeout_ms=round(wait_seconds * 1000))
        else:
            self._consumer.commit_async(packed)

    def close(self) -> None:
        """Leave the group."""
        self._closing.set()
        self._listener.let_go()
        self._thread.join()
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)
        # where the group refuses this member the consumer does not get to that
        self._connections.close()

    def _take_part(self) -> None:
        while not self._closing.is_set():
            if time.monotonic() - self._polled_at > MAX_POLL_INTERVAL_SECONDS:
                self._closing.wait(
                    _GROUP_POLL_MS / 1000
                )  # the worker hangs: the client leaves the group
                continue
            try:
                self._consumer.poll(timeout_ms=_GROUP_POLL_MS)
            except KafkaError as error:
                self._failure = error
                self._closing.wait(_GROUP_POLL_MS / 1000)


class KafkaPythonReader:
    """Reads the partitions that it is given."""

    def __init__(self, bootstrap: str, consumer: Any, max_batch_bytes: int) -> None:
        self._bootstrap = bootstrap
        self._consumer = consumer
        self._passed_over: list[PassedOver] = []
        bound_batches(consumer, max_batch_bytes, self._passed_over.append)
        self._content_types = ContentTypes()
        self._truncation: LogTruncationError | None = None

    def assign(self, positions: Collection[SourcePartition]) -> None:
        """Read these and no others."""
        self._consumer.assign([_partition(position) for position in positions])

    def seek(self, offsets: Mapping[SourcePartition, int | None]) -> None:
        """Go on at these offsets; None: at the oldest record."""
        for position, offset in offsets.items():
            if offset is None:
                self._consumer.seek_to_beginning(_partition(position))
            else:
                self._consumer.seek(_partition(position), offset)

    def poll(self, max_wait_seconds: float) -> list[RecordBatch]:
        """Return the next records."""
        truncation, self._truncation = self._truncation, None
        try:
            if truncation is not None:
                raise truncation
            polled = self._consumer.poll(timeout_ms=round(max_wait_seconds * 1000))
        except LogTruncationError as error:
            raise OffsetsGone(self._beyond_end(error)) from error
        except OffsetOutOfRangeError as error:
            raise OffsetsGone(
                {SourcePartition(*each): offset for each, offset in error.args[0].items()}
            ) from error
        except RetriableError as error:
            raise BrokerAway(str(error)) from error
        except KafkaError as error:
            raise _refused(self._bootstrap, error) from error
        return [
            self._batch(SourcePartition(*partition), found) for partition, found in polled.items()
        ]

    def earliest(self, positions: Collection[SourcePartition]) -> dict[SourcePartition, int]:
        """Return the offsets of the oldest records."""
        try:
            found = self._consumer.beginning_offsets(
                [_partition(position) for position in positions]
            )
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        return {SourcePartition(*partition): offset for partition, offset in found.items()}

    def end(self, position: SourcePartition) -> int | None:
        """Return where a partition ended when it was last fetched from."""
        end: int | None = self._consumer.highwater(_partition(position))
        return end

    def next_offset(self, position: SourcePartition) -> int | None:
        """Return where reading resumes, past transaction marks too."""
        try:
            offset: int | None = self._consumer.position(_partition(position), timeout_ms=0)
        except LogTruncationError as error:
            self._truncation = error  # the library tells whoever asks first, and only once
        except KafkaError:
            pass
        else:
            return offset
        return None

    def ends(self, positions: Collection[SourcePartition]) -> dict[SourcePartition, int]:
        """Ask where partitions end now."""
        asked = [_partition(position) for position in positions]
        try:
            found = self._consumer.end_offsets(asked, timeout_ms=_ANSWER_MS)
        except KeyError as error:  # how the library says that a partition has no leader now
            raise BrokerAway(f"no answer for {error}: it has no leader now") from error
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        return {SourcePartition(*partition): offset for partition, offset in found.items()}

    def passed_over(self) -> list[PassedOver]:
        """Return the batches that were passed over since the last call."""
        found = self._passed_over.copy()
        self._passed_over.clear()
        return found

    def why_silent(self, position: SourcePartition) -> str:
        """Return why the broker does not answer within a moment; empty: it does."""
        try:
            self.ends([position])
        except BrokerAway as error:
            return str(error) or "no answer"
        return ""

    def close(self) -> None:
        """Disconnect."""
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def _beyond_end(self, truncation: LogTruncationError) -> dict[SourcePartition, int]:
        """Return the offsets that are behind the end of their partition now.

        Leaves out what was sought elsewhere since the broker was asked.
        """
        found: dict[SourcePartition, int] = {}
        for partition in self._consumer.assignment() & truncation.divergent_offsets.keys():
            end = truncation.divergent_offsets[partition]  # None: the broker does not know
            offset = self.next_offset(SourcePartition(*partition))
            if offset is not None and (end is None or end.offset < offset):
                found[SourcePartition(*partition)] = offset
        return found

    def _batch(self, position: SourcePartition, found: list[Any]) -> RecordBatch:
        return batch_of_columns(
            position,
            [message.offset for message in found],
            [message.headers for message in found],
            [message.key for message in found],
            [message.value for message in found],
            [message.timestamp for message in found],
            self._content_types,
        )


class KafkaPythonAdmin:
    """Asks the brokers about topics and groups."""

    def __init__(self, client: Any, group_id: str) -> None:
        self._client = client
        self._group_id = group_id

    def describe(self, topics: Collection[str]) -> dict[str, TopicDescription]:
        """Return what the brokers say of topics."""
        try:
            found = self._client.describe_topics(list(topics))
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        return {
            each["name"]: TopicDescription(len(each["partitions"]), each.get("topic_id") or "")
            for each in found
        }

    def shares(self, topic: str) -> list[set[int]]:
        """Return the partitions of a topic that each member of the group has."""
        try:
            members = self._client.describe_groups([self._group_id])[self._group_id]["members"]
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        shares = [member["member_assignment"] or {} for member in members]
        return [
            {
                partition
                for each in share.get("assigned_partitions", ())
                if each["topic"] == topic
                for partition in each["partitions"]
            }
            for share in shares
        ]

    def close(self) -> None:
        """Disconnect."""
        with suppress(KafkaError):
            self._client.close()


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client is not typed
    """Notes what the client says on its own thread, to be told on the worker's.

    Heartbeats must not wait.
    """

    def __init__(self, consumer: Any, assignor: CooperativeStickyAssignor) -> None:
        self._consumer = consumer
        self._assignor = assignor
        self._noted: deque[tuple[_Say, list[int], Future]] = deque()
        self._waits = True

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for partition in assigned:
            self._consumer.pause(partition)
            self._consumer.seek(partition, 0)  # without a position the client would look one up
        self._note(lambda changes, numbers: changes.assigned(numbers), assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Return when the worker has let go.

        Only then does the client let the group share them out anew.
        """
        told = self._note(lambda changes, numbers: changes.revoked(numbers), revoked)
        if self._waits:
            await told

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        # The assignor would go on claiming them, and the group might believe it.
        self._assignor.member_assignment = None
        self._note(lambda changes, numbers: changes.lost(numbers), lost)

    def tell(self, changes: Changes) -> bool:
        """Tell all that was noted; return whether there was anything."""
        has_any = bool(self._noted)
        while self._noted:
            say, partitions, told = self._noted.popleft()
            say(changes, partitions)
            told.success(None)
        return has_any

    def let_go(self) -> None:
        """Wait for nobody any more."""
        self._waits = False
        while self._noted:
            self._noted.popleft()[2].success(None)

    def _note(self, say: _Say, partitions: Iterable[TopicPartition]) -> Any:
        told = Future()
        self._noted.append((say, sorted(partition.partition for partition in partitions), told))
        return told


def _partition(position: SourcePartition) -> TopicPartition:
    return TopicPartition(position.source, position.partition)


def _refused(bootstrap: str, error: KafkaError) -> SourceUnavailable:
    if isinstance(error, FencedInstanceIdError):
        return SourceUnavailable(
            "another freshet stream joined the group with this stream.worker_id; give each its own"
        )
    return SourceUnavailable(
        f"Kafka at {bootstrap} refused ({error}); check the broker's log and this client's rights"
    )
