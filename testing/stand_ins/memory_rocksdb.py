"""An in-memory twin of `stream.shard.rocksdb.Database`, and the disk that it is on."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from stream.errors import StoreUnreadable, StoreWriteFailed
from stream.shard.rocksdb import Database, Puts

Records = dict[bytes, bytes]


class MemoryDisk:
    """Databases by folder: each as the states that its writes made since it was last
    forced to disk.

    A power cut leaves any one of them.
    """

    def __init__(self) -> None:
        self._states: dict[Path, list[Records]] = {}

    def states(self, path: Path) -> list[Records]:
        """Return the states of a database, oldest first.

        A new database has one, which is empty.
        """
        return self._states.setdefault(path, [{}])

    def copy(self, source: Path, target: Path) -> None:
        """Replace a database by the newest state of another."""
        self._states[target] = self.states(source)[-1:]

    def __contains__(self, path: Path) -> bool:
        return path in self._states


class MemoryDatabase(Database):
    """What `Database` does, on a `MemoryDisk`.

    Closing forces nothing to disk, as killing does not.
    """

    def __init__(self, path: Path, disk: MemoryDisk) -> None:
        self.path = path
        self._disk = disk
        self._states = disk.states(path)
        self._is_open = True

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key; None where there is none."""
        return [self._newest().get(key) for key in keys]

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the records whose key begins with `prefix`, in order, from `prefix +
        start` on.
        """
        records, first_key = self._newest(), prefix + start
        for key in sorted(key for key in records if key >= first_key and key.startswith(prefix)):
            yield key, records[key]

    def scan_each(self, prefixes: Sequence[bytes], start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield, prefix by prefix, the records from ``prefix + start`` on."""
        for prefix in prefixes:
            yield from self.scan(prefix, start)

    def write(self, puts: Puts, deletes: Sequence[bytes] = ()) -> None:
        """Apply all puts, then all deletes."""
        records = dict(self._newest())
        for keys, values in puts.sections():
            records.update(zip(keys, values, strict=True))
        for key in deletes:
            records.pop(key, None)
        self._states.append(records)

    def sync(self) -> None:
        """Force everything to disk."""
        self._newest()
        del self._states[:-1]

    def checkpoint(self, path: Path) -> None:
        """Make a copy at `path`; everything is forced to disk, as RocksDB flushes it
        first.

        Raises:
            StoreWriteFailed: there is something already.
        """
        if path in self._disk:
            raise StoreWriteFailed(
                f"no checkpoint of {self.path} could be made at {path} (it exists)"
            )
        self.sync()
        self._disk.copy(self.path, path)

    def compact(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Close; nothing can be read or written any more."""
        self._is_open = False

    def _newest(self) -> Records:
        if not self._is_open:
            raise StoreUnreadable(f"store {self.path} is closed")
        return self._states[-1]
