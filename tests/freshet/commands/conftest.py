"""A small store, and a simulated shop that was trained on, made by the commands."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from testing.event_lines import CLICK, write_lines
from tests.freshet.conftest import ROOT, Command

EVENTS = [
    {"ts_ms": 1_760_000_000_000, **CLICK},
    {"ts_ms": 1_760_000_001_000, **CLICK, "item_id": "i2"},
    {"ts_ms": 1_760_000_002_000, **CLICK, "query": "#"},
]


ITEMS = [{"item_id": "i1", "title": "Red shoes"}, {"item_id": "i2", "title": "Redder shoes"}]


@pytest.fixture
def store(tmp_path: Path, run: Command) -> Path:
    """A store with two clicks, two items, and one record in quarantine."""
    events = write_lines(tmp_path / "e.jsonl", EVENTS)
    items = write_lines(tmp_path / "i.jsonl", ITEMS)
    path = tmp_path / "shop.store"
    outcome = run(
        "stream", "--source", f"file:{events}", "--catalog", f"file:{items}", "--store", path
    )
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout == ""
    assert "2 events applied, 2 new facts, 2 catalogue items, 1 quarantined" in outcome.stderr
    return path


@dataclass(frozen=True)
class Shop:
    """A simulated shop with its store, a snapshot, and a folder of two generations."""

    store: Path
    snapshot: Path
    artifacts: Path
    generation_ids: tuple[str, str]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Made by the commands, the last of which are two trainings of a few seconds."""
    root = tmp_path_factory.mktemp("shop")
    log, store, snapshot, artifacts = (
        root / "log",
        root / "store",
        root / "snapshot",
        root / "artifacts",
    )
    command("simulate", "--items", 80, "--events", 3000, "--out", log)
    command(
        *(
            "stream",
            "--source",
            f"file:{log}/events.jsonl",
            "--catalog",
            f"file:{log}/items.jsonl",
            "--store",
            store,
        )
    )
    command("snapshot", "--store", store, "--out", snapshot)
    first = command(
        "train", "--store", store, "--artifacts", artifacts, "--budget", "20s", "--seed", 1
    )
    second = command(
        "train", "--snapshot", snapshot, "--artifacts", artifacts, "--budget", "20s", "--seed", 2
    )
    return Shop(store, snapshot, artifacts, (first, second))


def command(*arguments: object) -> str:
    """Run a command as its own process and return its last line on stdout."""
    outcome = subprocess.run(
        [sys.executable, "-m", "freshet", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.splitlines()[-1] if outcome.stdout else ""
