"""Tests of `freshet graph`."""

import json
from pathlib import Path

import pytest

from tests.freshet.commands.conftest import EVENTS
from tests.freshet.conftest import Command


def test_the_graph_can_be_looked_at(store: Path, run: Command, tmp_path: Path) -> None:
    """Dump, hash and stats agree between a store and its snapshot."""
    snapshot = tmp_path / "snap"
    assert run("snapshot", "--store", store, "--out", snapshot).returncode == 0

    lines = [
        json.loads(line) for line in run("graph", "dump", "--store", store).stdout.splitlines()
    ]
    stats = json.loads(run("graph", "stats", "--store", store, "--json").stdout)

    assert [(line["kind"], line.get("query"), line.get("item")) for line in lines] == [
        ("edge", "red shoes", "i1"),
        ("edge", "red shoes", "i2"),
        ("hyperedge", None, None),
    ]
    assert lines[0]["weight"] == pytest.approx(2 ** (-1 / (30 * 86_400)))
    assert stats["facts"] == 2
    assert stats["catalog_items"] == 2
    for command in (["hash"], ["dump"], ["dump", "--at", 1_770_000_000_000]):
        of_store = run("graph", *command, "--store", store).stdout
        assert of_store == run("graph", *command, "--snapshot", snapshot).stdout
        assert of_store
    assert "facts" in run("graph", "stats", "--snapshot", snapshot).stdout


@pytest.mark.parametrize("at_ms", [-1, 2**63, 10**23])
def test_a_time_that_no_array_takes_is_refused(store: Path, run: Command, at_ms: int) -> None:
    """By the option's name and range; it was an OverflowError."""
    outcome = run("graph", "dump", "--store", store, "--at", at_ms)

    assert outcome.returncode == 2
    assert f"Invalid value for '--at': {at_ms} is not in the range" in outcome.stderr


def test_a_dump_sends_a_terminal_no_escape_code(tmp_path: Path, run: Command) -> None:
    """U+009B begins one, and JSON allows it as it is."""
    item = "\x9b31m\u202e"
    click = {**EVENTS[0], "item_id": item}
    (tmp_path / "events.jsonl").write_text(json.dumps(click) + "\n")
    source = f"file:{tmp_path / 'events.jsonl'}"
    assert run("stream", "--source", source, "--store", tmp_path / "store").returncode == 0

    (line,) = run("graph", "dump", "--store", tmp_path / "store").stdout.splitlines()

    assert "\\u009b31m\\u202e" in line
    assert json.loads(line)["item"] == item


def test_weights_are_taken_at_the_time_that_is_asked_for(store: Path, run: Command) -> None:
    """Half a weight is left after a half-life, and action weights can be set when
    reading.
    """
    at_ms = EVENTS[0]["ts_ms"] + 30 * 86_400_000  # type: ignore[operator]  # an int

    first = json.loads(run("graph", "dump", "--store", store, "--at", at_ms).stdout.splitlines()[0])

    assert first["weight"] == pytest.approx(0.5)
