"""A lock that one process holds: dropped by the kernel when that dies."""

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path

from model.errors import ArtifactError


class ProcessLock:
    """A right that one process has, held until `release`.

    Who holds it is written in the file, for people to read.

    Args:
        path: the file; its folder is made where there is none.
        refused: makes the error from who holds it and the file.

    Raises:
        ArtifactError: the one that `refused` makes: another process holds it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, refused: Callable[[str, Path], ArtifactError]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip()
            self.release()
            raise refused(holder or "unknown", path) from None
        except BaseException:
            self.release()
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back, if held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
