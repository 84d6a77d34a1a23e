"""One refresher writes, and the tuner hears what it wants."""

import subprocess
import sys
from pathlib import Path

import pytest

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.lock import OverlayLock
from model.artifact.overlay.wanted import Wanted, ask_wanted, read_wanted, remove_wanted
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


def test_a_wish_stays_until_it_is_taken(folder: OverlayFolder) -> None:
    """The first reason counts: it says since when."""
    assert read_wanted(folder) is None
    first = Wanted(reason="10,001 items", at_ms=5)

    ask_wanted(folder, first)
    ask_wanted(folder, Wanted(reason="another", at_ms=6))

    assert read_wanted(folder) == first
    remove_wanted(folder)
    remove_wanted(folder)
    assert read_wanted(folder) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_a_wish_that_cannot_be_read_is_none(
    folder: OverlayFolder, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A tuner trains on as before, and a refresher asks again."""
    folder.root.mkdir()
    folder.wanted_path.write_bytes(content)

    assert read_wanted(folder) is None
    assert "wanted_unreadable" in caplog.text
    ask_wanted(folder, Wanted(reason="again", at_ms=7))
    assert read_wanted(folder) == Wanted(reason="again", at_ms=7)
