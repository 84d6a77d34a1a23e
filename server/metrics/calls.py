"""Metrics of calls: how many, how they ended, how long they took, what was refused."""

from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server.metrics.later import Later

# Seconds. A search takes 1 to 4 ms of CPU (docs/benchmarks.md), a client waits for 5 s:
# a bucket for each doubling or so in between gives p50 and p99 within a factor of two.
# Twice as many would be finer, and double the series of the histogram.
_REQUEST_SECONDS_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)


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
        later: counts what calls put off; None: one of its own.
    """

    def __init__(self, registry: CollectorRegistry, later: Later | None = None) -> None:
        self._later = Later(registry) if later is None else later
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

    def ended(self, method: str, code: str, seconds: float, waited_seconds: float = -1.0) -> None:
        """Count a call that ended.

        Args:
            method: its name.
            code: its gRPC status, by name.
            seconds: after how long.
            waited_seconds: how long it waited for a thread; negative: it never did.
        """
        self._later.put(self._ended, method, code, seconds, waited_seconds)
        self._later.call_ended()

    def _ended(self, method: str, code: str, seconds: float, waited_seconds: float) -> None:
        requests, request_seconds = self._of_call(method, code)
        requests.inc()
        request_seconds.observe(seconds)
        if waited_seconds >= 0:
            self._wait_seconds.observe(waited_seconds)

    def _found(self, method: str, code: str) -> tuple[Counter, Histogram]:
        return self._requests.labels(method, code), self._request_seconds.labels(method)

    def refused(self, reason: Refused) -> None:
        """Count a call that is not answered."""
        self._refused.labels(reason).inc()
