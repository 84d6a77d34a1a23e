"""Tests of the demo's processes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from freshet.demo.processes import DemoProcesses, stop_leftover_processes
from freshet.process import CommandError
from tests.freshet.conftest import Until

LIVE_SHOP = ["simulate", "--items", "60", "--rate", "50", "--out"]


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DemoProcesses]:
    """DemoProcesses that log into the test's folder; all are ended afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parents[3]))
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    group = DemoProcesses(tmp_path, lock)
    yield group
    group.stop()
    group.close()
    os.close(lock)


def _is_alive(pid: int) -> bool:
    return (
        b"freshet" in Path(f"/proc/{pid}/cmdline").read_bytes()
        if Path(f"/proc/{pid}").exists()
        else False
    )


def test_children_run_until_they_are_stopped(
    children: DemoProcesses, tmp_path: Path, eventually: Until
) -> None:
    """Stopping leaves none of them."""
    children.start("shop", [*LIVE_SHOP, str(tmp_path)])
    eventually((tmp_path / "events.jsonl").exists)
    pids = children.pids

    assert _is_alive(pids["shop"])
    children.stop()
    assert not _is_alive(pids["shop"])
    assert children.pids == {}


def test_children_run_beside_scripts_of_the_users_own(
    children: DemoProcesses, busy_folder: Path, eventually: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server.py or stream.py where the demo is started is not taken for ours."""
    monkeypatch.chdir(busy_folder)
    children.start("shop", [*LIVE_SHOP, "shop"])

    def sells() -> bool:
        children.check()
        return (busy_folder / "shop" / "events.jsonl").exists()

    eventually(sells)


def test_a_child_that_ended_is_told_with_its_last_words(
    children: DemoProcesses, eventually: Until
) -> None:
    """Nobody has to look for the log of a process that did not start."""
    children.start("shop", ["simulate"])

    with pytest.raises(CommandError, match=r"the shop ended with code 2; .*--out DIR or --to"):
        eventually(children.check)


def test_released_children_go_on_and_can_be_stopped_by_number(
    children: DemoProcesses, tmp_path: Path, eventually: Until
) -> None:
    """That is what --keep and --stop are."""
    children.start("shop", [*LIVE_SHOP, str(tmp_path)])
    eventually((tmp_path / "events.jsonl").exists)
    pids = children.pids
    children.release()
    children.stop()

    (released,) = children._released

    assert _is_alive(pids["shop"])
    assert stop_leftover_processes(pids) == ["shop"]
    assert not _is_alive(pids["shop"])
    # It has no command line a moment before it has ended.
    assert released.wait(120) == 0


def test_a_number_that_is_not_ours_is_left_alone() -> None:
    """Only processes that run a command of ours are ended."""
    assert stop_leftover_processes({"init": 1}) == []
