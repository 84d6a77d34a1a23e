"""The folder of a shard's feed: where it is, and its files as the reader sees them."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stream.feed.log import LogName
from stream.feed.status import Status, newest_status, unpack_status

_FOLDER = "feed"
_SHARD_PREFIX = "shard-"


def feed_folder(shard: Path) -> Path:
    """Return the folder of a shard's feed, beside the shard's own."""
    return shard.parent / _FOLDER / shard.name


def feed_root(store: Path) -> Path:
    """Return the folder of the feeds of all shards."""
    return store / _FOLDER


class FeedFiles(Protocol):
    """The files of one shard's feed, wherever they are.

    What they raise is `OSError`: `FileNotFoundError` where a file is gone.
    """

    def status(self) -> Status | None:
        """Return the status that counts; None: there is none."""

    def logs(self) -> list[LogName]:
        """Return the names of all logs."""

    def read(self, name: LogName, start: int, end: int | None = None) -> bytes:
        """Return a part of a log; None: up to its end."""

    def rewrite(self, name: LogName, content: bytes) -> None:
        """Replace a log in one step, for good."""


class FeedPlace(Protocol):
    """Where the feeds of all shards are."""

    def shards(self) -> set[int]:
        """Return the shards that have one.

        Raises:
            OSError: the place cannot be read.
        """

    def files(self, index: int) -> FeedFiles:
        """Return the files of a shard's feed."""


class FeedFolders:
    """The feeds of all shards in the folder of a store."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def shards(self) -> set[int]:
        """Return the shards that have one."""
        try:
            return shard_numbers(path.name for path in self._root.iterdir())
        except FileNotFoundError:
            return set()

    def files(self, index: int) -> FeedFiles:
        """Return the files of a shard's feed."""
        return FeedFolder(self._root / f"{_SHARD_PREFIX}{index:04d}")

    def __str__(self) -> str:
        return str(self._root)


def shard_numbers(names: Iterable[str]) -> set[int]:
    """Return the shards that folders are named after."""
    numbers = {name.removeprefix(_SHARD_PREFIX) for name in names if _SHARD_PREFIX in name}
    return {int(number) for number in numbers if number.isdigit()}


class FeedFolder:
    """The files of one shard's feed in a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def status(self) -> Status | None:
        """Return the status that counts; None: there is none."""
        with suppress(FileNotFoundError):
            name = newest_status([path.name for path in self._path.iterdir()])
            return unpack_status((self._path / name).read_bytes()) if name else None
        return None

    def logs(self) -> list[LogName]:
        """Return the names of all logs."""
        try:
            found = [LogName.parse(path.name) for path in self._path.iterdir()]
        except FileNotFoundError:
            return []
        return [name for name in found if name]

    def read(self, name: LogName, start: int, end: int | None = None) -> bytes:
        """Return a part of a log, as much of it as is there; None: up to its end."""
        with (self._path / str(name)).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(start)
            # a status that nobody wrote may say any end
            return file.read(max(0, min(size, size if end is None else end) - start))

    def rewrite(self, name: LogName, content: bytes) -> None:
        """Replace a log in one step, for good."""
        path = self._path / str(name)
        temporary = path.with_name(f".{path.name}.tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
