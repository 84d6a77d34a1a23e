"""Files at an fsspec URL: listed, put, read, fetched and removed.

Where the URL is a folder, a file appears by a rename once it is on disk.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

from stream.errors import BackupDamaged, BackupsUnavailable, SettingsInvalid, StreamError, refusal
from stream.files import replace_file, sync_directory

# Bytes read at once, chosen by hand. Twice as many take twice the memory of each file
# that is on its way.
_CHUNK_BYTES = 1 << 20
_TEMPORARY_SUFFIX = ".tmp"
# What reading from a disk or a share that fails raises, and writing to a full one does
# not.
_BROKEN_DISK = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


class Objects:
    """The files at one URL, by names with slashes.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415  # most commands have no use for it

        self.url = url
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise SettingsInvalid(
                f"the URL of backups {url!r} cannot be used: {error}; give a folder, or install "
                "what fsspec wants for it"
            ) from error
        self._root = root.rstrip("/")
        protocol = self._files.protocol
        self._is_folder = "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names in a folder, without it, and the bytes of each.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        path = self._path(folder)
        with self._reaching():
            self._files.invalidate_cache(path)
            try:
                entries: list[dict[str, Any]] = list(self._files.ls(path, detail=True))
            except FileNotFoundError:
                return {}
        named = ((PurePosixPath(each["name"]).name, int(each["size"] or 0)) for each in entries)
        return {name: size for name, size in named if not name.endswith(_TEMPORARY_SUFFIX)}

    def read(self, name: str) -> bytes:
        """Return the content of a small file.

        Raises:
            BackupDamaged: it is not there.
            BackupsUnavailable: the URL cannot be reached.
        """
        with self._reaching(name):
            content: bytes = self._files.cat_file(self._path(name))
        return content

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there, in one step.

        Raises:
            BackupsUnavailable: the URL cannot be reached, or takes nothing.
        """
        path = self._path(name)
        with self._reaching():
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            if self._is_folder:
                replace_file(Path(path), content)
            else:
                self._files.pipe_file(path, content)

    def put(self, source: Path, name: str) -> None:
        """Put a file there.

        Raises:
            FileNotFoundError: `source` is gone.
            BackupsUnavailable: the URL cannot be reached, or takes nothing.
        """
        with source.open("rb"):  # what is missing here is no fault of the URL's
            pass
        path = self._path(name)
        with self._reaching():
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            if self._is_folder:
                _copy_durably(source, Path(path))
            else:
                self._files.put_file(str(source), path)

    def fetch(self, name: str, target: Path) -> str:
        """Get a file, and return the sha256 of what was got, in hexadecimal.

        Raises:
            BackupDamaged: it is not there.
            BackupsUnavailable: the URL cannot be reached.
            OSError: `target` cannot be written.
        """
        if self._is_folder:
            return self._copy(name, target)
        with target.open("wb") as file:
            return self._stream(name, file.write)

    def sha256(self, name: str) -> str:
        """Return the sha256 of a file, in hexadecimal, reading all of it.

        Raises:
            BackupDamaged: it is not there.
            BackupsUnavailable: the URL cannot be reached.
        """
        return self._stream(name, lambda _chunk: None)

    def remove(self, name: str) -> None:
        """Remove a file; gone already is as good.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        with self._reaching(), suppress(FileNotFoundError):
            self._files.rm_file(self._path(name))

    def _copy(self, name: str, target: Path) -> str:
        """Get a file of a folder, and return the sha256 of the copy.

        The kernel copies, and the copy is hashed in one call: chunks that pass through
        the interpreter wait for it thousands of times where a machine is busy.
        """
        source = Path(self._path(name))
        with self._reaching(name), source.open("rb"):
            pass
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            if error.errno in _BROKEN_DISK:
                raise self._unavailable(error) from error
            raise  # the target's
        if not target.stat().st_size:
            return hashlib.sha256().hexdigest()
        with target.open("rb") as copy, mmap(copy.fileno(), 0, access=ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()

    def _stream(self, name: str, take: Callable[[bytes], object]) -> str:
        """Hand the chunks of a file on; what `take` raises is not the URL's fault."""
        digest = hashlib.sha256()
        with self._reaching(name):
            source = self._open(name)
        with source:
            while True:
                with self._reaching(name):
                    chunk = source.read(_CHUNK_BYTES)
                if not chunk:
                    return digest.hexdigest()
                digest.update(chunk)
                take(chunk)

    def _open(self, name: str) -> BinaryIO:
        path = self._path(name)
        if self._is_folder:
            return Path(path).open("rb", buffering=0)
        opened: BinaryIO = self._files.open(path, "rb")
        return opened

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _reaching(self, name: str = "") -> Iterator[None]:
        """Turn what a file system raises, which can be anything, into our own words.

        Args:
            name: of a file that must be there; empty: none must.
        """
        try:
            yield
        except StreamError:
            raise
        except FileNotFoundError as error:
            if not name:
                raise self._unavailable(error) from error
            raise BackupDamaged(
                f"{name} is missing in the backups at {self.url}; take another backup, or put an "
                "intact copy of the file there"
            ) from error
        except Exception as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> BackupsUnavailable:
        text = str(error) or type(error).__name__
        return BackupsUnavailable(
            f"the backups at {self.url} cannot be reached or written ({text}); "
            f"{refusal(error) or 'check URL, network and rights'}, then do it again"
        )


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
