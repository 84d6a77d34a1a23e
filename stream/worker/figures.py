"""What a worker tells of itself: totals, counters and gauges."""

import logging
import time
from collections import Counter
from collections.abc import Sequence

from stream.actions import Action
from stream.changes.apply import ApplyResult
from stream.changes.plan import OlderState
from stream.clock import now_ms
from stream.events.announcement import means_erasure
from stream.events.columns import ShardBatch
from stream.events.types import Rejection
from stream.metrics import StreamMetrics
from stream.micro_batch import MicroBatch
from stream.settings import StreamSettings
from stream.store.last_backup import last_backup
from stream.store.store import Store
from stream.worker.source import Source
from stream.worker.totals import WorkerTotals

logger = logging.getLogger(__name__)

# Milliseconds that an event may be ahead of the clocks without being counted, one
# minute, chosen by hand: clocks that are kept are within seconds. Twice as many leave
# more telephones out.
_AHEAD_MS = 60_000
# Seconds from one line about older states to the next: a catalogue that is published
# again is one matter, not a line a batch. Twice as many: a second one is named later.
_OLDER_EVERY_SECONDS = 60.0


class Figures:
    """Counts what was done, and sets the gauges.

    Attributes:
        totals: since the worker started.
    """

    def __init__(self, source: Source, store: Store, metrics: StreamMetrics) -> None:
        self.totals = WorkerTotals()
        self._source = source
        self._store = store
        self._metrics = metrics
        self._older_told_at = 0.0

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
        """Say in the feeds up to when they tell all; without one nothing is said."""
        feeds = {shard.index: shard.feed() for shard in self._store.open_shards()}
        kept = {index: feed for index, feed in feeds.items() if feed is not None}
        if not kept:  # whoever has the shards now says it
            self._metrics.set_feeds(num_bytes=0, new_gaps=0, reflected_ms=0)
            return
        reflected = self._source.reflected_ms()
        for index, feed in kept.items():
            feed.renew(reflected.get(index, 0))
        self._metrics.set_feeds(
            num_bytes=sum(feed.num_bytes for feed in kept.values()),
            new_gaps=sum(feed.take_gaps() for feed in kept.values()),
            reflected_ms=min(feed.reflected_ms for feed in kept.values()),
        )

    def count_quarantined(self, rejections: Sequence[Rejection], settings: StreamSettings) -> None:
        """Count what was quarantined, by reason; erasures among it, too."""
        self.totals.quarantined += len(rejections)
        self._metrics.count_quarantined(Counter(rejection.reason for rejection in rejections))
        self._metrics.count_rejected_erasures(
            sum(means_erasure(rejection.record, settings) for rejection in rejections)
        )

    def count_batch(
        self, pending: MicroBatch, counts: Counter[str], seconds: float, *, with_searches: bool
    ) -> None:
        """Count a micro-batch that is written.

        Args:
            pending: the micro-batch.
            counts: what was applied of it, over all shards.
            seconds: from the first record's decoding to the last shard's write.
            with_searches: whether this worker speaks for the searches in it.
        """
        self.totals.records += pending.num_records
        self.totals.ignored += pending.ignored.total()
        if with_searches:
            self.totals.applied["searches"] += pending.num_searches
        self._metrics.count_ignored(pending.ignored)
        self._metrics.count_batch(+counts, seconds)
        self._metrics.count_repairs(pending.repairs)

    def count_write(
        self, shard_batch: ShardBatch, applied: ApplyResult, counts: Counter[str]
    ) -> None:
        """Count what one shard's write applied, and add it to `counts`."""
        self.totals.batches += 1
        self.totals.applied.update(events=int(applied.by_action.sum()), items=applied.num_items)
        self.totals.new_facts += applied.new_facts
        self._metrics.count_events_ahead(shard_batch.num_ahead(_AHEAD_MS))
        self._metrics.observe_stages(
            shard_batch.stage_seconds(now_ms(), self._source.clock_offset_ms)
        )
        self._metrics.count_facts(
            new=applied.new_facts, erased=applied.erased_facts, dropped=applied.dropped
        )
        self._metrics.count_wide_sessions(len(applied.widened))
        self._count_older_states(applied.older)
        for session_id in applied.widened:
            logger.warning("wide session id=%r", session_id)
        self._metrics.count_named_searches(
            named=applied.named, joined=applied.joined, overused=applied.overused
        )
        by_action = applied.by_action.tolist()
        counts.update({action.label: by_action[action] for action in Action})
        counts["catalog"] += applied.num_items
        counts["erasure"] += len(shard_batch.erasures)

    def _count_older_states(self, older: Sequence[OlderState]) -> None:
        """Count states of items that changed nothing; the log names one of them at a
        time, for all that came with it.
        """
        if not older:
            return
        deleted = sum(each.stays_deleted for each in older)
        self.totals.applied["older"] += len(older)
        self._metrics.count_older_states(deleted=deleted, listed=len(older) - deleted)
        now = time.monotonic()
        if not self._older_told_at or now - self._older_told_at >= _OLDER_EVERY_SECONDS:
            self._older_told_at = now
            named = next((each for each in older if each.stays_deleted), older[0])
            logger.info(
                "older_states count=%d stay_deleted=%d item=%r", len(older), deleted, named.item_id
            )
