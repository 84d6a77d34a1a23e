"""The sink's Prometheus metrics."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from model.errors import SinkRefused, SinkUnavailable


class SinkMetrics:
    """The sink's metrics, in a registry of the caller's."""

    def __init__(
        self, registry: CollectorRegistry, *, clock: Callable[[], float] = time.time
    ) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"freshet_sink_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"freshet_sink_{name}", text, labels, registry=registry)

        self._clock = clock
        self._complete = clock()
        self._behind = gauge(
            "behind_seconds",
            "Time since the database last had all that the artifacts folder has",
        )
        self._behind.set_function(lambda: max(0.0, self._clock() - self._complete))
        self._items = gauge("items", "Items that readers of the database see")
        self._segment = gauge("segment", "Newest overlay segment in the database")
        self._watermark = gauge(
            "watermark_timestamp_seconds",
            "Event time up to which everything is in the database; 0: not known",
        )
        self._written = counter("items_written", "Rows of items written, by what for", "kind")
        self._deleted = counter("items_deleted", "Rows of items deleted: gone, or unavailable")
        self._swaps = counter("swaps", "Generations made live in the database")
        self._failures = counter(
            "failures", "Looks at which something failed, by class of error", "reason"
        )
        for kind in ("generation", "overlay"):
            self._written.labels(kind)
        for refused in (SinkUnavailable, SinkRefused):
            self._failures.labels(refused.__name__)

    def complete(self) -> None:
        """Note that the database has all that the folder has."""
        self._complete = self._clock()

    def shows(self, items: int, segment: int, watermark_ms: int) -> None:
        """Note what readers see."""
        self._items.set(items)
        self._segment.set(segment)
        self._watermark.set(watermark_ms / 1000)

    def wrote_generation(self, items: int) -> None:
        """Count the rows of a whole generation."""
        self._written.labels("generation").inc(items)

    def swapped(self) -> None:
        """Count a generation that was made live."""
        self._swaps.inc()

    def changed(self, written: int, deleted: int) -> None:
        """Count rows that an overlay changed."""
        self._written.labels("overlay").inc(written)
        self._deleted.inc(deleted)

    def failed(self, reason: str) -> None:
        """Count a look at which something failed."""
        self._failures.labels(reason).inc()
