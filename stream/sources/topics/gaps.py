"""What was to be read of topics and is not: counted once for each gap."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from stream.events.types import SourcePartition
from stream.kafka.client import PassedOver
from stream.metrics import StreamMetrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Offsets that a partition does not have any more.

    Attributes:
        position: the partition.
        stored: the first that was to be read.
        goes_on_at: the oldest that there is; not behind `stored`: the topic is another
            one, or was cut short.
        counts: whether this process counts what is lost there.
    """

    position: SourcePartition
    stored: int
    goes_on_at: int
    counts: bool = True

    @property
    def num_lost(self) -> int:
        """How many records are lost; 0: the topic is another one."""
        return max(self.goes_on_at - self.stored, 0)


class Gaps:
    """The gaps whose far side is not in the store yet: what a partition does not have
    any more, and batches that could not be unpacked.

    One is counted once the store goes on behind it: whoever reads the partition before
    that, after a restart or a rebalance, meets it again, and whoever does later, not.

    Args:
        metrics: counts.
    """

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics
        self._waiting: dict[SourcePartition, Gap] = {}
        self._passed_over: defaultdict[SourcePartition, list[PassedOver]] = defaultdict(list)

    def note(self, gap: Gap) -> None:
        """Tell of a gap, which counts once it is applied."""
        self._waiting[gap.position] = gap
        logger.error(
            "offset out of range topic=%s partition=%d stored=%d going_on_at=%d records_lost=%d",
            gap.position.source,
            gap.position.partition,
            gap.stored,
            gap.goes_on_at,
            gap.num_lost,
        )

    def note_passed_over(self, batch: PassedOver, *, counts: bool = True) -> None:
        """Tell of a batch that could not be unpacked, which counts once the store is
        behind it.

        Args:
            batch: the batch.
            counts: whether this process counts it.
        """
        if counts:
            self._passed_over[batch.position].append(batch)
        logger.error(
            "batch passed over topic=%s partition=%d first_offset=%d going_on_at=%d "
            "records_skipped=%d reason=%s detail=%s",
            batch.position.source,
            batch.position.partition,
            batch.first_offset,
            batch.next_offset,
            batch.num_records,
            batch.reason,
            batch.detail,
        )

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Count the gaps of partitions whose positions are in the store.

        Args:
            positions: where each partition goes on.
        """
        for position, goes_on_at in positions.items():
            self._count_passed_over(position, goes_on_at)
            gap = self._waiting.pop(position, None)
            if gap is None:
                continue
            if not gap.num_lost:
                self._metrics.count_recreated(position.source)
            elif gap.counts:
                self._metrics.count_lost(position.source, gap.num_lost)

    def forget(self) -> None:
        """Forget what was not applied: it is met again."""
        self._waiting.clear()
        self._passed_over.clear()

    def _count_passed_over(self, position: SourcePartition, goes_on_at: int) -> None:
        waiting = self._passed_over.pop(position, [])
        for each in waiting:
            if each.next_offset <= goes_on_at:
                self._metrics.count_skipped(position.source, each.reason, each.num_records)
            else:
                self._passed_over[position].append(each)
