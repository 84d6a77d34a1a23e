"""One refresher writes at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.lock import OverlayLock
from model.errors import OverlayLocked

HOLD = """
import sys
from pathlib import Path
from model.artifact.overlay.lock import OverlayLock
lock = OverlayLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> OverlayFolder:
    """Return overlays that are not there yet."""
    return OverlayFolder.of(tmp_path)


def test_the_second_is_told_who_has_it_until_that_one_dies(folder: OverlayFolder) -> None:
    """Killed, not released: the kernel gives the lock back."""
    command = [sys.executable, "-c", HOLD, str(folder.lock_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OverlayLocked, match=rf"pid {holder.pid} on "):
            OverlayLock(folder.lock_path)
        holder.kill()
        holder.wait()

    lock = OverlayLock(folder.lock_path)
    with pytest.raises(OverlayLocked):
        OverlayLock(folder.lock_path)
    lock.release()
    OverlayLock(folder.lock_path).release()
