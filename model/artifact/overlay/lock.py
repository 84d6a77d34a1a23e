"""The lock of the one refresher: dropped by the kernel when its process dies."""

import fcntl
import os
import socket
from pathlib import Path

from model.errors import OverlayLocked


class OverlayLock:
    """The right to write overlays, held until `release`.

    Who holds it is written in the file, for people to read.

    Args:
        path: the file; its folder is made where there is none.

    Raises:
        OverlayLocked: another process holds it; the message says which.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 200, 0).decode("utf-8", "replace").strip()
            self.release()
            raise OverlayLocked(
                f"another refresher ({holder or 'unknown'}) has {path}; stop it, or let it go on"
            ) from None
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
