"""Makes consumers of kafka-python."""

import time
from collections.abc import Collection, Iterator
from typing import Any

from kafka import KafkaConsumer
from kafka.admin import KafkaAdminClient
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from stream.errors import SourceUnavailable
from stream.events.types import SourcePartition
from stream.kafka.access.reach import reaching
from stream.kafka.access.security import python_options
from stream.kafka.client import MAX_POLL_INTERVAL_SECONDS, BrokerAway, OffsetsGone, PassedOver
from stream.kafka.python.admin import KafkaPythonAdmin
from stream.kafka.python.group import KafkaPythonGroup
from stream.kafka.python.reader import KafkaPythonReader
from stream.kafka.python.stored import StoredRecord, records_to_the_end
from stream.settings import StreamSettings

# Milliseconds for an answer about topics and groups, which nobody waits for; chosen by
# hand.
_ADMIN_MS = 5000
# Seconds that a fetch of one batch is waited for at a time.
_FETCH_SECONDS = 0.5


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

    def group(self, topic: str) -> KafkaPythonGroup:
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

    def reader(self) -> KafkaPythonReader:
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

    def admin(self) -> KafkaPythonAdmin:
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
                yield from records_to_the_end(consumer, topic, self._bootstrap)
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
