"""The stream's Prometheus metrics, created when a worker is wired."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from stream.actions import Action
from stream.reasons import REASONS

EVENT_TYPES = (*(action.label for action in Action), "catalog", "erasure", "ignored")
"""Values of the label `type`.

"ignored" counts messages that are in order but not about an item.
"""

HANDOVERS = ("opened", "taken_over", "restored", "closed", "fenced")
"""Values of the label `kind`: how a shard came to this process, or left it."""

_BATCH_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class StreamMetrics:
    """What a worker counts. One instance a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "freshet_stream_events_total", "Events applied, by type.", ["type"], registry=registry
        )
        for kind in EVENT_TYPES:
            self._events.labels(kind)
        self._new_facts = Counter(
            "freshet_stream_new_facts_total", "Facts that were not known before.", registry=registry
        )
        self._erased_facts = Counter(
            "freshet_stream_erased_facts_total", "Facts that erasures took away.", registry=registry
        )
        self._dropped = Counter(
            "freshet_stream_dropped_total",
            "Events of users, sessions or items that were erased, and so were not applied.",
            registry=registry,
        )
        self._stalled = Counter(
            "freshet_stream_stalled_seconds_total",
            "Time that writes waited because RocksDB could not keep up.",
            registry=registry,
        )
        self._quarantined = Counter(
            "freshet_stream_quarantined_total",
            "Rejections put into quarantine, by reason.",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            self._quarantined.labels(reason)
        self._batches = Counter(
            "freshet_stream_batches_total", "Batches written to the store.", registry=registry
        )
        self._batch_seconds = Histogram(
            "freshet_stream_batch_seconds",
            "Time from the first decoded record of a batch to its durable write.",
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self._watermark = Gauge(
            "freshet_stream_graph_watermark_seconds",
            "Unix time of the event time up to which the graph is applied; 0: nothing was applied.",
            registry=registry,
        )
        self._behind_records = Gauge(
            "freshet_stream_behind_records",
            "Records that wait in the topics.",
            ["topic", "partition"],
            registry=registry,
        )
        self._behind_seconds = Gauge(
            "freshet_stream_behind_seconds",
            "Now minus the graph watermark; 0: nothing waits.",
            registry=registry,
        )

        self._shards = Gauge(
            "freshet_stream_shards", "Shards that this process has open.", registry=registry
        )
        self._handovers = Counter(
            "freshet_stream_handovers_total",
            "Shards that came to this process or left it, by how.",
            ["kind"],
            registry=registry,
        )
        for kind in HANDOVERS:
            self._handovers.labels(kind)
        self._checkpoints = Counter(
            "freshet_stream_checkpoints_total", "Checkpoints of shards put away.", registry=registry
        )
        self._checkpoint_failures = Counter(
            "freshet_stream_checkpoint_failures_total",
            "Checkpoints of shards that could not be put away; each is tried again.",
            registry=registry,
        )

    def count_handover(self, kind: str, num_open: int) -> None:
        """Count a shard that came or left.

        Args:
            kind: one of `HANDOVERS`.
            num_open: how many shards this process has open now.
        """
        self._handovers.labels(kind).inc()
        self._shards.set(num_open)

    def count_checkpoint(self, *, is_safe: bool) -> None:
        """Count a checkpoint that was put away, or could not be."""
        (self._checkpoints if is_safe else self._checkpoint_failures).inc()

    def count_batch(self, events_by_type: Mapping[str, int], seconds: float) -> None:
        """Count one applied batch."""
        for kind, count in events_by_type.items():
            self._events.labels(kind).inc(count)
        self._batches.inc()
        self._batch_seconds.observe(seconds)

    def count_facts(self, *, new: int, erased: int, dropped: int) -> None:
        """Count what one write did.

        Facts that were new or erased, and events of what is to be forgotten.
        """
        self._new_facts.inc(new)
        self._erased_facts.inc(erased)
        self._dropped.inc(dropped)

    def count_stall(self, seconds: float) -> None:
        """Count the time that a write had to wait for the disk."""
        self._stalled.inc(seconds)

    def count_quarantined(self, count_by_reason: Mapping[str, int]) -> None:
        """Count rejections that are safe in quarantine."""
        for reason, count in count_by_reason.items():
            self._quarantined.labels(reason).inc(count)

    def set_freshness(
        self,
        *,
        watermark_ms: int | None,
        now_ms: int,
        is_behind: bool,
        behind_records: Mapping[tuple[str, int], int],
    ) -> None:
        """Say how far the graph is, and how far behind that is.

        Args:
            watermark_ms: event time up to which the graph is applied; None: nothing was
                applied.
            now_ms: the clock.
            is_behind: something waits in the source.
            behind_records: records that wait, by topic and partition; partitions not
                named are dropped.
        """
        self._watermark.set((watermark_ms or 0) / 1000)
        seconds = (now_ms - watermark_ms) / 1000 if is_behind and watermark_ms is not None else 0.0
        self._behind_seconds.set(max(seconds, 0.0))
        self._behind_records.clear()
        for (topic, partition), waiting in behind_records.items():
            self._behind_records.labels(topic, partition).set(waiting)
