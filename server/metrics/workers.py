"""Metrics of the processes that answer at one address."""

from prometheus_client import CollectorRegistry, Counter, Gauge


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
