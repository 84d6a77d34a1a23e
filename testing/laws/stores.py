"""Where the shards of a case live, in memory or in RocksDB.

Opened, killed, copied, read.
"""

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from random import Random

from stream.settings import StreamSettings
from stream.shard.fencing import OWNER_NAME, Lease, shard_name
from stream.shard.locks import FileLock
from stream.shard.reader import ShardReader, open_views
from stream.shard.shard import Shard
from stream.store.store import Store
from testing.laws.case import CATALOG, CLICKS, ERASURES, VIEWS
from testing.stand_ins.memory_rocksdb import MemoryDatabase, MemoryDisk

_KILL_SHARE = 0.5  # of kills that keep all writes; the others are power cuts

SETTINGS = StreamSettings(
    sync_every_ms=60_000,
    feed_bytes=0,
    memtable_bytes=1024 * 1024,
    block_cache_bytes=1024 * 1024,
    clicks_topic=CLICKS,
    sessions_topic=VIEWS,
    catalog_topic=CATALOG,
    erasures_topic=ERASURES,
)
"""The clock forces nothing to disk, so that a case is the same whenever it is run."""


class CaseShards(ABC):
    """The shards of one store. A shard is opened by one worker at a time."""

    @abstractmethod
    def open(self, index: int) -> Shard:
        """Return a shard opened for writing."""

    @abstractmethod
    def close(self, index: int) -> None:
        """Close a shard, as a worker that is stopped does."""

    @abstractmethod
    def kill(self, index: int, draw: Random) -> None:
        """Leave a shard as it is while it is open, as a worker that is killed does."""

    @abstractmethod
    def checkpoint(self, index: int, name: str) -> None:
        """Copy a shard that is open."""

    @abstractmethod
    def restore(self, index: int, name: str) -> None:
        """Replace a closed shard by a copy."""

    @abstractmethod
    def readers(self) -> list[ShardReader]:
        """Open all shards for reading."""


class _MemoryLease(Lease):
    """A lease on a shard in memory, which no other process takes over."""

    def __init__(self, shard: Path) -> None:
        super().__init__(shard, 0, FileLock(shard / OWNER_NAME))

    @property
    def is_current(self) -> bool:
        """Always."""
        return True

    def remove_stale_epochs(self) -> None:
        """Nothing to do."""

    def release(self) -> None:
        """Nothing to do."""


class MemoryShards(CaseShards):
    """Shards on a `MemoryDisk`.

    A kill may be a power cut, which loses writes that were not forced to disk.

    Args:
        folder: what paths begin with; nothing but a feed is written there.
        num_shards: how many there are.
        settings: how they are opened; without a feed as they are.
    """

    def __init__(self, folder: Path, num_shards: int, settings: StreamSettings = SETTINGS) -> None:
        self._settings = settings
        self._root = folder
        self._num_shards = num_shards
        self._disk = MemoryDisk()
        self._shards: dict[int, Shard] = {}

    def open(self, index: int) -> Shard:
        """Return a shard opened for writing."""
        database = MemoryDatabase(self._folder(index), self._disk)
        self._shards[index] = Shard(
            _MemoryLease(database.path), index, self._num_shards, self._settings, database=database
        )
        return self._shards[index]

    def close(self, index: int) -> None:
        """Force a shard to disk and close it."""
        self._shards.pop(index).close()

    def kill(self, index: int, draw: Random) -> None:
        """Leave a shard as it is, or as some of its last writes had left it."""
        states = self._disk.states(self._folder(index))
        num_kept = len(states) if draw.random() < _KILL_SHARE else draw.randint(1, len(states))
        kept = states[:num_kept]
        self._shards.pop(index).close()
        states[:] = kept

    def checkpoint(self, index: int, name: str) -> None:
        """Copy a shard that is open."""
        self._shards[index].checkpoint(self._root / name)

    def restore(self, index: int, name: str) -> None:
        """Replace a closed shard by a copy."""
        self._disk.copy(self._root / name, self._folder(index))

    def readers(self) -> list[ShardReader]:
        """Open all shards for reading."""
        folders = map(self._folder, range(self._num_shards))
        return [ShardReader(MemoryDatabase(folder, self._disk)) for folder in folders]

    def _folder(self, index: int) -> Path:
        return self._root / shard_name(index)


class RocksShards(CaseShards):
    """Shards of a real store.

    Args:
        folder: where the store and copies are made.
        num_shards: how many there are.
    """

    def __init__(self, folder: Path, num_shards: int) -> None:
        self._root = folder / "store"
        self._copies = folder
        self._num_shards = num_shards
        self._stores: dict[int, Store] = {}

    def open(self, index: int) -> Shard:
        """Return a shard opened for writing."""
        self._stores[index] = Store.create_or_open(self._root, SETTINGS, self._num_shards)
        return self._stores[index].shard(index)

    def close(self, index: int) -> None:
        """Close a shard."""
        self._stores.pop(index).close()

    def kill(self, index: int, draw: Random) -> None:  # noqa: ARG002  # a power cut cannot be had here
        """Leave a shard's files in the state of a killed process: not closed."""
        shutil.copytree(self._folder(index), self._copies / "killed")
        self.close(index)
        self.restore(index, "killed")
        shutil.rmtree(self._copies / "killed")

    def checkpoint(self, index: int, name: str) -> None:
        """Copy a shard that is open."""
        self._stores[index].shard(index).checkpoint(self._copies / name)

    def restore(self, index: int, name: str) -> None:
        """Replace a closed shard by a copy."""
        shutil.rmtree(self._folder(index))
        shutil.copytree(self._copies / name, self._folder(index))

    def readers(self) -> list[ShardReader]:
        """Open all shards for reading."""
        return [*open_views([self._folder(index) for index in range(self._num_shards)])]

    def _folder(self, index: int) -> Path:
        return self._root / shard_name(index)
