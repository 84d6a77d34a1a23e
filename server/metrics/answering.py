"""Metrics of what a server answers from, and of queries by how they were answered."""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from server.filters.conditions import FilterPath, FilterReport
from server.freshness import Receipt
from server.metrics.later import Later
from server.quality.answers import AnswerMetrics, Given
from server.retrieve import QueryPath
from server.session.shift import MemberOutcome
from server.settings import ServerSettings


class ServerMetrics:
    """The metrics of a server. Label values known beforehand exist from the start, so
    that a first event is an increase.

    Args:
        registry: where the metrics are registered.
        refusal_reasons: values of the label `reason`.
        objective_seconds: how old a fresh answer may be.
        later: counts what calls put off; None: one of its own.

    Attributes:
        answers: how fresh answers were.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        refusal_reasons: Iterable[StrEnum] = (),
        *,
        objective_seconds: float = ServerSettings.objective_seconds,
        later: Later | None = None,
    ) -> None:
        self._later = Later(registry) if later is None else later
        self.answers = AnswerMetrics(registry, objective_seconds)
        self._watermark_age = Gauge(
            "freshet_server_watermark_age_seconds",
            "Age of the event time up to which the live embeddings reflect everything; NaN: "
            "not ready",
            registry=registry,
        )
        self._snapshot_age = Gauge(
            "freshet_server_snapshot_age_seconds",
            "Age of the snapshot behind the live embeddings; NaN: not ready",
            registry=registry,
        )
        self._ready = Gauge(
            "freshet_server_ready",
            "1: a generation is live and requests are answered",
            registry=registry,
        )
        self._generation_info = Gauge(
            "freshet_server_generation_info",
            "1 for the live generation",
            ["generation"],
            registry=registry,
        )
        self._queries = Counter(
            "freshet_server_queries",
            "Answered queries by where their vector came from",
            ["path"],
            registry=registry,
        )
        self._context_members = Counter(
            "freshet_server_context_members",
            "Items and queries of running sessions that requests brought, by what became of them",
            ["outcome"],
            registry=registry,
        )
        self._batched = Counter(
            "freshet_server_batched",
            "Requests in batches by the gRPC status that each would have ended with by itself",
            ["code"],
            registry=registry,
        )
        self._filtered = Counter(
            "freshet_server_filtered",
            "Answered requests with a filter, by how what matches was found",
            ["path"],
            registry=registry,
        )
        self._filtered_short = Counter(
            "freshet_server_filtered_short",
            "Answered requests with a filter that lets in fewer items than were wanted",
            registry=registry,
        )
        self._unknown_attributes = Counter(
            "freshet_server_filter_unknown_attributes",
            "Attributes that filters of answered requests asked for and no item has",
            registry=registry,
        )
        self._swaps = Counter(
            "freshet_server_swaps",
            "Generations that went live, the first one included",
            registry=registry,
        )
        self._refusals = Counter(
            "freshet_server_swap_refused",
            "Generations that failed to load, by reason",
            ["reason"],
            registry=registry,
        )
        self._last_swap = Gauge(
            "freshet_server_last_swap_timestamp_seconds",
            "When the live generation went live, Unix time; 0: none did",
            registry=registry,
        )
        self._newest_refused = Gauge(
            "freshet_server_newest_refused",
            "1: the generation that CURRENT names is refused, and an older one answers",
            registry=registry,
        )
        self._heartbeat = Gauge(
            "freshet_server_watcher_heartbeat_timestamp_seconds",
            "When CURRENT was last looked at, Unix time; it stands still while a generation loads",
            registry=registry,
        )
        self._of_path = {path: self._queries.labels(path) for path in QueryPath}
        self._batched.labels("OK")
        for filter_path in FilterPath:
            self._filtered.labels(filter_path)
        for outcome in MemberOutcome:
            self._context_members.labels(outcome)
        for reason in refusal_reasons:
            self._refusals.labels(reason)

    def watch(self, receipt_now: Callable[[], Receipt | None]) -> None:
        """Compute ages and readiness at each scrape, from the current receipt."""

        def seconds(read: Callable[[Receipt], float]) -> Callable[[], float]:
            def now() -> float:
                receipt = receipt_now()
                return math.nan if receipt is None else read(receipt)

            return now

        self._watermark_age.set_function(seconds(lambda receipt: receipt.watermark_age_seconds))
        self._snapshot_age.set_function(seconds(lambda receipt: receipt.snapshot_age_seconds))
        self._ready.set_function(lambda: float(receipt_now() is not None))

    def queried(self, path: QueryPath, context: Mapping[MemberOutcome, int], given: Given) -> None:
        """Count an answered query.

        Args:
            path: where its vector came from.
            context: how many members of its session met with each outcome.
            given: its answer.
        """
        self._later.put(self._queried, path, given)
        for outcome, members in context.items():
            self._context_members.labels(outcome).inc(members)
        if self.answers.on_answer is not None:
            self.answers.on_answer(given.reflected_ms)

    def _queried(self, path: QueryPath, given: Given) -> None:
        self._of_path[path].inc()
        self.answers.answered(given)

    def batched(self, code: str) -> None:
        """Count a request of a batch by the name of its gRPC status."""
        self._batched.labels(code).inc()

    def filtered(self, report: FilterReport, *, is_short: bool) -> None:
        """Count an answered request with a filter.

        Args:
            report: what became of the filter.
            is_short: whether it let in fewer items than were wanted.
        """
        self._filtered.labels(report.path).inc()
        self._filtered_short.inc(is_short)
        self._unknown_attributes.inc(len(report.unknown_attributes))

    def swapped(self, old: str | None, new: str, at_ms: int) -> None:
        """Record that generation `new` replaced `old`, and remove the old label."""
        self._generation_info.labels(new).set(1)
        if old is not None and old != new:
            self._generation_info.remove(old)
        self._last_swap.set(at_ms / 1000)
        self._swaps.inc()

    def refused(self, reason: StrEnum) -> None:
        """Count a generation that failed to load."""
        self._refusals.labels(reason).inc()

    def newest_refused(self, *, is_refused: bool) -> None:
        """Record whether the generation that `CURRENT` names is refused."""
        self._newest_refused.set(is_refused)

    def heard_watcher(self) -> None:
        """Record that the watcher is alive."""
        self._heartbeat.set_to_current_time()
