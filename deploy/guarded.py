"""Processes that never outlive whoever started them."""

import contextlib
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

# Kills the process group when the pipe on its standard input closes.
_GUARD = 'exec 3<&0; (read -r _ <&3; kill -9 0) & exec "$@" 3<&- </dev/null'
# Seconds in which it must have ended after a signal: a limit for a loaded machine.
# Chosen by hand.
_END_SECONDS = 30.0


class LocalService(ABC):
    """A service on this machine that lives as long as the `with` block."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it answers."""

    @abstractmethod
    def stop(self) -> None:
        """End it, and remove what it had; nothing where it does not run."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start_guarded(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a folder; what it prints is added to a file.

    Args:
        command: what runs.
        folder: where.
        log: the file.
        environment: variables beside those of this process.
    """
    with log.open("ab") as printed:
        return subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", *command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )


def end_guarded(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    """Signal the whole process group, wait, and leave none of it alive."""
    signal_group(process.pid, with_signal)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def signal_group(group: int, with_signal: signal.Signals) -> None:
    """Signal every process of a group; nothing if there is none."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, with_signal)


def log_tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a file; empty where there is none."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
