"""The artifact folder: which generations there are, and which one is current."""

import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from model.artifact.manifest import read_manifest
from model.errors import ArtifactError
from protos import manifest_v1_pb2 as manifest_pb
from stream.files import read_plain

_ID_PATTERN = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")

# An id has 23 characters; somebody's editor may add line ends. Twice as many: no harm.
_MOST_POINTER_BYTES = 4096

# Random bits of an id behind its millisecond: with them the suffix is six hexadecimal
# digits. One more would make it seven, which no earlier reader accepts as an id.
_RANDOM_BITS = 14


def new_generation_id(now_ms: int) -> str:
    """Return a fresh id that sorts by time, such as ``20261123T151500Z-a1b2c3``.

    Behind the second come the milliseconds and some random bits, in hexadecimal.
    """
    second, millisecond = divmod(now_ms, 1000)
    suffix = millisecond << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}-{suffix:06x}"


class ArtifactStore:
    """The folder of generations and its `CURRENT` pointer.

    Any number of readers; one writer at a time.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def generation_path(self, generation_id: str) -> Path:
        """Return the folder of a generation, whether it exists or not."""
        return self.root / "generations" / generation_id

    def generation_ids(self) -> list[str]:
        """Return the ids of all complete generations, oldest first."""
        folder = self.root / "generations"
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if _ID_PATTERN.fullmatch(path.name))

    def current_id(self) -> str | None:
        """Return the id that `CURRENT` names, or None where there is no pointer yet.

        Raises:
            ArtifactError: the pointer holds something that is not a generation id.
        """
        try:
            content = read_plain(self.root / "CURRENT", _MOST_POINTER_BYTES)
        except FileNotFoundError:
            return None
        text = content.decode("utf-8", errors="replace").strip()
        if not _ID_PATTERN.fullmatch(text):
            raise ArtifactError(
                f"{self.root / 'CURRENT'} does not hold a generation id; "
                "choose one with `freshet generations use ID`"
            )
        return text

    def manifest(self, generation_id: str) -> manifest_pb.Generation:
        """Read a generation's manifest alone.

        Raises:
            GenerationMissing: there is no such generation.
            GenerationCorrupt: the manifest does not parse, or its format is newer than
                this code.
        """
        return read_manifest(self.generation_path(generation_id))

    def remove(self, generation_id: str) -> None:
        """Delete a generation that is not current.

        A server that has it mapped keeps answering from it.

        Raises:
            ArtifactError: it is the current one.
        """
        if generation_id == self.current_id():
            raise ArtifactError(f"generation {generation_id} is current and cannot be removed")
        rmtree(self.generation_path(generation_id), ignore_errors=True)
