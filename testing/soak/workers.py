"""The soak's workers: ``freshet stream`` processes on one store, started, killed,
paused and stopped.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from deploy.kafka.broker import free_port

ROOT = Path(__file__).resolve().parents[2]

_STOP_SECONDS = 60.0  # for a worker that got SIGTERM: twice the wait for its last checkpoint
_RUN_SECONDS = 1800.0  # for a command that rebuilds or compares; chosen by hand
_ASSIGNED = re.compile(r"partitions assigned")
_CHANGED = re.compile(r"partitions (assigned|revoked|lost) partitions=\[([\d, ]*)\]")
_TAIL_CHARACTERS = 3000  # of a log in an error


class Worker(Protocol):
    """What a soak does to a process; `subprocess.Popen` is one."""

    returncode: int | Any

    def poll(self) -> int | None:
        """Return its exit code; None: it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return its exit code once it has ended."""

    def kill(self) -> None:
        """End it with SIGKILL."""

    def send_signal(self, sig: int) -> None:
        """Signal it, unless it has ended."""


Launch = Callable[[Sequence[object], BinaryIO], Worker]
"""Starts a worker with arguments of ``freshet`` and the log that it writes to."""


@dataclass(slots=True)
class _Slot:
    """One place for a worker; without a process it is down on purpose.

    Attributes:
        process: the worker.
        started_at: when, by the monotonic clock.
        log_begin: bytes of the log that others before it wrote.
    """

    process: "Worker | None" = None
    started_at: float = 0.0
    log_begin: int = 0


class WorkerPool:
    """The workers of one store.

    Args:
        command: arguments of ``freshet`` that start a worker; each gets a metrics
            address of its own.
        folder: for logs, one a slot.
        size: how many slots there are.
        most_failures: how many workers may end by themselves before the soak ends.
        launch: how a worker is started.

    Attributes:
        counts: signals sent, by signal; SIGKILLs count where they ended a worker.
        lives: seconds that each killed worker had lived.
        failures: exit codes of the workers that ended by themselves; they are started
            again at once.
        bad_stops: exit codes other than 0 of workers that were told to stop.
    """

    def __init__(
        self,
        command: Sequence[object],
        folder: Path,
        size: int,
        most_failures: int,
        launch: Launch,
    ) -> None:
        self.counts: Counter[signal.Signals] = Counter()
        self.lives: list[float] = []
        self.failures: list[int] = []
        self.bad_stops: list[int] = []
        self._command = command
        self._launch = launch
        self._folder = folder
        self._most_failures = most_failures
        self._slots = [_Slot() for _ in range(size)]
        self._stopping: set[int] = set()

    def start(self, slot: int) -> None:
        """Start a worker; one in the same slot that was told to stop
        is awaited first.
        """
        self._await_end(slot)
        metrics = f"127.0.0.1:{free_port()}"
        with self._log(slot).open("ab") as log:
            log_begin = log.tell()
            process = self._launch((*self._command, "--metrics", metrics), log)
        self._slots[slot] = _Slot(process, time.monotonic(), log_begin)

    def is_at_work(self, slot: int) -> bool:
        """Whether a worker has partitions, by its log, or is down on purpose."""
        place = self._slots[slot]
        if place.process is None:
            return True
        held: set[str] = set()
        log = self._log(slot).read_bytes()[place.log_begin :].decode("utf-8", "replace")
        for change, listed in _CHANGED.findall(log):
            partitions = {each.strip() for each in listed.split(",")} - {""}
            held = held | partitions if change == "assigned" else held - partitions
        return bool(held)

    def kill(self, slot: int) -> None:
        """Kill a worker with SIGKILL."""
        place = self._slots[slot]
        if place.process is None:
            return
        place.process.kill()
        self._note_kill(place.process.wait(), time.monotonic() - place.started_at)
        self._slots[slot] = _Slot()

    def pause(self, slot: int) -> None:
        """Suspend a worker with SIGSTOP."""
        self._signal(slot, signal.SIGSTOP)
        self.counts[signal.SIGSTOP] += 1

    def wake(self, slot: int) -> None:
        """Let a paused worker run again."""
        self._signal(slot, signal.SIGCONT)

    def stop(self, slot: int) -> None:
        """Tell a worker to stop, and do not wait for it."""
        self._signal(slot, signal.SIGTERM)
        self.counts[signal.SIGTERM] += 1
        self._stopping.add(slot)

    def check(self) -> None:
        """Start workers again that ended by themselves.

        Raises:
            SystemExit: too many did.
        """
        for slot, place in enumerate(self._slots):
            if slot in self._stopping or place.process is None or place.process.poll() is None:
                continue
            self.failures.append(place.process.returncode)
            if len(self.failures) > self._most_failures:
                raise SystemExit(
                    f"{len(self.failures)} workers ended by themselves:\n{self.log_tails()}"
                )
            self._slots[slot] = _Slot()
            self.start(slot)

    def stop_all(self) -> None:
        """Tell all workers to stop, and wait for them."""
        for slot, place in enumerate(self._slots):
            if place.process is not None:
                self._signal(slot, signal.SIGTERM)
        for slot in range(len(self._slots)):
            self._await_end(slot)

    def end(self) -> None:
        """Leave nothing running."""
        for place in self._slots:
            if place.process is not None:
                place.process.kill()
                place.process.wait()

    def num_assignments(self) -> int:
        """Return how often the workers' logs say that partitions were assigned."""
        logs = self._folder.glob("worker-*.log")
        return sum(len(_ASSIGNED.findall(log.read_text("utf-8", "replace"))) for log in logs)

    def log_tails(self) -> str:
        """Return the end of each worker's log."""
        logs = sorted(self._folder.glob("worker-*.log"))
        return "\n".join(
            f"--- {log.name}\n{log.read_text('utf-8', 'replace')[-_TAIL_CHARACTERS:]}"
            for log in logs
        )

    def _log(self, slot: int) -> Path:
        return self._folder / f"worker-{slot}.log"

    def _signal(self, slot: int, number: signal.Signals) -> None:
        process = self._slots[slot].process
        if process is not None and process.poll() is None:
            process.send_signal(number)

    def _note_kill(self, code: int, lived_seconds: float) -> None:
        if code == -signal.SIGKILL:
            self.counts[signal.SIGKILL] += 1
            self.lives.append(lived_seconds)
        else:
            self.failures.append(code)

    def _await_end(self, slot: int) -> None:
        """Wait for a worker that was told to stop, and note its exit code."""
        process = self._slots[slot].process
        self._stopping.discard(slot)
        if process is None:
            return
        try:
            code = process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if code:
            self.bad_stops.append(code)
        self._slots[slot] = _Slot()


def launch_process(arguments: Sequence[object], log: BinaryIO) -> Worker:
    """Start a worker of this checkout."""
    return subprocess.Popen(
        freshet(*arguments),
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


def run_freshet(*arguments: object, allowed: Sequence[int] = (0,)) -> str:
    """Run a command to its end and return its stdout.

    Raises:
        SystemExit: it ended with another exit code than those allowed.
    """
    done = subprocess.run(
        freshet(*arguments),
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    if done.returncode not in allowed:
        raise SystemExit(f"freshet {arguments[0]} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def freshet(*arguments: object) -> list[str]:
    """Return the command line of ``freshet`` in this checkout."""
    return [sys.executable, "-m", "freshet", *map(str, arguments)]


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of Freshet: a soak has its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
