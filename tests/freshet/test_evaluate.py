"""`freshet evaluate`, as a user runs it: on a small log of files."""

import json
import signal
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from model import train
from tests.model.conftest import shop_events, shop_items

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    """Return the arguments that name the shop's events and items."""
    events, items = tmp_path / "events.jsonl", tmp_path / "items.jsonl"
    rows = ({**asdict(event), "type": "search_click", "action": None} for event in shop_events(300))
    events.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    titles = ({"item_id": item.item_id, "title": item.title} for item in shop_items())
    items.write_text("".join(json.dumps(row) + "\n" for row in titles), encoding="utf-8")
    return ["--events", str(events), "--items", str(items)]


def test_scores_say_what_was_chosen(run: Command, log: list[str]) -> None:
    """A row a segment, seed and mean; the settings are on the seed's row over all pairs, and in the table."""
    found = run("evaluate", *log, "--models", "bm25", "--json")
    rows = [json.loads(line) for line in found.stdout.splitlines()]

    assert found.returncode == 0, found.stderr
    assert [(row["segment"], row["seed"]) for row in rows if "chosen" in row] == [("all", 0)]
    best = next(row["chosen"] for row in rows if "chosen" in row)
    assert f"k1 {best['k1']:g}, b {best['b']:g}" in run("evaluate", *log, "--models", "bm25").stdout


def test_an_interrupt_ends_a_fit(run: Command, log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a training: one line, the exit code of an interrupt, no figures."""
    step = train._Run.step
    steps: list[train.Ints] = []

    def interrupted_step(self: train._Run, batch: train.Ints) -> float:
        if not steps:
            signal.raise_signal(signal.SIGINT)
        steps.append(batch)
        return step(self, batch)

    monkeypatch.setattr(train._Run, "step", interrupted_step)
    found = run("evaluate", *log, "--models", "full", "--seeds", 1)

    assert found.returncode == 130
    assert found.stderr == "freshet: error: stopped before the evaluation was done\n"
    assert not found.stdout
