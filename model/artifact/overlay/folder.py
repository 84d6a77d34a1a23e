"""The folder of overlay segments: where everything in it lies, and what is read of it.

Layout (`docs/formats-artifacts.md`)::

    ARTIFACTS/fresh/LOCK                        held by the one refresher
    ARTIFACTS/fresh/GONE                        items that no generation may show
    ARTIFACTS/fresh/<generation>/NEWEST         the segments that count
    ARTIFACTS/fresh/<generation>/<n>.segment    a segment
"""

import re
from dataclasses import dataclass
from pathlib import Path

from model.artifact.overlay.encoding import decode_segment
from model.artifact.overlay.pointer import Newest, decode_newest
from model.artifact.overlay.segment import Segment, SegmentFault
from model.errors import SegmentRefused

_SEGMENT_PATTERN = re.compile(r"([0-9]{10})\.segment")


@dataclass(frozen=True, slots=True)
class OverlayFolder:
    """The overlays of one artifacts folder: any number of readers, one writer.

    Attributes:
        root: the folder ``fresh`` in the artifacts folder; it need not exist yet.
    """

    root: Path

    @classmethod
    def of(cls, artifacts: Path) -> "OverlayFolder":
        """Return that of an artifacts folder."""
        return cls(artifacts / "fresh")

    @property
    def lock_path(self) -> Path:
        """What the one refresher locks."""
        return self.root / "LOCK"

    @property
    def gone_path(self) -> Path:
        """Items that no generation may show."""
        return self.root / "GONE"

    @property
    def traces_path(self) -> Path:
        """The records with a trace that overlays have, for servers to follow."""
        return self.root / "TRACES.json"

    def generation_path(self, generation_id: str) -> Path:
        """Return the folder of a generation's segments, whether it exists or not."""
        return self.root / generation_id

    def newest_path(self, generation_id: str) -> Path:
        """Return the pointer to the segments that count."""
        return self.generation_path(generation_id) / "NEWEST"

    def segment_path(self, generation_id: str, sequence: int) -> Path:
        """Return the file of a segment."""
        return self.generation_path(generation_id) / f"{sequence:010d}.segment"

    def generation_ids(self) -> list[str]:
        """Return the generations that have a folder here, oldest first."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def sequences(self, generation_id: str) -> list[int]:
        """Return the numbers of the segments that are there, ascending."""
        folder = self.generation_path(generation_id)
        if not folder.is_dir():
            return []
        matches = (_SEGMENT_PATTERN.fullmatch(path.name) for path in folder.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def newest(self, generation_id: str) -> Newest | None:
        """Read which segments of a generation count; None: it has none.

        Raises:
            SegmentRefused: the pointer is damaged, or of another generation.
            OSError: it cannot be read.
        """
        path = self.newest_path(generation_id)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        newest = decode_newest(content, str(path))
        if newest.generation_id != generation_id:
            raise SegmentRefused(
                SegmentFault.GENERATION, f"{path} is of generation {newest.generation_id}"
            )
        return newest

    def segment(self, generation_id: str, sequence: int, *, dim: int) -> Segment:
        """Read a segment and check all of it.

        Args:
            generation_id: the generation that it must be of.
            sequence: its number.
            dim: length that its vectors must have.

        Raises:
            SegmentRefused: it is not there or not fit, with the reason.
            OSError: it cannot be read.
        """
        path = self.segment_path(generation_id, sequence)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise SegmentRefused(SegmentFault.MISSING, f"{path} is not there") from None
        segment = decode_segment(data, str(path))
        if segment.generation_id != generation_id:
            raise SegmentRefused(
                SegmentFault.GENERATION, f"{path} is of generation {segment.generation_id}"
            )
        if segment.sequence != sequence:
            raise SegmentRefused(SegmentFault.SEQUENCE, f"{path} holds segment {segment.sequence}")
        if segment.rows.dim != dim:
            raise SegmentRefused(
                SegmentFault.DIM,
                f"{path} has vectors of length {segment.rows.dim}, the generation of {dim}",
            )
        return segment
