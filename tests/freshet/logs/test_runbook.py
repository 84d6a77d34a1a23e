"""Every error that is logged has a heading of the runbook."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from freshet.logs.lines import event_of
from freshet.logs.runbook import ERRORS, ERRORS_HEADING, EVENTS
from tests.freshet.conftest import ROOT

_PACKAGES = ("stream", "model", "server", "freshet")
_ERRORS = {"error", "exception", "critical"}
_LEVELS = {*_ERRORS, "warning", "info", "debug"}
_ENDED = "ended"
"""What a process ends with: its heading goes by the error."""


def _logged() -> Iterator[tuple[str, str, Path]]:
    """Yield level and event of each line that the packages log."""
    for package in _PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and node.func.attr in _LEVELS
                    and ast.unparse(node.func.value) == "logger"
                ):
                    template = ast.literal_eval(node.args[0])
                    yield node.func.attr, event_of(template), path


_PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")


def _headings() -> set[str]:
    return set(re.findall(r"^##+ (.+)$", _PAGE, re.MULTILINE))


def test_every_error_that_is_logged_has_a_heading_of_its_own() -> None:
    """A new one is named here with its file, until it has a line in the table."""
    logged = list(_logged())
    missing = [
        f"{path.relative_to(ROOT)}: {event}"
        for level, event, path in logged
        if level in _ERRORS and event not in EVENTS and event != _ENDED
    ]

    assert not missing
    assert sum(level in _ERRORS for level, _, _ in logged) > 10


def test_every_heading_is_in_the_runbook() -> None:
    """Also that of errors which end a process."""
    assert {*EVENTS.values(), *ERRORS.values(), ERRORS_HEADING} <= _headings()


def test_the_table_names_what_there_is() -> None:
    """No event that nothing logs any more, and no error that is gone."""
    assert set(EVENTS) <= {event for _, event, _ in _logged()}
    known = set(re.findall(r"^\| `(\w+)` \(", _PAGE, re.MULTILINE))
    assert set(ERRORS) <= known
