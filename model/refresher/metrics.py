"""The refresher's Prometheus metrics."""

import math
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.refresher.reasons import Trouble

# Bounds in seconds: a stage of the fresh lane takes tenths of a second to seconds; a
# minute is late for any. Twice as many would tell no alert more.
_STAGE_BUCKETS_SECONDS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class RefresherMetrics:
    """The refresher's metrics, in a registry of the caller's."""

    def __init__(
        self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time
    ) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"freshet_refresh_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"freshet_refresh_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(
                f"freshet_refresh_{name}", text, buckets=_STAGE_BUCKETS_SECONDS, registry=registry
            )

        self._clock = clock
        self._rounds = counter("rounds", "Rounds: what changed was taken in and recomputed")
        self._round_seconds = histogram("round_seconds", "How long a round took, without writing")
        self._recomputed = counter("recomputed", "Vectors recomputed, moved or not")
        self._carried = gauge("carried", "Nodes that wait for a later round")
        self._withheld = gauge(
            "withheld_radians",
            "Largest movement that a node waits with, or that is not followed, estimated",
        )
        self._poisoned = counter(
            "poisoned", "Vectors left out because they were not finite or no unit vectors"
        )
        self._waiting = gauge("waiting_changes", "Changes read of the feed and not taken in yet")
        self._items = gauge("overlay_items", "Items of the overlay")
        self._queries = gauge("overlay_queries", "Queries of the overlay")
        self._sequence = gauge("sequence", "Number of the newest segment")
        self._audit = gauge(
            "audit_cosine", "Worst cosine of the last audit to what a full pass would give"
        )
        self._gaps = gauge(
            "gaps",
            "Shards whose feed does not reach back to the generation; 1 also where that has "
            "nothing to continue from",
        )
        self._age = gauge(
            "age_seconds",
            "Time since which some record may be missing from the overlay; NaN: nothing is "
            "claimed beyond the generation",
        )
        self._embedded = histogram(
            "embedded_seconds", "From durable in the graph to embedded, of each write"
        )
        self._published = histogram(
            "published_seconds", "From embedded to published, of each write"
        )
        self._failures = counter(
            "failures", "What failed and is tried again, by reason: the error's class", "reason"
        )
        self._wanted = counter("wanted", "Generations asked for early, by reason", "reason")
        self._behind = gauge(
            "behind_info", "1 at the reason why the overlay is behind; none: it is not",
            "reason", "detail",
        )  # fmt: skip
        self._generation = gauge(
            "generation_info", "1 at the generation that the overlay belongs to", "generation"
        )
        self._clock_ahead = gauge(
            "clock_ahead_seconds",
            "How far the feed's times are ahead of this machine's clock; 0: they are not",
        )
        self._reflected_ms = 0
        self._age.set_function(self._age_now)
        self._audit.set(1.0)

    def round_done(self, *, seconds: float, recomputed: int, carried: int, withheld: float) -> None:
        """A round was done."""
        self._rounds.inc()
        self._round_seconds.observe(seconds)
        self._recomputed.inc(recomputed)
        self._carried.set(carried)
        self._withheld.set(withheld)

    def poisoned(self, count: int) -> None:
        """So many vectors were left out."""
        self._poisoned.inc(count)

    def waiting(self, changes: int) -> None:
        """So many changes wait for a round."""
        self._waiting.set(changes)

    def embedded(self, seconds: float) -> None:
        """A write was taken in, so long after it was durable."""
        self._embedded.observe(max(seconds, 0.0))

    def published(self, seconds: float, writes: int) -> None:
        """So many writes were published, so long after they were taken in."""
        for _ in range(writes):
            self._published.observe(max(seconds, 0.0))

    def overlay(self, *, generation: str, sequence: int, items: int, queries: int) -> None:
        """The overlay, as it is published by now."""
        self._generation.clear()
        self._generation.labels(generation).set(1)
        self._sequence.set(sequence)
        self._items.set(items)
        self._queries.set(queries)

    def claimed(self, reflected_ms: int) -> None:
        """The published overlay has every record up to then; 0: not known."""
        self._reflected_ms = reflected_ms

    def audited(self, cosine: float) -> None:
        """An audit found this worst cosine."""
        self._audit.set(cosine)

    def behind(self, trouble: Trouble | None, *, gaps: int, clock_ahead_seconds: float) -> None:
        """Why the overlay is behind; None: it is not."""
        self._behind.clear()
        if trouble is not None:
            self._behind.labels(trouble.reason, trouble.detail).set(1)
        self._gaps.set(gaps)
        self._clock_ahead.set(clock_ahead_seconds)

    def failed(self, reason: str) -> None:
        """Something failed that is tried again."""
        self._failures.labels(reason).inc()

    def wanted(self, reason: str) -> None:
        """A generation was asked for early."""
        self._wanted.labels(reason).inc()

    def _age_now(self) -> float:
        if not self._reflected_ms:
            return math.nan
        return max(self._clock() - self._reflected_ms / 1000, 0.0)
