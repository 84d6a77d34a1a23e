"""Tests of what is sent by OTLP, to a real receiver, and that nothing is by default."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from freshet.telemetry.sending import sending
from freshet.telemetry.settings import TelemetrySettings
from stream.traces.context import TraceContext
from stream.traces.tracer import Fan, Stage
from testing.monitoring.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.freshet.conftest import ROOT

_CONTEXT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver."""
    with otlp_receiver() as made:
        yield made


def _settings(receiver: OtlpReceiver) -> TelemetrySettings:
    return TelemetrySettings(otlp_endpoint=f"http://{receiver.address}", metrics_every_seconds=1.0)


def _until(holds: Callable[[], object]) -> None:
    pause, deadline = threading.Event(), monotonic() + 60
    while not holds():
        assert monotonic() < deadline, "it never arrived"
        pause.wait(0.01)


def test_a_step_is_a_child_of_the_producers_span(receiver: OtlpReceiver) -> None:
    """With the times that it took, and a link to what it went with, which has a trace
    of its own.
    """
    with sending(_settings(receiver), "stream", CollectorRegistry(), {}) as tracer:
        assert tracer is not None
        batch = tracer.fan(Fan.BATCH, [_CONTEXT], 2_000, 3_000)
        tracer.stage(Stage.CONSUME, _CONTEXT, 1_000, 2_000)
        tracer.stage(Stage.APPLY, _CONTEXT, 2_000, 1_900, batch)
    consume, apply = receiver.trace(_CONTEXT.trace_id)
    (fan,) = receiver.spans(Fan.BATCH)

    assert (consume.name, consume.parent_id) == (Stage.CONSUME, _CONTEXT.span_id)
    assert (consume.begin_ns, consume.end_ns) == (1_000_000_000, 2_000_000_000)
    assert consume.service == "freshet-stream"
    # By the clocks it ended before it began.
    assert (apply.begin_ns, apply.end_ns) == (2_000_000_000, 2_000_000_000)
    assert apply.links == (fan.trace_id,)
    assert fan.links == (_CONTEXT.trace_id,)
    assert fan.trace_id != _CONTEXT.trace_id


def test_metrics_are_those_of_prometheus(receiver: OtlpReceiver) -> None:
    """Counters, gauges and histograms with their labels; what is no number is left
    out.
    """
    registry = CollectorRegistry()
    Counter("hits", "Hits", ["kind"], registry=registry).labels("a").inc(3)
    Gauge("age_seconds", "Age", registry=registry).set(1.5)
    Gauge("unknown", "None", registry=registry).set(float("nan"))
    histogram = Histogram("took_seconds", "Time", registry=registry, buckets=(1.0, 2.0))
    for value in (0.5, 1.5, 1.7, 9.0):
        histogram.observe(value)
    with sending(_settings(receiver), "server", registry, {}):
        _until(lambda: receiver.metric("freshet-server", "took_seconds"))
    hits = receiver.metric("freshet-server", "hits")
    age = receiver.metric("freshet-server", "age_seconds")
    took = receiver.metric("freshet-server", "took_seconds").histogram.data_points[0]

    assert hits.sum.is_monotonic
    assert hits.sum.data_points[0].as_double == 3
    assert hits.sum.data_points[0].attributes[0].value.string_value == "a"
    assert age.gauge.data_points[0].as_double == 1.5
    assert age.unit == "s"
    assert receiver.metric("freshet-server", "unknown") is None
    assert (took.count, list(took.bucket_counts)) == (4, [1, 2, 1])
    assert (list(took.explicit_bounds), took.sum) == ([1.0, 2.0], 12.7)


def test_opentelemetrys_own_variables_count(receiver: OtlpReceiver) -> None:
    """And its switch that turns everything off."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{receiver.address}"}
    off = {**variables, "OTEL_SDK_DISABLED": "true"}
    with sending(TelemetrySettings(), "stream", CollectorRegistry(), off) as none:
        assert none is None
    with sending(TelemetrySettings(), "stream", CollectorRegistry(), {}) as none:
        assert none is None
    with sending(TelemetrySettings(), "stream", CollectorRegistry(), variables) as some:
        assert some is not None


def test_a_receiver_that_is_away_holds_nothing_up(free_port: Callable[[], int]) -> None:
    """Spans and metrics are lost, and the process ends."""
    settings = TelemetrySettings(otlp_endpoint=f"http://127.0.0.1:{free_port()}")
    with sending(settings, "stream", CollectorRegistry(), {}) as tracer:
        assert tracer is not None
        for _ in range(100):
            tracer.stage(Stage.CONSUME, _CONTEXT, 1_000, 2_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"otlp_endpoint": "collector:4317"},
        {"otlp_endpoint": "ftp://collector:4317"},
        {"traced_per_second": 0},
        {"traced_per_second": 1e9},
        {"metrics_every_seconds": 0.1},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    """With what they must be."""
    with pytest.raises(ValueError, match="must be"):
        TelemetrySettings(**wrong)  # type: ignore[arg-type]


def test_nothing_is_loaded_unless_it_is_wanted(tmp_path: Path) -> None:
    """Every process runs without OpenTelemetry, and does not look for it."""
    code = (
        "import sys\n"
        "from prometheus_client import CollectorRegistry\n"
        "import freshet.commands.services.stream, freshet.commands.services.serve\n"
        "import freshet.commands.services.refresh, freshet.commands.services.tune\n"
        "from freshet.telemetry.sending import sending\n"
        "from freshet.telemetry.settings import TelemetrySettings\n"
        "with sending(TelemetrySettings(), 'stream', CollectorRegistry(), {}) as tracer:\n"
        "    assert tracer is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"
