"""Writes a file in one step, without waiting for the disk.

What a crash of the machine takes of an overlay is refused by its checksum and made
again by a refresher that starts: an fsync a second would buy nothing.
"""

from pathlib import Path
from uuid import uuid4

TEMPORARY_PATTERN = ".*.tmp"
"""Of the names of files that a killed writer leaves."""


def replace_unsynced(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step; make its folder where there is none.

    Raises:
        OSError: it could not be written; whatever was at `path` is untouched. It names
            `path`: the same text each time, for who logs a failure once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)
