"""The loop: poll, decode, quarantine, apply, commit.

Positions advance only together with the events before them.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event as StopEvent
from typing import Literal, Protocol

import numpy as np

from stream.actions import Action
from stream.changes.apply import ApplyResult, apply_batch
from stream.changes.erase import erase
from stream.changes.fold import fold_step
from stream.changes.forget import forget_step
from stream.clock import now_ms
from stream.errors import (
    QuarantineUnavailable,
    RegistryUnavailable,
    SourceUnavailable,
    SourceUnreadable,
    StoreFenced,
    StoreStalled,
    StreamError,
)
from stream.events import native
from stream.events.announcement import means_erasure
from stream.events.columns import ShardBatch
from stream.events.fast_path import ColumnDecoder, DecodedBatch
from stream.events.types import RecordBatch, Rejection, SourcePartition
from stream.metrics import StreamMetrics
from stream.micro_batch import MicroBatch, ShardRouter
from stream.quarantine.rejections import Quarantine
from stream.reading.snapshot import serve_requests
from stream.registry.open import open_registry
from stream.settings import StreamSettings
from stream.shard.shard import Shard
from stream.signals.lag import Lag
from stream.sources.connecting import connected
from stream.store.last_backup import last_backup
from stream.store.store import Store

logger = logging.getLogger(__name__)

# Seconds between two updates of the gauges, chosen by hand: Prometheus scrapes every
# 15 s or so. Twice as much makes them up to half a second old.
_FRESHNESS_EVERY_SECONDS = 0.25
# Seconds between two tries of a stalled write, chosen by hand; the group is polled
# meanwhile. Twice as much adds up to 0.2 s to a stall.
_STALLED_SECONDS = 0.2
# Milliseconds that an event may be ahead of the clocks without being counted, one
# minute, chosen by hand: clocks that are kept are within seconds. Twice as many leave
# more telephones out.
_AHEAD_MS = 60_000
# Entries folded after a micro-batch: about 40 ms. Twice as many delay the next
# micro-batch twice as long, and fold old sessions in half as many.
_FOLDED_AT_ONCE = 1000
# Ids of searches read after a micro-batch to see which are held for too long: about a
# millisecond. Twice as many delay the next micro-batch twice as long.
_FORGOTTEN_AT_ONCE = 1000
# Names read after a micro-batch while a shard loads its name cache, chosen by hand.
# Twice as many delay the next micro-batch twice as long, and load in half as many.
_NAMES_AT_ONCE = 10_000
# Times `batch_wait_ms` that a record waits while each poll returns as many as it may:
# there is a backlog, which larger writes read sooner. Chosen by hand: 1 s as shipped.
# Twice as many: a graph that is up to 2 s older behind a backlog, larger writes still.
_BACKLOG_WAITS = 10
# Session timeouts to wait for the group to reassign a fenced shard: the broker does
# within one, and a busy client learns of it a little later. Twice as many delay the
# error of a shard that was fenced without a rebalance.
_TIMEOUTS_TO_LOSE_SHARD = 3


# Containers made between two passes of the garbage collector, where Python's own choice
# is 700: a few micro-batches make as many. Each pass looks at the lists of the batch in
# vain, for what is decoded and applied makes no cycles. Twice as many: half the passes,
# and cycles of that many containers wait.
_CONTAINERS_A_PASS = 50_000


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


@dataclass(slots=True, kw_only=True)
class WorkerTotals:
    """What a worker did since it started.

    Attributes:
        records: messages or lines read.
        applied: how many ``events`` (interactions), ``items`` (states of catalogue
            items) and ``searches`` (texts that actions may name) were applied.
        new_facts: facts that were not stored before.
        quarantined: rejections.
        ignored: valid messages that are not about an item.
        batches: writes to the store, over all shards.
        watermark_ms: event time up to which the graph is applied; None: no event was
            applied.
    """

    records: int = 0
    applied: "Counter[str]" = field(default_factory=Counter)
    new_facts: int = 0
    quarantined: int = 0
    ignored: int = 0
    batches: int = 0
    watermark_ms: int | None = None

    @property
    def events(self) -> int:
        """Interactions applied."""
        return self.applied["events"]

    @property
    def items(self) -> int:
        """States of catalogue items applied."""
        return self.applied["items"]

    @property
    def searches(self) -> int:
        """Texts of searches applied, each once, though it may be for all shards."""
        return self.applied["searches"]


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
    """Apply a source's records until it is exhausted or `stop` is set; a micro-batch
    that was begun is finished.

    Args:
        source: closed at the end; the store and the quarantine stay open.
        store: opened for writing.
        quarantine: stores rejected records before their offsets advance.
        settings: sizes of micro-batches, limits of events.
        metrics: receives the counts.
        stop: set it from a signal handler or another thread.
        on_progress: called after each poll, and after the last write.
        own_shards: the shards that this worker writes, where other processes read the
            same source; None: all.

    Raises:
        StreamError: the source, the store or the quarantine failed. Records that were
            not applied are read again.
    """
    worker = _Worker(source, store, quarantine, settings, metrics, stop, own_shards)
    logger.info("plain records are read by %s", "freshet_native" if native.IS_HERE else "Python")
    with _rare_collections():
        return _run(worker, source, store, stop, on_progress)


def _run(
    worker: "_Worker",
    source: Source,
    store: Store,
    stop: StopEvent,
    on_progress: Callable[[WorkerTotals], None],
) -> WorkerTotals:
    try:
        try:
            connected(lambda: source.start(store), worker.connect_seconds, stop)
        except SourceUnavailable:
            if stop.is_set():  # nobody waits for it any more
                return worker.totals
            raise
        while not stop.is_set() and not source.exhausted:
            worker.add(worker.poll())
            if worker.is_due:
                worker.apply()
            worker.run_due_work()
            on_progress(worker.totals)
        worker.apply()
        if source.exhausted:  # nobody may open the store again for long
            store.ownership.purge_now()
        on_progress(worker.totals)
        worker.set_freshness()
    finally:
        source.close()
    return worker.totals


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector pass seldom within the block."""
    before = gc.get_threshold()
    gc.set_threshold(_CONTAINERS_A_PASS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass(slots=True)
class _Waiting:
    """A wait for RocksDB, for the quarantine, or for the schema registry.

    Attributes:
        since: when it began, on the monotonic clock; None: nothing was waited for.
        cause: what was said of it last.
        is_for: what is waited for now.
    """

    since: float | None = None
    cause: str = ""
    is_for: Literal["rocksdb", "quarantine", "registry"] = "rocksdb"

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return 0.0 if self.since is None else time.monotonic() - self.since


class _Worker:
    """The steps of the loop, and what they shard_batch."""

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
        self._decoder = ColumnDecoder(settings, frames=open_registry(settings))
        self._settings = settings
        self._metrics = metrics
        self._own_shards = own_shards
        self._router = ShardRouter(store.num_shards, by_partition=source.shards_by_partition)
        self._micro_batch = MicroBatch()
        self._micro_batch_since = self._freshness_due = 0.0
        self._rebalances = 0
        self._num_found = 0

    @property
    def connect_seconds(self) -> float:
        """How long a source that cannot be started yet is tried again."""
        return self._settings.bootstrap_timeout_seconds

    @property
    def wait_seconds(self) -> float:
        """How long the next poll may wait."""
        if not len(self._micro_batch):
            return self._settings.poll_seconds
        waited = time.monotonic() - self._micro_batch_since
        return max(self._settings.batch_wait_ms / 1000 - waited, 0.0)

    @property
    def is_due(self) -> bool:
        """Whether to write the micro-batch now: it is full, its first record has waited
        for `batch_wait_ms`, longer where there is a backlog, or the last poll found
        nothing.
        """
        if self._micro_batch.num_events >= self._settings.batch_events or not self._num_found:
            return True
        waits = _BACKLOG_WAITS if self._num_found >= self._settings.batch_records else 1
        waited = time.monotonic() - self._micro_batch_since
        return waited >= waits * self._settings.batch_wait_ms / 1000

    def poll(self) -> Sequence[RecordBatch]:
        """Return the next records.

        Where the source cannot be read, what it returned before is applied first.
        """
        try:
            return self._source.poll(self.wait_seconds)
        except SourceUnreadable:
            self.apply()
            raise

    def add(self, found: Sequence[RecordBatch]) -> None:
        """Decode records and add them to the micro-batch, which is dropped first where
        its partitions may belong to another worker now.
        """
        if self._source.rebalances != self._rebalances:
            self._rebalances = self._source.rebalances
            self._micro_batch = MicroBatch()
        if found and not len(self._micro_batch):
            self._micro_batch_since = time.monotonic()
        now = now_ms() + max(self._source.clock_offset_ms, 0) if found else 0
        for batch in found:
            decoded = self._decode(batch, now)
            if decoded is None:
                break
            self._micro_batch.add(batch, decoded)
        self._num_found = sum(map(len, found))

    def _decode(self, batch: RecordBatch, now: int) -> DecodedBatch | None:
        """Decode records, waiting while the schema registry is away.

        Return None where the worker lost partitions meanwhile, or is stopped: the
        records are read again.
        """
        waiting = _Waiting()
        while True:
            try:
                decoded = self._decoder.decode(batch, now)
            except RegistryUnavailable as error:
                if not self._wait_out(error, waiting):
                    return None
            else:
                self._end_wait(waiting)
                return decoded

    def apply(self) -> None:
        """Quarantine the rejections, then write every shard's batch with its positions.

        The time is taken from the first record's decoding to the last shard's write; a
        micro-batch that is given up is not timed.
        """
        pending, self._micro_batch = self._micro_batch, MicroBatch()
        if not len(pending):
            return
        speaks_for_all = self._own_shards is None or 0 in self._own_shards
        if speaks_for_all and not self._put_away(pending.rejections):
            return
        ignored = pending.ignored
        counts = Counter({"ignored": ignored.total(), "search": pending.num_searches})
        reflected = self._source.reflected_ms(pending.positions)
        for index, shard_batch in self._router.split(
            pending, self._decoder.texts, self._own_shards
        ):
            shard_batch.retention_ms = self._retention_ms
            shard_batch.reflected_ms = reflected.get(index, 0)
            applied = self._write(index, shard_batch)
            if applied is None:
                return
            self._count(shard_batch, applied, counts)
        seconds = time.monotonic() - self._micro_batch_since
        self._source.applied(pending.positions)
        self.totals.records += pending.num_records
        self.totals.ignored += ignored.total()
        if speaks_for_all:
            self.totals.applied["searches"] += pending.num_searches
        self._metrics.count_ignored(ignored)
        self._metrics.count_batch(+counts, seconds)
        self._metrics.count_repairs(pending.repairs)
        self._decoder.forget_if_large()
        self._freshness_due = 0.0  # who reads what was written wants to know up to when it is all

    def run_due_work(self) -> None:
        """Do what is due between micro-batches: sync the log, upload checkpoints, serve
        snapshot requests, fold, load names, forget searches, set the gauges.
        """
        self._store.sync_if_due()
        self._store.ownership.run_due_work()
        serve_requests(self._store)
        for shard in self._store.open_shards():
            self._finish_erasures(shard)
            fold_step(shard, _FOLDED_AT_ONCE)
            shard.load_names(_NAMES_AT_ONCE)
            expired = forget_step(shard, _FORGOTTEN_AT_ONCE, now_ms())
            self._metrics.count_named_searches(expired=expired)
        now = time.monotonic()
        if now >= self._freshness_due:
            self._freshness_due = now + _FRESHNESS_EVERY_SECONDS
            self.set_freshness()

    def _finish_erasures(self, shard: Shard) -> None:
        """Carry out what was erased by hand in another copy, or was broken off; while
        RocksDB stalls, the next time.
        """
        if shard.erased.pending:
            with suppress(StoreStalled):
                erased = erase(shard, [], now_ms())
                self._metrics.count_facts(new=0, erased=erased, dropped=0)

    def set_freshness(self) -> None:
        """Set the gauges of watermark, lag and backup, and renew the feeds."""
        watermarks = [shard.state().watermark_ms for shard in self._store.open_shards()]
        self.totals.watermark_ms = min((ms for ms in watermarks if ms is not None), default=None)
        self._metrics.set_freshness(
            watermark_ms=self.totals.watermark_ms,
            lag=self._source.lag(),
            clock_offset_seconds=self._source.clock_offset_ms / 1000,
        )
        backup = last_backup(self._store.root)
        self._metrics.set_last_backup(backup.taken_ms if backup else 0)
        self._renew_feeds()

    def _renew_feeds(self) -> None:
        """Say in the feeds up to when they tell all."""
        feeds = {shard.index: shard.feed() for shard in self._store.open_shards()}
        if not any(feeds.values()):
            return
        reflected = self._source.reflected_ms()
        kept = {index: feed for index, feed in feeds.items() if feed is not None}
        for index, feed in kept.items():
            feed.renew(reflected.get(index, 0))
        self._metrics.set_feeds(
            num_bytes=sum(feed.num_bytes for feed in kept.values()),
            new_gaps=sum(feed.take_gaps() for feed in kept.values()),
            reflected_ms=min(feed.reflected_ms for feed in kept.values()),
        )

    @property
    def _retention_ms(self) -> int | None:
        """How late an event may be; None for files, which hold history."""
        if not self._source.shards_by_partition:
            return None
        return round(self._settings.session_retention_seconds * 1000)

    def _put_away(self, rejections: Sequence[Rejection]) -> bool:
        """Quarantine rejections, waiting while the quarantine is away.

        Return False where the worker lost partitions meanwhile, or is stopped: the
        records are read again.
        """
        waiting = _Waiting()
        while True:
            try:
                self._quarantine_rejections(rejections)
            except QuarantineUnavailable as error:
                if not self._wait_out(error, waiting):
                    return False
            else:
                self._end_wait(waiting)
                return True

    def _write(self, index: int, shard_batch: ShardBatch) -> ApplyResult | None:
        """Write one shard's batch, waiting while RocksDB stalls or the quarantine is
        away.

        Return None where the shard was lost meanwhile, or the worker is stopped: the
        records are read again.
        """
        waiting = _Waiting()
        while True:
            try:
                applied = apply_batch(
                    self._store.shard(index),
                    shard_batch,
                    self._decoder.texts,
                    on_refused=self._quarantine_rejections,
                )
            except StoreFenced:
                if not self._has_lost_shards():
                    raise
                return None
            except (StoreStalled, QuarantineUnavailable) as error:
                if not self._wait_out(error, waiting):
                    return None
            else:
                self._end_wait(waiting)
                return applied

    def _wait_out(self, error: StreamError, waiting: "_Waiting") -> bool:
        """Wait a moment, as a member of the group; return whether to try again."""
        if waiting.since is None:
            waiting.since = time.monotonic()
        if waiting.cause != str(error):
            waiting.cause = str(error)
            logger.warning("waiting error=%s", error)
        if isinstance(error, QuarantineUnavailable):
            waiting.is_for = "quarantine"
            self._metrics.set_quarantine_waiting(waiting.seconds)
        elif isinstance(error, RegistryUnavailable):
            waiting.is_for = "registry"
            self._metrics.set_registry_waiting(waiting.seconds)
        else:
            waiting.is_for = "rocksdb"
        self._source.idle(_STALLED_SECONDS)
        self.set_freshness()
        if not self._stop.is_set() and self._source.rebalances == self._rebalances:
            return True
        self._end_wait(waiting)
        return False

    def _end_wait(self, waiting: "_Waiting") -> None:
        if waiting.since is None:
            return
        logger.warning("wait ended seconds=%.1f", waiting.seconds)
        self._metrics.set_quarantine_waiting(0.0)
        self._metrics.set_registry_waiting(0.0)
        if waiting.is_for == "rocksdb":
            self._metrics.count_stall(waiting.seconds)

    def _has_lost_shards(self) -> bool:
        """Return whether the group reassigns shards within a few session timeouts.

        Records that were not applied are then read again.
        """
        timeout = self._settings.session_timeout_seconds
        deadline = time.monotonic() + _TIMEOUTS_TO_LOSE_SHARD * timeout
        while self._source.rebalances == self._rebalances and time.monotonic() < deadline:
            self._source.idle(_STALLED_SECONDS)
        return self._source.rebalances != self._rebalances

    def _quarantine_rejections(self, rejections: Sequence[Rejection]) -> None:
        self._quarantine.put(rejections, now_ms())
        self.totals.quarantined += len(rejections)
        self._metrics.count_quarantined(Counter(rejection.reason for rejection in rejections))
        self._metrics.count_rejected_erasures(
            sum(means_erasure(rejection.record, self._settings) for rejection in rejections)
        )

    def _count(self, shard_batch: ShardBatch, applied: ApplyResult, counts: "Counter[str]") -> None:
        self.totals.batches += 1
        self.totals.applied.update(events=len(shard_batch.events), items=len(shard_batch.items))
        self.totals.new_facts += applied.new_facts
        self._metrics.count_events_ahead(shard_batch.num_ahead(_AHEAD_MS))
        self._metrics.observe_stages(
            shard_batch.stage_seconds(now_ms(), self._source.clock_offset_ms)
        )
        self._metrics.count_facts(
            new=applied.new_facts, erased=applied.erased_facts, dropped=applied.dropped
        )
        self._metrics.count_wide_sessions(len(applied.widened))
        for session_id in applied.widened:
            logger.warning("wide session id=%r", session_id)
        self._metrics.count_named_searches(
            named=applied.named, joined=applied.joined, overused=applied.overused
        )
        by_action = np.bincount(shard_batch.events.action, minlength=len(Action) + 1).tolist()
        counts.update({action.label: by_action[action] for action in Action})
        counts["catalog"] += len(shard_batch.items)
        counts["erasure"] += len(shard_batch.erasures)
