"""The loop: poll, decode, quarantine, apply, commit.

Positions advance only together with the events before them.
"""

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event as StopEvent

from stream.changes.apply import ApplyResult, apply_batch
from stream.changes.erasure.erase import erase
from stream.changes.erasure.forget import forget_step
from stream.changes.fold import fold_step
from stream.clock import now_ms
from stream.errors import SourceUnavailable, SourceUnreadable, StoreFenced, StoreStalled
from stream.events import native
from stream.events.columns import ShardBatch
from stream.events.fast_path import ColumnDecoder, DecodedBatch
from stream.events.types import RecordBatch, Rejection
from stream.metrics import StreamMetrics
from stream.micro_batch import MicroBatch, ShardRouter
from stream.quarantine.rejections import Quarantine
from stream.reading.snapshot import serve_requests
from stream.registry.open import open_registry
from stream.settings import StreamSettings
from stream.shard.shard import Shard
from stream.sources.connecting import connected
from stream.store.store import Store
from stream.worker.figures import Figures
from stream.worker.source import Source
from stream.worker.totals import WorkerTotals
from stream.worker.waits import GivenUp, Waits

logger = logging.getLogger(__name__)

# Seconds between two updates of the gauges, chosen by hand: Prometheus scrapes every
# 15 s or so. Twice as much makes them up to half a second old.
_FRESHNESS_EVERY_SECONDS = 0.25
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
# Containers made between two passes of the garbage collector, where Python's own choice
# is 700: a few micro-batches make as many. Each pass looks at the lists of the batch in
# vain, for what is decoded and applied makes no cycles. Twice as many: half the passes,
# and cycles of that many containers wait.
_CONTAINERS_A_PASS = 50_000


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
        self._source = source
        self._store = store
        self._quarantine = quarantine
        self._decoder = ColumnDecoder(settings, frames=open_registry(settings))
        self._settings = settings
        self._metrics = metrics
        self._own_shards = own_shards
        self._router = ShardRouter(store.num_shards, by_partition=source.shards_by_partition)
        self._figures = Figures(source, store, metrics)
        self._waits = Waits(source, metrics, stop, self.set_freshness)
        self._micro_batch = MicroBatch()
        self._micro_batch_since = self._freshness_due = 0.0
        self._rebalances = 0
        self._num_found = 0

    @property
    def totals(self) -> WorkerTotals:
        """What was done since the start."""
        return self._figures.totals

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
        with suppress(GivenUp):
            for batch in found:
                self._micro_batch.add(batch, self._decode(batch, now))
        self._num_found = sum(map(len, found))

    def _decode(self, batch: RecordBatch, now: int) -> DecodedBatch:
        """Decode records, waiting while the schema registry is away.

        Raises:
            GivenUp: the worker lost partitions meanwhile, or is stopped.
        """
        return self._waits.until_done(lambda: self._decoder.decode(batch, now), self._rebalances)

    def apply(self) -> None:
        """Quarantine the rejections, then write every shard's batch with its positions.

        The time is taken from the first record's decoding to the last shard's write; a
        micro-batch that is given up is not timed.
        """
        pending, self._micro_batch = self._micro_batch, MicroBatch()
        if len(pending):
            with suppress(GivenUp):
                self._apply(pending)

    def _apply(self, pending: MicroBatch) -> None:
        """Apply a micro-batch.

        Raises:
            GivenUp: not all of it was applied; its records are read again.
        """
        speaks_for_all = self._own_shards is None or 0 in self._own_shards
        if speaks_for_all:
            self._waits.until_done(
                lambda: self._quarantine_rejections(pending.rejections), self._rebalances
            )
        counts = Counter({"ignored": pending.ignored.total(), "search": pending.num_searches})
        reflected = self._source.reflected_ms(pending.positions)
        for index, shard_batch in self._router.split(
            pending, self._decoder.texts, self._own_shards
        ):
            shard_batch.retention_ms = self._retention_ms
            shard_batch.reflected_ms = reflected.get(index, 0)
            self._figures.count_write(shard_batch, self._write(index, shard_batch), counts)
        seconds = time.monotonic() - self._micro_batch_since
        self._source.applied(pending.positions)
        self._figures.count_batch(pending, counts, seconds, with_searches=speaks_for_all)
        self._decoder.forget_if_large()
        self._freshness_due = 0.0  # who reads what was written wants to know up to when it is all

    def run_due_work(self) -> None:
        """Do what is due between micro-batches: sync the log, upload checkpoints, serve
        snapshot requests, fold, load names, forget searches, set the gauges.

        Raises:
            StoreFenced: another process took a shard over, and the group says nothing
                of it.
        """
        try:
            self._run_due_work()
        except StoreFenced as error:
            self._wait_until_told(error)

    def _run_due_work(self) -> None:
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
        """Set the gauges, and renew the feeds."""
        self._figures.set_freshness()

    @property
    def _retention_ms(self) -> int | None:
        """How late an event may be; None for files, which hold history."""
        if not self._source.shards_by_partition:
            return None
        return round(self._settings.session_retention_seconds * 1000)

    def _write(self, index: int, shard_batch: ShardBatch) -> ApplyResult:
        """Write one shard's batch, waiting while RocksDB stalls or the quarantine is
        away.

        Raises:
            GivenUp: the shard was lost meanwhile, or the worker is stopped.
            StoreFenced: another process took the shard over, and the group says
                nothing of it.
        """
        try:
            return self._waits.until_done(
                lambda: apply_batch(
                    self._store.shard(index),
                    shard_batch,
                    self._decoder.texts,
                    on_refused=self._quarantine_rejections,
                ),
                self._rebalances,
            )
        except StoreFenced as error:
            self._wait_until_told(error)
            raise GivenUp from error

    def _wait_until_told(self, fenced: StoreFenced) -> None:
        """Wait until the group says whose the shard is that another process took over.

        A worker that was away for too long is told so only when it asks.

        Raises:
            StoreFenced: the group says nothing of it.
        """
        timeout = self._settings.session_timeout_seconds
        if not self._waits.for_rebalance(self._rebalances, timeout):
            raise fenced

    def _quarantine_rejections(self, rejections: Sequence[Rejection]) -> None:
        self._quarantine.put(rejections, now_ms())
        self._figures.count_quarantined(rejections, self._settings)
