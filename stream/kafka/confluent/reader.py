"""The records of the partitions that a process is given."""

import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.client import (
    BrokerAway,
    ContentTypes,
    OffsetsGone,
    PassedOver,
    batch_of_columns,
)
from stream.kafka.confluent.errors import error_text, is_passing, refused
from stream.kafka.confluent.positions import packed_partition, position_of
from stream.kafka.python.client import KafkaPythonClient
from stream.settings import StreamSettings

logger = logging.getLogger(__name__)

# Seconds for a broker to show that it is there.
_ANSWER_SECONDS = 1.0
_GONE = {KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET}  # noqa: SLF001  # as above


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
            self._consumer.incremental_unassign(
                [packed_partition(position) for position in dropped]
            )
        for position in dropped:
            del self._next[position]

    def seek(self, offsets: Mapping[SourcePartition, int | None]) -> None:
        """Go on at these offsets; None: at the oldest record.

        What was fetched before is dropped.
        """
        known = [packed_partition(position) for position in offsets if position in self._next]
        if known:
            self._consumer.incremental_unassign(known)
        self._consumer.incremental_assign(
            [
                packed_partition(position, OFFSET_BEGINNING if offset is None else offset)
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
        batches = [self._batch(position_of(messages[0]), messages) for messages in found.values()]
        self._next |= {batch.position: batch.next_offset for batch in batches}
        if failed:
            self._handle(failed, batches)
        return batches

    def earliest(self, positions: Collection[SourcePartition]) -> dict[SourcePartition, int]:
        """Return the offsets of the oldest records."""
        return {position: self._watermarks(position)[0] for position in positions}

    def end(self, position: SourcePartition) -> int | None:
        """Return where a partition ended when it was last fetched from."""
        _, end = self._consumer.get_watermark_offsets(packed_partition(position), cached=True)
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
            {packed_partition(position): newest.latest() for position in positions},
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=_ANSWER_SECONDS,
        )
        try:
            return {
                SourcePartition(at.topic, at.partition): answer.result().offset
                for at, answer in asked.items()
            }
        except KafkaException as error:
            raise BrokerAway(error_text(error.args[0])) from error

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
                packed_partition(position), timeout=_ANSWER_SECONDS
            )
        except KafkaException as error:
            raise BrokerAway(error_text(error.args[0])) from error
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
                self._next[position_of(message)] = message.offset()
            elif error.code() == KafkaError._BAD_COMPRESSION:  # noqa: SLF001  # its public name
                self._pass_over(position_of(message), message.offset())
            elif error.code() in _GONE and message.topic() is not None:
                gone[position_of(message)] = self._next.get(position_of(message)) or 0
            elif not is_passing(error, self._settings):
                raise refused(self._bootstrap, error)
            else:
                logger.warning(
                    "poll failed bootstrap=%s error=%s", self._bootstrap, error_text(error)
                )
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
