"""A small store, and a simulated shop that was trained on, made by the commands."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.freshet.conftest import ROOT, Command

CLICK = {
    "type": "search_click",
    "session_id": "s1",
    "user_id": "u1",
    "query": "Red Shoes!",
    "item_id": "i1",
}


EVENTS = [
    {"ts_ms": 1_760_000_000_000, **CLICK},
    {"ts_ms": 1_760_000_001_000, **CLICK, "item_id": "i2"},
    {"ts_ms": 1_760_000_002_000, **CLICK, "query": "#"},
]


ITEMS = [{"item_id": "i1", "title": "Red shoes"}, {"item_id": "i2", "title": "Redder shoes"}]


def write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


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
    assert "4 events applied, 2 new facts, 1 quarantined" in outcome.stderr
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
