"""Makes consumers, as the settings say: of a group, of records, of what brokers say."""

from collections.abc import Collection
from typing import Any

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from stream.errors import SourceUnavailable
from stream.kafka.access.refusals import unreachable
from stream.kafka.access.security import confluent_options
from stream.kafka.access.tokens import TokenUnavailable
from stream.kafka.client import MAX_POLL_INTERVAL_SECONDS
from stream.kafka.confluent.admin import ConfluentAdmin
from stream.kafka.confluent.errors import MISSING, Causes, error_text, refused
from stream.kafka.confluent.group import ConfluentGroup
from stream.kafka.confluent.reader import ConfluentReader
from stream.settings import StreamSettings

# KiB fetched ahead of the worker: bounds memory; many times a batch.
_MAX_FETCHED_KBYTES = 32 * 1024
# Bytes; the library's own default. Half as much would be less than a fetch may bring.
_LEAST_RECEIVED_BYTES = 100_000_000


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
        causes = Causes()
        consumer = self._connect(causes)
        try:
            return {topic: self._partition_count(consumer, causes, topic) for topic in topics}
        finally:
            consumer.close()

    def group(self, topic: str) -> ConfluentGroup:
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
        causes = Causes()
        consumer = self._connect(causes, **options)
        return ConfluentGroup(self._bootstrap, consumer, topic, causes, self._settings)

    def reader(self) -> ConfluentReader:
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
            self._connect(Causes(), **options),
            self._admin_client(),
            self._settings,
        )

    def admin(self) -> ConfluentAdmin:
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

    def _connect(self, causes: Causes, **options: Any) -> Consumer:
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

    def _partition_count(self, consumer: Consumer, causes: Causes, topic: str) -> int:
        try:
            found = consumer.list_topics(topic, timeout=self._settings.bootstrap_timeout_seconds)
        except KafkaException as error:
            consumer.poll(0)  # lets it say why
            noted = causes.noted or [error_text(error.args[0])]
            raise SourceUnavailable(unreachable(self._bootstrap, noted, self._settings)) from error
        metadata = found.topics[topic]
        if metadata.error is not None and metadata.error.code() not in MISSING:
            raise refused(self._bootstrap, metadata.error)
        return len(metadata.partitions)
