"""What the stream's tests share.

Settings, stores that are closed afterwards, processes that are ended.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.settings import StreamSettings
from stream.store.store import Store

ROOT = Path(__file__).resolve().parents[2]

OpenStore = Callable[..., Store]
StartPython = Callable[..., "subprocess.Popen[str]"]
StartHolder = Callable[[Path, str], "subprocess.Popen[str]"]
StartOwner = Callable[..., "Owner"]


class Owner:
    """A process that owns a shard, see `testing.processes.owner`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def tell(self, command: str) -> None:
        """Give a command without waiting for its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Wait for the answer to a command."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return line.strip()

    def ask(self, command: str) -> str:
        """Give a command and wait for its answer."""
        self.tell(command)
        return self.answer()

    def pause(self) -> None:
        """Stop the process, and wait until it is stopped."""
        self.process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def wake(self) -> None:
        """Let a stopped process go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def leave(self) -> int:
        """End the process; return its exit code."""
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def settings() -> StreamSettings:
    """Return the defaults."""
    return StreamSettings()


@pytest.fixture
def open_store(tmp_path: Path, settings: StreamSettings) -> Iterator[OpenStore]:
    """Return a function that opens a store (by default ``tmp_path / "store"``).

    All are closed at the end.
    """
    stores: list[Store] = []

    def open_one(
        root: Path = tmp_path / "store",
        num_shards: int | None = None,
        settings: StreamSettings = settings,
    ) -> Store:
        stores.append(Store.create_or_open(root, settings, num_shards))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Return a function that runs Python code as a process with arguments.

    All are killed at the end.
    """
    processes: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def start_holder(start_python: StartPython) -> StartHolder:
    """Return a function that starts a process which holds a store, see
    `testing.processes.holder`.
    """

    def start(root: Path, mode: str) -> "subprocess.Popen[str]":
        process = start_python("from testing.processes.holder import main; main()", root, mode)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start


@pytest.fixture
def start_owner(start_python: StartPython, tmp_path: Path) -> StartOwner:
    """Return a function that starts a process which owns the shard of a store."""

    def start(root: Path = tmp_path / "store", url: str = "") -> Owner:
        arguments = (root, url) if url else (root,)
        return Owner(start_python("from testing.processes.owner import main; main()", *arguments))

    return start
