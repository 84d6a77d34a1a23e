"""The tuner's Prometheus metrics."""

import math
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Bounds in seconds: a refresh of a small shop takes 1, a large one its budget of 300,
# and an hour is late for any. Twice as many would tell no alert more.
_RUN_BUCKETS_SECONDS = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)

# Characters of what is told of a failure: two lines of a terminal or so. Twice as many
# make labels longer than some backends take.
_MOST_DETAIL_CHARS = 300


class TunerMetrics:
    """The tuner's metrics, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._last_success = Gauge(
            "freshet_tuner_last_success_timestamp_seconds",
            "Unix time of the last successful run: published or unchanged",
            registry=registry,
        )
        self._last_failure = Gauge(
            "freshet_tuner_last_failure_timestamp_seconds",
            "Unix time of the last failed run",
            registry=registry,
        )
        self._runs = Counter(
            "freshet_tuner_runs",
            "Runs by outcome: published, pinned (published, not live: another is pinned), "
            "unchanged, failed",
            ["outcome"],
            registry=registry,
        )
        self._failures = Counter(
            "freshet_tuner_failures",
            "Failed runs by reason (the error's class)",
            ["reason"],
            registry=registry,
        )
        self._last_failure_info = Gauge(
            "freshet_tuner_last_failure_info",
            "1 at the reason of the last failure, and what was wrong and what to do",
            ["reason", "detail"],
            registry=registry,
        )
        self._in_a_row = Gauge(
            "freshet_tuner_failures_in_a_row",
            "Failed runs since the last that ended well; 0: the last one did",
            registry=registry,
        )
        self._run_started = Gauge(
            "freshet_tuner_run_started_timestamp_seconds",
            "When the run that is under way began, Unix time; 0: none is",
            registry=registry,
        )
        self._active_items = Gauge(
            "freshet_tuner_active_items",
            "Items of the catalogue that may be shown, in the snapshot of the last run",
            registry=registry,
        )
        self._run_seconds = Histogram(
            "freshet_tuner_run_seconds",
            "How long a run took, snapshot to publication",
            buckets=_RUN_BUCKETS_SECONDS,
            registry=registry,
        )
        self._early = Counter(
            "freshet_tuner_early_runs",
            "Runs begun before their period, because a refresher wanted a generation, by reason",
            ["reason"],
            registry=registry,
        )
        self._every = Gauge("freshet_tuner_every_seconds", "Period of the runs", registry=registry)
        self._generation = Gauge(
            "freshet_tuner_generation_info",
            "1 at the generation published last",
            ["generation"],
            registry=registry,
        )
        self._own_titles = Gauge(
            "freshet_tuner_own_title_recall",
            "Share of items without clicks that are among the first ten answers to their "
            "exact title, in the live generation; absent where they are too few",
            ["generation"],
            registry=registry,
        )
        self._overlap = Gauge(
            "freshet_tuner_first_page_overlap",
            "Share of the first ten answers to known queries that the live generation has in "
            "common with the one before it; NaN: none was compared",
            registry=registry,
        )
        self._overlap.set(math.nan)
        self._cosines = Gauge(
            "freshet_tuner_item_cosine",
            "Cosine of the items of the live generation to those of the one that it was "
            "refreshed from: their mean, and the worst; absent after a training from scratch",
            ["statistic"],
            registry=registry,
        )
        self._evaluations = Counter(
            "freshet_tuner_evaluations",
            "Evaluations of the live generation on clicks that it had not learned, by outcome: "
            "judged, too_few (clicks), nothing_new, failed",
            ["outcome"],
            registry=registry,
        )
        self._unevaluated = Gauge(
            "freshet_tuner_evaluation_failures_in_a_row",
            "Evaluations that failed since the last that did not",
            registry=registry,
        )
        self._newest_queries = Gauge(
            "freshet_tuner_newest_clicks_queries",
            "Queries that the newest generations were evaluated on, by segment; fewer than 200 "
            "are not judged",
            ["segment"],
            registry=registry,
        )
        self._newest_level = Gauge(
            "freshet_tuner_newest_clicks_quality",
            "How the newest generations answered the clicks that came after them: MRR and "
            "Recall@10, their mean and the bounds of 95 in 100; NaN: too few clicks",
            ["segment", "figure", "bound"],
            registry=registry,
        )
        self._newest_change = Gauge(
            "freshet_tuner_newest_clicks_change",
            "The same relative to the generations before (-0.1: a tenth less), with the bounds "
            "of 3.3 standard errors; NaN: too few clicks",
            ["segment", "figure", "bound"],
            registry=registry,
        )
        for outcome in ("judged", "too_few", "nothing_new", "failed"):
            self._evaluations.labels(outcome)
        self._pinned = Gauge(
            "freshet_tuner_pinned_timestamp_seconds",
            "Since when the generation is pinned, so that nothing new goes live, Unix time; "
            "absent while none is",
            ["generation"],
            registry=registry,
        )
        self._refresher_down = Gauge(
            "freshet_tuner_refresher_down_info",
            "1 at why the refresher that this tuner runs has ended and is started again",
            ["reason"],
            registry=registry,
        )

    def refresher_down(self, reason: str) -> None:
        """The refresher that the tuner runs ended for `reason`; empty: it runs."""
        self._refresher_down.clear()
        if reason:
            self._refresher_down.labels(reason).set(1)

    def started(self, every_seconds: float) -> None:
        """The tuner is up."""
        self._every.set(every_seconds)

    def run_began(self, now_seconds: float) -> None:
        """A run begins."""
        self._run_started.set(now_seconds)

    def run_ended(self) -> None:
        """A run ended, however it did."""
        self._run_started.set(0)

    def saw_items(self, num_active: int) -> None:
        """A snapshot has so many items that may be shown."""
        self._active_items.set(num_active)

    def wanted_early(self, reason: str) -> None:
        """A run begins before its period, for `reason`."""
        self._early.labels(reason).inc()

    def succeeded(
        self, *, outcome: str, generation_id: str, now_seconds: float, run_seconds: float
    ) -> None:
        """A run ended well, with `outcome` ``published``, ``pinned`` or
        ``unchanged``.
        """
        self._runs.labels(outcome).inc()
        self._in_a_row.set(0)
        self._last_success.set(now_seconds)
        self._run_seconds.observe(run_seconds)
        self._generation.clear()
        self._generation.labels(generation_id).set(1)

    def pinned(self, generation_id: str | None, since_ms: int) -> None:
        """A generation is pinned since then; None: none is."""
        self._pinned.clear()
        if generation_id is not None:
            self._pinned.labels(generation_id).set(since_ms / 1000)

    def judged(self, generation_id: str, own_title_recall: float | None) -> None:
        """The gate has found this of the live generation; None: it did not look."""
        self._own_titles.clear()
        if own_title_recall is not None:
            self._own_titles.labels(generation_id).set(own_title_recall)

    def drifted(self, overlap: float | None, cosines: Mapping[str, float]) -> None:
        """The live generation is so far from the one before it.

        Args:
            overlap: of first pages; None: none was compared.
            cosines: of items, by ``mean`` and ``worst``; empty: of other spaces.
        """
        self._overlap.set(math.nan if overlap is None else overlap)
        self._cosines.clear()
        for statistic, cosine in cosines.items():
            self._cosines.labels(statistic).set(cosine)

    def evaluated(self, outcome: str) -> None:
        """The live generation was evaluated, with this outcome."""
        self._evaluations.labels(outcome).inc()
        if outcome == "failed":
            self._unevaluated.inc()
        else:
            self._unevaluated.set(0)

    def answers_newest(
        self,
        num_queries: Iterable[tuple[str, int]],
        level: Iterable[tuple[tuple[str, str], tuple[float, float, float]]],
        change: Iterable[tuple[tuple[str, str], tuple[float, float, float]]],
    ) -> None:
        """The newest generations answer newer clicks like this.

        Args:
            num_queries: by segment.
            level: by segment and figure, lower bound, mean and upper bound.
            change: the same, relative to the generations before.
        """
        for segment, num in num_queries:
            self._newest_queries.labels(segment).set(num)
        for gauge, found in ((self._newest_level, level), (self._newest_change, change)):
            for key, interval in found:
                for bound, value in zip(("low", "mean", "high"), interval, strict=True):
                    gauge.labels(*key, bound).set(value)

    def failed(
        self, *, reason: str, now_seconds: float, run_seconds: float, detail: str = ""
    ) -> None:
        """A run failed for `reason`; `detail` says in words what was wrong."""
        self._runs.labels("failed").inc()
        self._in_a_row.inc()
        self._failures.labels(reason).inc()
        self._last_failure.set(now_seconds)
        self._run_seconds.observe(run_seconds)
        self._last_failure_info.clear()
        one_line = " ".join(detail.split())
        self._last_failure_info.labels(reason, one_line[:_MOST_DETAIL_CHARS]).set(1)
