"""The metrics of answers: how fresh by their own receipt, and from where."""

import math
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.freshness import age_seconds

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


class Given(NamedTuple):
    """What is counted of an answer.

    Attributes:
        reflected_ms: as its receipt has it; 0: not known.
        snapshot_ms: likewise.
        now_ms: when it was given, UTC epoch milliseconds.
        num_items: its items.
        num_from_overlay: how many of them are the overlay's.
    """

    reflected_ms: int
    snapshot_ms: int
    now_ms: int
    num_items: int
    num_from_overlay: int


class AnswerMetrics:
    """Counts answers, so that an error budget can be burnt.

    Args:
        registry: where the metrics are registered.
        objective_seconds: how old a fresh answer may be.
    """

    def __init__(self, registry: CollectorRegistry, objective_seconds: float) -> None:
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

    def answered(self, given: Given) -> None:
        """Count an answer by how fresh it is, and its items."""
        reflected_ms, snapshot_ms, now_ms, num_items, num_from_overlay = given
        age = age_seconds(reflected_ms or snapshot_ms, now_ms)
        late = Freshness.STALE if reflected_ms else Freshness.UNKNOWN
        is_fresh = age <= self._objective_seconds
        self._by_freshness[Freshness.FRESH if is_fresh else late].inc()
        self._ages.observe(age)
        if num_from_overlay:
            self._by_source[HitSource.OVERLAY].inc(num_from_overlay)
        self._by_source[HitSource.GENERATION].inc(num_items - num_from_overlay)

    def compared(self, overlap: float) -> None:
        """Record how alike the last two generations answer; NaN: not known."""
        self._overlap.set(overlap)
