"""The soak, short: a fault of every kind under load, and nothing is lost or counted
twice.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NUM_WORKERS = 3

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(600)]


def test_a_store_under_faults_becomes_the_graph_of_a_plain_build(tmp_path: Path) -> None:
    """Kills, a pause, a stop, a broker restarted.

    The same graph, catalogue and quarantine.
    """
    path = tmp_path / "figures.jsonl"
    size = ["--kills", "6", "--events", "20000", "--every", "3.5", "--workers", str(NUM_WORKERS)]
    where = ["--folder", str(tmp_path / "soak"), "--json", str(path)]

    done = subprocess.run(
        [sys.executable, "-m", "bench", "soak", *size, *where],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = {
        line["name"]: line["value"]
        for line in map(json.loads, path.read_text("utf-8").splitlines())
    }
    assert figures["kills"] == 6
    assert figures["pauses longer than the session timeout"] == 1
    assert figures["workers stopped and added"] == 1
    assert figures["broker restarts"] == 1
    assert (figures["graph hash equal"], figures["verify equal"]) == (1, 1)
    assert (figures["lost"], figures["doubled"]) == (0, 0)
    assert figures["malformed and not quarantined"] == 0
    assert figures["quarantined and not malformed"] == 0
