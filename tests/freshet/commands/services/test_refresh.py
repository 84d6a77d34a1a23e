"""Tests of `freshet refresh`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree

import pytest

from freshet.probe import read_metrics, total
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.lock import OverlayLock
from tests.freshet.commands.conftest import Shop
from tests.freshet.conftest import ROOT, Command, Until


@pytest.fixture
def made(shop: Shop, tmp_path: Path) -> Path:
    """An artifacts folder of this test's own, with a live generation."""
    copytree(shop.artifacts, tmp_path / "made")
    return tmp_path / "made"


@contextmanager
def running(*arguments: object, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a command that runs as a process, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "freshet", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def _is_refreshing(metrics: str) -> bool:
    try:
        return bool(total(read_metrics(metrics), "freshet_refresh_sequence"))
    except OSError:
        return False


def _pid_of(lock: Path) -> int:
    try:
        return int(lock.read_text().split()[1])
    except (OSError, IndexError):
        return 0


def test_the_live_generation_gets_an_overlay(
    shop: Shop, made: Path, free_port: Callable[[], int], eventually: Until
) -> None:
    """It is there seconds after the start, its metrics answer, and SIGTERM ends it with
    code 0.
    """
    live = (made / "CURRENT").read_text().strip()
    metrics = f"127.0.0.1:{free_port()}"
    newest = OverlayFolder.of(made).newest_path(live)
    with running("refresh", "--store", shop.store, "--artifacts", made, "--metrics", metrics):
        eventually(newest.exists)
        eventually(lambda: _is_refreshing(metrics))

    assert json.loads(newest.read_bytes())["generation"] == live


def test_a_second_one_says_who_does_it_and_ends(shop: Shop, made: Path, run: Command) -> None:
    """In one line."""
    lock = OverlayLock(OverlayFolder.of(made).lock_path)
    try:
        outcome = run("refresh", "--store", shop.store, "--artifacts", made)
    finally:
        lock.release()

    assert outcome.returncode == 1
    (line,) = [each for each in outcome.stderr.splitlines() if "error:" in each]
    assert f"another refresher (pid {os.getpid()} on " in line


def test_the_tuner_runs_one_and_starts_it_again(
    shop: Shop, made: Path, free_port: Callable[[], int], eventually: Until
) -> None:
    """Killed with -9 it is back a second later, and it ends with the tuner."""
    metrics, lock = f"127.0.0.1:{free_port()}", OverlayFolder.of(made).lock_path
    tune = ["tune", "--store", shop.store, "--artifacts", made, "--every", "1h"]
    with running(*tune, "--fresh-every", "1s", "--fresh-metrics", metrics):
        eventually(lambda: _is_refreshing(metrics))
        first = _pid_of(lock)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: _pid_of(lock) not in (0, first))
        second = _pid_of(lock)

    eventually(lambda: not Path(f"/proc/{second}").exists())


def test_it_ends_with_a_tuner_that_is_killed(shop: Shop, made: Path, eventually: Until) -> None:
    """However the tuner dies, no refresher is left behind."""
    lock = OverlayFolder.of(made).lock_path
    arguments = ["tune", "--store", shop.store, "--artifacts", made, "--fresh-every", "1s"]
    tuner = subprocess.Popen(
        [sys.executable, "-m", "freshet", *map(str, arguments)],
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _pid_of(lock) != 0)
        pid = _pid_of(lock)
    finally:
        tuner.kill()
        tuner.wait()

    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_flags_of_the_refresher_need_one(shop: Shop, made: Path, run: Command) -> None:
    """Said at once, not after torch is loaded."""
    outcome = run(
        "tune", "--store", shop.store, "--artifacts", made, "--fresh-metrics", "127.0.0.1:1"
    )

    assert outcome.returncode == 2
    assert "--servers and --fresh-metrics are for --fresh-every" in outcome.stderr


@pytest.mark.parametrize("given", [(), ("--store", "a", "--checkpoints", "b")])
def test_one_place_is_followed(made: Path, run: Command, given: tuple[str, ...]) -> None:
    """The store's folder or the checkpoints, not both, not none."""
    outcome = run("refresh", "--artifacts", made, *given)

    assert outcome.returncode == 2
    assert "give either --store DIR or --checkpoints URL" in outcome.stderr


def test_a_url_that_cannot_be_used_is_refused_at_once(made: Path, run: Command) -> None:
    """In one line that names it."""
    outcome = run("refresh", "--artifacts", made, "--checkpoints", "what://is/this")

    assert outcome.returncode == 1
    assert "what://is/this" in outcome.stderr


def test_it_loads_no_torch_and_no_database() -> None:
    """It starts in a second and stays small."""
    code = "import sys, freshet.commands.services.refresh; print(*sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert {"torch", "rocksdict", "kafka", "grpc", "annoy", "fsspec"} & set(found) == set()
