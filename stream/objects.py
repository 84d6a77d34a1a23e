"""Files at an fsspec URL, each put there in one step: the only module that touches
fsspec.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

from stream.files import replace_file, sync_directory

_TEMPORARY_SUFFIX = ".tmp"
# Seconds after which nobody is still writing a file, chosen by hand. Twice as long
# keeps what was erased in a file that nobody finished for twice as long.
_LEFTOVER_SECONDS = 3600.0


class Objects:
    """The files at a URL, by names with slashes.

    Where the URL is a folder, a file appears by a rename once it is on disk. Whatever
    a file system of fsspec raises, which can be anything, comes out as `OSError`; of a
    file that is not there as `FileNotFoundError`.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        ValueError: the URL is none that can be used, and why.

    Attributes:
        url: as it was given.
        is_folder: whether it is a folder that this machine reaches as one.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415  # most commands have no use for it

        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise ValueError(
                f"{error}; give a folder, or install what fsspec wants for it"
            ) from error
        self._root = root.rstrip("/")
        self._made: set[str] = set()
        protocol = self._files.protocol
        self.is_folder = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the names in a folder, without it, and the bytes of each, 0 of a
        folder; none where there is no such folder.

        Raises:
            OSError: the URL cannot be reached.
        """
        path = self.path(folder)
        with reaching():
            self._files.invalidate_cache(path)
            try:
                entries: list[dict[str, Any]] = list(self._files.ls(path, detail=True))
            except FileNotFoundError:
                return {}
        named = (
            (PurePosixPath(each["name"]).name, 0 if each["type"] == "directory" else each["size"])
            for each in entries
        )
        return {
            name: int(size or 0) for name, size in named if not name.endswith(_TEMPORARY_SUFFIX)
        }

    def read(self, name: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the content of a file, or the part from `start` up to `end`.

        Raises:
            FileNotFoundError: it is not there.
            OSError: the URL cannot be reached.
        """
        with reaching():
            content: bytes = self._files.cat_file(self.path(name), start=start, end=end)
        return content

    def open(self, name: str) -> BinaryIO:
        """Open a file; what reading it raises is what `reaching` is for.

        Raises:
            FileNotFoundError: it is not there.
            OSError: the URL cannot be reached.
        """
        path = self.path(name)
        with reaching():
            if self.is_folder:
                return Path(path).open("rb", buffering=0)
            opened: BinaryIO = self._files.open(path, "rb")
        return opened

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there, in one step.

        Raises:
            OSError: the URL cannot be reached, or takes nothing.
        """
        path = self._making(name)
        with reaching():
            if self.is_folder:
                replace_file(Path(path), content)
            else:
                self._files.pipe_file(path, content)

    def put(self, source: Path, name: str) -> None:
        """Put a file there, in one step.

        Raises:
            OSError: the URL cannot be reached, or takes nothing; or `source` cannot be
                read.
        """
        path = self._making(name)
        with reaching():
            if self.is_folder:
                _copy_durably(source, Path(path))
            else:
                self._files.put_file(str(source), path)

    def fetch(self, name: str, target: Path) -> None:
        """Get a file.

        Raises:
            FileNotFoundError: it is not there.
            OSError: the URL cannot be reached, or `target` cannot be written.
        """
        with reaching():
            self._files.get_file(self.path(name), str(target))

    def remove(self, name: str) -> None:
        """Remove a file; gone already is as good.

        Raises:
            OSError: the URL cannot be reached.
        """
        with reaching(), suppress(FileNotFoundError):
            self._files.rm_file(self.path(name))

    def remove_leftovers(self, folder: str) -> None:
        """Remove what processes that ended left below a folder under temporary names.

        Raises:
            OSError: the folder cannot be written.
        """
        if not self.is_folder:
            return
        for path in Path(self.path(folder)).rglob(f".*{_TEMPORARY_SUFFIX}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                    path.unlink()

    def path(self, name: str) -> str:
        """Return where a file is, as the file system of the URL has it."""
        return f"{self._root}/{name}" if name else self._root

    def _making(self, name: str) -> str:
        """Return where a file is, in a folder that is there; an object store is told
        of each once.
        """
        path = self.path(name)
        folder = path.rpartition("/")[0]
        if self.is_folder or folder not in self._made:
            with reaching():
                self._files.makedirs(folder, exist_ok=True)
            self._made.add(folder)
        return path


@contextmanager
def reaching() -> Iterator[None]:
    """Turn what a file system raises, which can be anything, into `OSError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def _copy_durably(source: Path, target: Path) -> None:
    """Copy a file so that it appears once all of it is on disk."""
    temporary = target.with_name(f".{target.name}.{uuid4().hex}{_TEMPORARY_SUFFIX}")
    try:
        shutil.copyfile(source, temporary)
        with temporary.open("rb") as copy:
            os.fsync(copy.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(target.parent)
