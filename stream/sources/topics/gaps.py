"""What topics no longer had when it was to be read, counted once for each gap."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from stream.events.types import SourcePartition
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
    """The gaps whose far side is not in the store yet.

    One is counted once the store goes on behind it: whoever reads the partition before
    that, after a restart or a rebalance, meets it again, and whoever does later, not.

    Args:
        metrics: counts.
    """

    def __init__(self, metrics: StreamMetrics) -> None:
        self._metrics = metrics
        self._waiting: dict[SourcePartition, Gap] = {}

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

    def applied(self, positions: Iterable[SourcePartition]) -> None:
        """Count the gaps of partitions whose positions are in the store."""
        for position in positions:
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
