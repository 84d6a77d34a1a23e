"""The refresher beside another command."""

import sys
from pathlib import Path

import pytest

from freshet.stores.refresher_process import refresher_process
from tests.freshet.conftest import Until


def test_why_it_cannot_start_is_told(tmp_path: Path, eventually: Until) -> None:
    """By the last line of what it said, which is in this process's log, too."""
    told: list[str] = []

    with refresher_process(
        {"--store": tmp_path, "--artifacts": tmp_path, "--every": "sometimes"}, told.append
    ):
        eventually(lambda: told)

    assert told[0].startswith("ended with code ")
    assert "sometimes" in told[0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("SIGKILL", "was killed by SIGKILL, as the system does without memory (dmesg)"),
        ("SIGSEGV", "was killed by SIGSEGV"),
    ],
)
def test_a_signal_is_told_by_its_name(
    tmp_path: Path, eventually: Until, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    """And not by the line that it happened to log last."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho no longer behind >&2\nkill -s {name[3:]} $$\n")
    program.chmod(0o755)
    told: list[str] = []
    monkeypatch.setattr(sys, "executable", str(program))

    with refresher_process({}, told.append):
        eventually(lambda: told)

    assert told[0] == why


def test_a_program_that_is_not_there_is_told(
    tmp_path: Path, eventually: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an environment that was removed."""
    told: list[str] = []
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    with refresher_process({}, told.append):
        eventually(lambda: told)

    assert told[0].startswith("could not be started: ")
    assert str(tmp_path / "python") in told[0]
