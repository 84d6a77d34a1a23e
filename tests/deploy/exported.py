"""What the processes export, by name."""

from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics import name_process, watch_disks
from freshet.prober.metrics import ProbeMetrics
from model.metrics import TunerMetrics
from model.refresher.metrics import RefresherMetrics
from model.sink.metrics import SinkMetrics
from server.metrics.answering import ServerMetrics
from server.metrics.calls import CallMetrics
from server.metrics.index import IndexMetrics
from server.metrics.overlay import OverlayMetrics
from server.metrics.workers import WorkerMetrics
from stream.metrics import StreamMetrics

_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def exported() -> set[str]:
    """The series names that the processes serve."""
    registry = CollectorRegistry()
    name_process(registry, "stream")
    watch_disks(registry, {})
    watch_certificates(registry, {})
    ProbeMetrics(registry)
    SinkMetrics(registry)
    StreamMetrics(registry)
    TunerMetrics(registry)
    RefresherMetrics(registry)
    ServerMetrics(registry)
    OverlayMetrics(registry)
    CallMetrics(registry)
    IndexMetrics(registry)
    WorkerMetrics(registry, 1)
    return {
        family.name + suffix for family in registry.collect() for suffix in _SUFFIXES[family.type]
    }
