"""Which events of a batch are accepted, and why the others are not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from stream.dtypes import Bools, Int64s
from stream.events.columns import EventColumns, ShardBatch
from stream.events.types import Rejection, SourcePartition
from stream.graph.facts import FactColumns
from stream.shard.codec import PartitionProgress

NEVER_MS = int(np.iinfo(np.int64).min)
"""The bound that no event is older than."""

_ROW_BITS = 32  # of an event's place in its records, which are int32


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


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late the events of a batch are.

    An event is late where an earlier one of its own partition has a time that is
    greater by more than the partition allows. So it depends on the log alone: not on
    how the log is cut into batches, nor on what is read of others in between.

    Attributes:
        is_late: ``bool [num_events]``.
        newest_ms: the largest event time read of each partition that the batch has
            events of, those of the batch and of erased ids included.
        seen_ms: the time up to which the batch shows that events were seen; None: it
            has none.
        fold_bound_ms: facts before this may have been folded; `NEVER_MS`: none was.
    """

    is_late: Bools
    newest_ms: Mapping[SourcePartition, int]
    seen_ms: int | None
    fold_bound_ms: int

    def take(self, mask: Bools) -> Self:
        """Return the same of those events where a mask is true."""
        return replace(self, is_late=self.is_late[mask])

    def with_more_in_time(self, count: int) -> Self:
        """Return the same with so many events behind the others, none of them late."""
        return replace(self, is_late=np.append(self.is_late, np.zeros(count, dtype=np.bool_)))


def lateness(
    batch: ShardBatch,
    progress: Mapping[SourcePartition, PartitionProgress],
    fold_bound_ms: int | None,
    fold_age_ms: int,
) -> Lateness:
    """Tell which events of a batch are late.

    Args:
        batch: the events, as they were read.
        progress: how far each partition was before the batch.
        fold_bound_ms: facts before this may have been folded; None: none was.
        fold_age_ms: what history allows, which has no other bound; 0: it allows all.
    """
    never_before_ms = NEVER_MS if fold_bound_ms is None else fold_bound_ms
    allowed_ms = batch.retention_ms if batch.retention_ms is not None else fold_age_ms or None
    times = batch.events.ts_ms
    is_late = times < never_before_ms
    newest_ms = {}
    for position, rows in _rows_by_partition(batch):
        known = progress.get(position)
        known_ms = NEVER_MS if known is None or known.watermark_ms is None else known.watermark_ms
        own_ms = times[rows]
        newest_ms[position] = max(known_ms, int(own_ms.max()))
        if allowed_ms is not None:
            # The largest time before each event. A late event never raises it.
            before_ms = np.maximum.accumulate(np.append(known_ms, own_ms[:-1]))
            is_late[rows] |= own_ms < np.maximum(before_ms, NEVER_MS + allowed_ms) - allowed_ms
    seen_ms = int(batch.seen_ms().max()) if len(times) else None
    return Lateness(is_late, newest_ms, seen_ms, never_before_ms)


def _rows_by_partition(batch: ShardBatch) -> Iterator[tuple[SourcePartition, Int64s]]:
    """Yield the partitions that events came from, each with its events in the order of
    its log.
    """
    numbers: dict[SourcePartition, int] = {}
    number_of_place = [numbers.setdefault(one.position, len(numbers)) for one in batch.batches]
    # By place, then by record; stable, so that the events of a record stay in order.
    log_order = (batch.place.astype(np.int64) << _ROW_BITS) | batch.events.row
    rows = np.arange(len(log_order))
    if (log_order[1:] < log_order[:-1]).any():
        rows = np.argsort(log_order, kind="stable")
    number = np.array(number_of_place, dtype=np.int64)[batch.place[rows]]
    for position, own in numbers.items():
        found = rows[number == own]
        if len(found):
            yield position, found


def without_late(
    accepted: Acceptance,
    batch: ShardBatch,
    events: EventColumns,
    late: Lateness,
    facts: FactColumns,
) -> Acceptance:
    """Refuse late events as `too_late`, but for those known at their time or an earlier
    one: they change nothing.

    Args:
        accepted: the events accepted so far.
        batch: where the events came from.
        events: its events, with the sessions that they were cut into.
        late: which of them are late.
        facts: of the batch and its sessions, merged.
    """
    earliest_ms = dict(zip(_fact_keys(facts), facts.ts_ms.tolist(), strict=True))
    seen = FactColumns.of_events(events.take(late.is_late))
    named = zip(_fact_keys(seen), seen.ts_ms.tolist(), strict=True)
    is_unknown = np.zeros(len(events), dtype=np.bool_)
    is_unknown[late.is_late] = [ts_ms < earliest_ms.get(key, ts_ms + 1) for key, ts_ms in named]
    # History has no other bound than the fold age.
    is_folded = is_unknown & (events.ts_ms < late.fold_bound_ms)
    is_folded |= is_unknown & (batch.retention_ms is None)
    detail = "older than the fold age (stream.erasure_horizon_seconds)"
    accepted = accepted.without(batch, is_folded, "too_late", detail)
    detail = (
        f"over {batch.retention_ms} ms older than an event before it in its partition "
        "(stream.session_retention_seconds)"
    )
    return accepted.without(batch, is_unknown, "too_late", detail)


def _fact_keys(facts: FactColumns) -> Iterator[tuple[int, int, int, int]]:
    columns = facts.session, facts.query, facts.item, facts.action
    return zip(*(column.tolist() for column in columns), strict=True)
