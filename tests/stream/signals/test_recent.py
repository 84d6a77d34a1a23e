"""What the stream tells whoever looks once."""

from prometheus_client import CollectorRegistry

from stream.metrics import StreamMetrics
from stream.signals.recent import LOSSES


def test_a_burst_shows_by_reason_beside_what_came() -> None:
    """Its share needs no second look."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    metrics.count_batch({"click": 90, "ignored": 5}, 0.01)
    metrics.count_quarantined({"malformed": 4, "too_late": 1})

    sample = registry.get_sample_value
    assert sample("freshet_stream_recent_messages") == 100
    assert sample("freshet_stream_recent_quarantined", {"reason": "malformed"}) == 4
    assert sample("freshet_stream_recent_quarantined", {"reason": "too_late"}) == 1
    assert sample("freshet_stream_recent_quarantined", {"reason": "oversized"}) == 0


def test_each_kind_of_loss_leaves_its_time() -> None:
    """None of them before it happens."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)

    def times() -> list[float | None]:
        name = "freshet_stream_last_loss_timestamp_seconds"
        return [registry.get_sample_value(name, {"kind": kind}) for kind in LOSSES]

    assert times() == [0, 0, 0]
    metrics.count_lost("clicks", 7)
    lost, *others = times()
    assert lost
    assert others == [0, 0]
    metrics.count_skipped("clicks", "damaged", 1)
    metrics.count_recreated("clicks")
    assert all(times())
