"""The faults of the bench, held against the rules that must notice them."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.faults.catalogue import FAULTS, SHORT
from bench.faults.fault import Fault
from bench.faults.faults import Told
from bench.faults.process_faults import another_clock
from bench.faults.quiet import QUIET
from deploy.mixin.rules import alerts
from deploy.mixin.settings import load_settings
from testing.monitoring.webhook import Arrived

_RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def told(fault: Fault, summary: str, status: tuple[int, str]) -> Told:
    """What came of a fault, by what was said."""
    arrived = Arrived(
        at=10.0,
        channel=fault.severity,
        labels={"alertname": fault.alert, "component": fault.component},
        annotations={"summary": summary},
    )
    return Told(fault=fault, alert=arrived, seconds=10.0, others=(), status=status)


def test_there_are_twenty_faults_and_three_that_are_none() -> None:
    """Each has a name of its own, and the short version is of them."""
    names = [fault.name for fault in FAULTS]

    assert len(set(names)) == len(names) >= 20
    assert set(SHORT) < set(names)
    assert len(QUIET) == 3


def test_the_runbook_names_the_faults_by_which_it_was_tried() -> None:
    """Each fault in the section of its alert, and no other."""
    page = _RUNBOOK.read_text("utf-8")
    tried: dict[str, set[str]] = {}
    for heading, text in re.findall(
        r"^### (Freshet\w+)$(.*?)(?=^##)", page, re.MULTILINE | re.DOTALL
    ):
        told_of = text.partition("**How it was tried.**")[2]
        tried[heading] = {name.casefold() for name in re.findall(r"\*([^*]+)\*", told_of)}
    named = set().union(*tried.values())

    for fault in FAULTS:
        assert fault.name.casefold() in tried[fault.alert], fault.name
    assert named - {fault.name.casefold() for fault in FAULTS} <= {"a backfill of last year"}


def test_a_clock_is_moved_and_waits_are_not(tmp_path: Path) -> None:
    """Of one process: an hour behind, and what waits for a moment goes on."""
    code = (
        "import datetime, queue, time; time.sleep(0.01)\n"
        "try: queue.Queue().get(timeout=0.01)\n"
        "except queue.Empty: print(time.time(), datetime.datetime.now().timestamp())"
    )
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **another_clock(tmp_path, -3600)},
        capture_output=True,
        text=True,
        check=True,
    )

    for told in map(float, done.stdout.split()):
        assert began <= told + 3600 <= time.time()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_has_an_alert_as_urgent_as_it_says(fault: Fault) -> None:
    """The rule is there, with that severity, and can have that component."""
    rules = [rule for rule in alerts(load_settings()) if rule["alert"] == fault.alert]

    assert fault.severity in {rule["labels"]["severity"] for rule in rules}
    assert {rule["labels"]["component"] for rule in rules} & {
        fault.component,
        "{{ $labels.job }}",
    }
    assert re.compile(fault.says).groups >= 0
    assert re.compile(fault.status).groups >= 0


def test_an_alert_must_say_why_and_status_must_fail() -> None:
    """An exit code of 0, or other words, do not count."""
    fault = next(each for each in FAULTS if each.name == "broker killed")
    good = "stream:1 has not heard from Kafka for 33s; 127.0.0.1:9092: refused"
    status = "stream  DOWN\n  Kafka has not answered for 33 s"

    assert told(fault, good, (1, status)).names_cause
    assert told(fault, good, (1, status)).status_knows
    assert not told(fault, "something is slow", (1, status)).names_cause
    assert not told(fault, good, (0, status)).status_knows
    assert not told(fault, good, (1, "all is well")).status_knows
