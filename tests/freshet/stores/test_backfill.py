"""Tests of loading files by several processes."""

import subprocess
from pathlib import Path

from testing.event_lines import CLICK, write_lines
from tests.freshet.conftest import CONSOLE_SCRIPT, Command


def test_backfill_by_several_processes_makes_the_same_graph(tmp_path: Path, run: Command) -> None:
    """Processes side by side, each with its shards, make what one makes, and put bad
    lines away once.
    """
    lines = [
        {
            "ts_ms": 1_760_000_000_000 + n,
            **CLICK,
            "session_id": f"s{n % 40}",
            "item_id": f"i{n % 7}",
        }
        for n in range(400)
    ]
    events = write_lines(tmp_path / "e.jsonl", [*lines, {"ts_ms": 1}])
    config = tmp_path / "freshet.toml"
    config.write_text("[stream]\nnum_shards = 3\n")
    hashes = []
    for workers in (1, 2, 5):
        store = tmp_path / f"{workers}.store"
        arguments = ("--store", store, "--workers", workers, "--config", config)
        outcome = run("stream", "--source", f"file:{events}", *arguments)
        assert outcome.returncode == 0, outcome.stderr
        assert "400 events applied, 280 new facts, 1 quarantined" in outcome.stderr
        again = run("stream", "--source", f"file:{events}", *arguments)
        assert "0 events applied" in again.stderr
        hashes.append(run("graph", "hash", "--store", store).stdout)

    assert len(set(hashes)) == 1


def test_backfill_works_beside_scripts_of_the_users_own(busy_folder: Path) -> None:
    """The loading processes import ours, not a server.py that lies where they start."""
    events = write_lines(busy_folder / "e.jsonl", [{"ts_ms": 1_760_000_000_000, **CLICK}])
    outcome = subprocess.run(
        [CONSOLE_SCRIPT, "stream", "--source", f"file:{events}", "--store", "s", "--workers", "2"],
        cwd=busy_folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr
    assert "1 events applied" in outcome.stderr


def test_backfill_says_which_file_is_missing(tmp_path: Path, run: Command) -> None:
    """What fails in one of the processes is one line here."""
    arguments = ("--store", tmp_path / "s.store", "--workers", 2)
    outcome = run("stream", "--source", f"file:{tmp_path}/none.jsonl", *arguments)

    assert outcome.returncode == 1
    assert outcome.stderr.splitlines()[-1].startswith("freshet: error: no file matches")
