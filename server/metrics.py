"""The server's Prometheus metrics, made when it is wired."""

import math
from collections.abc import Callable, Iterable
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.freshness import Receipt
from server.retrieve import QueryPath

# Seconds. A search takes 1 to 4 ms of CPU (docs/benchmarks.md), a client waits for 5 s:
# a bucket for each doubling or so in between gives p50 and p99 within a factor of two.
# Twice as many would be finer, and double the series of the histogram.
_REQUEST_SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


class ServerMetrics:
    """The metrics of a server. Label values known beforehand exist from the start, so
    that a first event is an increase.

    Args:
        registry: where the metrics are registered.
        refusal_reasons: values of the label `reason`.
    """

    def __init__(
        self, registry: CollectorRegistry, refusal_reasons: Iterable[StrEnum] = ()
    ) -> None:
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
        self._requests = Counter(
            "freshet_server_requests",
            "Requests by method and gRPC status",
            ["method", "code"],
            registry=registry,
        )
        self._request_seconds = Histogram(
            "freshet_server_request_seconds",
            "Time to answer a request, without its wait for a thread",
            ["method"],
            buckets=_REQUEST_SECONDS_BUCKETS,
            registry=registry,
        )
        self._queries = Counter(
            "freshet_server_queries",
            "Answered queries by where their vector came from",
            ["path"],
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
        for path in QueryPath:
            self._queries.labels(path)
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

    def answered(self, method: str, code: str, seconds: float) -> None:
        """Count a request of `method` that ended with gRPC status `code` after
        `seconds`.
        """
        self._requests.labels(method, code).inc()
        self._request_seconds.labels(method).observe(seconds)

    def queried(self, path: QueryPath) -> None:
        """Count an answered query."""
        self._queries.labels(path).inc()

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
