"""One training at a time makes generations in an artifacts folder."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.errors import TrainingCancelled, TrainingLocked
from model.publishing.turn import training_turn

HOLD = """
import sys
from pathlib import Path
from model.publishing.turn import training_turn
with training_turn(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_who_trains_until_that_one_dies(tmp_path: Path) -> None:
    """Killed, not released: the kernel gives the turn back."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        told = rf"pid {holder.pid} on .* in {tmp_path}"
        with pytest.raises(TrainingLocked, match=told), training_turn(tmp_path):
            pass
        holder.kill()
        holder.wait()

    with training_turn(tmp_path):
        pass


def test_whoever_waits_says_so_once_and_comes_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a tuner does."""
    looks = iter(range(3))
    with caplog.at_level(logging.WARNING, "model"):
        first = training_turn(tmp_path)
        first.__enter__()

        def waits() -> bool:
            if next(looks) == 2:
                first.__exit__(None, None, None)
            return True

        with training_turn(tmp_path, waits):
            assert list(looks) == []

    (told,) = caplog.messages
    assert f"another training (pid {os.getpid()} on " in told


def test_a_wait_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """As a stopped tuner's does, which has failed in nothing."""
    answers = iter([True, False])
    with (
        training_turn(tmp_path),
        pytest.raises(TrainingCancelled),
        training_turn(tmp_path, lambda: next(answers)),
    ):
        pass


def test_a_training_that_fails_gives_its_turn_back(tmp_path: Path) -> None:
    """Else the next one would wait for nobody."""
    with pytest.raises(ZeroDivisionError), training_turn(tmp_path):
        raise ZeroDivisionError

    with training_turn(tmp_path):
        pass
