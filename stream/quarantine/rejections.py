"""What a quarantine is for a worker, and what a run has put into it."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from stream.events.types import Rejection, SourcePartition


class Quarantine(Protocol):
    """Where a worker puts what it cannot use."""

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Put rejections away; they are safe when this returns.

        Raises:
            QuarantineFailed: they are not.
        """

    def close(self) -> None:
        """Release what is held."""


class RejectedRecords:
    """What was rejected of one source.

    Attributes:
        num_records: how many records; one may be rejected for several reasons.
        reasons: how many for each reason.
        examples: the first rejection for each reason.
    """

    def __init__(self) -> None:
        self.num_records = 0
        self.reasons: Counter[str] = Counter()
        self.examples: dict[str, Rejection] = {}

    @property
    def main_reason(self) -> str:
        """The most frequent reason; there must be one."""
        return max(self.reasons, key=self.reasons.__getitem__)


class QuarantineTally:
    """Puts rejections into a quarantine, and counts them by source.

    Args:
        quarantine: where they go; closed with this.
    """

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._sources: dict[SourcePartition, RejectedRecords] = {}

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Put rejections away, and count them.

        Raises:
            QuarantineFailed: they are not safe.
        """
        self._quarantine.put(rejections, now_ms)
        for rejection in rejections:
            of_source = self._sources.setdefault(rejection.record.position, RejectedRecords())
            of_source.reasons[rejection.reason] += 1
            of_source.examples.setdefault(rejection.reason, rejection)
        for position, _ in {(each.record.position, each.record.offset) for each in rejections}:
            self._sources[position].num_records += 1

    def of(self, position: SourcePartition) -> RejectedRecords:
        """Return what was rejected of a source."""
        return self._sources.get(position, RejectedRecords())

    def close(self) -> None:
        """Close the quarantine."""
        self._quarantine.close()
