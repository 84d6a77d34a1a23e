"""Tests of the demo: it tells its story, and leaves nothing behind however it ends."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.freshet.conftest import CONSOLE_SCRIPT, Command, Until

pytestmark = pytest.mark.timeout(400)

SMALL = ("--shop-items", "100", "--shop-events", "3000")


@pytest.fixture
def demo(busy_folder: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """A function that starts a demo in a folder with scripts of the user's own.

    Whatever of it still runs is ended afterwards.
    """
    started = []

    def start(*arguments: str, cwd: Path = busy_folder) -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [CONSOLE_SCRIPT, "demo", *arguments],
                cwd=cwd,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of processes that work in a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and Path(os.readlink(entry / "cwd")) == folder:  # noqa: PTH115  # it may vanish
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [line for line in found if line]


@pytest.mark.e2e
def test_the_demo_tells_its_story_twice(
    demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """Events, a generation, three queries, a new product that gets into its answer.

    A second run goes on.
    """
    first = demo(*SMALL)
    told = first.communicate(timeout=180)[0]

    assert first.returncode == 0, told
    assert "A shop is simulated: 100 products, 3,000 events" in told
    assert re.search(r"3,\d\d\d events applied in [\d.]+ s once the stream ran", told)
    assert re.search(r"generation \S+: trained and live [\d.]+ s later", told)
    assert "could not be used" not in told
    for part in (
        "(frequent)",
        "(rare)",
        "(never seen; meant is",
        "receipt: known query",
        "receipt: encoded query",
    ):
        assert part in told
    before, after = told.split("(before)")[1].split("(after)")
    assert "launch-1 " not in before
    assert "launch-1 " in after
    found = re.search(r"the answer changed [\d.]+ s after the first click, by (.*)", after)
    assert found
    if "fresh lane" in found[1]:  # else a training was faster, on a busy machine
        fresh, learned = after.split("(learned)")
        assert re.search(r"receipt: fresh query, generation \S+ with overlay \d+", fresh)
        assert "launch-1 " in learned
        assert re.search(r"generation \S+ has learned it, [\d.]+ s after the first", learned)
    assert "Everything is shut down. Try next:" in after
    assert "demo --keep --dir .freshet-demo --shop-items 100 --shop-events 3000" in after
    assert processes_in(tmp_path) == []

    second = demo(*SMALL)
    told = second.communicate(timeout=180)[0]

    assert second.returncode == 0, told
    assert "continues where it stopped" in told
    assert "live from the last run" in told
    assert "launch-2 " in told.split("(after)")[1]
    assert processes_in(tmp_path) == []


@pytest.mark.e2e
def test_ctrl_c_and_kill_leave_no_process_and_no_broken_state(
    demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, eventually: Until
) -> None:
    """Interrupted at three moments, killed outright at one, it still gets to its end
    afterwards.
    """
    moments = [
        (signal.SIGINT, 130, (tmp_path / ".freshet-demo" / "demo.json").exists),
        (signal.SIGINT, 130, (tmp_path / ".freshet-demo" / "logs" / "server.log").exists),
        (signal.SIGKILL, -9, (tmp_path / ".freshet-demo" / "logs" / "tuner.log").exists),
        (signal.SIGTERM, 143, (tmp_path / ".freshet-demo" / "logs" / "tuner.log").exists),
    ]
    for number, code, reached in moments:
        for log in (tmp_path / ".freshet-demo" / "logs").glob("*.log"):
            log.unlink()
        process = demo(*SMALL)
        eventually(reached)
        process.send_signal(number)
        told = process.communicate(timeout=180)[0]

        assert process.returncode == code, told
        assert "Traceback" not in told
        assert ("rm -r .freshet-demo)" in told) == (number == signal.SIGINT)
        eventually(lambda: processes_in(tmp_path) == [])

    last = demo(*SMALL)
    told = last.communicate(timeout=180)[0]
    assert last.returncode == 0, told


@pytest.mark.e2e
def test_an_own_log_gets_the_same_story_and_can_be_kept_running(
    demo: Callable[..., "subprocess.Popen[str]"],
    tmp_path: Path,
    spawn: Command,
    run: Command,
    eventually: Until,
) -> None:
    """The new product is labelled as the demo's.

    --keep leaves everything running until --stop.
    """
    assert (
        run("simulate", "--items", 100, "--events", 3000, "--out", tmp_path / "log").returncode == 0
    )
    process = demo("--events", "log/events.jsonl", "--items", "log/items.jsonl", "--keep")
    told = process.communicate(timeout=180)[0]

    assert process.returncode == 0, told
    assert "Demo product 1: " in told.split("(after)")[1]
    assert len(processes_in(tmp_path)) == 4  # the refresher is the tuner's
    status = re.search(r"freshet (status --stream .*)", told)
    assert status is not None
    shown: list[str] = []

    def is_well() -> bool:
        # A process that a busy machine lets answer late is told as down.
        look = spawn(*status[1].split(), "--json")
        shown.append(look.stdout)
        return look.returncode == 0

    eventually(is_well)
    assert all(each["up"] for each in json.loads(shown[-1]).values())

    again = demo("--events", "log/events.jsonl", "--items", "log/items.jsonl")
    assert again.wait(180) == 1

    stopped = spawn("demo", "--stop")
    assert stopped.stdout == "stopped stream, server, tuner\n"
    eventually(lambda: processes_in(tmp_path) == [])


@pytest.mark.e2e
def test_a_process_that_cannot_run_ends_the_demo_with_its_last_words(
    demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """A log without a single event in it is said to be one, in one line, and nothing is
    left running.
    """
    (tmp_path / "log.jsonl.gz").write_bytes(b"\x1f\x8b this is not gzip")

    process = demo("--events", "log.jsonl.gz")
    told = process.communicate(timeout=120)[0]

    assert process.returncode == 1
    assert told.splitlines()[-1].startswith(
        "freshet: error: the stream ended with code 1; its log "
    )
    assert "log.jsonl.gz is damaged" in told
    assert processes_in(tmp_path) == []


@pytest.mark.e2e
def test_a_log_of_another_kind_ends_the_demo_with_what_its_records_lack(
    demo: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """Nothing is waited for that cannot come."""
    items = [json.dumps({"item_id": f"i-{number}", "title": "Lamp"}) for number in range(7)]
    (tmp_path / "items.jsonl").write_text("\n".join([*items, ""]), "utf-8")

    process = demo("--events", "items.jsonl")
    told = process.communicate(timeout=120)[0]

    assert process.returncode == 1
    last = told.splitlines()[-1]
    assert last.startswith("freshet: error: ")
    assert "none of its events can be used (7 " in last
    assert "try-events" in last
    assert processes_in(tmp_path) == []
