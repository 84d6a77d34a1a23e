"""The soak's workers as containers: podman starts them, and signals go to the process
inside.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from deploy.images.engine import USER, Engine, ImagesError

# Seconds in which podman starts a process on a loaded machine.
_START_SECONDS = 120.0
_POLL_SECONDS = 0.02  # between two looks whether it has
# What podman adds to the signal that ended a process, as shells do.
_SIGNALLED = 128


class ContainerLauncher:
    """Starts workers from an image; they see the soak's folder under its own path.

    Args:
        engine: has the image.
        target: of the Dockerfile.
        folder: of the soak; the store in it is made, and given to the image's user.
        store: where that is.

    Raises:
        ImagesError: there is no such image.
    """

    def __init__(self, engine: Engine, target: str, folder: Path, store: Path) -> None:
        self._engine = engine
        self._target = target
        self._folder = folder.resolve()
        self._numbers = count(1)
        engine.require(target)
        folder.chmod(0o755)
        store.mkdir()
        shutil.chown(store, USER, USER)

    def __call__(self, arguments: Sequence[object], log: BinaryIO) -> "ContainerWorker":
        """Start a worker with arguments of ``freshet``; what it says goes to a log."""
        number = next(self._numbers)
        pid_file = self._folder / f"container-{number}.pid"
        command = self._engine.run_command(
            self._target,
            [str(each) for each in arguments],
            {self._folder: str(self._folder)},
            ("--rm", f"--pidfile={pid_file}"),
        )
        client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return ContainerWorker(client, pid_file)


class ContainerWorker:
    """A container as the soak knows processes.

    Args:
        client: podman, which ends with the container.
        pid_file: where it writes which process is the container's.

    Attributes:
        returncode: None: it runs; -9: SIGKILL ended it.
    """

    def __init__(self, client: "subprocess.Popen[bytes]", pid_file: Path) -> None:
        self.returncode: int | None = None
        self._client = client
        self._pid_file = pid_file

    def poll(self) -> int | None:
        """Return how it ended; None: it runs."""
        return self._ended(self._client.poll())

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return how.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        return self._ended(self._client.wait(timeout)) or 0

    def kill(self) -> None:
        """Kill it with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: int) -> None:
        """Signal the process in the container, once there is one.

        Raises:
            ImagesError: podman does not start it.
        """
        deadline = time.monotonic() + _START_SECONDS
        while self.poll() is None:
            if self._pid_file.exists() and (text := self._pid_file.read_text("ascii").strip()):
                with suppress(ProcessLookupError):
                    os.kill(int(text), sig)
                return
            if time.monotonic() > deadline:
                self._client.kill()
                raise ImagesError(f"podman has not started a worker in {_START_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _ended(self, code: int | None) -> int | None:
        if code is not None:
            self.returncode = _SIGNALLED - code if code > _SIGNALLED else code
        return self.returncode
