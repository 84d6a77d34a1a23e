"""Metrics of what the index finds of real queries."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge


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
