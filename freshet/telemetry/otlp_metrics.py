"""Sends what a registry has for Prometheus by OTLP, too: the same names, labels and
values.
"""

import logging
import math
import time
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

logger = logging.getLogger(__name__)

_CUMULATIVE = export.AggregationTemporality.CUMULATIVE
_UNITS = {"seconds": "s", "bytes": "By", "ratio": "1"}
_TIMEOUT_MS = 5000  # of a sending; the next one has all the same values, newer


class MetricsSender:
    """Sends all metrics again and again, in a thread of its own.

    Args:
        exporter: sends them.
        registry: what is sent.
        resource: whose they are.
        every_seconds: from one sending to the next.
    """

    def __init__(
        self,
        exporter: export.MetricExporter,
        registry: CollectorRegistry,
        resource: Resource,
        every_seconds: float,
    ) -> None:
        self._exporter = exporter
        self._registry = registry
        self._resource = resource
        self._every = every_seconds
        self._began_ns = time.time_ns()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="otlp-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send once more, and end."""
        self._stop.set()
        self._thread.join(_TIMEOUT_MS / 1000)
        self._exporter.shutdown(_TIMEOUT_MS)

    def _run(self) -> None:
        is_failing = False
        while True:
            is_last = self._stop.wait(self._every)
            try:
                found = self._exporter.export(self._data(), _TIMEOUT_MS)
                has_failed = found is not export.MetricExportResult.SUCCESS
            except Exception:  # whatever is wrong, the process goes on
                logger.debug("metrics_not_sent", exc_info=True)
                has_failed = True
            if has_failed != is_failing:
                is_failing = has_failed
                logger.warning("otlp %s", "does not take metrics" if has_failed else "takes them")
            if is_last:
                return

    def _data(self) -> export.MetricsData:
        now = time.time_ns()
        metrics = [
            export.Metric(
                name=family.name,
                description=family.documentation,
                unit=_UNITS.get(family.name.rpartition("_")[2], ""),
                data=data,
            )
            for family in self._registry.collect()
            if (data := _data_of(family, self._began_ns, now)) is not None
        ]
        scope = export.ScopeMetrics(
            scope=InstrumentationScope("freshet"), metrics=metrics, schema_url=""
        )
        return export.MetricsData(
            resource_metrics=[
                export.ResourceMetrics(
                    resource=self._resource, scope_metrics=[scope], schema_url=""
                )
            ]
        )


def _data_of(family: Family, began_ns: int, now_ns: int) -> Any:
    """Return a family as OTLP has it; None: it has no value."""
    if family.type == "histogram":
        points = list(_histogram_points(family, began_ns, now_ns))
        return export.Histogram(points, _CUMULATIVE) if points else None
    numbers = [
        export.NumberDataPoint(
            attributes=dict(sample.labels),
            start_time_unix_nano=began_ns,
            time_unix_nano=now_ns,
            value=sample.value,
        )
        for sample in family.samples
        if not sample.name.endswith("_created") and math.isfinite(sample.value)
    ]
    if not numbers:
        return None
    if family.type == "counter":
        return export.Sum(numbers, _CUMULATIVE, is_monotonic=True)
    return export.Gauge(numbers)


def _histogram_points(
    family: Family, began_ns: int, now_ns: int
) -> Iterator[export.HistogramDataPoint]:
    rows: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in family.samples:
        labels = {name: value for name, value in sample.labels.items() if name != "le"}
        row = rows.setdefault(tuple(sorted(labels.items())), {"buckets": {}, "sum": 0.0})
        if sample.name.endswith("_bucket"):
            row["buckets"][float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            row["sum"] = sample.value
    for key, row in rows.items():
        bounds = sorted(row["buckets"])
        below = [round(row["buckets"][bound]) for bound in bounds]
        counts = [after - before for before, after in zip([0, *below], below, strict=False)]
        yield export.HistogramDataPoint(
            attributes=dict(key),
            start_time_unix_nano=began_ns,
            time_unix_nano=now_ns,
            count=below[-1] if below else 0,
            sum=row["sum"],
            bucket_counts=counts,
            explicit_bounds=[bound for bound in bounds if math.isfinite(bound)],
            min=math.nan,
            max=math.nan,
        )
