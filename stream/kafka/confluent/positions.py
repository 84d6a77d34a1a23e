"""Partitions and positions, in our types and in the library's."""

from confluent_kafka import Message, TopicPartition

from stream.events.types import SourcePartition


def packed_partition(position: SourcePartition, offset: int | None = None) -> TopicPartition:
    """Return a partition as the library names it, with an offset where one is given."""
    if offset is None:
        return TopicPartition(position.source, position.partition)
    return TopicPartition(position.source, position.partition, offset)


def position_of(message: Message) -> SourcePartition:
    """Return the partition that a message came from."""
    topic, partition = message.topic(), message.partition()
    assert topic is not None  # noqa: S101  # only messages of a partition are asked
    assert partition is not None  # noqa: S101  # as above
    return SourcePartition(topic, partition)
