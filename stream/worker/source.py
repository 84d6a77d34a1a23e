"""What the worker wants of whatever records come from."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from stream.events.types import RecordBatch, SourcePartition
from stream.signals.lag import Lag
from stream.store.store import Store


class Source(Protocol):
    """Where records come from: files or topics."""

    shards_by_partition: bool
    """Whether a record's partition is its shard.

    Otherwise its session or item decides.
    """

    @property
    def rebalances(self) -> int:
        """How often records returned before may belong to another worker now, or are
        read again.
        """

    def start(self, store: Store) -> None:
        """Start reading at the positions of a store."""

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:
        """Return the next records, after waiting at most so long for some."""

    def idle(self, seconds: float) -> None:
        """Wait so long without returning records, and stay connected."""

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and nothing more will come."""

    def lag(self) -> Lag:
        """Return what was not applied yet."""

    def reflected_ms(
        self, once_applied: Mapping[SourcePartition, int] | None = None
    ) -> Mapping[int, int]:
        """Return, by shard, the time up to which everything that had arrived for it is
        applied, in the time of the records.

        Left out: shards of which nothing can be said now.

        Args:
            once_applied: what can be said, without asking anybody, once everything
                before these positions is applied; None: now.
        """

    @property
    def clock_offset_ms(self) -> int:
        """How far the records' own times are ahead of this machine's clock.

        Negative: behind it; 0: as far as is known, they agree.
        """

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Record that everything before these positions is applied."""

    def close(self) -> None:
        """Close files and connections."""
