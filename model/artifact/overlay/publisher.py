"""Writes the segments of one generation and the pointer to them, as the one refresher
does.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from model.artifact.overlay.encoding import check_rows, encode_segment
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import Gone, GoneList
from model.artifact.overlay.merge import MergedRows
from model.artifact.overlay.pointer import Newest, encode_newest
from model.artifact.overlay.segment import (
    Claim,
    OverlayRows,
    Segment,
    SegmentFault,
    StageTimes,
    no_rows,
)
from model.artifact.overlay.writing import TEMPORARY_PATTERN, replace_unsynced
from model.errors import SegmentRefused
from stream.clock import now_ms

# Deltas on a full segment. A server that starts reads them all: some 64 files. Twice as
# many take it twice the files, half as many write a full one twice as often.
_MOST_DELTAS = 64
# Times the full segment that its deltas may be before they are merged: a server that
# starts reads as much more. Half as much: twice the merges, and a busy shop waits for
# them.
_OUTWEIGH = 2
# Milliseconds that a segment stays after a full one replaced it: a server polls about
# every 100 ms, and one that is slow may read a file a minute after it saw the pointer.
# Twice as long keeps twice the files.
_GRACE_MS = 60_000


class OverlayPublisher:
    """The writer of one generation's segments.

    The lock of the folder (`model.artifact.overlay.lock`) is the caller's.

    Args:
        folder: the overlays.
        generation_id: the generation.
        dim: length of its vectors.
        gone: the list of gone items, shared by the publishers of all generations.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        folder: OverlayFolder,
        generation_id: str,
        dim: int,
        gone: GoneList,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._folder = folder
        self._generation_id = generation_id
        self._gone = gone
        self._clock_ms = clock_ms
        # 32 random bits: two starts of a refresher in one generation do not share one.
        self._writer = secrets.token_hex(4)
        self._merged = MergedRows()
        self._merged.add(no_rows(dim))
        self._state = _State(
            sequence=_newest_sequence(folder, generation_id), first_sequence=0, full_ms=0, full=0
        )
        self._remove_temporary()

    @property
    def sequence(self) -> int:
        """The newest segment, whoever wrote it; 0: none was."""
        return self._state.sequence

    def publish(
        self,
        rows: OverlayRows,
        claim: Claim,
        *,
        oldest: StageTimes | None = None,
        newest: StageTimes | None = None,
    ) -> Segment:
        """Write what changed since the last call as the next segment, and point to it.

        A full one at the start. Where deltas are many or outweigh the full one, they
        are merged to a new one afterwards. Items that are gone enter `GONE` first.

        Args:
            rows: what changed.
            claim: how fresh the overlay is with them.
            oldest: stages of the oldest of the writes behind them.
            newest: of the newest.

        Returns:
            The segment as it was written.

        Raises:
            SegmentRefused: a vector is not finite or no unit vector, or another writer
                has taken over; nothing was written.
            OSError: something could not be written; publish the same again, and more.
        """
        check_rows(rows, "what is to be published")
        self._check_sole_writer()
        state, now = self._state, self._clock_ms()
        is_full = not state.first_sequence
        segment = Segment(
            generation_id=self._generation_id,
            sequence=state.sequence + 1,
            writer=self._writer,
            is_full=is_full,
            created_ms=now,
            claim=claim,
            oldest=oldest or StageTimes(),
            newest=newest or StageTimes(),
            rows=rows,
        )
        gone = zip(rows.gone_items, rows.gone_item_ms.tolist(), strict=True)
        self._gone.change({item: Gone(ms, now) for item, ms in gone}, _shown(rows))
        self._write(segment)
        size = _size(rows)
        if is_full:
            after = _State(segment.sequence, segment.sequence, now, size)
        else:
            deltas = (*state.deltas, size)
            after = replace(state, sequence=segment.sequence, deltas=deltas)
        self._point(after, claim)
        self._state = after
        self._merged.add(rows)
        if _wants_full(after):
            self._merge(segment)
        self._prune()
        return segment

    def _merge(self, newest: Segment) -> None:
        """Write what all segments leave as the next one, a full one: whoever has them
        need not read it, and waits for nothing.
        """
        rows, now = self._merged.rows(), self._clock_ms()
        segment = replace(
            newest, sequence=newest.sequence + 1, is_full=True, created_ms=now, rows=rows
        )
        self._write(segment)
        after = _State(segment.sequence, segment.sequence, now, _size(rows), is_merged=True)
        self._point(after, newest.claim)
        self._state = after

    def renew(self, claim: Claim) -> None:
        """Say how fresh the overlay is by now, without a new segment.

        Raises:
            SegmentRefused: nothing was published yet, or another writer has taken over.
            OSError: the pointer could not be written.
        """
        if not self._state.first_sequence:
            raise SegmentRefused(
                SegmentFault.MISSING, "nothing is published yet; publish a full segment first"
            )
        self._check_sole_writer()
        self._point(self._state, claim)
        self._prune()

    def _write(self, segment: Segment) -> None:
        path = self._folder.segment_path(self._generation_id, segment.sequence)
        replace_unsynced(path, encode_segment(segment))

    def _point(self, state: "_State", claim: Claim) -> None:
        newest = Newest(
            generation_id=self._generation_id,
            writer=self._writer,
            sequence=state.sequence,
            first_sequence=state.first_sequence,
            claim=claim,
            written_ms=self._clock_ms(),
            is_merged=state.is_merged,
        )
        replace_unsynced(self._folder.newest_path(self._generation_id), encode_newest(newest))

    def _check_sole_writer(self) -> None:
        """Refuse to write where another has written since this one began."""
        if not self._state.first_sequence:
            return
        try:
            found = self._folder.newest(self._generation_id)
        except SegmentRefused:
            return  # a damaged pointer is replaced
        if found is not None and found.writer != self._writer:
            raise SegmentRefused(
                SegmentFault.WRITER,
                f"another refresher ({found.writer}) has taken over the overlay of "
                f"{self._generation_id}; stop one of the two",
            )

    def _prune(self) -> None:
        """Remove segments that do not count any more, a grace after they were
        replaced.
        """
        state = self._state
        if self._clock_ms() - state.full_ms < _GRACE_MS:
            return
        for sequence in self._folder.sequences(self._generation_id):
            if sequence < state.first_sequence:
                self._folder.segment_path(self._generation_id, sequence).unlink(missing_ok=True)

    def _remove_temporary(self) -> None:
        for path in self._folder.generation_path(self._generation_id).glob(TEMPORARY_PATTERN):
            path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _State:
    """What has been published.

    `first_sequence` is 0, which is no number of a segment, before the first full one;
    `full` and `deltas` are how many rows the full one has, and each delta on it.
    """

    sequence: int
    first_sequence: int
    full_ms: int
    full: int
    deltas: tuple[int, ...] = ()
    is_merged: bool = False


def _wants_full(state: _State) -> bool:
    """Whether the deltas are worth the bytes of a new full segment."""
    deltas = state.deltas
    return len(deltas) > _MOST_DELTAS or (len(deltas) > 1 and sum(deltas) > _OUTWEIGH * state.full)


def _size(rows: OverlayRows) -> int:
    return len(rows.item_ids) + len(rows.query_texts) + len(rows.gone_items)


def _shown(rows: OverlayRows) -> dict[str, int]:
    """Return the times of the catalogue states of the items that are shown, by id."""
    shown, times = rows.item_shown.tolist(), rows.item_catalog_ms.tolist()
    states = zip(rows.item_ids, shown, times, strict=True)
    return {item: catalog_ms for item, is_shown, catalog_ms in states if is_shown}


def _newest_sequence(folder: OverlayFolder, generation_id: str) -> int:
    try:
        pointer = folder.newest(generation_id)
    except SegmentRefused:
        pointer = None
    named = 0 if pointer is None else pointer.sequence
    return max([named, *folder.sequences(generation_id)])
