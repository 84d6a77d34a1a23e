"""What is made of an answer that the library does not give."""

import pytest
from kafka.errors import LogTruncationError
from kafka.structs import OffsetAndMetadata, TopicPartition

from stream.events.types import SourcePartition
from stream.kafka.client import BrokerAway, OffsetsGone
from stream.kafka.python import reader as reader_module
from stream.kafka.python.reader import KafkaPythonReader


class _NoLeader:
    """A consumer whose partitions have no leader just now."""

    def end_offsets(self, partitions: list[object], timeout_ms: int) -> dict[object, int]:
        """Raise what the library does."""
        assert timeout_ms > 0
        raise KeyError(partitions[0])


def test_a_partition_without_a_leader_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker goes on without knowing where it ends."""
    monkeypatch.setattr(reader_module, "bound_batches", lambda *_: None)
    reader = KafkaPythonReader("localhost:9092", _NoLeader(), 1000)
    position = SourcePartition("freshet.clicks", 0)

    assert "no leader" in reader.why_silent(position)
    with pytest.raises(BrokerAway, match=r"freshet\.clicks"):
        reader.ends([position])


class _Truncated:
    """A consumer three of whose partitions end before where it reads.

    Args:
        positions: offset to be read next, by partition.
    """

    def __init__(self, positions: dict[TopicPartition, int]) -> None:
        self.positions = positions
        ends = [OffsetAndMetadata(7, "", 0), None, OffsetAndMetadata(3, "", 0)]
        divergent = dict(zip(positions, ends, strict=True))
        self._told = LogTruncationError({**divergent, TopicPartition("given-away", 0): None})
        self._is_told = False

    def assignment(self) -> set[TopicPartition]:
        """Return what it reads."""
        return set(self.positions)

    def position(self, partition: TopicPartition, timeout_ms: int) -> int:
        """Return the offset, or raise as the library does: once, whoever asks."""
        assert timeout_ms == 0
        self._tell()
        return self.positions[partition]

    def poll(self, timeout_ms: int) -> dict[TopicPartition, list[object]]:
        """Return no record, or raise as the library does."""
        assert timeout_ms > 0
        self._tell()
        return {}

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            raise self._told


@pytest.mark.parametrize("is_asked_where", [False, True])
def test_a_partition_that_ends_before_where_it_is_read(
    monkeypatch: pytest.MonkeyPatch, is_asked_where: bool
) -> None:
    """Its offset is gone, whichever call the library told it to; one that is read from
    before the end by now is not.
    """
    monkeypatch.setattr(reader_module, "bound_batches", lambda *_: None)
    behind, unknown, sought = (SourcePartition("freshet.clicks", number) for number in range(3))
    offsets = {behind: 13, unknown: 20, sought: 0}
    consumer = _Truncated(
        {TopicPartition(each.source, each.partition): offset for each, offset in offsets.items()}
    )
    reader = KafkaPythonReader("localhost:9092", consumer, 1000)
    if is_asked_where:
        assert reader.next_offset(behind) is None
    with pytest.raises(OffsetsGone) as gone:
        reader.poll(1.0)

    assert gone.value.offsets == {behind: 13, unknown: 20}
    assert reader.poll(1.0) == []
