"""What to start from in place of the generation that `CURRENT` names."""

from collections.abc import Sequence

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.pointer import Newest
from model.errors import SegmentRefused
from server.freshness import age_seconds


def fallbacks(wanted: str | None, ids: Sequence[str]) -> list[str]:
    """Return the generations to try instead of the wanted one, best first.

    Those before it, the newest of them first: what served last. Then those after it,
    which somebody went back from.

    Args:
        wanted: what `CURRENT` names; None: nothing that is an id.
        ids: the generations that are there and passed the gate, oldest first.
    """
    if wanted is None:
        return list(reversed(ids))
    before = [id_ for id_ in ids if id_ < wanted]
    after = [id_ for id_ in ids if id_ > wanted]
    return [*reversed(before), *reversed(after)]


def fresher_than(
    folder: OverlayFolder, wanted: str, ids: Sequence[str], *, wait_seconds: float, now_ms: int
) -> str:
    """Return the generation to start with instead of the wanted one; empty: none.

    The one before it, while its overlay is written and claims more.

    Args:
        folder: the overlays.
        wanted: what `CURRENT` names.
        ids: the generations that are there, oldest first.
        wait_seconds: how long a refresher of the one before may say nothing.
        now_ms: the time now, UTC epoch milliseconds.
    """
    before = [id_ for id_ in ids if id_ < wanted][-1:]
    newest = [_pointer(folder, id_) for id_ in (wanted, *before)]
    if len(newest) == 1 or newest[1] is None:
        return ""
    silence = age_seconds(newest[1].written_ms, now_ms)
    reflected_ms = 0 if newest[0] is None else newest[0].claim.reflected_ms
    is_ahead = newest[1].claim.reflected_ms > reflected_ms
    return before[0] if is_ahead and silence <= wait_seconds else ""


def _pointer(folder: OverlayFolder, generation_id: str) -> Newest | None:
    """Return a generation's pointer where it has one that can be read."""
    try:
        return folder.newest(generation_id)
    except (SegmentRefused, OSError):
        return None
