"""Reads the segments that a pointer names, one behind the other."""

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.pointer import Newest
from model.artifact.overlay.segment import Segment, SegmentFault
from model.errors import SegmentRefused


def read_chain(
    folder: OverlayFolder, newest: Newest, *, after: int, dim: int
) -> tuple[list[Segment], Exception | None]:
    """Return the segments that a pointer names, oldest first, as far as they are fit,
    and why it was no further; None: these are all.

    Args:
        folder: the overlays.
        newest: the pointer.
        after: only those behind this one, which the pointer's writer wrote; 0: all,
            from the newest full one.
        dim: length that their vectors must have.
    """
    taken: list[Segment] = []
    sequence, writer = after, newest.writer if after else ""
    if newest.sequence < after:
        return [], SegmentRefused(
            SegmentFault.SEQUENCE,
            f"the newest segment of {newest.generation_id} is {newest.sequence}, and "
            f"{after} is loaded",
        )
    for number in range(after + 1 if after else newest.first_sequence, newest.sequence + 1):
        try:
            segment = folder.segment(newest.generation_id, number, dim=dim)
            segment.check_follows(sequence, writer)
            _check_writer(segment, newest)
        except (SegmentRefused, OSError) as error:
            return taken, error
        taken.append(segment)
        sequence, writer = segment.sequence, segment.writer
    return taken, None


def _check_writer(segment: Segment, newest: Newest) -> None:
    if segment.writer != newest.writer:
        raise SegmentRefused(
            SegmentFault.WRITER,
            f"segment {segment.sequence} of {newest.generation_id} is by {segment.writer}, its "
            f"pointer by {newest.writer}",
        )
