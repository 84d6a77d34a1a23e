"""Reads the partitions that it is given."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any

from kafka import TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError, RetriableError

from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.client import (
    BrokerAway,
    ContentTypes,
    OffsetsGone,
    PassedOver,
    batch_of_columns,
)
from stream.kafka.python.batches import bound_batches
from stream.kafka.python.errors import refused

# Milliseconds for a broker to show that it is there.
_ANSWER_MS = 1000
# Milliseconds to disconnect in.
_CLOSE_MS = 5000


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
            raise refused(self._bootstrap, error) from error
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


def _partition(position: SourcePartition) -> TopicPartition:
    return TopicPartition(position.source, position.partition)
