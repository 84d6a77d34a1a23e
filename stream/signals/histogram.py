"""A Prometheus histogram of seconds that takes whole arrays at once."""

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from stream.dtypes import Float64s, Int64s


class ArrayHistogram(Collector):
    """Counts many durations in a few steps, by one label.

    Args:
        name: of the metric.
        documentation: what it says.
        label: its label.
        values: that the label may have; all are there from the start.
        bounds: upper bounds of the buckets, in seconds, ascending.
        registry: where it is collected.
    """

    def __init__(  # what a histogram is made of
        self,
        name: str,
        documentation: str,
        *,
        label: str,
        values: Sequence[str],
        bounds: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labelnames = [label]
        self._bounds = np.array(bounds, dtype=np.float64)
        self._counts = {value: np.zeros(len(bounds) + 1, dtype=np.int64) for value in values}
        self._sums = dict.fromkeys(values, 0.0)
        registry.register(self)

    def observe(self, value: str, seconds: Float64s, weights: Int64s | None = None) -> None:
        """Count durations.

        Args:
            value: of the label.
            seconds: ``float64 [num_durations]``.
            weights: ``int64 [num_durations]`` how often each is counted; None: once.
        """
        place = np.searchsorted(self._bounds, seconds)
        counts = np.bincount(place, weights, minlength=len(self._bounds) + 1)
        self._counts[value] += counts.astype(np.int64)
        self._sums[value] += float(seconds.sum() if weights is None else seconds @ weights)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the metric as Prometheus reads it."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        bounds = [*map(str, self._bounds.tolist()), "+Inf"]
        for value, counts in self._counts.items():
            buckets = list(zip(bounds, np.cumsum(counts).astype(float).tolist(), strict=True))
            family.add_metric([value], buckets, self._sums[value])
        yield family
