"""The loop: poll, decode, quarantine, apply, take note. Positions move only with what was applied."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event as StopEvent
from typing import Protocol

from stream.apply import Refusal, apply_batch, shard_of
from stream.decode import Decoder
from stream.events import CatalogItem, Interaction, Position, Record, Rejection
from stream.metrics import StreamMetrics
from stream.quarantine import Quarantine
from stream.settings import StreamSettings
from stream.snapshot import serve_requests
from stream.store import Store

logger = logging.getLogger(__name__)

_FRESHNESS_EVERY_SECONDS = 0.25


class Source(Protocol):
    """Where records come from: files or topics."""

    shards_by_partition: bool
    """Whether a record's partition is its shard; otherwise its session or item decides."""

    def start(self, store: Store) -> None:
        """Go on from the positions of a store."""

    def poll(self) -> Sequence[Record]:
        """Return the next records; waits a moment where there are none."""

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and nothing more will come."""

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be read."""

    def behind_records(self) -> Mapping[tuple[str, int], int]:
        """Return how many records wait, by topic and partition, as far as that is known."""

    def applied(self, positions: Mapping[Position, int]) -> None:
        """Take note that everything before these positions is in the store."""

    def close(self) -> None:
        """Release what is held."""


@dataclass(slots=True, kw_only=True)
class WorkerTotals:
    """What a worker did since it began.

    Attributes:
        records: messages or lines read.
        events: interactions and catalogue items applied.
        new_facts: facts that were not known before.
        quarantined: rejections.
        ignored: messages that are in order but not about an item.
        batches: writes to the store, over all shards.
        watermark_ms: event time up to which the graph is applied; None: nothing was applied.
    """

    records: int = 0
    events: int = 0
    new_facts: int = 0
    quarantined: int = 0
    ignored: int = 0
    batches: int = 0
    watermark_ms: int | None = None


def run_worker(
    source: Source,
    store: Store,
    quarantine: Quarantine,
    settings: StreamSettings,
    metrics: StreamMetrics,
    stop: StopEvent,
    *,
    on_progress: Callable[[WorkerTotals], None] = lambda _totals: None,
) -> WorkerTotals:
    """Apply what a source gives until it is exhausted or `stop` is set; a batch that was begun is finished.

    Args:
        source: closed at the end; the store and the quarantine stay open.
        store: opened for writing.
        quarantine: where rejected records go, before the positions behind them move.
        settings: sizes of batches, limits of events.
        metrics: what is counted.
        stop: set it from a signal handler or another thread.
        on_progress: called after each batch and each poll that found nothing.

    Raises:
        StreamError: the source, the store or the quarantine failed. What was not applied will be read again.
    """
    worker = _Worker(source, store, quarantine, settings, metrics)
    try:
        source.start(store)
        while not stop.is_set() and not source.exhausted:
            for batch in worker.batches(source.poll()):
                worker.apply(batch)
                worker.rest()
                on_progress(worker.totals)
                if stop.is_set():
                    break
            worker.rest()
            on_progress(worker.totals)
        worker.set_freshness()
    finally:
        source.close()
    return worker.totals


@dataclass(slots=True)
class _ShardBatch:
    """What one shard gets of a batch; the records are those behind each event."""

    interactions: list[Interaction] = field(default_factory=list)
    interaction_records: list[Record] = field(default_factory=list)
    items: list[CatalogItem] = field(default_factory=list)
    item_records: list[Record] = field(default_factory=list)
    positions: dict[Position, int] = field(default_factory=dict)

    def rejection(self, refusal: Refusal) -> Rejection:
        records = self.interaction_records if refusal.kind == "interaction" else self.item_records
        return Rejection(record=records[refusal.index], reason=refusal.reason, detail=refusal.detail)


@dataclass(slots=True)
class _Batch:
    """Decoded records, until they are applied together."""

    began: float
    shards: dict[int, _ShardBatch] = field(default_factory=dict)
    rejections: list[Rejection] = field(default_factory=list)
    positions: dict[Position, int] = field(default_factory=dict)
    num_records: int = 0
    num_events: int = 0
    num_ignored: int = 0


class _Worker:
    """The steps of the loop, and what they share."""

    def __init__(
        self,
        source: Source,
        store: Store,
        quarantine: Quarantine,
        settings: StreamSettings,
        metrics: StreamMetrics,
    ) -> None:
        self.totals = WorkerTotals()
        self._source = source
        self._store = store
        self._quarantine = quarantine
        self._decoder = Decoder(settings)
        self._max_events = settings.batch_events
        self._metrics = metrics
        self._freshness_due = 0.0

    def batches(self, records: Iterable[Record]) -> Iterator[_Batch]:
        """Decode records and cut them into batches of about `batch_events`; a record is never split."""
        batch = _Batch(time.monotonic())
        now_ms = _now_ms()
        for record in records:
            self._decode(record, batch, now_ms)
            if batch.num_events >= self._max_events:
                yield batch
                batch = _Batch(time.monotonic())
        if batch.num_records:
            yield batch

    def apply(self, batch: _Batch) -> None:
        """Put the rejections away, then write every shard's share with its positions."""
        self._put_away(batch.rejections)
        self._share_positions(batch)
        new_facts = sum(self._apply_shard(index, share) for index, share in sorted(batch.shards.items()))
        self._source.applied(batch.positions)
        self._count(batch, new_facts)

    def rest(self) -> None:
        """What is due between batches: forcing the log to disk, snapshots that others asked for, gauges."""
        self._store.sync_if_due()
        serve_requests(self._store)
        self._refresh_freshness()

    def set_freshness(self) -> None:
        """Set the gauges that say how far the graph is."""
        watermarks = [shard.state().watermark_ms for shard in self._store.open_shards()]
        self.totals.watermark_ms = min((ms for ms in watermarks if ms is not None), default=None)
        self._metrics.set_freshness(
            watermark_ms=self.totals.watermark_ms,
            now_ms=_now_ms(),
            is_behind=self._source.is_behind,
            behind_records=self._source.behind_records(),
        )

    def _decode(self, record: Record, batch: _Batch, now_ms: int) -> None:
        decoded = self._decoder.decode(record, now_ms)
        for event in decoded.events:
            self._add(record, event, batch)
        batch.rejections += decoded.rejections
        batch.positions[record.position] = record.next_offset
        batch.num_records += 1
        batch.num_events += len(decoded.events)
        batch.num_ignored += decoded.num_ignored

    def _add(self, record: Record, event: Interaction | CatalogItem, batch: _Batch) -> None:
        if self._source.shards_by_partition:
            index = record.position.partition
        else:
            key = event.session_id if isinstance(event, Interaction) else event.item_id
            index = shard_of(key, self._store.num_shards)
        share = batch.shards.get(index)
        if share is None:
            share = batch.shards[index] = _ShardBatch()
        if isinstance(event, Interaction):
            share.interactions.append(event)
            share.interaction_records.append(record)
        else:
            share.items.append(event)
            share.item_records.append(record)

    def _share_positions(self, batch: _Batch) -> None:
        """Give each shard the positions it must remember: its partition's, or for files all of them."""
        for position, next_offset in batch.positions.items():
            by_partition = self._source.shards_by_partition
            indices = [position.partition] if by_partition else range(self._store.num_shards)
            for index in indices:
                batch.shards.setdefault(index, _ShardBatch()).positions[position] = next_offset

    def _apply_shard(self, index: int, share: _ShardBatch) -> int:
        def put_away(refusals: Sequence[Refusal]) -> None:
            self._put_away([share.rejection(refusal) for refusal in refusals])

        applied = apply_batch(
            self._store.shard(index), share.interactions, share.items, share.positions, on_refused=put_away
        )
        self.totals.batches += 1
        return applied.new_facts

    def _put_away(self, rejections: Sequence[Rejection]) -> None:
        self._quarantine.put(rejections, _now_ms())
        self.totals.quarantined += len(rejections)
        self._metrics.count_quarantined(Counter(rejection.reason for rejection in rejections))

    def _count(self, batch: _Batch, new_facts: int) -> None:
        self.totals.records += batch.num_records
        self.totals.events += batch.num_events
        self.totals.ignored += batch.num_ignored
        self.totals.new_facts += new_facts
        kinds = Counter(event.action.label for share in batch.shards.values() for event in share.interactions)
        kinds["catalog"] = sum(len(share.items) for share in batch.shards.values())
        kinds["ignored"] = batch.num_ignored
        self._metrics.count_batch(+kinds, new_facts, time.monotonic() - batch.began)

    def _refresh_freshness(self) -> None:
        now = time.monotonic()
        if now >= self._freshness_due:
            self._freshness_due = now + _FRESHNESS_EVERY_SECONDS
            self.set_freshness()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
