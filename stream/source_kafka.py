"""Kafka topics in, records and positions out: the one place that consumes."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import FencedInstanceIdError, KafkaError, OffsetOutOfRangeError, RetriableError

from stream.broker import reaching
from stream.errors import SourceMismatch, SourceUnavailable, StreamError
from stream.events import Position, Record
from stream.settings import StreamSettings
from stream.store import Store

logger = logging.getLogger(__name__)

_CONTENT_TYPE = "content-type"
_TOPIC_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 5.0
_CONTACT_SECONDS = 5.0
_ANSWER_MS = 1000


class KafkaSource:
    """Reads the click, session and catalogue topics as one member of a consumer group.

    Partition n of every topic belongs to shard n. The positions in the store count; Kafka's committed offsets
    are ignored.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: topics, group, timeouts.

    Raises:
        SourceUnavailable: no broker answers, or topics are missing.
        SourceMismatch: the topics have different numbers of partitions.
    """

    shards_by_partition = True

    def __init__(self, bootstrap: str, settings: StreamSettings) -> None:
        self._bootstrap = bootstrap
        self._settings = settings
        self._topics = [
            topic
            for topic in (settings.clicks_topic, settings.sessions_topic, settings.catalog_topic)
            if topic
        ]
        if not self._topics:
            raise SourceMismatch("every topic is set to ''; name at least stream.clicks_topic")
        self._consumer: Any = None
        self._assignment: _Assignment | None = None
        self._polled_end: dict[Position, int] = {}
        self._pending: dict[Position, int] = {}
        self._committed_at = self._contact_at = time.monotonic()
        self._is_away = False
        self.num_partitions = self._count_partitions()

    def start(self, store: Store) -> None:
        """Join the consumer group; shards are opened as their partitions are assigned.

        Raises:
            SourceMismatch: the store has another number of shards than the topics have partitions.
            SourceUnavailable: no broker answers.
            StoreBusy: another process has the store; joining would take its membership of the group away.
        """
        store.check_free()
        if store.num_shards != self.num_partitions:
            raise SourceMismatch(
                f"the topics have {self.num_partitions} partitions, but store {store.root} has "
                f"{store.num_shards} shards: use another store, or build it again from the topics"
            )
        with reaching(self._bootstrap, SourceUnavailable) as connections:
            self._consumer = self._connect(
                kafka_client=connections,
                group_id=self._settings.group_id,
                # Static membership: a worker that was killed has its partitions back as soon as it is up.
                group_instance_id=f"freshet-{store.store_id}",
                partition_assignment_strategy=[RangePartitionAssignor],
                auto_offset_reset="none",
                isolation_level="read_committed",
                max_poll_records=self._settings.batch_records,
                session_timeout_ms=round(self._settings.session_timeout_seconds * 1000),
                heartbeat_interval_ms=round(self._settings.session_timeout_seconds * 1000 / 4),
            )
            self._assignment = _Assignment(self._consumer, store)
            self._consumer.subscribe(self._topics, listener=self._assignment)
            # Joining before the metadata is here would assign nothing, and the group would join again.
            for topic in self._topics:
                self._consumer.partitions_for_topic(topic)

    def poll(self) -> Sequence[Record]:
        """Return the next records; none when none came within `poll_seconds`.

        A broker that is away is waited for.

        Raises:
            SourceUnavailable: the broker refuses this consumer.
            StoreError: a shard that was assigned cannot be opened.
        """
        try:
            polled = self._consumer.poll(timeout_ms=round(self._settings.poll_seconds * 1000))
        except OffsetOutOfRangeError as error:
            self._restart_from_earliest(error.args[0])
            return []
        except RetriableError as error:
            logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, error)
            time.sleep(self._settings.poll_seconds)
            return []
        except KafkaError as error:
            raise self._refused(error) from error
        if self._assignment and self._assignment.failure:
            raise self._assignment.failure
        self._check_contact(has_records=bool(polled))
        return [record for partition, found in polled.items() for record in self._records(partition, found)]

    @property
    def exhausted(self) -> bool:
        """Never: a topic does not end."""
        return False

    @property
    def is_behind(self) -> bool:
        """Whether records wait in the assigned partitions, or may wait because the broker is away."""
        return self._is_away or any(self.behind_records().values())

    def behind_records(self) -> dict[tuple[str, int], int]:
        """Return how many records wait, by topic and partition; leaves out what was not fetched from yet."""
        behind = {}
        for partition in self._assigned():
            end, position = self._consumer.highwater(partition), self._next_offset(partition)
            if end is not None and position is not None:
                behind[partition.topic, partition.partition] = max(end - position, 0)
        return behind

    def applied(self, positions: Mapping[Position, int]) -> None:
        """Take note that records are in the store, and now and then commit their offsets to Kafka."""
        for position, next_offset in positions.items():
            self._pending[position] = next_offset
            if next_offset >= self._polled_end.get(position, 0):
                del self._pending[position]
        if time.monotonic() - self._committed_at >= self._settings.commit_every_seconds:
            self._commit()

    def close(self) -> None:
        """Commit what is applied, as far as that works, and disconnect.

        The group keeps the partitions for this store until the session times out, in case it comes back.
        """
        if self._consumer is None:
            return
        timeout_ms = round(_CLOSE_SECONDS * 1000)
        with suppress(KafkaError):
            self._consumer.commit(self._offsets(), timeout_ms=timeout_ms)
        with suppress(KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=timeout_ms)
        self._consumer = None

    def _count_partitions(self) -> int:
        with reaching(self._bootstrap, SourceUnavailable) as connections:
            consumer = self._connect(kafka_client=connections)
        try:
            counts = self._wait_for_topics(consumer)
        except KafkaError as error:
            raise self._refused(error) from error
        finally:
            consumer.close(autocommit=False)
        if len(set(counts.values())) > 1:
            raise SourceMismatch(
                f"the topics must have equally many partitions, but have {_listed(counts)}; create them anew"
            )
        return max(counts.values())

    def _wait_for_topics(self, consumer: Any) -> dict[str, int]:
        deadline = time.monotonic() + self._settings.bootstrap_timeout_seconds
        is_told = False
        while True:
            counts = {topic: len(consumer.partitions_for_topic(topic)) for topic in self._topics}
            missing = [topic for topic, count in counts.items() if not count]
            if not missing:
                return counts
            if not is_told:
                logger.warning("waiting for topics bootstrap=%s topics=%s", self._bootstrap, missing)
                is_told = True
            if time.monotonic() >= deadline:
                raise SourceUnavailable(
                    f"Kafka at {self._bootstrap} has no topic {', '.join(missing)}; create it with as many "
                    "partitions as the others, or leave a topic out by setting its name to ''"
                )
            time.sleep(_TOPIC_RETRY_SECONDS)

    def _connect(self, **more: Any) -> Any:
        return KafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","),
            bootstrap_timeout_ms=round(self._settings.bootstrap_timeout_seconds * 1000),
            client_id="freshet-stream",
            allow_auto_create_topics=False,
            enable_auto_commit=False,
            check_crcs=True,
            metrics_enabled=False,
            **more,
        )

    def _check_contact(self, *, has_records: bool) -> None:
        """Tell a silent topic from a broker that is away, for which the client itself retries without end."""
        now = time.monotonic()
        if not has_records and now - self._contact_at < _CONTACT_SECONDS:
            return
        self._contact_at = now
        if not has_records:
            self._commit()
        was_away, self._is_away = self._is_away, not (has_records or self._answers())
        if self._is_away != was_away:
            event = "broker away" if self._is_away else "broker back"
            logger.warning("%s bootstrap=%s", event, self._bootstrap)

    def _answers(self) -> bool:
        try:
            self._consumer.end_offsets([TopicPartition(self._topics[0], 0)], timeout_ms=_ANSWER_MS)
        except KafkaError:
            return False
        return True

    def _assigned(self) -> Iterable[TopicPartition]:
        return self._consumer.assignment() if self._consumer is not None else ()

    def _next_offset(self, partition: TopicPartition) -> int | None:
        """The first offset not applied; the client's own position also moves past transaction marks."""
        pending = self._pending.get(Position(*partition))
        if pending is not None:
            return pending
        with suppress(KafkaError):
            offset: int | None = self._consumer.position(partition, timeout_ms=0)
            return offset
        return None

    def _records(self, partition: TopicPartition, found: Sequence[Any]) -> list[Record]:
        position = Position(*partition)
        self._pending[position] = found[0].offset
        self._polled_end[position] = found[-1].offset + 1
        return [
            Record(
                position=position,
                offset=message.offset,
                next_offset=message.offset + 1,
                content_type=_content_type(message.headers),
                key=message.key,
                value=message.value,
            )
            for message in found
        ]

    def _commit(self) -> None:
        """Commit to Kafka, without waiting; being fenced off comes out of the next poll."""
        self._committed_at = time.monotonic()
        self._consumer.commit_async(self._offsets())

    def _offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        offsets = {partition: self._next_offset(partition) for partition in self._assigned()}
        return {
            partition: OffsetAndMetadata(offset, "", -1)
            for partition, offset in offsets.items()
            if offset is not None
        }

    def _restart_from_earliest(self, stored_offsets: Mapping[TopicPartition, int]) -> None:
        """Go on at the oldest record there is: the broker does not have the stored offset (any more)."""
        try:
            earliest = self._consumer.beginning_offsets(list(stored_offsets))
        except KafkaError as error:
            logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, error)
            return
        for partition, stored in stored_offsets.items():
            logger.error(
                "offset out of range topic=%s partition=%d stored=%d going_on_at=%d records_lost=%d",
                partition.topic,
                partition.partition,
                stored,
                earliest[partition],
                max(earliest[partition] - stored, 0),
            )
        self._consumer.seek_to_beginning(*stored_offsets)

    def _refused(self, error: KafkaError) -> StreamError:
        if self._assignment is not None and self._assignment.failure:
            return self._assignment.failure
        if isinstance(error, FencedInstanceIdError):
            return SourceUnavailable(
                "another freshet stream took over this store's partitions; run one on a store and its copies"
            )
        return SourceUnavailable(
            f"Kafka at {self._bootstrap} refused ({error}); check the broker's log and this client's rights"
        )


class _Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # the client is not typed
    """Opens and closes shards as the group gives and takes partitions.

    The client calls this on its own thread, but only while the worker's thread waits in `poll` or `close`, so
    never while a batch is applied. An error is kept for `poll` to raise: the client would log a traceback.
    """

    def __init__(self, consumer: Any, store: Store) -> None:
        self._consumer = consumer
        self._store = store
        self.failure: StreamError | None = None

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        try:
            for partition in sorted(assigned):
                self._seek(partition)
        except StreamError as error:
            self.failure = error
            self._consumer.pause(*assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        shards = sorted({partition.partition for partition in revoked})
        try:
            for shard in shards:
                logger.info("partition revoked partition=%d", shard)
                self._store.close_shard(shard)
        except StreamError as error:
            self.failure = error

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)

    def _seek(self, partition: TopicPartition) -> None:
        positions = self._store.shard(partition.partition).positions()
        offset = positions.get(Position(partition.topic, partition.partition))
        logger.info(
            "partition assigned topic=%s partition=%d next_offset=%s",
            partition.topic,
            partition.partition,
            "earliest" if offset is None else offset,
        )
        if offset is None:
            self._consumer.seek_to_beginning(partition)
        else:
            self._consumer.seek(partition, offset)


def _content_type(headers: Iterable[tuple[str, bytes | None]]) -> str:
    for name, value in headers:
        if name.lower() == _CONTENT_TYPE and value:
            return value.decode("utf-8", "replace")
    return ""


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{topic} {count}" for topic, count in counts.items())
