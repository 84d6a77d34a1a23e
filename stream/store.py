"""The store: one RocksDB a shard, opened for writing by one process, read by any number of others."""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast
from uuid import uuid4

import msgspec
from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    Checkpoint,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
)

from stream import codec
from stream.codec import ShardFormat, ShardState, StoredEdge, StoredSession
from stream.errors import (
    StoreBusy,
    StoreError,
    StoreMismatch,
    StoreMissing,
    StoreUnreadable,
    StoreWriteFailed,
)
from stream.events import CatalogItem, Position
from stream.facts import EdgeKey, EdgeState, SessionState
from stream.files import replace_file
from stream.settings import StreamSettings

logger = logging.getLogger(__name__)

MANIFEST_NAME = "store.json"
REQUESTS_NAME = "requests"

_BLOOM_BITS_PER_KEY = 10
_MAX_INFO_LOG_BYTES = 4 * 1024 * 1024
_MAX_KNOWN_NAMES = 200_000
_LOCK_WAIT_SECONDS = 5.0
_LOCK_RETRY_SECONDS = 0.02
_OPEN_ATTEMPTS = 100
_OPEN_RETRY_SECONDS = 0.01

_Key = TypeVar("_Key")
_Record = TypeVar("_Record")


class StoreManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What ``store.json`` says of a store.

    Attributes:
        format_version: of the layout in `stream.codec`.
        store_id: a random name, made once.
        num_shards: how many shards there are.
        half_life_seconds: of the decay that the edges were summed with.
    """

    format_version: int
    store_id: str
    num_shards: int
    half_life_seconds: float


def shard_name(index: int) -> str:
    """Return the name of a shard's folder."""
    return f"shard-{index:04d}"


def read_manifest(root: Path) -> StoreManifest:
    """Read ``store.json``.

    Raises:
        StoreMissing: there is no store at `root`.
        StoreUnreadable: the file does not parse.
        StoreMismatch: the store has a format that this version does not know.
    """
    path = root / MANIFEST_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=StoreManifest)
    except FileNotFoundError as error:
        if (root / shard_name(0)).exists():
            raise StoreUnreadable(
                f"store {root} has shards but no {MANIFEST_NAME}; restore the file, or build the store again"
            ) from error
        raise StoreMissing(
            f"there is no store at {root}; check the path, or make one with: freshet stream"
        ) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise StoreUnreadable(
            f"{path} cannot be read ({error}); restore it, or build the store again"
        ) from error
    if manifest.format_version != codec.FORMAT_VERSION:
        raise StoreMismatch(
            f"store {root} has format version {manifest.format_version}, this version of Freshet reads "
            f"{codec.FORMAT_VERSION}; use the version that wrote it, or build a new store from the source"
        )
    return manifest


class Store:
    """A store opened for writing; a shard is opened when it is asked for. Closing closes them all."""

    def __init__(self, root: Path, settings: StreamSettings, manifest: StoreManifest) -> None:
        self.root = root
        self.settings = settings
        self.store_id = manifest.store_id
        self.num_shards = manifest.num_shards
        self._shards: dict[int, Shard] = {}

    @classmethod
    def create_or_open(cls, root: Path, settings: StreamSettings, num_shards: int | None = None) -> "Store":
        """Open the store at `root`, made first where there is none.

        Args:
            root: the store's folder.
            settings: `half_life_seconds` must be the store's own.
            num_shards: must be the store's own; None: what it has, or `settings.num_shards` for a new one.

        Raises:
            StoreMismatch: the store was made with another half-life or shard count, or another version.
            StoreUnreadable: the store is damaged, or `root` cannot be written.
        """
        try:
            manifest = read_manifest(root)
        except StoreMissing:
            manifest = _create(root, settings, num_shards or settings.num_shards)
        _check_same(root, "half_life_seconds", manifest.half_life_seconds, settings.half_life_seconds)
        if num_shards is not None:
            _check_same(root, "num_shards", manifest.num_shards, num_shards)
        return cls(root, settings, manifest)

    def shard(self, index: int) -> "Shard":
        """Return a shard opened for writing, opening it on first use.

        Raises:
            StoreBusy: another process has it open.
            StoreUnreadable: its files are damaged.
            StoreMismatch: the folder is that of another shard.
        """
        if index not in self._shards:
            if not 0 <= index < self.num_shards:
                raise StoreMismatch(
                    f"store {self.root} has shards 0 to {self.num_shards - 1}, not {index}; "
                    "the topics' partition count must be the store's num_shards"
                )
            self._shards[index] = Shard(
                self.root, index, self.num_shards, self.settings, wait_seconds=_LOCK_WAIT_SECONDS
            )
        return self._shards[index]

    def open_shards(self) -> list["Shard"]:
        """Return the shards that are open now, by index."""
        return [shard for _, shard in sorted(self._shards.items())]

    def close_shard(self, index: int) -> None:
        """Force a shard to disk, close it and let others open it. Not open: nothing happens."""
        shard = self._shards.pop(index, None)
        if shard is not None:
            shard.close()

    def check_free(self) -> None:
        """Check that no other process has a shard open, waiting a moment for one that is just being copied.

        Raises:
            StoreBusy: one has.
        """
        for index in range(self.num_shards):
            lock = ShardLock(self.root, index)
            if index not in self._shards and not lock.acquire(_LOCK_WAIT_SECONDS):
                raise _busy(self.root / shard_name(index))
            lock.release()

    def sync_if_due(self) -> None:
        """Force to disk what has waited for longer than `sync_every_ms`; for the pauses between batches."""
        for shard in self._shards.values():
            shard.sync_if_due()

    def close(self) -> None:
        """Close all shards."""
        for index in list(self._shards):
            self.close_shard(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ShardReader:
    """Reads the records of one RocksDB. `path` is its folder, named in errors."""

    def __init__(self, path: Path, database: Rdict) -> None:
        self.path = path
        self._database = database

    def state(self) -> ShardState:
        """Return how far the shard is."""
        found = self._get([codec.STATE_KEY], [codec.STATE_KEY], codec.unpack_state)
        return found.get(codec.STATE_KEY, ShardState(0, None, 0))

    def format(self) -> ShardFormat | None:
        """Return what the shard was made as; None: it is brand new."""
        return self._get([codec.FORMAT_KEY], [codec.FORMAT_KEY], codec.unpack_format).get(codec.FORMAT_KEY)

    def positions(self) -> dict[Position, int]:
        """Return the next offset of every partition that was applied to this shard."""
        return dict(self._records(codec.POSITION, codec.unpack_position))

    def query_names(self) -> Iterator[tuple[int, str]]:
        """Yield ``(query_key, text)`` by key."""
        return self._records(codec.QUERY_NAME, codec.unpack_name)

    def item_names(self) -> Iterator[tuple[int, str]]:
        """Yield ``(item_key, item_id)`` by key."""
        return self._records(codec.ITEM_NAME, codec.unpack_name)

    def sessions(self) -> Iterator[StoredSession]:
        """Yield all sessions by key."""
        return self._records(codec.SESSION, codec.unpack_stored_session)

    def edges(self) -> Iterator[StoredEdge]:
        """Yield all edges by query key, then item key."""
        return self._records(codec.EDGE, codec.unpack_stored_edge)

    def edges_of_query(self, query_key: int) -> Iterator[StoredEdge]:
        """Yield the edges of one query by item key."""
        return self._records(codec.edge_prefix(query_key), codec.unpack_stored_edge)

    def catalog(self) -> Iterator[tuple[int, CatalogItem]]:
        """Yield ``(item_key, item)`` by key."""
        return self._records(codec.CATALOG, codec.unpack_catalog)

    def postings(self, query_key: int, item_key: int) -> Iterator[tuple[int, int]]:
        """Yield ``(session_key, latest_ms)`` of the sessions that have facts on an edge."""
        return self._records(codec.posting_prefix(query_key, item_key), codec.unpack_posting)

    def get_names(self, kind: bytes, keys: Sequence[int]) -> dict[int, str]:
        """Return the texts behind those keys that are known; `kind` is `codec.QUERY_NAME` or `ITEM_NAME`."""
        return self._get(keys, [codec.name_key(kind, key) for key in keys], codec.unpack_text)

    def get_sessions(self, keys: Sequence[int]) -> dict[int, SessionState]:
        """Return those of the sessions that are stored."""
        return self._get(keys, [codec.session_key(key) for key in keys], codec.unpack_session)

    def get_edges(self, keys: Sequence[EdgeKey]) -> dict[EdgeKey, EdgeState]:
        """Return those of the edges that are stored."""
        return self._get(keys, [codec.edge_key(*key) for key in keys], codec.unpack_edge)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _get(
        self, keys: Sequence[_Key], packed: list[bytes], unpack: Callable[[bytes], _Record]
    ) -> dict[_Key, _Record]:
        """Return the records that are stored under `packed`, by the key in `keys` that each stands for."""
        if not packed:
            return {}
        try:
            values = cast("list[bytes | None]", self._database.get(cast("list[Any]", packed)))
        except Exception as error:
            raise _store_error(self.path, error) from error
        found = {key: value for key, value in zip(keys, values, strict=True) if value is not None}
        try:
            return {key: unpack(value) for key, value in found.items()}
        except codec.BAD_RECORD_ERRORS as error:
            raise _store_error(self.path, error) from error

    def _records(self, prefix: bytes, unpack: Callable[[bytes, bytes], _Record]) -> Iterator[_Record]:
        for key, value in self._scan(prefix):
            try:
                record = unpack(key, value)
            except codec.BAD_RECORD_ERRORS as error:
                raise _store_error(self.path, error) from error
            yield record

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        key = prefix
        for key, value in self._database.items(from_key=prefix):  # type: ignore[assignment]  # raw mode: bytes
            if not key.startswith(prefix):
                return
            yield key, value
        self._check_end(key)

    def _check_end(self, last_key: bytes) -> None:
        """Tell the end of the data from damage: a scan stops silently at a block that cannot be read."""
        iterator = self._database.iter()
        try:
            iterator.seek(last_key)
            if iterator.valid():
                iterator.next()
            iterator.status()
        except Exception as error:
            raise _store_error(self.path, error) from error


class Shard(ShardReader):
    """One shard opened for writing. At most one process has it open at a time."""

    def __init__(
        self,
        root: Path,
        index: int,
        num_shards: int,
        settings: StreamSettings,
        *,
        wait_seconds: float = 0.0,
    ) -> None:
        self.index = index
        self.half_life_ms = settings.half_life_ms
        self.known_names = {codec.QUERY_NAME: BoundedKeys(), codec.ITEM_NAME: BoundedKeys()}
        self._sync_every_seconds = settings.sync_every_ms / 1000
        self._synced_at = time.monotonic()
        self._unsynced = False
        self._lock = ShardLock(root, index)
        path = root / shard_name(index)
        if not self._lock.acquire(wait_seconds):
            raise _busy(path)
        try:
            super().__init__(path, _open_database(path, settings))
            self._check_format(ShardFormat(codec.FORMAT_VERSION, index, num_shards, settings.half_life_ms))
        except BaseException:
            self._lock.release()
            raise

    def write(self, puts: Mapping[bytes, bytes]) -> None:
        """Apply all puts or none of them, in one write.

        Raises:
            StoreWriteFailed: the disk refused; nothing was applied.
        """
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key in sorted(puts):
            put(key, puts[key])
        try:
            self._database.write(batch)
        except Exception as error:
            raise StoreWriteFailed(
                f"store {self.path} could not be written ({error}); nothing of the batch was applied: "
                "free or mend the disk and start again"
            ) from error
        self._unsynced = True
        self.sync_if_due()

    def sync_if_due(self) -> None:
        """Force the log to disk if something has waited for longer than `sync_every_ms`."""
        if self._unsynced and time.monotonic() - self._synced_at >= self._sync_every_seconds:
            self.sync()

    def sync(self) -> None:
        """Force the log to disk.

        Raises:
            StoreWriteFailed: the disk refused.
        """
        try:
            self._database.flush_wal(sync=True)
        except Exception as error:
            raise StoreWriteFailed(
                f"store {self.path} could not be forced to disk ({error}); mend the disk"
            ) from error
        self._synced_at = time.monotonic()
        self._unsynced = False

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy of the shard at `path`: hard links on one filesystem, copies across two.

        Raises:
            StoreWriteFailed: it could not be made.
        """
        try:
            Checkpoint(self._database).create_checkpoint(str(path))
        except Exception as error:
            raise StoreWriteFailed(
                f"no checkpoint of {self.path} could be made at {path} ({error})"
            ) from error

    def compact(self) -> None:
        """Rewrite the shard's files into as few bytes as they need."""
        self._database.flush()
        self._database.compact_range(None, None)

    def close(self) -> None:
        """Force the shard to disk, close it, and let others open it.

        Raises:
            StoreWriteFailed: the disk refused; what was not forced to it comes again from the source.
        """
        try:
            if self._unsynced:
                self.sync()
        finally:
            try:
                self._database.close()
            except Exception as error:
                raise StoreWriteFailed(
                    f"store {self.path} could not be closed ({error}); free or mend the disk and start again"
                ) from error
            finally:
                self._lock.release()

    def _check_format(self, expected: ShardFormat) -> None:
        found = self.format()
        if found is None:
            self.write({codec.FORMAT_KEY: codec.pack_format(expected)})
        elif found != expected:
            self._database.close()
            raise StoreMismatch(
                f"store {self.path} was made as {found._asdict()}, but {expected._asdict()} is asked for; "
                "use its own settings, or build a new store from the source"
            )


class BoundedKeys(dict[str, int]):
    """Keys of texts known to be stored. It only saves reads, and is emptied when it has grown large."""

    def learn(self, keys: Mapping[str, int]) -> None:
        """Remember what a finished write stored."""
        if len(self) + len(keys) > _MAX_KNOWN_NAMES:
            self.clear()
        self.update(keys)


class ShardLock:
    """Who may write a shard, across processes: a lock that the kernel drops when its holder dies."""

    def __init__(self, root: Path, index: int) -> None:
        self._path = root / f"{shard_name(index)}.lock"
        self._descriptor: int | None = None

    def acquire(self, wait_seconds: float) -> bool:
        """Take the lock, or return False where another holds it for longer than `wait_seconds`."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return False
            time.sleep(_LOCK_RETRY_SECONDS)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back, if held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class FollowedShard(ShardReader):
    """One shard, or a checkpoint of one, opened for reading: as it was then, whoever goes on writing it.

    It is opened through a temporary folder of links, because opening writes files of its own: nothing in
    `path` is touched, and no right to write there is needed.
    """

    def __init__(self, path: Path) -> None:
        self._links = tempfile.TemporaryDirectory(prefix="freshet-reader-")
        try:
            super().__init__(path, _open_beside_writer(path, Path(self._links.name)))
        except BaseException:
            self._links.cleanup()
            raise

    def close(self) -> None:
        """Close the database and remove the links."""
        super().close()
        self._links.cleanup()


def follow_shards(folders: Sequence[Path]) -> list[FollowedShard]:
    """Open shards for reading, those that exist.

    Raises:
        StoreUnreadable: one of them is damaged.
    """
    shards: list[FollowedShard] = []
    try:
        shards.extend(FollowedShard(path) for path in folders if _holds_database(path))
    except StoreError:
        for shard in shards:
            shard.close()
        raise
    return shards


def _holds_database(path: Path) -> bool:
    """Return whether there is a database; False where its first write is still to come.

    Raises:
        StoreUnreadable: there was one, and its table of contents is gone.
    """
    if (path / "CURRENT").exists():
        return True
    if any(path.glob("*.sst")):
        raise StoreUnreadable(
            f"store {path} has data files but no CURRENT; restore it from a snapshot, or build it again"
        )
    return False


def _open_beside_writer(path: Path, links: Path) -> Rdict:
    """Open a database for reading, again where its writer put files away meanwhile.

    RocksDB reads first which data files there are, then the logs. A log that the writer turns into a data
    file between the two would be missed without a word: no file may be gone afterwards that was there before.
    """
    for attempt in range(1, _OPEN_ATTEMPTS + 1):
        before = _file_names(path)
        try:
            database = _open_linked(path, links / str(attempt))
        except Exception as error:
            if attempt == _OPEN_ATTEMPTS:
                raise _store_error(path, error) from error
        else:
            if before <= _file_names(path):
                return database
            database.close()
        time.sleep(_OPEN_RETRY_SECONDS)
    raise StoreUnreadable(f"store {path} is rewritten faster than it can be opened; try again")


def _open_linked(path: Path, links: Path) -> Rdict:
    """Open a database read-only through copies of its table of contents and links to its data and logs."""
    links.mkdir()
    current = (path / "CURRENT").read_bytes()
    contents_name = current.decode("ascii").strip()
    (links / "CURRENT").write_bytes(current)
    shutil.copyfile(path / contents_name, links / contents_name)
    for name in _file_names(path):
        (links / name).symlink_to(path.absolute() / name)
    options = Options(raw_mode=True)
    options.set_max_open_files(-1)
    return Rdict(str(links), options, access_type=AccessType.read_only(error_if_log_file_exist=False))


def _file_names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir() if file.suffix in {".sst", ".log"}}


def _open_database(path: Path, settings: StreamSettings) -> Rdict:
    try:
        return Rdict(str(path), _options(settings))
    except Exception as error:
        raise _store_error(path, error) from error


def _options(settings: StreamSettings) -> Options:
    """Translate our settings into RocksDB's; the only place that does."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(settings.block_cache_bytes))
    table.set_bloom_filter(_BLOOM_BITS_PER_KEY, block_based=False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_bottommost_compression_type(DBCompressionType.zstd())
    options.set_write_buffer_size(settings.memtable_bytes)
    options.set_max_total_wal_size(settings.max_wal_bytes)
    options.set_max_log_file_size(_MAX_INFO_LOG_BYTES)
    options.set_keep_log_file_num(2)
    return options


def _create(root: Path, settings: StreamSettings, num_shards: int) -> StoreManifest:
    manifest = StoreManifest(
        format_version=codec.FORMAT_VERSION,
        store_id=uuid4().hex,
        num_shards=num_shards,
        half_life_seconds=settings.half_life_seconds,
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        replace_file(root / MANIFEST_NAME, msgspec.json.encode(manifest) + b"\n")
    except OSError as error:
        raise StoreUnreadable(
            f"no store can be made at {root} ({error}); check the path and its rights"
        ) from error
    logger.info(
        "store made root=%s num_shards=%d half_life_seconds=%g", root, num_shards, manifest.half_life_seconds
    )
    return read_manifest(root)


def _check_same(root: Path, name: str, stored: float, configured: float) -> None:
    if stored != configured:
        raise StoreMismatch(
            f"store {root} was made with {name} = {stored}, but {configured} is configured; "
            f"set stream.{name} to {stored}, or build a new store from the source"
        )


def _busy(path: Path) -> StoreBusy:
    return StoreBusy(
        f"store {path} is open in another process (freshet stream?); stop that one, or use another store"
    )


def _store_error(path: Path, error: Exception) -> StoreError:
    text = str(error)
    if "LOCK" in text or "lock hold" in text:
        return _busy(path)
    if "No space left" in text:
        return StoreWriteFailed(f"store {path} could not be opened ({text}); free space and start again")
    return StoreUnreadable(
        f"store {path} cannot be read ({text}); restore it from a snapshot, or build it again"
    )
