"""The loop: poll, decode, quarantine, apply, take note.

Positions move only with what was applied.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as StopEvent
from typing import Protocol

import numpy as np

from stream.actions import Action
from stream.batching import Intake, Sharding
from stream.changes.apply import Applied, apply_batch
from stream.changes.fold import fold_step
from stream.clock import now_ms
from stream.errors import SourceUnreadable, StoreFenced, StoreStalled
from stream.events.columns import ShardBatch
from stream.events.fast_path import ColumnDecoder
from stream.events.types import Position, RecordBatch, Rejection
from stream.metrics import StreamMetrics
from stream.quarantine import Quarantine
from stream.reading.snapshot import serve_requests
from stream.settings import StreamSettings
from stream.store.store import Store

logger = logging.getLogger(__name__)

# Seconds between two settings of the gauges; Prometheus asks far less often.
_FRESHNESS_EVERY_SECONDS = 0.25
# Seconds between two tries while the disk cannot keep up; the group is polled.
_STALLED_SECONDS = 0.2
# Records folded after a batch: about 40 ms. Twice as many hold the next batch up
# twice as long, and old sessions are gone in half the number of batches.
_FOLDED_AT_ONCE = 1000
# Names read after a batch while a shard learns what it has: the next batch waits.
_NAMES_AT_ONCE = 10_000
# Session timeouts to wait for the group to say that a shard is somebody else's;
# the broker tells within one, a client that is busy a little later.
_LOSSES_PER_TIMEOUT = 3


class Source(Protocol):
    """Where records come from: files or topics."""

    shards_by_partition: bool
    """Whether a record's partition is its shard.

    Otherwise its session or item decides.
    """

    @property
    def rebalances(self) -> int:
        """How often what was handed out before may have become somebody else's to read,
        or is read again.
        """

    def start(self, store: Store) -> None:
        """Go on from the positions of a store."""

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:
        """Return the next records; waits at most so long where there are none."""

    def idle(self, seconds: float) -> None:
        """Wait so long without handing anything out, and stay connected."""

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and nothing more will come."""

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be read."""

    def behind_records(self) -> Mapping[tuple[str, int], int]:
        """Return how many records wait, by topic and partition, as far as that is
        known.
        """

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
        watermark_ms: event time up to which the graph is applied; None: nothing was
            applied.
    """

    records: int = 0
    events: int = 0
    new_facts: int = 0
    quarantined: int = 0
    ignored: int = 0
    batches: int = 0
    watermark_ms: int | None = None


def run_worker(  # noqa: PLR0913  # what it works with, and two options
    source: Source,
    store: Store,
    quarantine: Quarantine,
    settings: StreamSettings,
    metrics: StreamMetrics,
    stop: StopEvent,
    *,
    on_progress: Callable[[WorkerTotals], None] = lambda _totals: None,
    own_shards: Collection[int] | None = None,
) -> WorkerTotals:
    """Apply what a source gives until it is exhausted or `stop` is set.

    A batch that was begun is finished.

    Args:
        source: closed at the end; the store and the quarantine stay open.
        store: opened for writing.
        quarantine: where rejected records go, before the positions behind them move.
        settings: sizes of batches, limits of events.
        metrics: what is counted.
        stop: set it from a signal handler or another thread.
        on_progress: called after each batch and each poll that found nothing.
        own_shards: of a source that others read too: the shards that are this worker's;
            None: all that come.

    Raises:
        StreamError: the source, the store or the quarantine failed. What was not
            applied will be read again.
    """
    worker = _Worker(source, store, quarantine, settings, metrics, stop, own_shards)
    try:
        source.start(store)
        while not stop.is_set() and not source.exhausted:
            worker.take(worker.poll())
            if worker.is_due:
                worker.apply()
            worker.rest()
            on_progress(worker.totals)
        worker.apply()
        on_progress(worker.totals)
        worker.set_freshness()
    finally:
        source.close()
    return worker.totals


class _Worker:
    """The steps of the loop, and what they share."""

    def __init__(
        self,
        source: Source,
        store: Store,
        quarantine: Quarantine,
        settings: StreamSettings,
        metrics: StreamMetrics,
        stop: StopEvent,
        own_shards: Collection[int] | None,
    ) -> None:
        self._stop = stop
        self.totals = WorkerTotals()
        self._source = source
        self._store = store
        self._quarantine = quarantine
        self._decoder = ColumnDecoder(settings)
        self._settings = settings
        self._metrics = metrics
        self._own_shards = own_shards
        self._sharding = Sharding(store.num_shards, by_partition=source.shards_by_partition)
        self._pending = Intake()
        self._pending_since = self._freshness_due = 0.0
        self._rebalances = 0
        self._found_nothing = False

    @property
    def wait_seconds(self) -> float:
        """How long the next poll may wait."""
        if not len(self._pending):
            return self._settings.poll_seconds
        waited = time.monotonic() - self._pending_since
        return max(self._settings.batch_wait_ms / 1000 - waited, 0.0)

    @property
    def is_due(self) -> bool:
        """Whether what was taken is to be written now.

        Much waits, or for long, or nothing more comes.
        """
        return (
            self._pending.num_events >= self._settings.batch_events
            or self.wait_seconds == 0.0
            or self._found_nothing
        )

    def poll(self) -> Sequence[RecordBatch]:
        """Return the next records; before a source that broke off is reported, what it
        gave is applied.
        """
        try:
            return self._source.poll(self.wait_seconds)
        except SourceUnreadable:
            self.apply()
            raise

    def take(self, found: Sequence[RecordBatch]) -> None:
        """Decode records and keep them.

        What was kept before is dropped where its partitions moved.
        """
        if self._source.rebalances != self._rebalances:
            self._rebalances = self._source.rebalances
            self._pending = Intake()
        if found and not len(self._pending):
            self._pending_since = time.monotonic()
        now = now_ms()
        for batch in found:
            self._pending.add(batch, self._decoder.decode(batch, now))
        self._found_nothing = not found

    def apply(self) -> None:
        """Put the rejections away, then write every shard's share
        with its positions.
        """
        pending, self._pending = self._pending, Intake()
        if not len(pending):
            return
        began = time.monotonic()
        if self._own_shards is None or 0 in self._own_shards:
            self._put_away(pending.rejections)
        counts = Counter({"ignored": pending.num_ignored})
        for index, share in self._sharding.shares(pending, self._decoder.texts, self._own_shards):
            share.retention_ms = self._retention_ms
            applied = self._write(index, share)
            if applied is None:
                return
            self._count(share, applied, counts)
        self._source.applied(pending.positions)
        self.totals.records += pending.num_records
        self.totals.ignored += pending.num_ignored
        self._metrics.count_batch(+counts, time.monotonic() - began)
        self._decoder.forget_if_large()

    def rest(self) -> None:
        """What is due between batches.

        Log, checkpoints, snapshots, folding what is old, names, gauges.
        """
        self._store.sync_if_due()
        self._store.ownership.rest()
        serve_requests(self._store)
        for shard in self._store.open_shards():
            fold_step(shard, _FOLDED_AT_ONCE)
            shard.learn_names(_NAMES_AT_ONCE)
        now = time.monotonic()
        if now >= self._freshness_due:
            self._freshness_due = now + _FRESHNESS_EVERY_SECONDS
            self.set_freshness()

    def set_freshness(self) -> None:
        """Set the gauges that say how far the graph is."""
        watermarks = [shard.state().watermark_ms for shard in self._store.open_shards()]
        self.totals.watermark_ms = min((ms for ms in watermarks if ms is not None), default=None)
        self._metrics.set_freshness(
            watermark_ms=self.totals.watermark_ms,
            now_ms=now_ms(),
            is_behind=self._source.is_behind,
            behind_records=self._source.behind_records(),
        )

    @property
    def _retention_ms(self) -> int | None:
        """How late an event may be; history files are never late."""
        if not self._source.shards_by_partition:
            return None
        return round(self._settings.session_retention_seconds * 1000)

    def _write(self, index: int, share: ShardBatch) -> Applied | None:
        """Write one shard's share, waiting for a disk that is too slow.

        None: given up, to be read again.
        """
        stalled_since = None
        while True:
            try:
                applied = apply_batch(
                    self._store.shard(index), share, self._decoder.texts, on_refused=self._put_away
                )
            except StoreFenced:
                if not self._has_lost_shards():
                    raise
                return None
            except StoreStalled as error:
                if stalled_since is None:
                    logger.warning("stalled shard=%d error=%s", index, error)
                    stalled_since = time.monotonic()
                self._source.idle(_STALLED_SECONDS)
                if self._stop.is_set() or self._source.rebalances != self._rebalances:
                    return None
            else:
                if stalled_since is not None:
                    seconds = time.monotonic() - stalled_since
                    logger.warning("going on shard=%d stalled_seconds=%.1f", index, seconds)
                    self._metrics.count_stall(seconds)
                return applied

    def _has_lost_shards(self) -> bool:
        """Whether the source says so within some time.

        What is not applied is then read again.
        """
        deadline = time.monotonic() + _LOSSES_PER_TIMEOUT * self._settings.session_timeout_seconds
        while self._source.rebalances == self._rebalances and time.monotonic() < deadline:
            self._source.idle(_STALLED_SECONDS)
        return self._source.rebalances != self._rebalances

    def _put_away(self, rejections: Sequence[Rejection]) -> None:
        self._quarantine.put(rejections, now_ms())
        self.totals.quarantined += len(rejections)
        self._metrics.count_quarantined(Counter(rejection.reason for rejection in rejections))

    def _count(self, share: ShardBatch, applied: Applied, counts: "Counter[str]") -> None:
        self.totals.batches += 1
        self.totals.events += len(share.events) + len(share.items)
        self.totals.new_facts += applied.new_facts
        self._metrics.count_facts(
            new=applied.new_facts, erased=applied.erased_facts, dropped=applied.dropped
        )
        by_action = np.bincount(share.events.action, minlength=len(Action) + 1).tolist()
        counts.update({action.label: by_action[action] for action in Action})
        counts["catalog"] += len(share.items)
        counts["erasure"] += len(share.erasures)
