"""The stream's Prometheus metrics, created when a worker is wired."""

import time
from collections.abc import Iterable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.actions import Action
from stream.dtypes import Float64s, Int64s
from stream.reasons import IGNORED, REASONS, REPAIRS, Repair
from stream.signals.histogram import ArrayHistogram
from stream.signals.lag import Lag, LagMetrics
from stream.signals.recent import RecentMetrics

EVENT_TYPES = (*(action.label for action in Action), "catalog", "erasure", "search", "ignored")
"""Values of the label `type`.

"search" counts texts of searches that actions may name; "ignored" valid messages that
are not about an item.
"""

NAMED_SEARCHES = ("named", "joined", "expired", "overused")
"""Values of the label `kind`: actions that name their search by an id, those that found
its text, those given up without, and what an id has too much of.
"""

HANDOVERS = ("opened", "taken_over", "restored", "closed", "fenced")
"""Values of the label `kind`: how this process gained or lost a shard."""

# Seconds, buckets of `freshet_stream_batch_seconds`: the usual steps of 1, 2.5 and 5,
# from a write of a few events to a stalled disk. Chosen by hand. One bucket more at the
# top, or one finer step, is one time series more.
_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# Seconds within which shards and partitions find that a topic is another one: looks at
# the topics are seconds apart. Twice as many: a topic that is made again twice in two
# minutes counts once.
_RECREATED_APART_SECONDS = 60.0


STAGES = ("broker", "consumed", "durable")
"""Values of the label `stage`: what an event has reached.

The broker, from when it happened; the worker, from there; the graph, from there.
"""

# Seconds, buckets of `freshet_stream_stage_seconds`: the usual steps of 1, 2.5 and 5,
# from a broker on the same machine to a shop's telephones that were offline for hours.
# Chosen by hand. One more is three time series more.
_STAGE_SECONDS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    *(30.0, 60.0, 300.0, 3600.0, 86400.0),
)


class StreamMetrics:
    """The counters and gauges of a worker; one instance per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._recreated_at: dict[str, float] = {}
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, registry=registry)
        self._events = counter(
            "freshet_stream_events_total",
            "Events applied, repeated ones included, by type; neither what is quarantined, such "
            "as too late, nor what is erased.",
            ["type"],
        )
        for kind in EVENT_TYPES:
            self._events.labels(kind)
        self._new_facts = counter("freshet_stream_new_facts_total", "New facts.")
        self._erased_facts = counter(
            "freshet_stream_erased_facts_total", "Facts removed by erasures."
        )
        self._dropped = counter(
            "freshet_stream_dropped_total",
            "Events not applied because their user, session or item is erased.",
        )
        self._stalled = counter(
            "freshet_stream_stalled_seconds_total",
            "Time that writes waited because RocksDB could not keep up.",
        )
        self._quarantined = counter(
            "freshet_stream_quarantined_total",
            "Records quarantined, by reason.",
            ["reason"],
        )
        for reason in REASONS:
            self._quarantined.labels(reason)
        self._quarantine_waiting = gauge(
            "freshet_stream_quarantine_waiting_seconds",
            "How long rejected records have waited for a quarantine that does not take them, "
            "and with them the stream; 0: none waits.",
        )
        self._registry_waiting = gauge(
            "freshet_stream_schema_registry_waiting_seconds",
            "How long records have waited for a schema registry that does not answer, and with "
            "them the stream; 0: none waits.",
        )
        self._rejected_erasures = counter(
            "freshet_stream_rejected_erasures_total",
            "Erasures quarantined instead of carried out; also counted by reason.",
        )
        self._repairs = _from_zero(
            counter(
                "freshet_stream_repairs_total",
                "Texts of catalogue items that were cut or left out, by what was done.",
                ["kind"],
            ),
            REPAIRS,
        )
        self._older_states = _from_zero(
            counter(
                "freshet_stream_older_states_total",
                "States of catalogue items that changed nothing, because one with a later time "
                "is known: a deletion (the item stays deleted) or another state.",
                ["newer"],
            ),
            ("deleted", "listed"),
        )
        self._ignored = counter(
            "freshet_stream_ignored_total",
            "Messages in order but not about an item, by reason.",
            ["reason"],
        )
        for reason in IGNORED:
            self._ignored.labels(reason)
        self._named_searches = counter(
            "freshet_stream_named_searches_total",
            "Actions that name their search by an id: named, joined with its text at once "
            "or later, expired without it, overused where an id has too many to hold.",
            ["kind"],
        )
        for kind in NAMED_SEARCHES:
            self._named_searches.labels(kind)
        self._wide_sessions = counter(
            "freshet_stream_wide_sessions_total",
            "Sessions that came to have more facts or users than a person's: of a crawler, "
            "or of an id that many share.",
        )
        self._batches = counter(
            "freshet_stream_batches_total", "Micro-batches written to the store."
        )
        self._batch_seconds = histogram(
            "freshet_stream_batch_seconds",
            "Seconds from handing the first record of a micro-batch to the decoder until "
            "the write of its last shard returned. The write is then in the log of each "
            "shard, which is synced to disk within stream.sync_every_ms.",
            buckets=_BATCH_SECONDS,
        )
        self._stages = ArrayHistogram(
            "freshet_stream_stage_seconds",
            "Seconds from one stage to the next, by the stage that is reached: broker, from "
            "the event's own time to its record's in Kafka, by events; consumed, from there to "
            "the worker, and durable, from there to the graph, by records.",
            label="stage",
            values=STAGES,
            bounds=_STAGE_SECONDS,
            registry=registry,
        )
        self._skew = counter(
            "freshet_stream_clock_skew_total",
            "Events or records that reached a stage before the one before it, by the clocks; "
            "they are in no bucket of freshet_stream_stage_seconds.",
            ["stage"],
        )
        for stage in STAGES:
            self._skew.labels(stage)
        self._feed_bytes = gauge(
            "freshet_stream_feed_bytes", "Bytes of the change feeds of the open shards."
        )
        self._feed_gaps = counter(
            "freshet_stream_feed_gaps_total",
            "Writes that are missing in a change feed, because the disk refused them or lost "
            "power: whoever follows it needs a new snapshot.",
        )
        self._feed_upload_failures = counter(
            "freshet_stream_feed_upload_failures_total",
            "Uploads of change feeds beside the checkpoints that failed; each is retried.",
        )
        self._reflected = gauge(
            "freshet_stream_reflected_seconds",
            "Unix time up to which everything that had reached the topics is applied, in the "
            "time of Kafka's records, over all open shards; 0: nothing can be said.",
        )
        self._watermark = gauge(
            "freshet_stream_graph_watermark_seconds",
            "Event time, as Unix time, up to which the graph is applied; 0: no event was applied.",
        )
        self._lag = LagMetrics(registry)
        self._recent = RecentMetrics(registry)
        self._lost = counter(
            "freshet_stream_records_lost_total",
            "Records that a topic no longer had when they were to be read, because its "
            "retention was faster, once each; offsets are counted, so a compacted topic shows "
            "more.",
            ["topic"],
        )
        self._recreated = counter(
            "freshet_stream_topics_recreated_total",
            "Times that a topic was found to be another one than had been read: made again, "
            "cut short, or another cluster's. It was read from its start.",
            ["topic"],
        )
        self._without_owner = gauge(
            "freshet_stream_shards_without_owner",
            "Shards that no process of the consumer group has, of as many as the topics have "
            "partitions; each process shows the same.",
        )
        self._members = gauge(
            "freshet_stream_group_members",
            "Processes of the consumer group, with and without shards, as the broker counts "
            "them; each process shows the same.",
        )
        self._clock_offset_seconds = gauge(
            "freshet_stream_clock_offset_seconds",
            "How far the times that Kafka keeps with records are ahead of this machine's clock "
            "when they are read; negative: how far behind it though they had just arrived. "
            "The median of the last batches; 0: nothing shows a difference.",
        )
        self._events_ahead = counter(
            "freshet_stream_events_ahead_total",
            "Interactions applied whose time was over a minute ahead of the record's time in "
            "Kafka, or of the clock.",
        )
        self._skipped = counter(
            "freshet_stream_records_skipped_total",
            "Records of compressed batches that could not be unpacked, once each, by topic and "
            "reason: too_large (more than stream.max_batch_bytes) or damaged.",
            ["topic", "reason"],
        )
        self._shards = gauge("freshet_stream_shards", "Shards that this process has open.")
        self._handovers = counter(
            "freshet_stream_handovers_total",
            "Shards gained or lost by this process, by kind.",
            ["kind"],
        )
        for kind in HANDOVERS:
            self._handovers.labels(kind)
        self._checkpoints = counter(
            "freshet_stream_checkpoints_total", "Checkpoints of shards uploaded."
        )
        self._checkpoint_failures = counter(
            "freshet_stream_checkpoint_failures_total",
            "Checkpoints of shards that failed to upload; each is retried.",
        )
        self._purges = counter(
            "freshet_stream_purges_total",
            "Purges: erased bytes left a shard's files, or its checkpoints.",
        )
        self._purge_failures = counter(
            "freshet_stream_purge_failures_total",
            "Purges of shards that failed; each is tried again.",
        )
        self._last_backup = gauge(
            "freshet_stream_last_backup_timestamp_seconds",
            "When the newest backup of the store was taken, or the one that it was restored "
            "from, Unix time; 0: none was.",
        )
        self._unpurged = gauge(
            "freshet_stream_unpurged_seconds",
            "Age of the oldest erasure whose bytes are still in a shard's files or "
            "checkpoints; 0: none.",
        )

    def count_purge(self, *, is_done: bool) -> None:
        """Count a purge of a shard's files or checkpoints, or one that failed."""
        (self._purges if is_done else self._purge_failures).inc()

    def set_unpurged(self, seconds: float) -> None:
        """Set the age of the oldest erasure that is not purged; 0: there is none."""
        self._unpurged.set(seconds)

    def watch_topics(self, topics: Iterable[str]) -> None:
        """Show topics with a count of 0, before anything is counted of them."""
        for topic in topics:
            self._lost.labels(topic)
            self._recreated.labels(topic)

    def count_lost(self, topic: str, num_records: int) -> None:
        """Count records that a topic no longer had when they were to be read."""
        self._lost.labels(topic).inc(num_records)
        self._recent.lost("lost")

    def count_recreated(self, topic: str) -> None:
        """Count a topic that is another one than a shard had read.

        Each shard and each partition finds it by itself: what they find of a topic
        within a minute is one matter.
        """
        now = time.monotonic()
        last = self._recreated_at.get(topic)
        self._recreated_at[topic] = now
        if last is None or now - last > _RECREATED_APART_SECONDS:
            self._recreated.labels(topic).inc()
            self._recent.lost("recreated")

    def set_group(self, *, num_members: int, num_without_owner: int) -> None:
        """Set how many processes the group has, and how many shards none has."""
        self._members.set(num_members)
        self._without_owner.set(num_without_owner)

    def set_broker(self, bootstrap: str, error: str) -> None:
        """Set why the broker at an address does not answer; empty: it does."""
        self._lag.set_broker(bootstrap, error)

    def count_handover(self, kind: str, num_open: int) -> None:
        """Count a shard that this process gained or lost.

        Args:
            kind: one of `HANDOVERS`.
            num_open: how many shards this process has open now.
        """
        self._handovers.labels(kind).inc()
        self._shards.set(num_open)

    def count_checkpoint(self, *, is_safe: bool) -> None:
        """Count a checkpoint that was uploaded, or failed to upload."""
        (self._checkpoints if is_safe else self._checkpoint_failures).inc()

    def observe_stages(
        self, seconds_by_stage: Mapping[str, tuple[Float64s, Int64s | None]]
    ) -> None:
        """Count how long events took.

        Args:
            seconds_by_stage: seconds and how often each counts (None: once), by a value
                of `STAGES`; negative ones are counted as clock skew.
        """
        for stage, (seconds, weights) in seconds_by_stage.items():
            is_skewed = seconds < 0
            if is_skewed.any():
                skewed = is_skewed.sum() if weights is None else weights[is_skewed].sum()
                self._skew.labels(stage).inc(int(skewed))
                seconds = seconds[~is_skewed]  # noqa: PLW2901  # the rest of them
                weights = None if weights is None else weights[~is_skewed]  # noqa: PLW2901  # as above
            if len(seconds):
                self._stages.observe(stage, seconds, weights)

    def count_feed_upload_failure(self) -> None:
        """Count a feed that could not be put beside the checkpoints."""
        self._feed_upload_failures.inc()

    def set_feeds(self, *, num_bytes: int, new_gaps: int, reflected_ms: int) -> None:
        """Set what the feeds of the open shards hold, and count writes that are missing
        in them.

        Args:
            num_bytes: of all.
            new_gaps: writes that are missing since the last call.
            reflected_ms: up to when they tell all; 0: nothing can be said.
        """
        self._feed_bytes.set(num_bytes)
        self._feed_gaps.inc(new_gaps)
        self._reflected.set(reflected_ms / 1000)

    def count_batch(self, events_by_type: Mapping[str, int], seconds: float) -> None:
        """Count one applied micro-batch.

        Args:
            events_by_type: its events, by a value of `EVENT_TYPES`.
            seconds: from handing its first record to the decoder until the write of its
                last shard returned.
        """
        for kind, count in events_by_type.items():
            self._events.labels(kind).inc(count)
        self._recent.came(sum(events_by_type.values()))
        self._batches.inc()
        self._batch_seconds.observe(seconds)

    def count_facts(self, *, new: int, erased: int, dropped: int) -> None:
        """Count what one write did: new facts, erased ones, and events of
        erased ids.
        """
        self._new_facts.inc(new)
        self._erased_facts.inc(erased)
        self._dropped.inc(dropped)

    def count_ignored(self, count_by_reason: Mapping[str, int]) -> None:
        """Count messages that were in order but not about an item."""
        for reason, count in count_by_reason.items():
            self._ignored.labels(reason).inc(count)

    def count_named_searches(
        self, *, named: int = 0, joined: int = 0, expired: int = 0, overused: int = 0
    ) -> None:
        """Count actions that name their search by an id."""
        counts = {"named": named, "joined": joined, "expired": expired, "overused": overused}
        for kind, count in counts.items():
            if count:
                self._named_searches.labels(kind).inc(count)

    def count_wide_sessions(self, count: int) -> None:
        """Count sessions that became wide."""
        self._wide_sessions.inc(count)

    def count_older_states(self, *, deleted: int, listed: int) -> None:
        """Count states that a later deletion, or another later state, left unused."""
        for newer, count in (("deleted", deleted), ("listed", listed)):
            if count:
                self._older_states.labels(newer).inc(count)

    def count_stall(self, seconds: float) -> None:
        """Count the time that a write had to wait for the disk."""
        self._stalled.inc(seconds)

    def count_quarantined(self, count_by_reason: Mapping[str, int]) -> None:
        """Count rejections that the quarantine has stored."""
        for reason, count in count_by_reason.items():
            self._quarantined.labels(reason).inc(count)
            self._recent.rejected(reason, count)

    def set_quarantine_waiting(self, seconds: float) -> None:
        """Set how long rejections have waited for the quarantine; 0: none does."""
        self._quarantine_waiting.set(seconds)

    def set_registry_waiting(self, seconds: float) -> None:
        """Set how long records have waited for the schema registry; 0: none does."""
        self._registry_waiting.set(seconds)

    def count_rejected_erasures(self, count: int) -> None:
        """Count erasures among the rejections that the quarantine has stored."""
        self._rejected_erasures.inc(count)

    def count_repairs(self, count_by_kind: Mapping[Repair, int]) -> None:
        """Count what was mended of catalogue items that are used."""
        for kind, count in count_by_kind.items():
            self._repairs.labels(kind).inc(count)

    def count_skipped(self, topic: str, reason: str, count: int) -> None:
        """Count the records of a batch that was passed over."""
        self._skipped.labels(topic, reason).inc(count)
        self._recent.lost("skipped")

    def count_events_ahead(self, count: int) -> None:
        """Count interactions applied that say to be from the future."""
        self._events_ahead.inc(count)

    def set_last_backup(self, taken_ms: int) -> None:
        """Set when the newest backup was taken; 0: none was."""
        self._last_backup.set(taken_ms / 1000)

    def set_freshness(
        self, *, watermark_ms: int | None, lag: Lag, clock_offset_seconds: float
    ) -> None:
        """Set the gauges of the watermark, of the lag and of the clocks.

        Args:
            watermark_ms: event time up to which the graph is applied; None: no event
                was applied.
            lag: what waits; the gauges of other partitions are removed.
            clock_offset_seconds: how far records' own times are ahead of this machine's
                clock.
        """
        self._watermark.set((watermark_ms or 0) / 1000)
        self._clock_offset_seconds.set(clock_offset_seconds)
        self._lag.set(lag)


def _from_zero(made: Counter, values: Iterable[str]) -> Counter:
    """Return a counter of one label that shows each value before it counts it."""
    for value in values:
        made.labels(value)
    return made
