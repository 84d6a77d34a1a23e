"""Which events of a batch are accepted, and why the others are not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from stream.dtypes import Bools
from stream.events.columns import EventColumns, ShardBatch
from stream.events.types import Rejection, SourcePartition
from stream.graph.facts import FactColumns
from stream.shard.codec import PartitionProgress

NEVER_MS = int(np.iinfo(np.int64).min)
"""The bound that no event is older than."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Which events of a batch are accepted so far.

    Attributes:
        mask: ``bool [num_events]`` the accepted ones.
        refusals: of the others and of catalogue items, in the order of their reasons.
    """

    mask: Bools
    refusals: tuple[Rejection, ...] = ()

    def without(self, batch: ShardBatch, mask: Bools, reason: str, detail: str) -> Self:
        """Return what is left once the events of a mask are refused, those that are not
        already.
        """
        rows = np.flatnonzero(mask & self.mask).tolist()
        if not rows:
            return self
        refusals = [batch.rejection(row, reason, detail) for row in rows]
        return type(self)(self.mask & ~mask, (*self.refusals, *refusals))

    def with_refusal(self, refusal: Rejection) -> Self:
        """Return the same with a record refused that holds no event."""
        return type(self)(self.mask, (*self.refusals, refusal))


def late_events(
    batch: ShardBatch, progress: Mapping[SourcePartition, PartitionProgress], fold_bound_ms: int
) -> Bools:
    """Return ``bool [num_events]``: which are older than their partition's retention
    bound, or than what may have been folded.

    Args:
        batch: the events.
        progress: how far each partition was before the batch.
        fold_bound_ms: facts before this may have been folded; `NEVER_MS`: none was.
    """
    bounds = []
    for records in batch.batches:
        known = progress.get(records.position)
        if batch.retention_ms is None or known is None or known.watermark_ms is None:
            bounds.append(fold_bound_ms)
        else:
            bounds.append(max(known.watermark_ms - batch.retention_ms, fold_bound_ms))
    if max(bounds, default=NEVER_MS) == NEVER_MS:
        return np.zeros(len(batch.events), dtype=np.bool_)
    is_late: Bools = batch.events.ts_ms < np.array(bounds, dtype=np.int64)[batch.place]
    return is_late


def without_late(
    accepted: Acceptance,
    batch: ShardBatch,
    events: EventColumns,
    is_late: Bools,
    facts: FactColumns,
    fold_bound_ms: int,
) -> Acceptance:
    """Refuse late events as `too_late`, but for those known at their time or an earlier
    one: they change nothing.

    Args:
        accepted: the events accepted so far.
        batch: where the events came from.
        events: its events, with the sessions that they were cut into.
        is_late: ``bool [num_events]`` of `late_events`.
        facts: of the batch and its sessions, merged.
        fold_bound_ms: as in `late_events`.
    """
    earliest_ms = dict(zip(_fact_keys(facts), facts.ts_ms.tolist(), strict=True))
    late = FactColumns.of_events(events.take(is_late))
    named = zip(_fact_keys(late), late.ts_ms.tolist(), strict=True)
    is_unknown = np.zeros(len(events), dtype=np.bool_)
    is_unknown[is_late] = [ts_ms < earliest_ms.get(key, ts_ms + 1) for key, ts_ms in named]
    is_folded = is_unknown & (events.ts_ms < fold_bound_ms)
    detail = "older than the fold age (stream.erasure_horizon_seconds)"
    accepted = accepted.without(batch, is_folded, "too_late", detail)
    detail = f"over {batch.retention_ms} ms older than the newest event of its partition"
    return accepted.without(batch, is_unknown, "too_late", detail)


def _fact_keys(facts: FactColumns) -> Iterator[tuple[int, int, int, int]]:
    columns = facts.session, facts.query, facts.item, facts.action
    return zip(*(column.tolist() for column in columns), strict=True)
