"""An open database."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, cast

from rocksdict import Checkpoint, Rdict, WriteBatch

from stream.errors import StoreStalled, StoreWriteFailed
from stream.settings import StreamSettings
from stream.shard.rocksdb.beside import open_linked
from stream.shard.rocksdb.errors import advice, store_error
from stream.shard.rocksdb.options import (
    Memory,
    beside_others,
    database_options,
    without_waiting,
)
from stream.shard.rocksdb.puts import Puts

Entry = tuple[bytes, bytes]
"""An entry of a database: its key and its value."""


KeyRange = tuple[bytes | None, bytes | None]
"""From a key up to another; None: from the first one, up to the last one."""


class Database:
    """An open RocksDB. Whatever it raises is a `StoreError` that names the folder.

    Attributes:
        path: the folder to name in errors.
    """

    def __init__(self, path: Path, rdict: Rdict) -> None:
        self.path = path
        self._rdict = rdict

    @classmethod
    def open(cls, path: Path, settings: StreamSettings, memory: Memory | None = None) -> Self:
        """Open for writing; made first where there is none.

        Raises:
            StoreBusy: another process has it open.
            StoreUnreadable: it is damaged.
            StoreWriteFailed: the disk is full.
        """
        try:
            options = database_options(settings, memory or Memory(settings))
            # By name: else a database keeps the options that it was made with, and
            # loses its bloom filters.
            return cls(path, Rdict(str(path), options, column_families={"default": options}))
        except Exception as error:
            raise store_error(path, error) from error

    @classmethod
    def open_while_written(cls, path: Path, links: Path, find: Callable[[], Path]) -> Self:
        """Open for reading as it is now, through links in the folder `links`.

        Args:
            path: the folder to name in errors.
            links: an empty folder.
            find: returns the folder of the database, which may be another at each
                attempt.

        Raises:
            StoreUnreadable: it is damaged, or rewritten faster than it can be opened.
        """
        return cls(path, open_linked(path, links, find))

    def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the value of each key; None where there is none.

        Ascending keys are read fastest.
        """
        if not keys:
            return []
        try:
            return cast("list[bytes | None]", self._rdict.get(cast("list[Any]", keys)))
        except Exception as error:
            raise store_error(self.path, error) from error

    def scan(self, prefix: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the records whose key begins with `prefix`, in order, from `prefix +
        start` on.
        """
        last_key = prefix + start
        records = cast("Iterator[tuple[bytes, bytes]]", self._rdict.items(from_key=last_key))
        for key, value in records:
            if not key.startswith(prefix):
                return
            last_key = key
            yield key, value
        self._check_end(last_key)

    def scan_each(self, prefixes: Sequence[bytes], start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield, prefix by prefix, the records whose key begins with it, from ``prefix
        + start`` on.

        Prefixes in ascending order are read fastest. One iterator serves all, so that
        many cost little.
        """
        iterator = self._rdict.iter()
        try:
            for prefix in prefixes:
                iterator.seek(cast("Any", prefix + start))
                while iterator.valid() and (key := iterator.key()).startswith(prefix):
                    yield key, iterator.value()
                    iterator.next()
                iterator.status()
        except Exception as error:
            raise store_error(self.path, error) from error

    def check(self) -> None:
        """Read every block of the data files, which checks its checksum.

        Raises:
            StoreUnreadable: one is damaged.
        """
        iterator = self._rdict.iter()
        try:
            iterator.seek_to_first()
            while iterator.valid():
                iterator.next()
            iterator.status()
        except Exception as error:
            raise store_error(self.path, error) from error

    def write(self, puts: Puts, deletes: Sequence[bytes] = ()) -> None:
        """Apply all puts and deletes or none of them, in one write.

        Raises:
            StoreStalled: flushes or compaction cannot keep up; nothing was applied.
            StoreWriteFailed: the disk refused; nothing was applied.
        """
        batch = WriteBatch(raw_mode=True)
        for keys, values in puts.sections():
            deque(map(batch.put, keys, values), maxlen=0)
        for key in deletes:
            batch.delete(key)
        try:
            self._rdict.write(batch, write_opt=without_waiting())
        except Exception as error:
            if "stall" in str(error).lower():
                raise StoreStalled(
                    f"store {self.path} cannot be written for the moment ({error}); it is tried "
                    "again"
                ) from error
            raise StoreWriteFailed(
                f"store {self.path} could not be written ({error}); nothing of the batch was "
                f"applied: {advice(error)}"
            ) from error

    def delete_range(self, start: bytes, end: bytes) -> None:
        """Delete every record from `start` up to, but without, `end`.

        One mark, whatever there is between.

        Raises:
            StoreWriteFailed: the disk refused; nothing was deleted.
        """
        try:
            self._rdict.delete_range(start, end)
        except Exception as error:
            raise StoreWriteFailed(
                f"store {self.path} could not be written ({error}); {advice(error)}"
            ) from error

    def sync(self) -> None:
        """Force the log to disk.

        Raises:
            StoreWriteFailed: the disk refused.
        """
        try:
            self._rdict.flush_wal(sync=True)
        except Exception as error:
            raise StoreWriteFailed(
                f"store {self.path} could not be forced to disk ({error}); {advice(error)}"
            ) from error

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy at `path`.

        Hard links on one filesystem, copies across two.

        Raises:
            StoreWriteFailed: it could not be made.
        """
        try:
            Checkpoint(self._rdict).create_checkpoint(str(path))
        except Exception as error:
            raise StoreWriteFailed(
                f"no checkpoint of {self.path} could be made at {path} ({error}); {advice(error)}"
            ) from error

    def compact(self) -> None:
        """Rewrite the files into as few bytes as they need."""
        self.flush()
        self.rewrite((None, None))

    def flush(self) -> None:
        """Write what is in memory to data files; the logs of it are removed.

        Raises:
            StoreWriteFailed: the disk refused.
        """
        try:
            self._rdict.flush()
        except Exception as error:
            raise self._not_rewritten(error) from error

    def slices(self, size_bytes: int) -> list[KeyRange]:
        """Cut all keys into ranges, each of about so many bytes of data files."""
        files = self._rdict.live_files()
        deepest = max((file["level"] for file in files), default=0)
        bounds: list[bytes | None] = [None]
        num_bytes = 0
        for file in sorted(files, key=lambda file: bytes(file["start_key"])):
            if file["level"] == deepest and num_bytes >= size_bytes:
                bounds.append(bytes(file["start_key"]))
                num_bytes = 0
            num_bytes += file["size"]
        return list(pairwise([*bounds, None]))

    def rewrite(self, keys: KeyRange) -> None:
        """Rewrite the files of a range of keys, without what was deleted.

        Other threads may write meanwhile.

        Raises:
            StoreWriteFailed: the disk refused; what was there is still there.
        """
        try:
            self._rdict.compact_range(*keys, beside_others())
        except Exception as error:
            raise self._not_rewritten(error) from error

    def close(self) -> None:
        """Close.

        Raises:
            StoreWriteFailed: the disk refused; what was not forced to it comes again
                from the source.
        """
        try:
            self._rdict.close()
        except Exception as error:
            raise StoreWriteFailed(
                f"store {self.path} could not be closed ({error}); {advice(error)}"
            ) from error

    def _not_rewritten(self, error: Exception) -> StoreWriteFailed:
        return StoreWriteFailed(
            f"the files of {self.path} could not be rewritten ({error}); free or mend the disk"
        )

    def _check_end(self, last_key: bytes) -> None:
        """Tell the end of the data from damage.

        A scan stops silently at a block that cannot be read.
        """
        iterator = self._rdict.iter()
        try:
            iterator.seek(last_key)
            if iterator.valid():
                iterator.next()
            iterator.status()
        except Exception as error:
            raise store_error(self.path, error) from error
