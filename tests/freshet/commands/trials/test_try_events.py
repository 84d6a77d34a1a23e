"""Tests of `freshet try-events`."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from testing.records import NEUTRAL, TS_MS
from tests.freshet.conftest import CONSOLE_SCRIPT, Command

_TOML = """
[stream.mapping.event]
time = "at"
time_unit = "s"
action = "kind"
item_id = "sku"
other_actions = "ignore"

[stream.mapping.event.actions]
opened = "click"
"""
_OPENED = {"at": TS_MS // 1000, "kind": "opened", "session_id": "s", "sku": 7}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A good line, a blank one, one to be ignored, and one that cannot be used."""
    lines = [_OPENED, None, _OPENED | {"kind": "moved"}, {**_OPENED, "sku": None}]
    path = tmp_path / "log.jsonl"
    path.write_text("".join((json.dumps(line) if line else " ") + "\n" for line in lines))
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A mapping of that log."""
    path = tmp_path / "freshet.toml"
    path.write_text(_TOML)
    return path


def test_each_line_is_told(run: Command, log: Path, config: Path) -> None:
    """What would be read of it, that it is ignored, or why it is refused; and the exit
    code says whether one is.
    """
    outcome = run("try-events", log, "--config", config)

    assert outcome.stdout.splitlines() == [
        '     1  click        2023-11-14 21:56:40Z  session="s"  item="7"',
        "     3  ignored      other_action",
        "     4  REFUSED      missing_field: item_id (sku) is absent or empty",
        "3 lines: read 1 (1 click), ignored 1 (1 other_action), refused 1 (1 missing_field)",
    ]
    assert outcome.returncode == 1
    assert "1 of 3 lines would be refused" in outcome.stderr


def test_lines_for_scripts(run: Command, log: Path, config: Path) -> None:
    """An object a line, then the counts."""
    outcome = run("try-events", log, "--config", config, "--json")
    first, ignored, refused, counts = map(json.loads, outcome.stdout.splitlines())

    assert (first["line"], first["refused"]) == (1, [])
    assert first["read"][0]["kind"] == first["read"][0]["action"] == "click"
    assert (first["read"][0]["item_id"], first["read"][0]["ts_ms"]) == ("7", TS_MS)
    assert (ignored["line"], ignored["ignored"]) == (3, "other_action")
    assert refused["refused"][0]["reason"] == "missing_field"
    assert counts == {
        "lines": 3,
        "read": {"click": 1},
        "ignored": {"other_action": 1},
        "refused": {"missing_field": 1},
    }


def test_only_refused_lines_are_told(run: Command, log: Path, config: Path) -> None:
    """The summary counts all."""
    outcome = run("try-events", log, "--config", config, "--refused")

    assert [line.split()[0] for line in outcome.stdout.splitlines()] == ["4", "3"]


def test_good_files_end_well(run: Command, tmp_path: Path) -> None:
    """Plain or packed, with no settings at all; also one without a line."""
    packed, empty = tmp_path / "log.gz", tmp_path / "empty"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(NEUTRAL).encode()))
    empty.write_bytes(b"")

    outcome = run("try-events", packed)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert 'query="xbox 360"' in outcome.stdout
    assert run("try-events", empty).stdout == "0 lines: nothing to read\n"


def test_items_and_erasures_are_tried_as_such(run: Command, tmp_path: Path) -> None:
    """The topic says what a record is, and so does the option."""
    path = tmp_path / "lines"
    item = {"item_id": "i\x1b", "title": "T" * 99, "available": False, "size": 5}
    path.write_text("\n".join(map(json.dumps, [item, {"item_id": "j", "deleted": True}])))

    first, second, summary = run("try-events", path, "--kind", "item").stdout.splitlines()
    assert first.startswith('     1  item         no time  item="i\\u001b"  title="TTT')
    assert first.endswith('…"  attribute size="5"  not available')
    assert second.split() == ["2", "deletion", "no", "time", 'item="j"']
    assert summary == "2 lines: read 2 (1 deletion, 1 item)"

    path.write_text('{"erase": "user", "id": 5}')
    outcome = run("try-events", path, "--kind", "erasure")
    assert outcome.stdout.splitlines()[0] == '     1  erasure      user="5"'


def test_a_content_type_may_be_said(run: Command, tmp_path: Path) -> None:
    """As the header of a record says it."""
    path = tmp_path / "lines"
    path.write_text(json.dumps([{"specversion": "1.0", "type": "freshet.event", "data": NEUTRAL}]))
    options = ("--content-type", "application/cloudevents-batch+json")

    assert "read 1 (1 click)" in run("try-events", path, *options).stdout
    assert "unknown_encoding" in run("try-events", path, "--content-type", "a/b").stdout


def test_a_pipe_is_read_to_its_end() -> None:
    """Standard input is the file that is called -, however it comes."""
    with subprocess.Popen(
        [CONSOLE_SCRIPT, "try-events", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        line = json.dumps(NEUTRAL)
        for piece in (line[:5], line[5:] + "\n", line):
            process.stdin.write(piece)
            process.stdin.flush()
        printed, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert printed.splitlines()[-1] == "2 lines: read 2 (2 click)"


def test_what_is_no_text_is_refused(run: Command, tmp_path: Path) -> None:
    """As `freshet stream` refuses it, and so is what is not there."""
    path = tmp_path / "lines"
    path.write_bytes(b"PAR1" + bytes(99))

    outcome = run("try-events", path)
    assert outcome.returncode == 1
    assert "is a Parquet file" in outcome.stderr
    assert "cannot be opened" in run("try-events", tmp_path / "none").stderr


def test_it_needs_neither_kafka_nor_a_store(log: Path) -> None:
    """Nor the extras that bring them: no module of theirs is imported."""
    code = (
        "import sys\n"
        "for name in ('kafka', 'confluent_kafka', 'rocksdict', 'fsspec', 'torch'):\n"
        "    sys.modules[name] = None\n"
        "from freshet import process\n"
        "from freshet.commands.cli import cli\n"
        f"sys.exit(process.run(cli, ['try-events', {str(log)!r}]))\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )

    assert outcome.stdout.splitlines()[-1].startswith("3 lines: ")
    assert "3 of 3 lines would be refused" in outcome.stderr
