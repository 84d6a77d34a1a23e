"""The lock of the one refresher."""

from pathlib import Path

from model.artifact.process_lock import ProcessLock
from model.errors import OverlayLocked


class OverlayLock(ProcessLock):
    """The right to write overlays.

    Args:
        path: the file; its folder is made where there is none.

    Raises:
        OverlayLocked: another process holds it; the message says which.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, _refused)


def _refused(holder: str, path: Path) -> OverlayLocked:
    return OverlayLocked(f"another refresher ({holder}) has {path}; stop it, or let it go on")
