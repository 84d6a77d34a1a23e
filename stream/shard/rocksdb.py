"""One RocksDB: opened for writing or beside its writer, read, scanned, written, copied.

Knows no records.
"""

import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Self, cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    CompactOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from stream.errors import (
    StoreBusy,
    StoreError,
    StoreRefused,
    StoreStalled,
    StoreUnreadable,
    StoreWriteFailed,
    refusal,
)
from stream.settings import StreamSettings

# Bits; RocksDB's usual choice: one look-up in a hundred reads a block in vain.
# Twice as many: one in ten thousand, for twice the memory.
_BLOOM_BITS_PER_KEY = 10
# Bytes of RocksDB's own log; only for whoever looks for the reason of a fault.
_MAX_INFO_LOG_BYTES = 4 * 1024 * 1024
# Files; RocksDB's default is 4. Twice as many are compacted half as often, and
# every scan merges up to twice as many.
_FILES_BEFORE_COMPACTION = 8
# Tries; with the pause below over a second, far longer than a flush takes.
_OPEN_ATTEMPTS = 100
# Seconds between two tries, so that a writer can finish its flush.
_OPEN_RETRY_SECONDS = 0.01
_READ_ONLY = AccessType.read_only(error_if_log_file_exist=False)


class Memory:
    """What all databases of a process share, so that their number does not multiply it.

    Args:
        settings: `block_cache_bytes` and `write_buffers_bytes`.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._cache = Cache(settings.block_cache_bytes)
        self._write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            settings.write_buffers_bytes,
            False,
            self._cache,  # it never stalls a writer
        )

    def limit(self, options: Options, table: BlockBasedOptions) -> None:
        """Make a database that is opened with these options share this memory."""
        table.set_block_cache(self._cache)
        options.set_write_buffer_manager(self._write_buffers)


Entry = tuple[bytes, bytes]
"""An entry of a database: its key and its value."""


KeyRange = tuple[bytes | None, bytes | None]
"""From a key up to another; None: from the first one, up to the last one."""


class Puts:
    """Entries to be written together.

    Those of a kind in ascending order of key are written fastest.
    """

    def __init__(self) -> None:
        self._sections: dict[bytes, tuple[list[bytes], list[bytes]]] = {}

    @classmethod
    def of(cls, records: Mapping[bytes, bytes]) -> Self:
        """Return records that are at hand by key."""
        puts = cls()
        for key in sorted(records):
            puts.put(key, records[key])
        return puts

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Return the records of all parts; of one key the last part's counts."""
        puts = cls()
        for part in parts:
            for keys, values in part.sections():
                puts.extend(keys, values)
        return puts

    def put(self, key: bytes, value: bytes) -> None:
        """Add one record."""
        keys, values = self._section(key)
        keys.append(key)
        values.append(value)

    def extend(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Add many records of one kind."""
        if keys:
            kept_keys, kept_values = self._section(keys[0])
            kept_keys += keys
            kept_values += values

    def newest(self, key: bytes) -> bytes | None:
        """Return the value that a key is given last; None: it is given none.

        Looks at all entries of its kind.
        """
        keys, values = self._sections.get(key[:1], ((), ()))
        found = [value for each, value in zip(keys, values, strict=True) if each == key]
        return found[-1] if found else None

    def sections(self) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield keys and values, a kind at a time, in ascending order of kind."""
        return (section for _, section in sorted(self._sections.items()))

    def _section(self, key: bytes) -> tuple[list[bytes], list[bytes]]:
        return self._sections.setdefault(key[:1], ([], []))


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
            options = _options(settings, memory or Memory(settings))
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

        RocksDB reads first which data files there are, then the logs. A log that the
        writer turns into a data file between the two would be missed without a word: no
        file may be gone afterwards that was there before, or it is opened again.

        Raises:
            StoreUnreadable: it is damaged, or rewritten faster than it can be opened.
        """
        for attempt in range(1, _OPEN_ATTEMPTS + 1):
            folder = find()
            before = _file_names(folder)
            try:
                rdict = _open_linked(folder, links / str(attempt))
            except Exception as error:
                if attempt == _OPEN_ATTEMPTS:
                    raise store_error(path, error) from error
            else:
                if before <= _file_names(folder):
                    return cls(path, rdict)
                rdict.close()
            time.sleep(_OPEN_RETRY_SECONDS)
        raise StoreUnreadable(f"store {path} is rewritten faster than it can be opened; try again")

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
            self._rdict.write(batch, write_opt=_without_waiting())
        except Exception as error:
            if "stall" in str(error).lower():
                raise StoreStalled(
                    f"store {self.path} cannot be written for the moment ({error}); it is tried "
                    "again"
                ) from error
            raise StoreWriteFailed(
                f"store {self.path} could not be written ({error}); nothing of the batch was "
                f"applied: {_advice(error)}"
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
                f"store {self.path} could not be written ({error}); {_advice(error)}"
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
                f"store {self.path} could not be forced to disk ({error}); {_advice(error)}"
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
                f"no checkpoint of {self.path} could be made at {path} ({error}); {_advice(error)}"
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
            self._rdict.compact_range(*keys, _beside_others())
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
                f"store {self.path} could not be closed ({error}); {_advice(error)}"
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


def holds_database(path: Path) -> bool:
    """Return whether there is a database; False where its first write is still to come.

    Raises:
        StoreUnreadable: there was one, and its table of contents is gone.
    """
    if (path / "CURRENT").exists():
        return True
    if any(path.glob("*.sst")):
        raise StoreUnreadable(
            f"store {path} has data files but no CURRENT; restore a backup (`freshet restore`), "
            "or build it again"
        )
    return False


def copy_while_written(source: Path, target: Path) -> None:
    """Copy a database into a folder, while another process may write it.

    Nothing where there is none.

    Data files are linked: they never change. The table of contents and the logs grow,
    so they are copied: the table first, then the logs from the newest back, because a
    log that has a successor is complete. As in `Database.open_while_written`, no file
    may be gone afterwards that was there before.

    Raises:
        StoreUnreadable: it is damaged, or rewritten faster than it can be copied.
        OSError: the disk refused.
    """
    if not holds_database(source):
        return
    kept = set(target.iterdir())
    for attempt in range(1, _OPEN_ATTEMPTS + 1):
        before = _file_names(source)
        try:
            _copy_files(source, target)
            _check_copy(target)
        except FileNotFoundError:
            pass  # deleted meanwhile
        except StoreError:
            if attempt == _OPEN_ATTEMPTS:
                raise
        else:
            if before <= _file_names(source):
                return
        for path in set(target.iterdir()) - kept:
            path.unlink()
        time.sleep(_OPEN_RETRY_SECONDS)
    raise StoreUnreadable(f"store {source} is rewritten faster than it can be copied; try again")


def busy(path: Path, holder: str = "") -> StoreBusy:
    """Return the error for a shard that another process has open.

    Args:
        path: the shard's folder.
        holder: which process; empty: unknown.
    """
    return StoreBusy(
        f"store {path} is open in another process ({holder or 'freshet stream?'}); "
        "stop that one, or use another store"
    )


def store_error(path: Path, error: Exception) -> StoreError:
    """Return what a third party's error, or a record that does not unpack, means for
    whoever runs it.
    """
    text = str(error)
    if "LOCK" in text or "lock hold" in text:
        return busy(path)
    if "No space left" in text:
        return StoreWriteFailed(
            f"store {path} could not be opened ({text}); free space and start again"
        )
    if refused := refusal(error):
        return StoreRefused(f"store {path} cannot be opened ({text}): {refused}, then start again")
    return StoreUnreadable(
        f"store {path} cannot be read ({text}); restore a backup (`freshet restore`), "
        "or build it again"
    )


def _advice(error: Exception) -> str:
    """Return what to do after a write failed."""
    return f"{refusal(error) or 'free or mend the disk'}, then start again"


def _open_linked(path: Path, links: Path) -> Rdict:
    """Open a database read-only through copies of its table of contents and links to
    its data and logs.
    """
    links.mkdir()
    current = (path / "CURRENT").read_bytes()
    contents_name = current.decode("ascii").strip()
    (links / "CURRENT").write_bytes(current)
    shutil.copyfile(path / contents_name, links / contents_name)
    for name in _file_names(path):
        (links / name).symlink_to(path.absolute() / name)
    options = Options(raw_mode=True)
    options.set_max_open_files(-1)
    return Rdict(str(links), options, access_type=_READ_ONLY)


def _copy_files(source: Path, target: Path) -> None:
    current = (source / "CURRENT").read_bytes()
    contents_name = current.decode("ascii").strip()
    shutil.copyfile(source / contents_name, target / contents_name)
    (target / "CURRENT").write_bytes(current)
    names = _file_names(source)
    for name in names:
        if name.endswith(".sst"):
            os.link(source / name, target / name)
    for name in sorted(
        (name for name in names if name.endswith(".log")), key=_file_number, reverse=True
    ):
        shutil.copyfile(source / name, target / name)


def _check_copy(path: Path) -> None:
    """Open a copy once, and drop the links to data files that its table of contents
    does not know yet.
    """
    try:
        rdict = Rdict(str(path), Options(raw_mode=True), access_type=_READ_ONLY)
        known = {file["name"].lstrip("/") for file in rdict.live_files()}
        rdict.close()
    except Exception as error:
        raise store_error(path, error) from error
    for file in path.glob("*.sst"):
        if file.name not in known:
            file.unlink()


def _file_number(name: str) -> int:
    return int(name.partition(".")[0])


def _without_waiting() -> WriteOptions:
    """A write that would have to wait fails instead.

    Waiting would hold the interpreter, and heartbeats.
    """
    options = WriteOptions()
    options.no_slowdown = True
    return options


def _beside_others() -> CompactOptions:
    """A compaction by hand that does not keep RocksDB from its own."""
    options = CompactOptions()
    options.set_exclusive_manual_compaction(False)
    return options


def _file_names(path: Path) -> set[str]:
    """Return the names of data files and logs; none where the folder is gone."""
    try:
        return {file.name for file in path.iterdir() if file.suffix in {".sst", ".log"}}
    except FileNotFoundError:
        return set()


def _options(settings: StreamSettings, memory: Memory) -> Options:
    """Translate our settings into RocksDB's; the only place that does."""
    table = BlockBasedOptions()
    table.set_bloom_filter(_BLOOM_BITS_PER_KEY, block_based=False)
    options = Options(raw_mode=True)
    memory.limit(options, table)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(settings.memtable_bytes)
    # A shard is written by one thread, which then need not guard against others.
    options.set_allow_concurrent_memtable_write(False)
    options.set_level_zero_file_num_compaction_trigger(_FILES_BEFORE_COMPACTION)
    options.set_max_total_wal_size(settings.max_wal_bytes)
    options.set_max_log_file_size(_MAX_INFO_LOG_BYTES)
    options.set_keep_log_file_num(2)
    return options
