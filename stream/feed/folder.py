"""The folder of a shard's feed: where it is, and its files as the reader sees them."""

from contextlib import suppress
from pathlib import Path
from typing import Protocol

from stream.feed.log import LogName
from stream.feed.status import Status, newest_status, unpack_status

_FOLDER = "feed"


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
        found = (LogName.parse(path.name) for path in self._path.iterdir())
        return [name for name in found if name]

    def read(self, name: LogName, start: int, end: int | None = None) -> bytes:
        """Return a part of a log; None: up to its end."""
        with (self._path / str(name)).open("rb") as file:
            file.seek(start)
            return file.read(-1 if end is None else end - start)
