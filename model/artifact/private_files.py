"""A generation's files as private copies in memory, for a process that must outlive
whatever happens to the files themselves.

A mapped file that somebody shortens, as `cp` does with a file that it copies over,
ends every process that reads on in it (SIGBUS).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stream.files import open_plain

HAS_PRIVATE_FILES: Final = hasattr(os, "memfd_create")
"""Whether this system has files in memory without a name: Linux has."""

OpenFile = Callable[[Path], Path]
"""From a file of a generation to the path under which it is read."""


def as_it_is(path: Path) -> Path:
    """Return where to read a file that nobody changes: where it lies."""
    return path


@contextmanager
def private_files() -> Iterator[OpenFile]:
    """Yield a function that copies a file into memory, once, and returns the path of
    the copy.

    The paths are good until the end of the context; what was mapped of a copy stays,
    and its memory goes with the last mapping. Where the system has no such files, the
    function returns the path that it is given.

    Raises:
        OSError: a file cannot be read, or memory does not suffice.
    """
    if not HAS_PRIVATE_FILES:
        yield as_it_is
        return
    copies: dict[Path, int] = {}

    def copied(path: Path) -> Path:
        if path not in copies:
            with open_plain(path) as source:
                copies[path] = os.memfd_create(path.name, os.MFD_CLOEXEC)
                with open(copies[path], "wb", closefd=False) as copy:
                    shutil.copyfileobj(source, copy)
        return Path(f"/proc/self/fd/{copies[path]}")

    try:
        yield copied
    finally:
        for descriptor in copies.values():
            os.close(descriptor)
