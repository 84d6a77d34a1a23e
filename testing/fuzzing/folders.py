"""Files of a folder, one of which is changed at a time."""

from collections.abc import Callable, Sequence
from pathlib import Path

from testing.fuzzing.target import Prepared


def folder_target(
    folder: Path,
    read: Callable[[], None],
    *,
    paths: Sequence[Path] | None = None,
    after_write: Callable[[Path], None] = lambda _path: None,
) -> Prepared:
    """Return the files below a folder as seeds; reading writes one anew, reads the
    folder, and puts back what was there.

    Args:
        folder: which nothing else uses.
        read: reads it.
        paths: the files; None: all.
        after_write: called with a file that was written, before it is read.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "LOCK")
    files = list(paths) if paths is not None else found
    seeds = [path.read_bytes() for path in files]

    def read_one(number: int, content: bytes) -> None:
        _put(files[number], content)
        try:
            after_write(files[number])
            read()
        finally:
            _put(files[number], seeds[number])
            after_write(files[number])

    return Prepared(seeds=seeds, read=read_one)


def _put(path: Path, content: bytes) -> None:
    """Write a file as a new one: an old one may be mapped."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
