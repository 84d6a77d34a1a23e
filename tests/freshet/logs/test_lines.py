"""Log lines that a machine reads."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from freshet import process
from freshet.commands.cli import cli
from freshet.logs.lines import JsonLines, event_of


@pytest.fixture
def root_log() -> Iterator[logging.Logger]:
    """The root logger, put back as it was."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield root
    root.handlers[:], root.level = before


def _line(level: int, template: str, *args: object, **more: Any) -> dict[str, Any]:
    record = logging.LogRecord("stream.x", level, "x.py", 1, template, args, more.get("exc"))
    told: dict[str, Any] = json.loads(JsonLines().format(record))
    return told


def test_a_line_is_an_object_with_its_values_by_name() -> None:
    """Numbers stay numbers, and what holds spaces or `=` needs no quotes."""
    told = _line(
        logging.ERROR,
        "offset out of range topic=%s partition=%d stored=%d records_lost=%d",
        "a = b c",
        3,
        70,
        12,
    )

    assert told["event"] == "offset out of range"
    assert told["fields"] == {"topic": "a = b c", "partition": 3, "stored": 70, "records_lost": 12}
    assert told["message"] == (
        "offset out of range topic=a = b c partition=3 stored=70 records_lost=12"
    )
    assert (told["level"], told["logger"], told["id"]) == (
        "ERROR",
        "stream.x",
        "FreshetRecordsLost",
    )
    assert told["time"].endswith("Z")


def test_what_is_no_error_may_have_no_id() -> None:
    """A warning that an alert follows has one."""
    assert "id" not in _line(logging.INFO, "stopped address=%s", "a:1")
    assert _line(logging.WARNING, "broker away bootstrap=%s", "k:1")["id"] == "FreshetBrokerSilent"
    assert _line(logging.ERROR, "something of a library")["id"] == "Errors"


def test_values_of_any_kind_are_told() -> None:
    """As text where JSON has no such kind; lines of libraries are told, too."""
    told = _line(logging.INFO, "done at=%s shards=%s rate=%.1f%% %s", ("a", 1), [2], 0.5, "x")

    assert told["fields"] == {"at": "('a', 1)", "shards": "[2]", "rate": 0.5}
    assert _line(logging.INFO, "100% of it")["event"] == "100% of it"
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, {"any": "object"}, None, None)
    assert json.loads(JsonLines().format(record))["message"] == "{'any': 'object'}"


def test_a_traceback_is_in_the_same_line() -> None:
    """One event, one line."""
    exc = (ZeroDivisionError, ZeroDivisionError("x"), None)
    record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "failed", None, exc)
    line = JsonLines().format(record)

    assert "\n" not in line
    assert "ZeroDivisionError: x" in json.loads(line)["traceback"]


@pytest.mark.parametrize(
    ("template", "event"),
    [
        ("no metrics reason=%s", "no metrics"),
        ("behind %s", "behind"),
        ("batch passed over topic=%s partition=%d", "batch passed over"),
        ("no longer behind", "no longer behind"),
        ("%s came", "%s came"),
    ],
)
def test_the_event_is_constant(template: str, event: str) -> None:
    """So that lines can be counted by it."""
    assert event_of(template) == event


def test_the_last_line_of_a_process_is_json_too(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    root_log: logging.Logger,
    tmp_path: Any,
) -> None:
    """With the class of its error and the heading that explains it."""
    monkeypatch.setenv("FRESHET_LOG_FORMAT", "json")
    code = process.run(cli, ["erasures", "--store", str(tmp_path / "none")])
    (line,) = capsys.readouterr().err.splitlines()
    del root_log

    assert code == 1
    told = json.loads(line)
    assert told["event"] == "ended"
    assert told["id"] == "Errors"
    assert told["fields"]["type"] == "StoreMissing"
    assert "none" in told["fields"]["error"]
