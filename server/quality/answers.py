"""The metrics of answers: how fresh by their own receipt, and from where."""

import math
from collections.abc import Callable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.freshness import Receipt
from server.metrics.later import Later

# Seconds. The fresh lane answers within a second or two, a generation is minutes old;
# the default objective of a minute and the half hour of an alert are bounds. Twice as
# many would be finer, and double the series.
_AGE_BUCKETS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)


class Freshness(StrEnum):
    """What a receipt says of its answer; values of the label `freshness`."""

    FRESH = "fresh"
    STALE = "stale"
    UNKNOWN = "unknown"


class HitSource(StrEnum):
    """Where an item of an answer came from; values of the label `source`."""

    GENERATION = "generation"
    OVERLAY = "overlay"


class AnswerMetrics:
    """Counts answers, so that an error budget can be burnt.

    Args:
        registry: where the metrics are registered.
        objective_seconds: how old a fresh answer may be.
        later: counts what calls put off; None: one of its own.
    """

    def __init__(
        self, registry: CollectorRegistry, objective_seconds: float, later: Later | None = None
    ) -> None:
        self._later = Later(registry) if later is None else later
        self._objective_seconds = objective_seconds
        self.on_answer: Callable[[int], object] | None = None
        """Is told the broker time up to which each answer has everything."""
        Gauge(
            "freshet_server_objective_seconds",
            "How old an answer may be to be counted as fresh",
            registry=registry,
        ).set(objective_seconds)
        self._answers = Counter(
            "freshet_server_answers",
            "Answered queries by what their receipt says: fresh, all that had reached the "
            "topics by then is in it; stale; unknown, no refresher says, and the snapshot is "
            "older",
            ["freshness"],
            registry=registry,
        )
        self._ages = Histogram(
            "freshet_server_answer_age_seconds",
            "Age of answers by their receipt; of the snapshot where no refresher says it",
            buckets=_AGE_BUCKETS,
            registry=registry,
        )
        self._hits = Counter(
            "freshet_server_hits",
            "Items in answers by where they came from",
            ["source"],
            registry=registry,
        )
        self._overlap = Gauge(
            "freshet_server_generation_overlap",
            "Share of the first ten answers that the generation loaded last has in common with "
            "the one before, of sampled queries that both know; NaN: none compared",
            registry=registry,
        )
        self._overlap.set(math.nan)
        # Of a counter's cost, finding it by its label is most.
        self._by_freshness = {each: self._answers.labels(each) for each in Freshness}
        self._by_source = {each: self._hits.labels(each) for each in HitSource}

    def answered(self, receipt: Receipt, num_items: int, num_from_overlay: int) -> None:
        """Count an answer by its receipt, and its items."""
        self._later.put(self._answered, receipt, num_items, num_from_overlay)
        if self.on_answer is not None:
            self.on_answer(receipt.reflected_ms)

    def _answered(self, receipt: Receipt, num_items: int, num_from_overlay: int) -> None:
        is_told = receipt.reflected_ms > 0
        age = receipt.age_seconds if is_told else receipt.snapshot_age_seconds
        late = Freshness.STALE if is_told else Freshness.UNKNOWN
        is_fresh = age <= self._objective_seconds
        self._by_freshness[Freshness.FRESH if is_fresh else late].inc()
        self._ages.observe(age)
        if num_from_overlay:
            self._by_source[HitSource.OVERLAY].inc(num_from_overlay)
        self._by_source[HitSource.GENERATION].inc(num_items - num_from_overlay)

    def compared(self, overlap: float) -> None:
        """Record how alike the last two generations answer; NaN: not known."""
        self._overlap.set(overlap)
