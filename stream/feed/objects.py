"""The feeds of all shards as objects beside their checkpoints, where every machine
reaches them.

::

    URL/shard-0003/feed/
      000007.status                            up to where the objects of a term count
      000007/000000000101-<writer>-000000000123.log    the writes from 101 to 123

The highest term's status counts, so that nothing which an earlier holder of the shard
still puts there does.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

from stream.errors import SettingsInvalid
from stream.feed.folder import shard_numbers
from stream.feed.log import LogName
from stream.feed.status import (
    Status,
    newest_status,
    pack_status,
    status_name,
    term_of,
    unpack_status,
)

# Seconds between two looks at a status: each is a request or two a shard, which object
# stores charge for. Twice as many: half the requests, and changes are seen twice as
# late.
_LOOK_SECONDS = 0.5
_FOLDER = "feed"


class FeedObjects:
    """The feeds of all shards at a URL.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415  # most stores have no checkpoints

        self._url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise SettingsInvalid(
                f"stream.checkpoints_url is {url!r}, which cannot be used: {error}"
            ) from error

    def shards(self) -> set[int]:
        """Return the shards that have one, or checkpoints."""
        return shard_numbers(_names(self._files, self._root))

    def files(self, index: int) -> "ShardObjects":
        """Return the files of a shard's feed."""
        return ShardObjects(self._files, f"{self._root.rstrip('/')}/shard-{index:04d}/{_FOLDER}")

    def __str__(self) -> str:
        return self._url


class ShardObjects:
    """The feed of one shard as objects."""

    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root
        self._terms: dict[LogName, str] = {}
        self._status: Status | None = None
        self._look_at = 0.0

    def status(self) -> Status | None:
        """Return the status that counts, as it was at the last look."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            name = newest_status(_names(self._files, self._root))
            if name is None:
                self._status = None
            else:
                with _reaching():
                    self._status = unpack_status(self._files.cat_file(f"{self._root}/{name}"))
        return self._status

    def logs(self) -> list[LogName]:
        """Return the names of all objects that have writes."""
        terms = [name for name in _names(self._files, self._root) if name.isdigit()]
        found = {
            name: term
            for term in sorted(terms)
            for text in _names(self._files, f"{self._root}/{term}")
            if (name := LogName.parse(text))
        }
        self._terms = found
        return list(found)

    def read(self, name: LogName, start: int, end: int | None = None) -> bytes:
        """Return a part of an object; None: up to its end."""
        with _reaching():
            content: bytes = self._files.cat_file(self._path(name), start=start, end=end)
        return content

    def rewrite(self, name: LogName, content: bytes) -> None:
        """Replace an object."""
        _replace(self._files, self._path(name), content)

    def put(self, term: int, name: LogName, content: bytes) -> None:
        """Put an object there."""
        self._terms[name] = f"{term:06d}"
        with _reaching():
            self._files.makedirs(f"{self._root}/{term:06d}", exist_ok=True)
        self.rewrite(name, content)

    def put_status(self, term: int, status: Status) -> None:
        """Put the status of a term there."""
        with _reaching():
            self._files.makedirs(self._root, exist_ok=True)
        _replace(self._files, f"{self._root}/{status_name(term)}", pack_status(status))

    def newest_term(self) -> int:
        """Return the highest term that has a status; -1: none has."""
        name = newest_status(_names(self._files, self._root))
        return term_of(name) if name else -1

    def sizes(self) -> list[tuple[LogName, int]]:
        """Return the names and bytes of all objects that have writes, oldest first."""
        names = sorted(self.logs(), key=lambda name: (self._terms[name], name.first))
        sizes = {
            (term, PurePosixPath(entry["name"]).name): int(entry["size"] or 0)
            for term in set(self._terms.values())
            for entry in _entries(self._files, f"{self._root}/{term}")
        }
        return [(name, sizes.get((self._terms[name], str(name)), 0)) for name in names]

    def remove(self, name: LogName) -> None:
        """Remove an object; gone already is as good."""
        with _reaching():
            try:
                self._files.rm_file(self._path(name))
            except FileNotFoundError:
                return

    def _path(self, name: LogName) -> str:
        return f"{self._root}/{self._terms[name]}/{name}"


def _replace(files: Any, path: str, content: bytes) -> None:
    """Put an object in one step: where the place is a folder, by a rename."""
    with _reaching():
        if "file" not in files.protocol:
            files.pipe_file(path, content)
            return
        folder, _, name = path.rpartition("/")
        temporary = f"{folder}/.{name}.tmp"
        files.pipe_file(temporary, content)
        files.mv(temporary, path)


def _names(files: Any, path: str) -> list[str]:
    return [PurePosixPath(entry["name"]).name for entry in _entries(files, path)]


def _entries(files: Any, path: str) -> list[dict[str, Any]]:
    with _reaching():
        files.invalidate_cache(path)
        try:
            return list(files.ls(path, detail=True))
        except FileNotFoundError:
            return []


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn what a file system raises, which can be anything, into `OSError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
