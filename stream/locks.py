"""Who may write a shard, across the processes of one machine."""

import fcntl
import os
import time
from pathlib import Path

_LOCK_RETRY_SECONDS = 0.02


def shard_name(index: int) -> str:
    """Return the name of a shard's folder."""
    return f"shard-{index:04d}"


class ShardLock:
    """Who may write a shard, across processes: a lock that the kernel drops when its holder dies."""

    def __init__(self, root: Path, index: int) -> None:
        self._path = root / f"{shard_name(index)}.lock"
        self._descriptor: int | None = None

    def acquire(self, wait_seconds: float) -> bool:
        """Take the lock, or return False where another holds it for longer than `wait_seconds`."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return False
            time.sleep(_LOCK_RETRY_SECONDS)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back, if held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
