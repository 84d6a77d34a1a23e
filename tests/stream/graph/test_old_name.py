"""Where a graph was opened once: `stream.graph`, as people's scripts still have it."""

import subprocess
import sys
from pathlib import Path

import pytest

import stream.graph
from stream.reading.reader import open_graph


def test_the_old_name_opens_and_names_the_new_place() -> None:
    """An old script gets the function itself, and a warning that says where it is now,
    on the script's own line.
    """
    with pytest.warns(DeprecationWarning, match=r"from stream\.reading\.reader") as warned:
        from stream.graph import open_graph as old  # type: ignore[attr-defined]
    assert old is open_graph
    assert {Path(warning.filename) for warning in warned} == {Path(__file__)}


def test_the_old_name_works_before_anything_else_is_imported() -> None:
    """A script's first import may be the old one."""
    script = "from stream.graph import open_graph; print(open_graph.__module__)"
    ran = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == "stream.reading.reader\n"


def test_other_names_are_missing_as_in_any_module() -> None:
    """Nothing else came back with it."""
    with pytest.raises(AttributeError, match="has no attribute 'open_store'"):
        stream.graph.open_store  # type: ignore[attr-defined]  # noqa: B018
