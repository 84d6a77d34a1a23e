"""Tests of `freshet status`."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

import click
from prometheus_client import CollectorRegistry

from freshet.diagnosis.processes import Problem, ProcessStatus, Targets
from freshet.diagnosis.screen import full_text, screen
from freshet.diagnosis.status import read_status
from freshet.metrics import metrics_endpoint, name_process
from freshet.probe import Addresses
from model.metrics import TunerMetrics
from tests.freshet.conftest import CONSOLE_SCRIPT, Command


def test_the_screen_shows_all_of_them(addresses: Addresses, run: Command) -> None:
    """One screen for people, the same as JSON for scripts, and a code that says whether
    all is well.
    """
    at = ["--stream", addresses.stream, "--tuner", addresses.tuner]
    at += ["--server", addresses.server, "--target", addresses.target]
    at += ["--refresher", addresses.refresher]

    screen, as_json = run("status", *at), run("status", *at, "--json")

    assert screen.returncode == as_json.returncode == 1
    for part in (
        "4 things are wrong; there are no answers yet",
        "stream     WARN",
        "tuner      WARN",
        "the last run failed: GateRefused",
        "next: the live generation stays",
        "(FreshetTunerFailing)",
        "refresher  DOWN",
        "the folder is full; free space",
        "server     DOWN",
        "last failure reason   GateRefused",
        "15 min",
        "no generation is live yet",
        "shards without owner  0",
    ):
        assert part in screen.stdout
    assert json.loads(as_json.stdout)["tuner"]["facts"]["last_failure_reason"] == "GateRefused"


def test_of_what_is_well_zeros_are_left_out() -> None:
    """How many they are is said; with a problem, or on request, all are shown."""
    facts = {"events": 7.0, "behind_seconds": 0.0, "records_lost": 0.0, "broker": None}
    inner = {"rounds": 4.0, "overlay_items": 2.0}
    stream = ProcessStatus(name="stream", address="a:1", up=True, facts=facts)
    refresher = ProcessStatus(name="refresher", address="a:2", up=True, facts=inner)
    problem = Problem(text="a loss", step="look", runbook="FreshetRecordsLost")

    few = full_text([stream, refresher])
    everything = full_text([stream, refresher], has_all=True)
    ill = full_text([replace(stream, problems=(problem,)), refresher])

    shown = ["events", "behind", "overlay items"]
    hidden = ["records lost", "rounds"]
    assert all(name in few for name in shown)
    assert not any(name in few for name in hidden)
    assert few.endswith("\n2 more values: freshet status --all\n")
    assert all(name in everything for name in shown + hidden)
    assert "more values" not in everything
    assert "records lost" in ill
    assert "\n1 more values" in ill


def _at(addresses: Addresses) -> list[str]:
    return [
        *("--stream", addresses.stream, "--tuner", addresses.tuner),
        *("--refresher", addresses.refresher),
        *("--server", addresses.server, "--target", addresses.target),
    ]


def test_watching_through_a_pipe_is_one_look_behind_the_other(
    addresses: Addresses, run: Command
) -> None:
    """With the time of each, without a control character, and the code of the last."""
    lines = run("status", *_at(addresses), "--watch", "--every", "10ms", "--count", 2)
    documents = run("status", *_at(addresses), "--watch", "--every", "1ms", "--count", 3, "--json")

    assert lines.returncode == documents.returncode == 1
    assert lines.stdout.count("4 things are wrong") == 2
    assert re.search(r"refresher  DOWN  overlay \d+ min \d\d s", lines.stdout)
    assert "tuner: the last run failed: GateRefused" in lines.stdout
    assert "\x1b" not in lines.stdout
    told = [json.loads(line) for line in documents.stdout.splitlines()]
    assert len(told) == 3
    assert told[0]["processes"]["refresher"]["up"] is False


def test_watching_sees_what_is_mended_and_ends_on_a_signal(free_port: Callable[[], int]) -> None:
    """In order, with the code of its last look."""
    registry = CollectorRegistry()
    metrics = TunerMetrics(registry)
    name_process(registry, "tuner")
    metrics.failed(reason="GateRefused", now_seconds=1.0, run_seconds=1.0)
    at = f"127.0.0.1:{free_port()}"
    with metrics_endpoint(at, registry):
        argv = [str(CONSOLE_SCRIPT), "status", "--watch", "--every", "50ms", "--json"]
        for other in ("--stream", "--refresher", "--server", "--target"):
            argv += [other, f"127.0.0.1:{free_port()}"]
        watching = subprocess.Popen([*argv, "--tuner", at], stdout=subprocess.PIPE, text=True)
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())["processes"]["tuner"]
        metrics.succeeded(
            outcome="published", generation_id="g", now_seconds=time.time(), run_seconds=1.0
        )
        while json.loads(watching.stdout.readline())["processes"]["tuner"]["problems"]:
            pass
        watching.send_signal(signal.SIGTERM)
        watching.communicate()

    assert first["problems"]
    assert watching.returncode == 1  # nothing else runs


def test_a_screen_has_what_fits(addresses: Addresses) -> None:
    """Long lines are cut, and how many are left out is said."""
    processes = read_status(Targets.of(addresses))
    lines = screen(processes, width=60, height=8)

    assert len(lines) == 8
    assert all(len(click.unstyle(line)) <= 60 for line in lines)
    assert lines[-1].startswith("... ")
    assert "more lines" in lines[-1]
    everything = screen(processes, width=1000, height=1000)
    assert sum("next: " in line for line in everything) == 4
    assert not any(line.startswith("... ") for line in everything)


def test_options_of_watching_are_for_watching(run: Command) -> None:
    """Code 2, as for every wrong command line."""
    assert run("status", "--count", 2).returncode == 2
    assert run("status", "--watch", "--count", 1, "--all").returncode == 2
    assert run("status", "--server", "a:1,b:2").returncode == 2
