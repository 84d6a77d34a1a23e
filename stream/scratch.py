"""Folders for temporary files: inside the store, where hard links work, or wherever the
system has room for such files.

What a crash left behind in the store is removed.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory, gettempdir
from uuid import uuid4

_FOLDER = "scratch"
_LOCK = "lock"


@contextmanager
def scratch_folder(store: Path) -> Iterator[Path]:
    """Yield a new folder in the store's ``scratch``, removed afterwards.

    Folders of dead processes are removed, too.

    Raises:
        OSError: it cannot be made.
    """
    root = store / _FOLDER
    root.mkdir(exist_ok=True)
    folder = root / uuid4().hex
    with _locked(root):
        _sweep(root)
        folder.mkdir()
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        os.close(lock)


@contextmanager
def temporary_folder(prefix: str, store: Path) -> Iterator[Path]:
    """Yield a new folder, removed afterwards, among the system's temporary files; where
    the system has no place for them (a read-only root without ``/tmp``), in the store's
    ``scratch``.

    Raises:
        OSError: it cannot be made in either.
    """
    try:
        parent = gettempdir()
    except FileNotFoundError:
        with scratch_folder(store) as folder:
            yield folder
        return
    with TemporaryDirectory(prefix=prefix, dir=parent) as name:
        yield Path(name)


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Keep other processes from sweeping meanwhile.

    A folder must be locked before they check it.
    """
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sweep(root: Path) -> None:
    """Remove the folders that no process holds locked."""
    for folder in root.iterdir():
        with suppress(OSError):
            lock = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
