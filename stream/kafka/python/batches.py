"""Lets kafka-python unpack batches within a limit, and pass over the others."""

from collections.abc import Callable
from typing import Any

from kafka.record.default_records import DefaultRecordBatch

from stream.events.types import SourcePartition
from stream.kafka.client import PassedOver
from stream.kafka.python.unpacking import UnpackFailed, unpack

_MAGIC = 2
"""The form of batches that Kafka writes since 0.11: layout, not tunable."""

OnPassedOver = Callable[[PassedOver], None]


def bound_batches(consumer: Any, max_bytes: int, on_passed_over: OnPassedOver) -> None:
    """Have a consumer unpack its batches within a limit.

    Args:
        consumer: a `kafka.KafkaConsumer`.
        max_bytes: what a batch may unpack to.
        on_passed_over: called with each that cannot be unpacked; the consumer goes on
            behind it.
    """
    fetcher = consumer._fetcher  # noqa: SLF001  # the client has no place for this
    original = fetcher.PartitionRecords

    def bounded(fetch_offset: int, partition: Any, records: Any, **more: Any) -> Any:
        position = SourcePartition(partition.topic, partition.partition)
        bounded_records = _BoundedRecords(records, position, max_bytes, on_passed_over)
        return original(fetch_offset, partition, bounded_records, **more)

    fetcher.PartitionRecords = bounded


class _BoundedRecords:
    """What was fetched of a partition, batch by batch."""

    def __init__(
        self, records: Any, position: SourcePartition, max_bytes: int, on_passed_over: OnPassedOver
    ) -> None:
        self._records = records
        self._position = position
        self._max_bytes = max_bytes
        self._on_passed_over = on_passed_over

    def next_batch(self) -> Any:
        """Return the next batch; None: there is none."""
        batch = self._records.next_batch()
        if batch is None or batch.magic != _MAGIC or not batch.compression_type:
            return batch
        return _BoundedBatch(batch, self._position, self._max_bytes, self._on_passed_over)


class _BoundedBatch(DefaultRecordBatch):  # type: ignore[misc]  # the client is not typed
    """A compressed batch that is empty where it cannot be unpacked."""

    _buffer: bytearray
    _pos: int
    _decompressed: bool

    def __init__(
        self, batch: Any, position: SourcePartition, max_bytes: int, on_passed_over: OnPassedOver
    ) -> None:
        super().__init__(batch._buffer)  # noqa: SLF001  # its bytes, which it keeps to itself
        self._position = position
        self._max_bytes = max_bytes
        self._on_passed_over = on_passed_over

    def _maybe_uncompress(self) -> None:
        if self._decompressed:
            return
        packed = bytes(memoryview(self._buffer)[self._pos :])
        try:
            unpacked = unpack(self.compression_type, packed, self._max_bytes)
        except UnpackFailed as failure:
            self._on_passed_over(
                PassedOver(
                    position=self._position,
                    first_offset=self.base_offset,
                    next_offset=self.next_offset,
                    num_records=self.records_count,
                    reason=failure.reason,
                    detail=str(failure),
                )
            )
            self._num_records, unpacked = 0, b""
        self._buffer, self._pos, self._decompressed = bytearray(unpacked), 0, True
