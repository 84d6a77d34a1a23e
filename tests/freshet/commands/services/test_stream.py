"""Tests of `freshet stream`."""

import os
import subprocess
import sys
from pathlib import Path

from testing.event_lines import CLICK, write_lines
from tests.freshet.conftest import Command


def test_a_second_pass_over_the_same_files_changes_nothing(
    store: Path, run: Command, tmp_path: Path
) -> None:
    """What is applied is not applied again."""
    before = run("graph", "hash", "--store", store).stdout

    outcome = run("stream", "--source", f"file:{tmp_path}/e.jsonl", "--store", store)

    assert outcome.returncode == 0
    assert "0 new facts" in outcome.stderr
    assert run("graph", "hash", "--store", store).stdout == before


def test_a_file_of_another_form_is_an_error(run: Command, tmp_path: Path) -> None:
    """The rest is applied, and the last line says what is wrong with the file."""
    good = write_lines(tmp_path / "e.jsonl", [{"ts_ms": 1_760_000_000_000, **CLICK}])
    (tmp_path / "a.json").write_text(f"[{good.read_text()}]")

    outcome = run("stream", "--source", f"file:{tmp_path}/*.json*", "--store", tmp_path / "s")

    assert outcome.returncode == 1
    assert "1 events applied, 1 new facts, 2 quarantined" in outcome.stderr
    last = outcome.stderr.splitlines()[-1]
    assert f"nothing in {tmp_path}/a.json can be used: it starts like a JSON array" in last
    assert last.endswith(f"the lines are in {tmp_path}/s/quarantine/rejected.jsonl")


def test_an_export_of_searches_is_no_failure(run: Command, tmp_path: Path) -> None:
    """Query records and what is ignored are said, and are in order without an event."""
    search = {"query_id": "q-1", "user_query": "lamp", "timestamp": 1_760_000_000_000}
    events = write_lines(tmp_path / "ubi_queries.ndjson", [{"index": {"_id": "1"}}, search])

    outcome = run("stream", "--source", f"file:{events}", "--store", tmp_path / "s")

    assert outcome.returncode == 0
    assert "0 events applied, 0 new facts, 1 searches, 1 ignored" in outcome.stderr


def test_several_processes_judge_files_too(run: Command, tmp_path: Path) -> None:
    """With --workers it is the same error; a file that is mostly bad is a warning."""
    bad = write_lines(tmp_path / "bad.jsonl", [{"ts_ms": 1_760_000_000, **CLICK}])
    lines = ({"ts_ms": 1_760_000_000_000, **CLICK}, {"ts_ms": 1}, {"ts_ms": 2})
    poor = write_lines(tmp_path / "poor.jsonl", lines)

    outcome = run(
        *("stream", "--source", f"file:{bad}", "--source", f"file:{poor}"),
        *("--store", tmp_path / "s", "--workers", 2),
    )

    assert outcome.returncode == 1
    assert f"freshet: warning: 66% of {poor} cannot be used (2 of 3 lines)" in outcome.stderr
    assert f"nothing in {bad} can be used: it has its times in seconds" in outcome.stderr


def test_pipes(run: Command, tmp_path: Path) -> None:
    """Events and items come through pipes, are harmless when they come again, and are
    not for several processes or a replay.
    """
    reading, writing = os.pipe()
    event = write_lines(tmp_path / "e.jsonl", [{"ts_ms": 1_760_000_000_000, **CLICK}]).read_bytes()
    item = write_lines(tmp_path / "i.jsonl", [{"item_id": "i1", "title": "Lamp"}]).read_bytes()
    os.write(writing, item)
    os.close(writing)
    arguments = ["stream", "--source", "file:/dev/stdin", "--store", tmp_path / "s"]
    catalog = ["--catalog", f"file:/dev/fd/{reading}"]
    outcome = subprocess.run(
        [sys.executable, "-m", "freshet", *map(str, arguments), *catalog],
        input=event,
        capture_output=True,
        pass_fds=[reading],
        check=True,
    )
    os.close(reading)
    assert b"1 events applied, 1 new facts, 1 catalogue items" in outcome.stderr

    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    several = run("stream", "--source", f"file:{fifo}", "--store", tmp_path / "s", "--workers", 2)
    assert several.returncode == 2
    assert "is a pipe, which one process reads" in several.stderr
    replayed = run("replay", "--events", fifo, "--to", "localhost:1")
    assert replayed.returncode != 0
    assert "is a pipe, and a replay reads files" in replayed.stderr
