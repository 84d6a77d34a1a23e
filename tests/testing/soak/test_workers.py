"""Which workers are at work, with a shell in the place of ``freshet stream``."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pytest

from testing.soak.workers import Worker, WorkerPool


def launch(arguments: Sequence[object], log: BinaryIO) -> Worker:
    """Start what says what the arguments are, and then nothing more."""
    log.write(f"INFO {arguments[0]}\n".encode())
    log.flush()
    return subprocess.Popen(["sleep", "600"])


@pytest.fixture
def pool(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[WorkerPool]:
    """A pool of one worker that logs a text."""
    started = WorkerPool([request.param], tmp_path, 1, most_failures=0, launch=launch)
    started.start(0)
    yield started
    started.end()


@pytest.mark.parametrize(
    ("pool", "is_at_work"),
    [
        ("stream started", False),
        ("partitions assigned partitions=[]", False),
        ("partitions assigned partitions=[0, 2]", True),
        ("partitions assigned partitions=[0, 2]\npartitions lost partitions=[2]", True),
        ("partitions assigned partitions=[0]\npartitions revoked partitions=[0]", False),
    ],
    indirect=["pool"],
)
def test_a_worker_is_at_work_while_it_has_partitions(pool: WorkerPool, is_at_work: bool) -> None:
    """As its log says."""
    assert pool.is_at_work(0) == is_at_work


@pytest.mark.parametrize("pool", ["partitions assigned partitions=[1]"], indirect=True)
def test_partitions_of_the_worker_before_count_no_more(pool: WorkerPool, tmp_path: Path) -> None:
    """Both write to one log; what is down on purpose is not waited for."""
    pool.kill(0)
    assert pool.is_at_work(0)
    pool._command = ["stream started"]

    pool.start(0)

    assert not pool.is_at_work(0)
    assert (tmp_path / "worker-0.log").read_text().count("\n") == 2
