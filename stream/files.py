"""Write files and folders so that a crash at any moment leaves the old state or the new
one, never a mix.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import BinaryIO
from uuid import uuid4


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step.

    Temporary name, fsync, rename, fsync of the folder.

    Raises:
        OSError: the file could not be written; whatever was at `path` is untouched.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which is fsynced and renamed to `path` on
    success.

    On an exception the temporary folder is removed and `path` does not appear.

    Raises:
        FileExistsError: `path` exists already.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid4().hex}.tmp"
    temporary.mkdir()
    try:
        yield temporary
        sync_tree(temporary)
        temporary.rename(path)
    except BaseException:
        rmtree(temporary, ignore_errors=True)
        raise
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Force a file's content to disk."""
    _sync(path)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a folder durable."""
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(root: Path) -> None:
    """Force every file in a folder to disk."""
    for folder, _, names in os.walk(root):
        for name in names:
            sync_file(Path(folder, name))
        sync_directory(Path(folder))


class NotPlain(OSError):
    """What is at a path is no plain file."""


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file to be read, and nothing else: a device, a pipe or a link is an
    error, and none of them is waited for.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        NotPlain: it is something else.
        OSError: it may not be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise NotPlain(errno.ELOOP, "is a symbolic link, and no file", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotPlain(errno.EINVAL, "is no plain file", str(path))
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, most_bytes: int) -> bytes:
    """Return the content of a plain file that is no larger than it may be.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        OSError: it is something else, larger, or may not be read.
    """
    with open_plain(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"has more than {most_bytes} bytes", str(path))
    return content


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
