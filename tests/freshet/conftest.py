"""The command, in this process and as one of its own."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from freshet import process
from freshet.commands.cli import cli

ROOT = Path(__file__).resolve().parent.parent.parent

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """A function that runs a command line in this process: ``run("graph", "hash",
    "--store", path)``.
    """

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = process.run(cli, [str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(
            [str(each) for each in arguments], code, printed.out, printed.err
        )

    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield call
    root.handlers[:], root.level = before


@pytest.fixture
def spawn(tmp_path: Path) -> Command:
    """A function that runs a command line as its own process, with extra environment
    variables.
    """

    def call(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "freshet", *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


Until = Callable[[Callable[[], object]], None]


@pytest.fixture
def eventually() -> Until:
    """A function that returns once a condition holds.

    Where it does not within a minute, the test fails.
    """

    def wait(condition: Callable[[], object]) -> None:
        pause, deadline = Event(), time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it did not happen within a minute"
            pause.wait(0.01)

    return wait
