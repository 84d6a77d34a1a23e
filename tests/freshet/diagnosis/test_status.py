"""Tests of asking other processes how they are."""

import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from freshet.diagnosis.kinds import server
from freshet.diagnosis.processes import ProcessStatus, Targets
from freshet.diagnosis.status import look_at
from freshet.metrics import metrics_endpoint
from freshet.probe import Addresses, gather, scrape, total
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from model.metrics import TunerMetrics
from model.refresher.metrics import RefresherMetrics
from model.refresher.reasons import Behind, Trouble
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.metrics import StreamMetrics
from stream.signals.lag import Lag
from testing.overlays import overlay_rows
from testing.retrieval_server import wait_until
from testing.small_generations import DIM, Artifacts, make_catalogue


def _all_at(address: str) -> Addresses:
    return Addresses(
        stream=address, tuner=address, refresher=address, server=address, target=address
    )


def _asked(addresses: Addresses) -> dict[str, ProcessStatus]:
    """Ask with time for a machine where much else runs."""
    return {each.name: each for each in look_at(Targets.of(addresses), seconds=30).processes}


def test_every_process_tells_how_it_is(addresses: Addresses) -> None:
    """How much, how fresh, how far behind, what failed last and why."""
    processes = _asked(addresses)
    stream, tuner = processes["stream"].facts, processes["tuner"].facts

    assert processes["stream"].up
    assert (stream["events"], stream["new_facts"], stream["quarantined"]) == (10, 6, 2)
    assert stream["watermark_age_seconds"] == pytest.approx(60, abs=30)
    assert stream["behind_seconds"] == pytest.approx(60, abs=1)
    assert stream["behind_records"] == 5
    assert (stream["records_lost"], stream["shards_without_owner"]) == (7, 0)
    assert stream["backup_age_seconds"] == pytest.approx(7200, abs=30)
    assert processes["tuner"].up
    assert (tuner["generation"], tuner["last_failure_reason"], tuner["every_seconds"]) == (
        "g1",
        "GateRefused",
        600,
    )
    assert tuner["last_success_age_seconds"] == pytest.approx(900, abs=30)


def test_a_failure_that_has_passed_is_told_as_one(
    addresses: Addresses, free_port: Callable[[], int]
) -> None:
    """When it was and why, in one line; it is no last failure any more."""
    registry = CollectorRegistry()
    metrics = TunerMetrics(registry)
    metrics.failed(
        reason="GateRefused", now_seconds=time.time() - 600, run_seconds=20.0, detail="worse"
    )
    metrics.succeeded(
        outcome="published", generation_id="g2", now_seconds=time.time() - 60, run_seconds=20.0
    )
    at = f"127.0.0.1:{free_port()}"
    with metrics_endpoint(at, registry):
        tuner = _asked(replace(addresses, tuner=at))["tuner"]

    assert not tuner.problems
    assert tuner.facts["last_failure"] is None
    assert tuner.facts["last_failure_reason"] is None
    assert tuner.facts["last_failure_age_seconds"] is None
    passed = tuner.facts["passed_failure"]
    told = r"10 min \d\d s ago, and a run has ended well since: GateRefused: worse"
    assert re.fullmatch(told, str(passed))


def test_a_server_without_a_generation_is_not_up(addresses: Addresses) -> None:
    """It answers, but not what it is there for."""
    server = _asked(addresses)["server"]

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
        where = replace(_all_at(nobody), server=at, target=server.address)
        before = _asked(where)["server"]
        folder = OverlayFolder.of(artifacts.root)
        publisher = OverlayPublisher(folder, generation_id, DIM, GoneList(folder.gone_path))
        then = now_ms() - 90_000
        reason = "the store does not answer"
        claim = Claim(reflected_ms=then, catalog_reflected_ms=then + 60_000, reason=reason)
        publisher.publish(overlay_rows(DIM, gone_items=["a", "b"]), claim)
        wait_until(lambda: "gone_items" in _asked(where)["server"].facts, "it")
        after = _asked(where)["server"].facts
        server.stop(grace_seconds=0)

    assert before.up
    assert not {"overlay_behind", "overlay_segment"} & before.facts.keys()
    assert (after["overlay_segment"], after["overlay_items"], after["gone_items"]) == (1, 0, 2)
    assert after["overlay_behind"] == "the store does not answer"
    assert after["reflected_age_seconds"] == pytest.approx(90, abs=30)
    assert after["catalog_age_seconds"] == pytest.approx(30, abs=20)
    assert (after["overlay_refusal"], after["waits_for_overlay"]) == (None, None)


def test_a_tuner_tells_why_its_refresher_does_not_run(free_port: Callable[[], int]) -> None:
    """It is then missed, though nothing answers and the server has nothing of it."""
    registry, at, nobody = CollectorRegistry(), *(f"127.0.0.1:{free_port()}" for _ in range(2))
    metrics = TunerMetrics(registry)
    found = []
    with metrics_endpoint(at, registry):
        for reason in ("", "ended with code 2: no store", ""):
            metrics.refresher_down(reason)
            found.append(_asked(replace(_all_at(nobody), tuner=at))["refresher"])

    assert [each.up for each in found] == [True, False, True]
    assert [each.is_wanted for each in found] == [False, True, False]
    assert found[1].problem == "the tuner starts it again: ended with code 2: no store"


def test_a_tuner_tells_of_a_pin(free_port: Callable[[], int]) -> None:
    """Which generation is pinned, and for how long; nothing where none is."""
    registry, at, nobody = CollectorRegistry(), *(f"127.0.0.1:{free_port()}" for _ in range(2))
    metrics = TunerMetrics(registry)
    found = []
    with metrics_endpoint(at, registry):
        for generation_id, since_ms in (("g-1", 1_000), ("", 0), (None, 0)):
            metrics.pinned(generation_id, since_ms)
            tuner = _asked(replace(_all_at(nobody), tuner=at))["tuner"]
            found.append((tuner.facts.get("pinned"), bool(tuner.facts.get("pinned_age_seconds"))))

    assert found == [
        ("g-1: nothing newer goes live", True),
        ("?: nothing newer goes live", False),
        (None, False),
    ]


def test_what_does_not_answer_is_down(free_port: Callable[[], int], addresses: Addresses) -> None:
    """A wrong port is told from a process that is another one."""
    nowhere = f"127.0.0.1:{free_port()}"
    mixed_up = replace(
        addresses, stream=addresses.tuner, tuner=nowhere, server=nowhere, target=nowhere
    )

    processes = _asked(mixed_up)

    assert not any(each.up for each in processes.values())
    assert "is not the stream" in processes["stream"].problem
    assert "Connection refused" in processes["tuner"].problem


def test_where_answers_are_slow_the_others_have_longer() -> None:
    """On a machine without CPU what lives answers late, and is not down."""
    late = {"stream": 1.0, "tuner": 3.3}

    def answer(name: str) -> str:
        time.sleep(late[name])
        return name

    found = gather({name: partial(answer, name) for name in late}, seconds=3.0)

    assert found == {name: name for name in late}


def test_what_is_answered_before_anybody_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that run at once leave nothing to wait for, as where CPU is scarce."""
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.run)

    assert gather({"stream": lambda: 1, "tuner": lambda: 2}) == {"stream": 1, "tuner": 2}


def test_a_metric_that_is_not_exported_has_no_total(addresses: Addresses) -> None:
    """Nothing is not zero."""
    samples = scrape(addresses.stream, 60.0).samples

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
        stream = _asked(replace(_all_at(nobody), stream=at))["stream"]

    assert not stream.up
    assert stream.problem == "Kafka has not answered for 1 min 30 s"
    assert stream.facts["broker_silent_seconds"] == 90


def test_a_stream_that_waits_for_its_quarantine_is_not_up(free_port: Callable[[], int]) -> None:
    """It answers, but applies nothing."""
    registry = CollectorRegistry()
    StreamMetrics(registry).set_quarantine_waiting(70.0)
    at, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with metrics_endpoint(at, registry):
        stream = _asked(replace(_all_at(nobody), stream=at))["stream"]

    assert not stream.up
    assert stream.problem == "the quarantine topic has taken no record for 1 min 10 s"


def test_a_stream_that_waits_for_its_registry_is_not_up(free_port: Callable[[], int]) -> None:
    """It answers, but reads nothing."""
    registry = CollectorRegistry()
    StreamMetrics(registry).set_registry_waiting(70.0)
    at, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with metrics_endpoint(at, registry):
        stream = _asked(replace(_all_at(nobody), stream=at))["stream"]

    assert not stream.up
    assert stream.problem == "the schema registry has not answered for 1 min 10 s"


def test_a_refresher_that_is_behind_is_not_up_and_says_why(addresses: Addresses) -> None:
    """It answers, but its overlay gets older."""
    refresher = _asked(addresses)["refresher"]

    assert not refresher.up
    assert refresher.problem == "the folder is full; free space"
    assert refresher.facts["overlay_age_seconds"] == pytest.approx(90, abs=30)
    assert (refresher.facts["generation"], refresher.facts["overlay_items"]) == ("g1", 3)


@pytest.mark.parametrize("reason", [Behind.REPLAY, Behind.BURST])
def test_a_refresher_that_is_catching_up_is_up(
    free_port: Callable[[], int], reason: Behind
) -> None:
    """Nobody has to do anything about it."""
    registry = CollectorRegistry()
    RefresherMetrics(registry).behind(Trouble(reason, "so"), gaps=0, clock_ahead_seconds=0.0)
    at, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with metrics_endpoint(at, registry):
        refresher = _asked(replace(_all_at(nobody), refresher=at))["refresher"]

    assert refresher.up
    assert refresher.facts["behind"] == "so"


def test_without_a_refresher_nothing_is_missed(free_port: Callable[[], int]) -> None:
    """It is optional: a system that never had one is whole."""
    nobody = f"127.0.0.1:{free_port()}"
    refresher = _asked(_all_at(nobody))["refresher"]

    assert refresher.up
    assert not refresher.is_wanted
    assert "answers are as fresh as the generation" in refresher.note


def test_a_refresher_that_died_is_missed_where_answers_have_an_overlay(
    free_port: Callable[[], int],
) -> None:
    """The server knows that there was one."""
    registry = CollectorRegistry()
    Gauge("freshet_server_overlay_sequence", "", registry=registry).set(7)
    at, nobody = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with metrics_endpoint(at, registry):
        refresher = _asked(replace(_all_at(nobody), server=at))["refresher"]

    assert not refresher.up
    assert refresher.is_wanted
    assert "no metrics at" in refresher.problem


def _no_generation(free_port: Callable[[], int], tmp_path: Path) -> tuple[ExitStack, Addresses]:
    """Return a server and a refresher that wait for a first generation, with a stream
    and a tuner to be told of.
    """
    stack, at = ExitStack(), [f"127.0.0.1:{free_port()}" for _ in range(4)]
    registry, refresher = CollectorRegistry(), CollectorRegistry()
    waits = Trouble(Behind.NO_GENERATION, "no generation is live yet: see the tuner")
    RefresherMetrics(refresher).behind(waits, gaps=0, clock_ahead_seconds=0.0)
    retrieval = RetrievalServer(ServerSettings(listen="127.0.0.1:0"), tmp_path, registry)
    stack.callback(retrieval.stop, grace_seconds=0)
    retrieval.start()
    for address, each in ((at[2], refresher), (at[3], registry)):
        stack.enter_context(metrics_endpoint(address, each))
    return stack, Addresses(
        stream=at[0], tuner=at[1], refresher=at[2], server=at[3], target=retrieval.address
    )


def test_what_a_first_generation_waits_for_is_said(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    """A tuner that does not run, events, its next try, or the training that runs: by
    the server and by the refresher.
    """
    stack, addresses = _no_generation(free_port, tmp_path)
    graph, tuning = CollectorRegistry(), CollectorRegistry()
    stream, tuner = StreamMetrics(graph), TunerMetrics(tuning)
    said: list[str] = []

    def ask() -> None:
        found = _asked(addresses)
        steps = {found[name].problems[0].step for name in ("server", "refresher")}
        said.extend(steps)

    with stack:
        stack.enter_context(metrics_endpoint(addresses.stream, graph))
        ask()
        stack.enter_context(metrics_endpoint(addresses.tuner, tuning))
        tuner.started(600.0)
        ask()
        stream.set_freshness(watermark_ms=now_ms() - 1000, lag=Lag(), clock_offset_seconds=0.0)
        ask()
        tuner.failed(reason="TrainingRefused", now_seconds=time.time(), run_seconds=1.0)
        ask()
        tuner.run_began(time.time() - 40)
        ask()

    words = (
        "start the tuner",
        "feed events",
        "first run",
        "TrainingRefused",
        "first training has run for",
    )
    assert len(said) == len(words)
    assert all(word in each for word, each in zip(words, said, strict=True))


def test_a_server_says_how_many_of_its_workers_live() -> None:
    """One process alone says nothing of workers."""
    ups = [({"worker": "0"}, 1.0), ({"worker": "1"}, 0.0)]

    assert server._facts({"freshet_server_worker_up": ups}, 0.0)["workers_up"] == 1
    assert server._facts({}, 0.0)["workers_up"] is None
