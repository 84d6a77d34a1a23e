"""The server's Prometheus metrics, made when it is wired."""

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.artifact.overlay.segment import Segment
from server.filters.conditions import FilterPath, FilterReport
from server.freshness import Receipt, age_seconds
from server.overlay.refusals import REASONS
from server.overlay.view import LiveView
from server.quality.answers import AnswerMetrics
from server.retrieve import QueryPath
from server.session.shift import MemberOutcome
from server.settings import ServerSettings

# Seconds. A search takes 1 to 4 ms of CPU (docs/benchmarks.md), a client waits for 5 s:
# a bucket for each doubling or so in between gives p50 and p99 within a factor of two.
# Twice as many would be finer, and double the series of the histogram.
_REQUEST_SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)

# Seconds. A segment is served 0.1 s after it was published and a click some 1.5 s after
# it was; a bucket for each doubling or so tells these from what is slow. The last tells
# minutes from an hour. Twice as many would be finer, and double the series.
_STAGE_SECONDS_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 4.0, 10.0, 30.0, 60.0, 300.0)


class ServerMetrics:
    """The metrics of a server. Label values known beforehand exist from the start, so
    that a first event is an increase.

    Args:
        registry: where the metrics are registered.
        refusal_reasons: values of the label `reason`.
        objective_seconds: how old a fresh answer may be.

    Attributes:
        answers: how fresh answers were.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        refusal_reasons: Iterable[StrEnum] = (),
        *,
        objective_seconds: float = ServerSettings.objective_seconds,
    ) -> None:
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

    def queried(self, path: QueryPath, context: Mapping[MemberOutcome, int]) -> None:
        """Count an answered query, and how many members of its session met with each
        outcome.
        """
        self._of_path[path].inc()
        for outcome, members in context.items():
            self._context_members.labels(outcome).inc(members)

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


class Refused(StrEnum):
    """Why a call was ended before it was answered; values of the label `reason`."""

    OVERLOAD = "overload"
    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    UNKNOWN_METHOD = "unknown_method"
    TOKEN_MISSING = "token_missing"  # noqa: S105  # no secret
    TOKEN_UNKNOWN = "token_unknown"  # noqa: S105  # no secret
    TOKEN_EXPIRED = "token_expired"  # noqa: S105  # no secret
    CALLER_RATE = "caller_rate"
    CALLER_CONCURRENCY = "caller_concurrency"


class CallMetrics:
    """The metrics of calls as their callers see them: traffic, errors, latency,
    saturation.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "freshet_server_requests",
            "Calls by method and the gRPC status that they ended with, whoever ended them",
            ["method", "code"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "freshet_server_request_seconds",
            "From when a call came to when it ended, its waits included",
            ["method"],
            buckets=_REQUEST_SECONDS_BUCKETS,
            registry=registry,
        )
        self._wait_seconds = Histogram(
            "freshet_server_wait_seconds",
            "From when the message of a call had come to when a thread took it",
            buckets=_REQUEST_SECONDS_BUCKETS,
            registry=registry,
        )
        self._refused = Counter(
            "freshet_server_calls_refused",
            "Calls that were ended before they were answered, by reason",
            ["reason"],
            registry=registry,
        )
        self._open = Gauge(
            "freshet_server_open_calls",
            "Calls that have come and not ended, watches of health among them",
            registry=registry,
        )
        self._unseen = Gauge(
            "freshet_server_calls_unseen",
            "Calls that gRPC has got and not handed on to the server, since its start: those that "
            "it shed by itself, and the few on their way",
            registry=registry,
        )
        self._waiting = Gauge(
            "freshet_server_waiting_calls",
            "Calls that wait for a thread",
            registry=registry,
        )
        for reason in Refused:
            self._refused.labels(reason)
        # Of a call's metrics, finding them by label is most of the cost. There are a
        # few methods, each with a dozen codes at most.
        self._of_call = lru_cache(maxsize=256)(self._found)

    def watch(self, num_open: Callable[[], int], num_waiting: Callable[[], int]) -> None:
        """Compute the gauges at each scrape."""
        self._open.set_function(num_open)
        self._waiting.set_function(num_waiting)

    def watch_unseen(self, num_unseen: Callable[[], float]) -> None:
        """Compute at each scrape what gRPC kept to itself."""
        self._unseen.set_function(num_unseen)

    def ended(self, method: str, code: str, seconds: float) -> None:
        """Count a call of `method` that ended with gRPC status `code` after
        `seconds`.
        """
        requests, request_seconds = self._of_call(method, code)
        requests.inc()
        request_seconds.observe(seconds)

    def _found(self, method: str, code: str) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, code), self._request_seconds.labels(method)

    def waited(self, seconds: float) -> None:
        """Record how long a call waited for a thread."""
        self._wait_seconds.observe(seconds)

    def refused(self, reason: Refused) -> None:
        """Count a call that is not answered."""
        self._refused.labels(reason).inc()


class OverlayMetrics:
    """The metrics of a server's overlay.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sequence = Gauge(
            "freshet_server_overlay_sequence",
            "The newest segment of the live overlay; 0: none is",
            registry=registry,
        )
        self._rows = Gauge(
            "freshet_server_overlay_rows",
            "Items and queries with a vector in the live overlay, and items that are gone",
            ["kind"],
            registry=registry,
        )
        self._shown = Gauge(
            "freshet_server_shown_items",
            "Items that answers can have now: indexed or of the overlay, and not gone",
            registry=registry,
        )
        self._age = Gauge(
            "freshet_server_overlay_age_seconds",
            "How long ago the broker time was up to which every record is in answers; NaN: "
            "not known",
            registry=registry,
        )
        self._silence = Gauge(
            "freshet_server_overlay_silence_seconds",
            "How long ago the refresher last said how fresh the live overlay is; NaN: never",
            registry=registry,
        )
        self._segments = Counter(
            "freshet_server_overlay_segments",
            "Segments of the live overlay that were taken as they came",
            registry=registry,
        )
        self._refusals = Counter(
            "freshet_server_overlay_refused",
            "Tries to read segments, pointers or the list of gone items that failed, by reason",
            ["reason"],
            registry=registry,
        )
        self._went_back = Counter(
            "freshet_server_overlay_went_back",
            "Times that answers became less fresh, because what was to go live had waited for "
            "too long to catch up",
            registry=registry,
        )
        self._published_seconds = Histogram(
            "freshet_server_overlay_published_seconds",
            "From when a segment was published to when answers had it",
            buckets=_STAGE_SECONDS_BUCKETS,
            registry=registry,
        )
        self._end_to_end_seconds = Histogram(
            "freshet_server_overlay_end_to_end_seconds",
            "From when the oldest record of a segment reached the broker to when answers had it",
            buckets=_STAGE_SECONDS_BUCKETS,
            registry=registry,
        )
        for reason in REASONS:
            self._refusals.labels(reason)

    def watch(self, view_now: Callable[[], LiveView | None], clock_ms: Callable[[], int]) -> None:
        """Compute gauges at each scrape, from the live view."""

        def value(
            read: Callable[[LiveView], float], missing: float = math.nan
        ) -> Callable[[], float]:
            def now() -> float:
                view = view_now()
                return missing if view is None else read(view)

            return now

        def since(then_ms: int) -> float:
            return age_seconds(then_ms, clock_ms()) if then_ms else math.nan

        self._sequence.set_function(value(lambda view: view.overlay.sequence, 0))
        self._shown.set_function(value(lambda view: view.num_shown, 0))
        self._age.set_function(value(lambda view: since(view.claim.reflected_ms)))
        self._silence.set_function(
            value(lambda view: since(view.newest.written_ms if view.newest else 0))
        )
        counts: dict[str, Callable[[LiveView], float]] = {
            "items": lambda view: len(view.overlay.rows.item_ids),
            "queries": lambda view: len(view.overlay.rows.query_texts),
            "gone_items": lambda view: view.overlay.num_gone_items,
        }
        for kind, count in counts.items():
            self._rows.labels(kind).set_function(value(count, 0))

    def served(self, segments: Iterable[Segment], now_ms: int) -> None:
        """Record that answers have some new segments as of `now_ms`."""
        for segment in segments:
            self._segments.inc()
            self._published_seconds.observe(age_seconds(segment.created_ms, now_ms))
            if segment.oldest.record_ms:
                self._end_to_end_seconds.observe(age_seconds(segment.oldest.record_ms, now_ms))

    def refused(self, reason: str) -> None:
        """Count something that was not taken."""
        self._refusals.labels(reason).inc()

    def went_back(self) -> None:
        """Count that a less fresh view went live."""
        self._went_back.inc()


class IndexMetrics:
    """The metrics of what the index finds of real queries.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._recall = Gauge(
            "freshet_server_index_recall",
            "Share of the exact ten nearest items that the index found, of the last 200 sampled "
            "queries of the live generation; NaN: too few yet",
            registry=registry,
        )
        self._certified = Gauge(
            "freshet_server_index_certified_recall",
            "The same share, as the gate judged the live generation by; NaN: it does not say",
            registry=registry,
        )
        self._samples = Counter(
            "freshet_server_index_recall_samples",
            "Queries that were also answered exactly, to measure the recall of the index",
            registry=registry,
        )
        self.searches(math.nan)

    def searches(self, certified: float) -> None:
        """Record that another generation is sampled, and what it was judged by."""
        self._certified.set(certified)
        self._recall.set(math.nan)

    def sampled(self, recall: float) -> None:
        """Count a sampled query, and tell the recall of the last ones."""
        self._samples.inc()
        self._recall.set(recall)


class WorkerMetrics:
    """The metrics of the processes that answer at one address.

    Args:
        registry: where the metrics are registered.
        workers: how many there should be.
    """

    def __init__(self, registry: CollectorRegistry, workers: int) -> None:
        self._up = Gauge(
            "freshet_server_worker_up",
            "1: the worker has begun and lives",
            ["worker"],
            registry=registry,
        )
        self._restarts = Counter(
            "freshet_server_worker_restarts",
            "Times that a worker had ended, or hung, and was started again",
            ["worker"],
            registry=registry,
        )
        for number in range(workers):
            self._up.labels(str(number))
            self._restarts.labels(str(number))

    def up(self, number: int, *, is_up: bool) -> None:
        """Record whether a worker lives."""
        self._up.labels(str(number)).set(is_up)

    def restarted(self, number: int) -> None:
        """Count that a worker is started again."""
        self._restarts.labels(str(number)).inc()
