"""A generation's files as private copies in memory, for a process that must outlive
whatever happens to the files themselves.

A mapped file that somebody shortens, as `cp` does with a file that it copies over,
ends every process that reads on in it (SIGBUS).
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from stream.files import open_plain, sha256_of

HAS_PRIVATE_FILES: Final = hasattr(os, "memfd_create")
"""Whether this system has files in memory without a name: Linux has."""

# Bytes that are read, summed up and written at once: they stay in a core's second cache
# meanwhile. Twice as many may not.
_CHUNK_BYTES: Final = 1 << 18

OpenFile = Callable[[Path], Path]
"""From a file of a generation to the path under which it is read."""

DigestOf = Callable[[Path], str]
"""From the path under which a file is read to its sha256, in hexadecimal."""


def as_it_is(path: Path) -> Path:
    """Return where to read a file that nobody changes: where it lies."""
    return path


class PrivateFiles:
    """Copies of files in memory, each made once; where the system has no such copies,
    the files themselves, held open.

    Closed when nobody has it any more, or before: what was mapped stays, and its memory
    goes with the last mapping.

    Args:
        copies: False: the files themselves.

    Raises:
        OSError: when called: a file cannot be read, or memory does not suffice.
    """

    def __init__(self, *, copies: bool = True) -> None:
        self._copies = copies and HAS_PRIVATE_FILES
        self.descriptors: dict[str, int] = {}
        """Of the files that were opened, by name."""
        self._digests: dict[Path, str] = {}

    def __call__(self, path: Path) -> Path:
        """Return where to read a file, under its path or that of its copy."""
        if path.name not in self.descriptors:
            self.descriptors[path.name] = self._copied(path) if self._copies else _held(path)
        return self._path(self.descriptors[path.name])

    def digest_of(self, content: Path) -> str:
        """Return the sha256 of the file that is read under a path: of a copy, of the
        bytes that were written to it.

        Raises:
            OSError: it cannot be read.
        """
        return self._digests.get(content) or sha256_of(content)

    def close(self) -> None:
        """Close all."""
        self._digests.clear()
        while self.descriptors:
            os.close(self.descriptors.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def _copied(self, path: Path) -> int:
        digest, chunk = hashlib.sha256(), memoryview(bytearray(_CHUNK_BYTES))
        with open_plain(path) as source:
            descriptor = os.memfd_create(path.name, os.MFD_CLOEXEC)
            with open(descriptor, "wb", buffering=0, closefd=False) as copy:
                while size := source.readinto(chunk):  # type: ignore[attr-defined]  # a plain file has it
                    digest.update(chunk[:size])
                    written = 0
                    while written < size:
                        written += copy.write(chunk[written:size])
        self._digests[self._path(descriptor)] = digest.hexdigest()
        return descriptor

    @staticmethod
    def _path(descriptor: int) -> Path:
        return Path(f"/proc/self/fd/{descriptor}")


def _held(path: Path) -> int:
    with open_plain(path) as source:
        return os.dup(source.fileno())
