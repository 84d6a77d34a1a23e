"""A place in a consumer group: which partitions this process is given."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress

from confluent_kafka import OFFSET_END, Consumer, KafkaException, TopicPartition

from stream.events.types import SourcePartition
from stream.kafka.client import Changes
from stream.kafka.confluent.errors import Causes, is_passing, refused
from stream.kafka.confluent.positions import packed_partition
from stream.settings import StreamSettings

# Seconds to leave the group in; without that the broker waits a session timeout.
_CLOSE_SECONDS = 5.0
# Seconds between two looks whether the group was left.
_CLOSE_POLL_SECONDS = 0.05


class ConfluentGroup:
    """A place in a consumer group.

    What it is given stays paused, so that nothing is fetched.
    """

    def __init__(
        self,
        bootstrap: str,
        consumer: Consumer,
        topic: str,
        causes: Causes,
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
            raise refused(self._bootstrap, error.args[0]) from error
        finally:
            self._changes = None
        cause = self._causes.fatal or (message.error() if message is not None else None)
        if cause is not None and not is_passing(cause, self._settings):
            raise refused(self._bootstrap, cause)

    def commit(self, offsets: Mapping[SourcePartition, int], *, wait_seconds: float = 0.0) -> None:
        """Tell Kafka how far it is."""
        packed = [packed_partition(position, offset) for position, offset in offsets.items()]
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
