"""What the stream's tests share: settings, stores that are closed afterwards, processes that are ended."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stream.settings import StreamSettings
from stream.store import Store

ROOT = Path(__file__).resolve().parents[2]

OpenStore = Callable[..., Store]
StartPython = Callable[..., "subprocess.Popen[str]"]
StartHolder = Callable[[Path, str], "subprocess.Popen[str]"]


@pytest.fixture
def settings() -> StreamSettings:
    """Return the defaults."""
    return StreamSettings()


@pytest.fixture
def open_store(tmp_path: Path, settings: StreamSettings) -> Iterator[OpenStore]:
    """Return a function that opens a store (by default ``tmp_path / "store"``); all are closed at the end."""
    stores: list[Store] = []

    def open_one(
        root: Path = tmp_path / "store", num_shards: int | None = None, settings: StreamSettings = settings
    ) -> Store:
        stores.append(Store.create_or_open(root, settings, num_shards))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Return a function that runs Python code as a process with arguments; all are killed at the end."""
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
    """Return a function that starts a process which holds a store, see `tests.stream.holder`."""

    def start(root: Path, mode: str) -> "subprocess.Popen[str]":
        process = start_python("from tests.stream.holder import main; main()", root, mode)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return start
