"""The files of the backups at a URL, and what is told of those that fail."""

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from stream.errors import BackupDamaged, BackupsUnavailable, SettingsInvalid, refusal
from stream.objects import Objects, reaching

# Bytes read at once, chosen by hand. Twice as many take twice the memory of each file
# that is on its way.
_CHUNK_BYTES = 1 << 20
# What reading from a disk or a share that fails raises, and writing to a full one does
# not.
_BROKEN_DISK = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}


class BackupFiles:
    """The files of backups at one URL, by names with slashes.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._objects = Objects(url)
        except ValueError as error:
            raise SettingsInvalid(f"the URL of backups {url!r} cannot be used: {error}") from error

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names in a folder, without it, and the bytes of each.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        with self._reaching():
            return self._objects.sizes(folder)

    def read(self, name: str) -> bytes:
        """Return the content of a small file.

        Raises:
            BackupDamaged: it is not there.
            BackupsUnavailable: the URL cannot be reached.
        """
        with self._reaching(name):
            return self._objects.read(name)

    def write(self, name: str, content: bytes) -> None:
        """Put a small file there, in one step.

        Raises:
            BackupsUnavailable: the URL cannot be reached, or takes nothing.
        """
        with self._reaching():
            self._objects.write(name, content)

    def put(self, source: Path, name: str) -> None:
        """Put a file there.

        Raises:
            FileNotFoundError: `source` is gone.
            BackupsUnavailable: the URL cannot be reached, or takes nothing.
        """
        with source.open("rb"):  # what is missing here is no fault of the URL's
            pass
        with self._reaching():
            self._objects.put(source, name)

    def fetch(self, name: str, target: Path) -> str:
        """Get a file, and return the sha256 of what was got, in hexadecimal.

        Raises:
            BackupDamaged: it is not there.
            BackupsUnavailable: the URL cannot be reached.
            OSError: `target` cannot be written.
        """
        if self._objects.is_folder:
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
        with self._reaching():
            self._objects.remove(name)

    def _copy(self, name: str, target: Path) -> str:
        """Get a file of a folder, and return the sha256 of the copy.

        The kernel copies, and the copy is hashed in one call: chunks that pass through
        the interpreter wait for it thousands of times where a machine is busy.
        """
        source = Path(self._objects.path(name))
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
            source = self._objects.open(name)
        with source:
            while True:
                with self._reaching(name), reaching():
                    chunk = source.read(_CHUNK_BYTES)
                if not chunk:
                    return digest.hexdigest()
                digest.update(chunk)
                take(chunk)

    @contextmanager
    def _reaching(self, name: str = "") -> Iterator[None]:
        """Say what fails in our own words.

        Args:
            name: of a file that must be there; empty: none must.
        """
        try:
            yield
        except FileNotFoundError as error:
            if not name:
                raise self._unavailable(error) from error
            raise BackupDamaged(
                f"{name} is missing in the backups at {self.url}; take another backup, or put an "
                "intact copy of the file there"
            ) from error
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> BackupsUnavailable:
        text = str(error) or type(error).__name__
        return BackupsUnavailable(
            f"the backups at {self.url} cannot be reached or written ({text}); "
            f"{refusal(error) or 'check URL, network and rights'}, then do it again"
        )
