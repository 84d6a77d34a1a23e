"""Tests of `freshet status`."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from freshet.probe import Addresses, ProcessStatus, read_metrics, read_status, total
from freshet.process import metrics_endpoint
from model.metrics import TunerMetrics
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.metrics import StreamMetrics

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def addresses(free_port: Callable[[], int], tmp_path: Path) -> Iterator[Addresses]:
    """A stream and a tuner that have done something, and a server that waits for its
    first generation.
    """
    stream, tuner, server = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()
    _busy_stream(stream)
    _failing_tuner(tuner)
    at = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    retrieval = RetrievalServer(ServerSettings(listen="127.0.0.1:0"), tmp_path, server)
    with ExitStack() as stack:
        for address, registry in zip(at, (stream, tuner, server), strict=True):
            stack.enter_context(metrics_endpoint(address, registry))
        retrieval.start()
        stack.callback(retrieval.stop)
        yield Addresses(stream=at[0], tuner=at[1], server=at[2], target=retrieval.address)


def _busy_stream(registry: CollectorRegistry) -> None:
    metrics = StreamMetrics(registry)
    metrics.count_batch({"click": 7, "view": 3}, 0.01)
    metrics.count_facts(new=6, erased=0, dropped=0)
    metrics.count_quarantined({"malformed": 2})
    now_ms = time.time_ns() // 1_000_000
    metrics.set_freshness(
        watermark_ms=now_ms - 60_000,
        now_ms=now_ms,
        is_behind=True,
        behind_records={("clicks", 0): 5},
    )


def _failing_tuner(registry: CollectorRegistry) -> None:
    metrics = TunerMetrics(registry)
    metrics.started(600.0)
    metrics.succeeded(
        outcome="published", generation_id="g1", now_seconds=time.time() - 900, run_seconds=20.0
    )
    metrics.failed(reason="GateRefused", now_seconds=time.time() - 30, run_seconds=20.0)


def _by_name(processes: list[ProcessStatus]) -> dict[str, ProcessStatus]:
    return {each.name: each for each in processes}


def test_every_process_tells_how_it_is(addresses: Addresses) -> None:
    """How much, how fresh, how far behind, what failed last and why."""
    processes = _by_name(read_status(addresses))
    stream, tuner = processes["stream"].facts, processes["tuner"].facts

    assert processes["stream"].up
    assert (stream["events"], stream["new_facts"], stream["quarantined"]) == (10, 6, 2)
    assert stream["watermark_age_seconds"] == pytest.approx(60, abs=30)
    assert stream["behind_seconds"] == pytest.approx(60, abs=1)
    assert stream["behind_records"] == 5
    assert processes["tuner"].up
    assert (tuner["generation"], tuner["last_failure_reason"], tuner["every_seconds"]) == (
        "g1",
        "GateRefused",
        600,
    )
    assert tuner["last_success_age_seconds"] == pytest.approx(900, abs=30)


def test_a_server_without_a_generation_is_not_up(addresses: Addresses) -> None:
    """It answers, but not what it is there for."""
    server = _by_name(read_status(addresses))["server"]

    assert not server.up
    assert server.problem == "no generation is live yet"
    assert server.facts["watermark_age_seconds"] is None


def test_the_screen_shows_all_three(addresses: Addresses, run: Command) -> None:
    """One screen for people, the same as JSON for scripts, and a code that says whether
    all is well.
    """
    at = ["--stream", addresses.stream, "--tuner", addresses.tuner]
    at += ["--server", addresses.server, "--target", addresses.target]

    screen, as_json = run("status", *at), run("status", *at, "--json")

    assert screen.returncode == as_json.returncode == 1
    for part in (
        "stream  up",
        "tuner   up",
        "server  DOWN",
        "last failure reason GateRefused",
        "15 min",
        "no generation is live yet",
    ):
        assert part in screen.stdout
    assert json.loads(as_json.stdout)["tuner"]["facts"]["last_failure_reason"] == "GateRefused"


def test_what_does_not_answer_is_down(free_port: Callable[[], int], addresses: Addresses) -> None:
    """A wrong port is told from a process that is another one."""
    nowhere = f"127.0.0.1:{free_port()}"
    mixed_up = Addresses(stream=addresses.tuner, tuner=nowhere, server=nowhere, target=nowhere)

    processes = _by_name(read_status(mixed_up))

    assert not any(each.up for each in processes.values())
    assert "is not the stream" in processes["stream"].problem
    assert "Connection refused" in processes["tuner"].problem


def test_a_metric_that_is_not_exported_has_no_total(addresses: Addresses) -> None:
    """Nothing is not zero."""
    samples = read_metrics(addresses.stream)

    assert total(samples, "freshet_stream_events_total") == 10
    assert total(samples, "freshet_nothing_total") is None
