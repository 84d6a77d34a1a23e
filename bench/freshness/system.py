"""The whole system as processes over a real Kafka, as the README starts it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

from deploy.kafka.broker import free_port
from freshet.probe import Samples, read_metrics, total
from testing.soak.workers import ROOT, clean_environment, freshet, run_freshet

_LONGEST_SECONDS = 900.0  # of a first training, on a machine that is busy; chosen by hand
_STOP_SECONDS = 60.0  # for a process that got SIGTERM: a training ends between two steps
_LOOK_SECONDS = 0.1  # between two looks at what is waited for
_TAIL_CHARACTERS = 2000  # of a log in an error
_BROKER = "kafka.Kafka"  # the class that a broker's JVM runs
_TICKS = os.sysconf("SC_CLK_TCK")  # a second, of /proc

REFRESHER = "refresh"
"""The command of the refresher's process below the tuner."""

_CONFIG = """\
[stream]
num_shards = {partitions}
"""


class System:
    """Starts and stops the processes of one store and one artifact folder.

    Args:
        folder: for store, artifacts and logs.
        bootstrap: "host:port" of the broker.
        partitions: of each topic, and shards.
    """

    def __init__(self, folder: Path, bootstrap: str, partitions: int) -> None:
        self.folder = folder
        self.source = f"kafka:{bootstrap}"
        self.store = folder / "store"
        self.artifacts = folder / "artifacts"
        self.target = f"127.0.0.1:{free_port()}"
        self.metrics: Mapping[str, str] = {
            name: f"127.0.0.1:{free_port()}" for name in ("stream", "tuner", "refresher", "server")
        }
        self.config = folder / "freshet.toml"
        self.config.write_text(_CONFIG.format(partitions=partitions))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *arguments: object) -> str:
        """Run a command to its end and return its output.

        Raises:
            SystemExit: it failed.
        """
        return run_freshet(*arguments, "--config", self.config)

    def start(
        self, name: str, *arguments: object, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a long-running command; its log is ``NAME.log``.

        Args:
            name: of the process.
            arguments: of ``freshet``.
            environment: variables that it has besides.
        """
        self.start_program(name, freshet(*arguments, "--config", self.config), environment)

    def start_program(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start any program; its log is ``NAME.log``."""
        with self._log(name).open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**clean_environment(), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start_stream(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the stream on the topics."""
        address = self.metrics["stream"]
        source = ("--source", self.source, "--store", self.store)
        self.start("stream", "stream", *source, "--metrics", address, environment=environment)

    def start_tuner(
        self, every: str, fresh_every: str, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start the tuner with its period, and with that of its refresher; without one
        where that is empty.
        """
        folders = ("--store", self.store, "--artifacts", self.artifacts)
        more: tuple[object, ...] = ("--metrics", self.metrics["tuner"])
        if fresh_every:
            more += ("--fresh-every", fresh_every, "--servers", self.target)
            more += ("--fresh-metrics", self.metrics["refresher"])
        self.start("tuner", "tune", *folders, "--every", every, *more, environment=environment)

    def start_refresher(self, every: str) -> None:
        """Start a refresher of its own, where no tuner has one."""
        folders = ("--store", self.store, "--artifacts", self.artifacts)
        more = ("--servers", self.target, "--metrics", self.metrics["refresher"])
        self.start("refresher", "refresh", *folders, "--every", every, *more)

    def start_server(self) -> None:
        """Start the server."""
        address = self.metrics["server"]
        where = ("--artifacts", self.artifacts, "--listen", self.target)
        self.start("server", "serve", *where, "--metrics", address)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal; one that is killed is not missed by `check`."""
        process = self._running[name]
        process.send_signal(number)
        if number is signal.SIGKILL:
            process.wait()
            del self._running[name]

    def has_ended(self, name: str) -> bool:
        """Whether a process that was started has ended by itself."""
        return name in self._running and self._running[name].poll() is not None

    def stop(self, name: str) -> None:
        """Ask a process to stop and wait for it; one that does not is killed."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """Stop whatever runs."""
        for name in list(self._running):
            self.stop(name)

    def samples(self, name: str) -> Samples:
        """Return the metrics of a process; none where it does not answer."""
        try:
            return read_metrics(self.metrics[name])
        except (OSError, ValueError):
            return {}

    def events_applied(self) -> float:
        """Return how many events the running stream has applied."""
        return total(self.samples("stream"), "freshet_stream_events_total") or 0.0

    def events_quarantined(self) -> float:
        """Return how many records the running stream has refused: work for nobody."""
        return total(self.samples("stream"), "freshet_stream_quarantined_total") or 0.0

    def is_caught_up(self) -> bool:
        """Whether the running stream has applied something, and nothing waits."""
        samples = self.samples("stream")
        behind = total(samples, "freshet_stream_behind_records")
        return bool(total(samples, "freshet_stream_events_total")) and behind == 0

    def until(
        self, condition: Callable[[], object], what: str, *, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        """Wait until a condition holds, looking every so many seconds.

        Raises:
            SystemExit: a process ended, or it takes too long.
        """
        pause, deadline = Event(), time.monotonic() + _LONGEST_SECONDS
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise SystemExit(f"{what}: not within {_LONGEST_SECONDS:.0f} s")
            pause.wait(look_seconds)

    def check(self) -> None:
        """See that all processes still run.

        Raises:
            SystemExit: one has ended.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                tail = self.log_of(name)[-_TAIL_CHARACTERS:]
                raise SystemExit(f"the {name} ended with {process.returncode}:\n{tail}")

    def cpu_seconds(self, name: str) -> float:
        """Return the CPU time that a process and the processes below it have used."""
        pid = self._running[name].pid
        return sum(map(_cpu_seconds, [pid, *_below(pid)]))

    def cpu_split(self) -> dict[str, float]:
        """Return the CPU time that each process has used, by name: of those that run
        with what is below them, of the refresher by itself where the tuner has one, of
        this process, which probes, and of the broker that it started.
        """
        used = {name: self.cpu_seconds(name) for name in self._running}
        if "tuner" in used:
            refresher = self.cpu_seconds_of_child("tuner", REFRESHER)
            if refresher is not None:
                used |= {"refresher": refresher, "tuner": used["tuner"] - refresher}
        used["probes"] = _cpu_seconds(os.getpid())
        used["broker"] = sum(
            _cpu_seconds(pid) for pid in _below(os.getpid()) if _BROKER in _command_line(pid)
        )
        return used

    def cpu_seconds_of_child(self, name: str, word: str) -> float | None:
        """Return the CPU time of the process below another whose command line has a
        word; None: there is none.
        """
        for pid in _below(self._running[name].pid):
            if word in _command_line(pid):
                return _cpu_seconds(pid)
        return None

    def is_running(self, name: str) -> bool:
        """Whether a process was started and not stopped."""
        return name in self._running

    def log_of(self, name: str) -> str:
        """Return what a process that was started has printed."""
        return self._log(name).read_text("utf-8", "replace")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _below(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they did."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if fields := _stat(path):
            parents[int(path.parent.name)] = int(fields[1])
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        waiting += children
    return found


def _cpu_seconds(pid: int) -> float:
    fields = _stat(Path(f"/proc/{pid}/stat"))
    # User and system time, the 14th and 15th of proc(5), where the state is the third.
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _stat(path: Path) -> list[str]:
    """Return the fields of a process from its state on; none where it has ended."""
    try:
        return path.read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return []


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0")
    except OSError:
        return []
