"""The processes that the demo starts; each ends when the demo does, however it ends."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from freshet.process import LIFELINE_RELEASE, LIFELINE_VARIABLE, CommandError

_GRACE_SECONDS = 10.0
"""Seconds that a process may take to end after SIGTERM: the stream finishes a batch,
the server its running requests. Twice as much helps only a very slow machine; a killed
process loses nothing either.
"""

_POLL_SECONDS = 0.05
"""Seconds between two checks of processes that are ending: too short to notice, and
twenty checks a second cost nothing.
"""

_LAST_LINES = 12
"""Last lines of a log that show why its process ended: an error is one line, a
traceback about ten.
"""


class DemoProcesses:
    """Runs ``freshet`` subcommands as processes, each in a group of its own and with a
    log file.

    Args:
        logs: folder of the log files.
        lock: a locked file descriptor that the children keep open, so that the lock
            lasts as long as one of them.
    """

    def __init__(self, logs: Path, lock: int) -> None:
        self._logs = logs
        self._lock = lock
        self._lifeline, self._hold = os.pipe()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._released: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name."""
        return {name: child.pid for name, child in self._running.items()}

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start ``freshet ARGUMENTS``, logging to ``NAME.log``.

        Raises:
            OSError: it cannot be started.
        """
        environment = {**os.environ, LIFELINE_VARIABLE: str(self._lifeline)}
        with self._log_path(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                # -P: what a user's folder holds, such as a server.py, is not ours.
                [sys.executable, "-P", "-m", "freshet", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
                pass_fds=(self._lifeline, self._lock),
            )

    def check(self) -> None:
        """See that all of them still run.

        Raises:
            CommandError: one has ended; the message ends with the last lines of its
                log.
        """
        for name, child in self._running.items():
            code = child.poll()
            if code is not None:
                how = (
                    f"was killed by {signal.Signals(-code).name}"
                    if code < 0
                    else f"ended with code {code}"
                )
                raise CommandError(
                    f"the {name} {how}; its log {self._log_path(name)} ends: {self._log_tail(name)}"
                )

    def stop(self) -> None:
        """End all of them: SIGTERM, then SIGKILL after ten seconds."""
        _signal_groups(list(self.pids.values()), signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        for child in self._running.values():
            try:
                child.wait(max(deadline - time.monotonic(), _POLL_SECONDS))
            except subprocess.TimeoutExpired:
                _signal_groups([child.pid], signal.SIGKILL)
                child.wait()
        self._running.clear()

    def release(self) -> None:
        """Let all of them outlive this process; `stop` no longer means them."""
        os.write(self._hold, LIFELINE_RELEASE * len(self._running))
        self._released = list(self._running.values())
        self._running.clear()

    def close(self) -> None:
        """Close the lifeline: processes that were not released end."""
        for child in self._released:
            child.poll()
        os.close(self._hold)
        os.close(self._lifeline)

    def _log_path(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _log_tail(self, name: str) -> str:
        with self._log_path(name).open(encoding="utf-8", errors="replace") as log:
            last = [line.strip() for line in deque(log, maxlen=_LAST_LINES)]
        return " | ".join(line for line in last if line) or "(it is empty)"


def stop_leftover_processes(pids: Mapping[str, int]) -> list[str]:
    """End the processes that an earlier demo left running; return their names."""
    ours = {name: pid for name, pid in pids.items() if _is_freshet(pid)}
    _signal_groups(list(ours.values()), signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(_is_freshet(pid) for pid in ours.values()) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    _signal_groups([pid for pid in ours.values() if _is_freshet(pid)], signal.SIGKILL)
    return list(ours)


def _is_freshet(pid: int) -> bool:
    """Whether the process runs a command of ours.

    Another program may have got the number since.
    """
    if Path("/proc/self").exists():
        shown = _read(Path(f"/proc/{pid}/cmdline"))
    else:
        asked = ["ps", "-o", "command=", "-p", str(pid)]
        shown = subprocess.run(asked, capture_output=True, check=False).stdout
    return b" -m freshet " in shown.replace(b"\0", b" ")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _signal_groups(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            continue
