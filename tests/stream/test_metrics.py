"""The stream's metrics carry the names and meanings that alerts and
dashboards rely on.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from stream.metrics import StreamMetrics
from stream.signals.lag import Lag


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    """Return one value."""
    return registry.get_sample_value(name, labels)


def test_names() -> None:
    """Every documented metric is exported from the start, with its known labels at
    zero.
    """
    registry = CollectorRegistry()
    StreamMetrics(registry)
    text = generate_latest(registry).decode()
    for name in (
        'freshet_stream_events_total{type="click"} 0.0',
        'freshet_stream_events_total{type="catalog"} 0.0',
        "freshet_stream_new_facts_total 0.0",
        'freshet_stream_quarantined_total{reason="malformed"} 0.0',
        "freshet_stream_rejected_erasures_total 0.0",
        "freshet_stream_batches_total 0.0",
        "freshet_stream_batch_seconds_count 0.0",
        "freshet_stream_graph_watermark_seconds 0.0",
        'freshet_stream_stage_seconds_count{stage="durable"} 0.0',
        'freshet_stream_clock_skew_total{stage="broker"} 0.0',
        "freshet_stream_feed_gaps_total 0.0",
        "# TYPE freshet_stream_behind_records gauge",
        "freshet_stream_behind_seconds 0.0",
    ):
        assert name in text


def test_counts() -> None:
    """Batches and rejections add up."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    metrics.count_batch({"click": 3, "catalog": 1}, 0.01)
    metrics.count_facts(new=2, erased=5, dropped=1)
    metrics.count_batch({"click": 1}, 0.02)
    metrics.count_facts(new=1, erased=0, dropped=0)
    metrics.count_stall(2.5)
    metrics.count_wide_sessions(2)
    metrics.count_wide_sessions(0)
    metrics.count_older_states(deleted=2, listed=0)
    metrics.count_quarantined({"malformed": 2})
    metrics.count_repairs({"cut": 4})
    assert sample(registry, "freshet_stream_repairs_total", kind="cut") == 4
    assert sample(registry, "freshet_stream_repairs_total", kind="dropped") == 0
    assert sample(registry, "freshet_stream_events_total", type="click") == 4
    assert sample(registry, "freshet_stream_events_total", type="catalog") == 1
    assert sample(registry, "freshet_stream_new_facts_total") == 3
    assert sample(registry, "freshet_stream_erased_facts_total") == 5
    assert sample(registry, "freshet_stream_dropped_total") == 1
    assert sample(registry, "freshet_stream_stalled_seconds_total") == 2.5
    assert sample(registry, "freshet_stream_wide_sessions_total") == 2
    assert sample(registry, "freshet_stream_older_states_total", newer="deleted") == 2
    assert sample(registry, "freshet_stream_older_states_total", newer="listed") == 0
    assert sample(registry, "freshet_stream_batches_total") == 2
    assert sample(registry, "freshet_stream_batch_seconds_count") == 2
    assert sample(registry, "freshet_stream_quarantined_total", reason="malformed") == 2


def test_a_topic_that_is_made_again_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many shards find it within a minute; the next time it counts again."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    times = iter([0.0, 1.0, 50.0, 1.0, 200.0])
    monkeypatch.setattr("stream.metrics.time", SimpleNamespace(monotonic=lambda: next(times)))

    for topic in ("clicks", "clicks", "clicks", "catalog"):
        metrics.count_recreated(topic)
    assert sample(registry, "freshet_stream_topics_recreated_total", topic="clicks") == 1
    assert sample(registry, "freshet_stream_topics_recreated_total", topic="catalog") == 1
    metrics.count_recreated("clicks")

    assert sample(registry, "freshet_stream_topics_recreated_total", topic="clicks") == 2


def test_freshness() -> None:
    """Behind is the oldest of all partitions that have something waiting, else zero.

    Partitions taken away go.
    """
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    lag = Lag(
        records={("t", 0): 5, ("t", 1): 0},
        seconds={("t", 0): 9.5, ("t", 1): 0.0},
        silent_seconds=7.0,
    )
    metrics.set_freshness(watermark_ms=90_500, lag=lag, clock_offset_seconds=-7.5)
    assert sample(registry, "freshet_stream_graph_watermark_seconds") == 90.5
    assert sample(registry, "freshet_stream_behind_seconds") == 9.5
    assert sample(registry, "freshet_stream_broker_silent_seconds") == 7.0
    assert sample(registry, "freshet_stream_clock_offset_seconds") == -7.5
    name = "freshet_stream_partition_behind_seconds"
    assert sample(registry, name, topic="t", partition="0") == 9.5
    assert sample(registry, name, topic="t", partition="1") == 0
    assert sample(registry, "freshet_stream_behind_records", topic="t", partition="0") == 5
    lag = Lag(records={("t", 1): 0}, seconds={("t", 1): 0.0})
    metrics.set_freshness(watermark_ms=90_500, lag=lag, clock_offset_seconds=-7.5)
    assert sample(registry, "freshet_stream_behind_seconds") == 0
    assert sample(registry, "freshet_stream_broker_silent_seconds") == 0
    assert sample(registry, name, topic="t", partition="0") is None
    assert sample(registry, "freshet_stream_behind_records", topic="t", partition="0") is None
    assert sample(registry, "freshet_stream_behind_records", topic="t", partition="1") == 0
    metrics.set_freshness(watermark_ms=None, lag=Lag(), clock_offset_seconds=0.0)
    assert sample(registry, "freshet_stream_graph_watermark_seconds") == 0
    assert sample(registry, "freshet_stream_behind_seconds") == 0


def test_lost_records_are_counted_by_topic() -> None:
    """A topic is there with 0 before it loses any."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    metrics.watch_topics(["clicks", "sessions"])
    metrics.count_lost("clicks", 70)

    assert sample(registry, "freshet_stream_records_lost_total", topic="clicks") == 70
    assert sample(registry, "freshet_stream_records_lost_total", topic="sessions") == 0


def test_two_workers_in_one_process() -> None:
    """Metrics belong to their registry, so two workers do not clash."""
    StreamMetrics(CollectorRegistry())
    StreamMetrics(CollectorRegistry())


def test_stages_that_a_clock_turns_round_are_counted_apart() -> None:
    """Negative seconds are skew, with their weight, and in no bucket."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    seconds, weights = np.array([0.02, -0.5, 2.0]), np.array([4, 3, 2])
    metrics.observe_stages({"consumed": (seconds, None), "durable": (seconds, weights)})

    for stage, skewed, counted in (("consumed", 1, 2), ("durable", 3, 6), ("broker", 0, 0)):
        assert sample(registry, "freshet_stream_clock_skew_total", stage=stage) == skewed
        assert sample(registry, "freshet_stream_stage_seconds_count", stage=stage) == counted
    assert sample(registry, "freshet_stream_stage_seconds_sum", stage="durable") == 4.08


def test_feeds() -> None:
    """Gaps add up; bytes and time are those of the last look."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    metrics.set_feeds(num_bytes=7, new_gaps=2, reflected_ms=1500)
    metrics.set_feeds(num_bytes=9, new_gaps=1, reflected_ms=2500)

    assert sample(registry, "freshet_stream_feed_bytes") == 9
    assert sample(registry, "freshet_stream_feed_gaps_total") == 3
    assert sample(registry, "freshet_stream_reflected_seconds") == 2.5


def test_a_broker_that_does_not_answer_is_named_with_its_error() -> None:
    """Once it answers the error goes, and no label stays behind."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    name, at = "freshet_stream_broker_error_info", {"bootstrap": "kafka:9092"}

    assert sample(registry, "freshet_stream_broker_up", **at) is None
    metrics.set_broker("kafka:9092", "")
    assert sample(registry, "freshet_stream_broker_up", **at) == 1
    metrics.set_broker("kafka:9092", "timed out")
    metrics.set_broker("kafka:9092", "connection refused")
    assert sample(registry, "freshet_stream_broker_up", **at) == 0
    assert sample(registry, name, **at, error="connection refused") == 1
    assert sample(registry, name, **at, error="timed out") is None
    metrics.set_broker("kafka:9092", "")
    assert sample(registry, name, **at, error="connection refused") is None


def test_a_stuck_partition_has_its_own_gauge() -> None:
    """One that is taken away goes."""
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    name = "freshet_stream_partition_stuck_seconds"
    metrics.set_freshness(
        watermark_ms=None, lag=Lag(stuck_seconds={("t", 3): 40.0}), clock_offset_seconds=0.0
    )
    assert sample(registry, name, topic="t", partition="3") == 40
    metrics.set_freshness(watermark_ms=None, lag=Lag(), clock_offset_seconds=0.0)
    assert sample(registry, name, topic="t", partition="3") is None
