"""`python -m bench fuzz`: what it says of readers that take, refuse, fail, hang, take
all memory, or end the process.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import fuzz
from bench.fuzz import read_cases, run
from testing.fuzzing.target import Prepared, Target
from testing.fuzzing.targets import TARGETS

CHANGED = [1]
"""A case of the target below whose changes do change its one valid input."""


def target_of(read: Callable[[int, bytes], None]) -> Target:
    """Return a target with a reader, which refuses by `KeyError`."""

    def prepare(_folder: Path) -> Prepared:
        return Prepared(seeds=[b"valid"], read=read)

    return Target(name="one", prepare=prepare, refusals=(KeyError,))


def only_valid(_number: int, content: bytes) -> None:
    """Refuse all else."""
    if content != b"valid":
        raise KeyError(content)


def test_small_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Two targets in processes of their own: a table and a JSON line."""
    code = run(["--inputs", "60", "--target", "pointers", "--target", "batches"])
    *_, line = capsys.readouterr().out.splitlines()
    found = json.loads(line)["targets"]

    assert code == 0
    assert sum(each["inputs"] for each in found) == 60
    assert all(each["refused"] and not each["faults"] for each in found)


def test_what_is_neither_taken_nor_refused_is_told(tmp_path: Path) -> None:
    """With its case, the error and where it was."""

    def read(number: int, content: bytes) -> None:
        if content != b"valid":
            raise OverflowError(number)

    outcome = read_cases(target_of(read), tmp_path, 0, CHANGED)
    assert outcome.inputs == 1
    assert "one 1: OverflowError: 0 (test_fuzz.py:" in outcome.faults[0]

    refused = read_cases(target_of(only_valid), tmp_path, 0, CHANGED)
    assert refused.refused == refused.inputs == 1
    assert not refused.faults


def test_a_valid_input_that_is_refused_is_a_fault(tmp_path: Path) -> None:
    """Else nothing behind the first check would be tried."""

    def read(_number: int, content: bytes) -> None:
        raise KeyError(content)

    assert "refuses its valid input 0" in read_cases(target_of(read), tmp_path, 0, []).faults[0]


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that takes more than it may is told like any error."""
    monkeypatch.setattr(fuzz, "_MOST_BYTES", 1 << 26)

    def read(_number: int, content: bytes) -> None:
        if content != b"valid":
            bytearray(1 << 28)

    assert "MemoryError" in read_cases(target_of(read), tmp_path, 0, CHANGED).faults[0]


def test_a_hang_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After some CPU time, and whatever the reader makes of errors."""
    monkeypatch.setattr(fuzz, "_HANG_SECONDS", 0.05)
    before = signal.signal(signal.SIGVTALRM, fuzz._hang)

    def read(_number: int, content: bytes) -> None:
        while content != b"valid":
            pass

    try:
        outcome = read_cases(target_of(read), tmp_path, 0, CHANGED)
    finally:
        signal.signal(signal.SIGVTALRM, before)
    assert "_Hang: more than 0 s of CPU" in outcome.faults[0]


def _dies(_folder: Path) -> Prepared:
    def read(_number: int, content: bytes) -> None:
        if content != b"valid":
            os.kill(os.getpid(), signal.SIGKILL)

    return Prepared(seeds=[b"valid"], read=read)


def test_a_process_that_ends_is_told_with_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of a library in C takes the process along."""
    context = multiprocessing.get_context("fork")
    monkeypatch.setattr(context, "set_forkserver_preload", lambda _: None)
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: context)
    monkeypatch.setitem(TARGETS, "one", Target(name="one", prepare=_dies))

    outcome = fuzz.fuzz(TARGETS["one"], 0, CHANGED)
    assert outcome.faults == ["one 1: the process ended (-9)"]


def test_one_case_again(capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown with what becomes of it."""
    assert run(["--target", "pointers", "--case", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] in ("taken", "refused")
    with pytest.raises(SystemExit):
        run(["--case", "3"])
