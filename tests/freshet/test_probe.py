"""Tests of asking other processes how they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from freshet.metrics import metrics_endpoint
from freshet.probe import Addresses, ProcessStatus, read_metrics, read_status, total
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.metrics import Lag, StreamMetrics
from testing.overlays import overlay_rows
from testing.retrieval_server import wait_until
from testing.small_generations import DIM, Artifacts, make_catalogue


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
    assert (stream["records_lost"], stream["shards_without_owner"]) == (7, 0)
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


def test_a_server_tells_of_its_overlay(free_port: Callable[[], int], tmp_path: Path) -> None:
    """How fresh answers are, and why they are not fresher; nothing where no refresher
    ever ran.
    """
    artifacts = Artifacts(tmp_path / "artifacts")
    generation_id = artifacts.publish(make_catalogue(20, ["lamp"]))
    registry, at, nobody = CollectorRegistry(), *(f"127.0.0.1:{free_port()}" for _ in range(2))
    server = RetrievalServer(ServerSettings(listen="127.0.0.1:0"), artifacts.root, registry)
    with metrics_endpoint(at, registry):
        server.start()
        where = Addresses(stream=nobody, tuner=nobody, server=at, target=server.address)
        before = _by_name(read_status(where))["server"]
        folder = OverlayFolder.of(artifacts.root)
        publisher = OverlayPublisher(folder, generation_id, DIM, GoneList(folder.gone_path))
        claim = Claim(reflected_ms=now_ms() - 90_000, reason="the store does not answer")
        publisher.publish(overlay_rows(DIM, gone_items=["a", "b"]), claim)
        wait_until(lambda: "gone_items" in _by_name(read_status(where))["server"].facts, "it")
        after = _by_name(read_status(where))["server"].facts
        server.stop(grace_seconds=0)

    assert before.up
    assert not {"overlay_behind", "overlay_segment"} & before.facts.keys()
    assert (after["overlay_segment"], after["overlay_items"], after["gone_items"]) == (1, 0, 2)
    assert after["overlay_behind"] == "the store does not answer"
    assert after["reflected_age_seconds"] == pytest.approx(90, abs=30)
    assert (after["overlay_refusal"], after["waits_for_overlay"]) == (None, None)


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


def test_a_stream_whose_broker_is_silent_is_not_up(free_port: Callable[[], int]) -> None:
    """It answers, but cannot do its work."""
    registry = CollectorRegistry()
    StreamMetrics(registry).set_freshness(
        watermark_ms=None, lag=Lag(silent_seconds=90.0), clock_offset_seconds=0.0
    )
    at, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with metrics_endpoint(at, registry):
        processes = read_status(Addresses(stream=at, tuner=nobody, server=nobody, target=nobody))
    stream = _by_name(processes)["stream"]

    assert not stream.up
    assert stream.problem == "Kafka has not answered for 90 s"
    assert stream.facts["broker_silent_seconds"] == 90


def test_a_stream_that_waits_for_its_quarantine_is_not_up(free_port: Callable[[], int]) -> None:
    """It answers, but applies nothing."""
    registry = CollectorRegistry()
    StreamMetrics(registry).set_quarantine_waiting(70.0)
    at, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with metrics_endpoint(at, registry):
        processes = read_status(Addresses(stream=at, tuner=nobody, server=nobody, target=nobody))
    stream = _by_name(processes)["stream"]

    assert not stream.up
    assert stream.problem == "the quarantine topic has taken no record for 70 s"
