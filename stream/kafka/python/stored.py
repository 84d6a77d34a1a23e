"""The records that a topic has now, read to its end."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kafka import TopicPartition

from stream.errors import SourceUnavailable

# Milliseconds that a fetch is waited for at a time.
_POLL_MS = 1000


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


def records_to_the_end(consumer: Any, topic: str, bootstrap: str) -> Iterator[StoredRecord]:
    """Yield the records of a topic up to where its partitions end now.

    Raises:
        SourceUnavailable: there is no such topic.
    """
    numbers = consumer.partitions_for_topic(topic)
    if not numbers:
        raise SourceUnavailable(f"Kafka at {bootstrap} has no topic {topic}; check its name")
    partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    consumer.seek_to_beginning(*partitions)
    while any(consumer.position(partition) < ends[partition] for partition in partitions):
        for found in consumer.poll(timeout_ms=_POLL_MS).values():
            for message in found:
                yield StoredRecord(
                    message.key, message.value, tuple(message.headers), message.timestamp
                )
