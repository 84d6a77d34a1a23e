"""The file ``WANTED``: a refresher asks the tuner for a generation early."""

import json
import logging
from dataclasses import dataclass

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.writing import replace_unsynced

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A wish for a generation.

    Attributes:
        reason: why, one line.
        at_ms: since when, UTC epoch milliseconds.
    """

    reason: str
    at_ms: int


def ask_wanted(folder: OverlayFolder, wanted: Wanted) -> None:
    """Leave a wish; one that is there already stays.

    Raises:
        OSError: it cannot be written.
    """
    if read_wanted(folder) is None:
        content = {"reason": wanted.reason, "at_ms": wanted.at_ms}
        replace_unsynced(folder.wanted_path, (json.dumps(content) + "\n").encode())


def read_wanted(folder: OverlayFolder) -> Wanted | None:
    """Return the wish; None: there is none, or none that can be read."""
    try:
        said = json.loads(folder.wanted_path.read_bytes())
        return Wanted(reason=str(said["reason"]), at_ms=int(said["at_ms"]))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        logger.warning("wanted_unreadable file=%s why=%s", folder.wanted_path, error)
        return None


def remove_wanted(folder: OverlayFolder) -> None:
    """Remove the wish, as the tuner does when it begins a generation.

    Raises:
        OSError: it cannot be removed.
    """
    folder.wanted_path.unlink(missing_ok=True)
