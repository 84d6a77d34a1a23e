"""Members of a consumer group as a test sees them.

Sources over shards that only note what they are given.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import cast

from stream.events.types import RecordBatch, SourcePartition
from stream.settings import StreamSettings
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store

# For a rebalance, which waits for a lost member's session to end, on a machine where
# others run. Twice as many: a test of one that never comes ends so much later.
_WAIT_SECONDS = 120.0
_POLL_SECONDS = 0.02  # of each member in turn, so that none misses its heartbeat

Place = tuple[SourcePartition, int]


class Shards:
    """The shards of all members.

    Who has each, what is stored in it, and what it was given, in order.
    """

    def __init__(self, num_shards: int) -> None:
        self.num_shards = num_shards
        self.owners: dict[int, Member] = {}
        self.positions: dict[int, dict[SourcePartition, int]] = defaultdict(dict)
        self.given: dict[int, list[Place]] = defaultdict(list)

    def counts(self) -> Counter[Place]:
        """Return how often each record was stored, over all shards."""
        return Counter(place for places in self.given.values() for place in places)


class Member:
    """One member with its share of the shards.

    Its own store and its own shards' owner.
    """

    def __init__(self, bootstrap: str, settings: StreamSettings, shards: Shards) -> None:
        self.root = Path("nowhere")
        self.num_shards = shards.num_shards
        self.ownership = self
        self.lost: list[int] = []
        self.source = KafkaSource(bootstrap, settings)
        self._shards = shards
        self.source.start(cast("Store", self))

    @property
    def shards(self) -> list[int]:
        """The shards that it has open."""
        return sorted(shard for shard, owner in self._shards.owners.items() if owner is self)

    def acquire(self, index: int, topic_ids: Mapping[str, str]) -> Mapping[SourcePartition, int]:
        """Open a shard that nobody else may have."""
        assert self._shards.owners.get(index, self) is self
        self._shards.owners[index] = self
        del topic_ids
        return dict(self._shards.positions[index])

    def release(self, index: int) -> None:
        """Close a shard."""
        assert self._shards.owners.pop(index, self) is self

    def lose(self, index: int) -> None:
        """Close a shard."""
        self.lost.append(index)
        self.release(index)

    def poll(self) -> list[RecordBatch]:
        """Return what it is given next."""
        return self.source.poll(_POLL_SECONDS)

    def store(self, batches: Iterable[RecordBatch]) -> int:
        """Store what it was given, in shards that are its own, and return how many
        records that were.
        """
        count = 0
        for batch in batches:
            shard = batch.position.partition if batch.shard is None else batch.shard
            assert self._shards.owners[shard] is self
            self._shards.given[shard] += [(batch.position, offset) for offset in batch.offsets]
            self._shards.positions[shard][batch.position] = batch.next_offset
            self.source.applied({batch.position: batch.next_offset})
            count += len(batch)
        return count


def run_until(members: Sequence[Member], wanted: Callable[[], bool]) -> None:
    """Let members poll and store in turn until something holds."""
    deadline = monotonic() + _WAIT_SECONDS
    while not wanted():
        assert monotonic() < deadline, [
            (member.shards, member.source.rebalances) for member in members
        ]
        for member in members:
            member.store(member.poll())
