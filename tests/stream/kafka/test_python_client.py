"""What is made of an answer that the library does not give."""

import pytest

from stream.events.types import SourcePartition
from stream.kafka import python_client
from stream.kafka.client import BrokerAway
from stream.kafka.python_client import KafkaPythonReader


class _NoLeader:
    """A consumer whose partitions have no leader just now."""

    def end_offsets(self, partitions: list[object], timeout_ms: int) -> dict[object, int]:
        """Raise what the library does."""
        assert timeout_ms > 0
        raise KeyError(partitions[0])


def test_a_partition_without_a_leader_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker goes on without knowing where it ends."""
    monkeypatch.setattr(python_client, "bound_batches", lambda *_: None)
    reader = KafkaPythonReader("localhost:9092", _NoLeader(), 1000)
    position = SourcePartition("freshet.clicks", 0)

    assert "no leader" in reader.why_silent(position)
    with pytest.raises(BrokerAway, match=r"freshet\.clicks"):
        reader.ends([position])
