"""Reads overlay segments from the artifacts folder into a view."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from model.artifact.overlay.chain import read_chain
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import read_gone
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.pointer import Newest
from model.artifact.overlay.segment import OverlayRows, Segment
from server.overlay.held import HeldOverlay, hide, hold
from server.overlay.view import NOTHING_GONE, LiveView


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was taken of the segments that a pointer names.

    Attributes:
        view: with those that are fit, up to the first that is not; its claim is theirs.
        taken: the new ones in it, oldest first.
        refusal: why the rest was not taken; None: all was.
    """

    view: LiveView
    taken: tuple[Segment, ...] = ()
    refusal: Exception | None = None


def load_segments(folder: OverlayFolder, newest: Newest, view: LiveView) -> Loaded:
    """Take the segments that `newest` names and a view of its generation does not have.

    Only deltas, where the view has segments of the same writer and none that a newer
    full one replaced with more than they had.
    """
    before, after = view.overlay, _reached(view.overlay, newest)
    if after == newest.sequence:
        overlay = replace(before, sequence=after, claim=newest.claim)
        return Loaded(view=replace(view, overlay=overlay, claim=newest.claim, newest=newest))
    taken, refusal = read_chain(folder, newest, after=after, dim=before.rows.dim)
    if not taken:
        return Loaded(view=view, refusal=refusal)
    claim = newest.claim if refusal is None else taken[-1].claim
    parts = [*([before.rows] if after else []), *(segment.rows for segment in taken)]
    listed = {item for segment in taken for item in segment.rows.item_ids}
    carried = {id_: at for id_, at in view.carried_gone.items() if id_ not in listed}
    gone, sequence = {**carried, **view.gone}, taken[-1].sequence
    if after and all(_only_hides(segment.rows, before) for segment in taken):
        held = replace(before, sequence=sequence, claim=claim, rows=_with_gone(parts))
        overlay = hide(held, view.live, gone, view.places)
    else:
        overlay = hold(
            view.live,
            merge_rows(parts) if len(parts) > 1 else parts[0],
            claim,
            sequence=sequence,
            writer=newest.writer,
            gone=gone,
            places=view.places,
            before=before.queries if after else None,
        )
    pointer = newest if refusal is None else view.newest
    grown = replace(view, overlay=overlay, claim=claim, newest=pointer, carried_gone=carried)
    return Loaded(view=grown, taken=tuple(taken), refusal=refusal)


def _reached(held: HeldOverlay, newest: Newest) -> int:
    """Return the segment up to which what is held has what a pointer names; 0: it does
    not go on from there.
    """
    if held.writer != newest.writer:
        return 0
    has_all = newest.is_merged and held.sequence == newest.first_sequence - 1
    if has_all or held.sequence >= newest.first_sequence:
        return max(held.sequence, newest.first_sequence)
    return 0


def _only_hides(rows: OverlayRows, held: HeldOverlay) -> bool:
    """Whether rows take out items, and nothing else, that what is held has no vector
    of: what is held costs nothing then.
    """
    has_more = len(rows.item_ids) or len(rows.query_texts) or len(rows.gone_queries)
    return not has_more and held.items.keys().isdisjoint(rows.gone_items)


def _with_gone(parts: Sequence[OverlayRows]) -> OverlayRows:
    """Return what `merge_rows` does of rows of which all but the first only hide."""
    gone = {id_: ms for rows in parts for id_, ms in _gone_of(rows)}
    times = np.fromiter(gone.values(), dtype=np.int64, count=len(gone))
    return replace(parts[0], gone_items=tuple(gone), gone_item_ms=times)


def _gone_of(rows: OverlayRows) -> Iterable[tuple[str, int]]:
    return zip(rows.gone_items, rows.gone_item_ms.tolist(), strict=True)


class GoneFile:
    """The list of gone items, read again only where its file has changed.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: tuple[int, ...] = ()
        self._gone = NOTHING_GONE

    def read(self) -> Mapping[str, int]:
        """Return by id when each item went, UTC epoch milliseconds.

        The same object as long as the file is the same.

        Raises:
            SegmentRefused: it is damaged; `gone` is what it said before.
            OSError: it cannot be read; likewise.
        """
        state = _state_of(self._path)
        if state != self._state:
            self._gone = {id_: one.at_ms for id_, one in read_gone(self._path).items()}
            self._state = state
        return self._gone

    @property
    def gone(self) -> Mapping[str, int]:
        """What was read last."""
        return self._gone


def _state_of(path: Path) -> tuple[int, ...]:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
