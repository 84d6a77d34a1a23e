"""The artifact folder: which generations there are, which one is current, and whether
it is pinned.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from shutil import rmtree
from tempfile import NamedTemporaryFile

from model.artifact.manifest import read_manifest
from model.errors import ArtifactError
from protos import manifest_v1_pb2 as manifest_pb
from stream.errors import described
from stream.files import NotPlain, read_plain, replace_file

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """The generation that servers stay on, whatever a tuner publishes.

    Attributes:
        generation_id: which; empty: the file cannot be read, and still pins.
        since_ms: when it was pinned, UTC epoch milliseconds; 0: not known.
    """

    generation_id: str
    since_ms: int


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
            ArtifactError: the pointer is no plain file, or holds something that is not
                a generation id.
        """
        try:
            content = read_plain(self.root / "CURRENT", _MOST_POINTER_BYTES)
        except FileNotFoundError:
            return None
        except NotPlain as error:
            raise ArtifactError(
                f"{self.root / 'CURRENT'} {error.strerror}: it holds the id of a generation; "
                "remove it, and choose one with "
                f"`freshet generations use ID --artifacts {quote(str(self.root))}`"
            ) from error
        text = content.decode("utf-8", errors="replace").strip()
        if not _ID_PATTERN.fullmatch(text):
            raise ArtifactError(
                f"{self.root / 'CURRENT'} does not hold a generation id; "
                f"choose one with `freshet generations use ID --artifacts {quote(str(self.root))}`"
            )
        return text

    def pin(self) -> Pin | None:
        """Return what `PINNED` says; None: nothing is pinned.

        A file that cannot be read, or that says something else, pins all the same:
        whoever put it there wanted nothing to change.
        """
        try:
            content = read_plain(self.root / "PINNED", _MOST_POINTER_BYTES)
        except FileNotFoundError:
            return None
        except OSError:
            return Pin(generation_id="", since_ms=0)
        generation_id, _, since_ms = (
            content.decode("utf-8", errors="replace").strip().partition(" ")
        )
        if not _ID_PATTERN.fullmatch(generation_id):
            return Pin(generation_id="", since_ms=0)
        is_time = since_ms.isascii() and since_ms.isdecimal()
        return Pin(generation_id=generation_id, since_ms=int(since_ms) if is_time else 0)

    def set_pin(self, pin: Pin | None) -> None:
        """Pin a generation, or with None none.

        Raises:
            ArtifactError: the file cannot be written.
        """
        path = self.root / "PINNED"
        try:
            if pin is None:
                path.unlink(missing_ok=True)
            else:
                replace_file(path, f"{pin.generation_id} {pin.since_ms}\n".encode())
        except OSError as error:
            raise ArtifactError(f"{path} cannot be written: {described(error)}") from error

    def check_writable(self) -> None:
        """Make the folder where there is none, write a file there, and remove it.

        Raises:
            ArtifactError: the folder takes nothing.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(prefix=".writable-", dir=self.root):
                pass
        except OSError as error:
            raise ArtifactError(
                f"a generation cannot be written below {self.root}: {described(error)}"
            ) from error

    def manifest(self, generation_id: str) -> manifest_pb.Generation:
        """Read a generation's manifest alone.

        Raises:
            GenerationMissing: there is no such generation.
            GenerationCorrupt: the manifest does not parse, or its format is newer than
                this code.
        """
        return read_manifest(self.generation_path(generation_id))

    def remove(self, generation_id: str) -> None:
        """Delete a generation that is neither current nor pinned.

        A server that has it mapped keeps answering from it.

        Raises:
            ArtifactError: it is one of them.
        """
        if generation_id == self.current_id():
            raise ArtifactError(f"generation {generation_id} is current and cannot be removed")
        pin = self.pin()
        if pin is not None and generation_id == pin.generation_id:
            raise ArtifactError(f"generation {generation_id} is pinned and cannot be removed")
        rmtree(self.generation_path(generation_id), ignore_errors=True)
