"""A place in a consumer group."""

import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import KafkaError, RetriableError

from stream.events.types import SourcePartition
from stream.kafka.access.reach import Connections
from stream.kafka.client import MAX_POLL_INTERVAL_SECONDS, BrokerAway, Changes
from stream.kafka.python.errors import refused
from stream.kafka.python.listener import GroupListener

# Milliseconds to leave the group in; else the broker waits a session timeout.
_CLOSE_MS = 5000
# Milliseconds between two polls of the thread that keeps the membership.
_GROUP_POLL_MS = 500


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
        self._listener = GroupListener(consumer, assignor)
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
            raise refused(self._bootstrap, failure) from failure

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
