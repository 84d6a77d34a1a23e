"""Kafka topics as a source that ends at the positions of another store."""

from collections.abc import Collection, Mapping, Sequence

from freshet.terminal.progress import Advance
from stream.events.types import RecordBatch, SourcePartition
from stream.signals.lag import Lag
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store


class BoundedTopics:
    """A source that ends at the positions of another store, so that a store in use can
    be compared.

    Args:
        source: the topics, from their beginning.
        ends: where to end in each partition; of others nothing is read.
        recreated: topics that are not the ones which the other store has read.
    """

    shards_by_partition = True

    def __init__(
        self,
        source: KafkaSource,
        ends: Mapping[SourcePartition, int],
        recreated: Collection[str] = (),
    ) -> None:
        self.num_partitions = source.num_partitions
        self._source = source
        self._ends = ends
        self._recreated = recreated
        self._begins: dict[SourcePartition, int] = {}
        self._reached: dict[SourcePartition, int] = {}

    def start(self, store: Store) -> None:
        """Join a group of its own."""
        self._source.start(store)

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:
        """Return the next records before the ends."""
        wanted = []
        for batch in self._source.poll(max_wait_seconds):
            self._begins.setdefault(batch.position, batch.offsets[0])
            self._reached[batch.position] = batch.next_offset
            head = batch.before(self._ends.get(batch.position, 0))
            if len(head):
                wanted.append(head)
        return wanted

    def idle(self, seconds: float) -> None:
        """Wait, as a member of the group."""
        self._source.idle(seconds)

    @property
    def rebalances(self) -> int:
        """How often partitions moved."""
        return self._source.rebalances

    def show(self, advance: Advance) -> None:
        """Show the progress."""
        passed = sum(
            min(self._reached.get(position, 0), end) for position, end in self._ends.items()
        )
        advance(passed, sum(self._ends.values()))

    @property
    def exhausted(self) -> bool:
        """Whether every partition was read to its end, or has nothing more."""
        behind = self._source.behind_records()
        return all(
            self._reached.get(position, 0) >= end
            or behind.get((position.source, position.partition)) == 0
            for position, end in self._ends.items()
        )

    def lag(self) -> Lag:
        """Return what waits, what comes after the ends included."""
        return self._source.lag()

    def reflected_ms(
        self,
        once_applied: Mapping[SourcePartition, int] | None = None,  # noqa: ARG002
    ) -> Mapping[int, int]:
        """Nothing: it leaves out what comes after the ends."""
        return {}

    @property
    def clock_offset_ms(self) -> int:
        """How far records' times in Kafka are ahead of this machine's clock."""
        return self._source.clock_offset_ms

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Record what is in the store."""
        self._source.applied(positions)

    def close(self) -> None:
        """Disconnect."""
        self._source.close()

    def notes(self) -> list[str]:
        """Describe the partitions that no longer have what the store read.

        The comparison reports those facts as extra.
        """
        notes = [
            f"{topic} was made again since the store read it: what it held before is gone"
            for topic in sorted(self._recreated)
        ]
        for position, end in sorted(
            self._ends.items(), key=lambda each: (each[0].source, each[0].partition)
        ):
            place = f"{position.source} partition {position.partition}"
            if self._begins.get(position, 0) > 0:
                notes.append(
                    f"{place} begins at offset {self._begins[position]}: what came before is gone"
                )
            if self._reached.get(position, 0) < end:
                notes.append(f"{place} ends before offset {end}, where the store had read to")
        return notes
