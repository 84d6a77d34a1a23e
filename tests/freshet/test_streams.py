"""Standard streams that are closed, or cannot be written, as a shell makes them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.freshet.conftest import CONSOLE_SCRIPT, Command

CLICK = {
    "ts_ms": 1_700_000_000_000,
    "type": "search_click",
    "session_id": "s",
    "query": "lamp",
    "item_id": "i",
}


def _shell(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"{CONSOLE_SCRIPT} {words}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_load_ends_well_whatever_its_streams_are(
    streams: str, tmp_path: Path, run: Command
) -> None:
    """No file of the store is taken for one of them."""
    (tmp_path / "events.jsonl").write_text(json.dumps(CLICK) + "\n")

    loaded = _shell(f"stream --source file:events.jsonl --store store {streams}", tmp_path)

    assert (loaded.returncode, loaded.stdout) == (0, "")
    stats = json.loads(run("graph", "stats", "--store", tmp_path / "store", "--json").stdout)
    assert stats["facts"] == 1


def test_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """With the reason; a closed one is nobody's wish to read."""
    full = _shell("config > /dev/full", tmp_path)
    assert full.returncode == 1
    assert full.stderr.startswith("freshet: error: standard output: No space left on device")
    assert full.stderr.count("\n") == 1

    closed = _shell("config >&-", tmp_path)
    assert (closed.returncode, closed.stderr) == (0, "")


def test_a_log_that_nobody_reads_ends_nothing(tmp_path: Path) -> None:
    """Its reader went away: the warnings of one line each are let be."""
    lines = "".join(json.dumps(CLICK) + "\n{bad\n" for _ in range(3))
    (tmp_path / "events.jsonl").write_text(lines)
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "w") as gone:
        loaded = subprocess.run(
            [CONSOLE_SCRIPT, "stream", "--source", "file:events.jsonl", "--store", "store"],
            cwd=tmp_path,
            stderr=gone,
            timeout=120,
            check=False,
        )

    assert loaded.returncode == 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "caf\u00e9 \u978b"),
        ({"PYTHONIOENCODING": "latin-1"}, "caf\u00e9 \\u978b"),
        ({"PYTHONIOENCODING": "ascii"}, "caf\\xe9 \\u978b"),
    ],
)
def test_output_is_utf_8_unless_somebody_wants_another_encoding(
    tmp_path: Path, environment: dict[str, str], expected: str
) -> None:
    """A locale that cannot write a query does not end a command."""
    line = json.dumps({**CLICK, "query": "Caf\u00e9 \u978b"})
    (tmp_path / "events.jsonl").write_text(f"{line}\n")

    outcome = subprocess.run(
        [CONSOLE_SCRIPT, "try-events", "events.jsonl"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )

    assert outcome.returncode == 0, outcome.stderr
    found = outcome.stdout.decode("latin-1" if "latin-1" in environment.values() else "utf-8")
    assert expected in found.lower()
