"""Which core a worker has for itself."""

import os
import subprocess
import sys

import pytest

from server.workers.cores import core_of, keep_to


@pytest.mark.parametrize(
    ("workers", "expected"), [(1, [None]), (2, [2, 5]), (3, [None, None, None])]
)
def test_each_has_one_where_there_are_as_many(
    monkeypatch: pytest.MonkeyPatch, workers: int, expected: list[int | None]
) -> None:
    """Of those that the server may use; with fewer or more workers any."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 2})

    assert [core_of(number, workers) for number in range(workers)] == expected


def test_a_process_keeps_to_its_core() -> None:
    """One that is told none keeps all; one that cannot be told is left alone."""
    before = os.sched_getaffinity(0)
    core = max(before)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        keep_to(process.pid, None)
        assert os.sched_getaffinity(process.pid) == before
        keep_to(process.pid, core)
        assert os.sched_getaffinity(process.pid) == {core}
        keep_to(process.pid, 1 << 20)  # no machine has it
        assert os.sched_getaffinity(process.pid) == {core}
        process.kill()
    keep_to(process.pid, core)
