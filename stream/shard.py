"""One shard's records: read by anybody, written by the one process that holds its lock."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from stream import codec
from stream.codec import ShardFormat, ShardState, StoredEdge, StoredSession
from stream.errors import StoreError, StoreMismatch
from stream.events import CatalogItem, Position
from stream.facts import EdgeKey, EdgeState, SessionState
from stream.locks import ShardLock, shard_name
from stream.rocks import Database, Memory, busy, holds_database, store_error
from stream.settings import StreamSettings

_MAX_KNOWN_NAMES = 200_000

_Key = TypeVar("_Key")
_Record = TypeVar("_Record")


class ShardReader:
    """Reads the records of one database."""

    def __init__(self, database: Database) -> None:
        self.path = database.path
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
        values = self._database.get(packed)
        try:
            return {key: unpack(value) for key, value in zip(keys, values, strict=True) if value is not None}
        except codec.BAD_RECORD_ERRORS as error:
            raise store_error(self.path, error) from error

    def _records(self, prefix: bytes, unpack: Callable[[bytes, bytes], _Record]) -> Iterator[_Record]:
        for key, value in self._database.scan(prefix):
            try:
                record = unpack(key, value)
            except codec.BAD_RECORD_ERRORS as error:
                raise store_error(self.path, error) from error
            yield record


class Shard(ShardReader):
    """One shard opened for writing. At most one process has it open at a time.

    Args:
        root: the store's folder.
        index: which of its shards.
        num_shards: how many there are.
        settings: how it is opened.
        memory: what it shares with other shards; None: it has its own.
        wait_seconds: how long to wait for another process to let go of it.

    Raises:
        StoreBusy: another process has it open.
        StoreUnreadable: its files are damaged.
        StoreMismatch: it was made as another shard, or with another half-life.
    """

    def __init__(
        self,
        root: Path,
        index: int,
        num_shards: int,
        settings: StreamSettings,
        *,
        memory: Memory | None = None,
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
            raise busy(path)
        try:
            super().__init__(Database.open(path, settings, memory))
            self._check_format(ShardFormat(codec.FORMAT_VERSION, index, num_shards, settings.half_life_ms))
        except BaseException:
            self._lock.release()
            raise

    def write(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> None:
        """Apply all puts and deletes or none of them, in one write.

        Raises:
            StoreWriteFailed: the disk refused; nothing was applied.
        """
        self._database.write(puts, deletes)
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
        self._database.sync()
        self._synced_at = time.monotonic()
        self._unsynced = False

    def checkpoint(self, path: Path) -> None:
        """Make a consistent copy of the shard at `path`: hard links on one filesystem, copies across two.

        Raises:
            StoreWriteFailed: it could not be made.
        """
        self._database.checkpoint(path)

    def compact(self) -> None:
        """Rewrite the shard's files into as few bytes as they need."""
        self._database.compact()

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


class FollowedShard(ShardReader):
    """One shard, or a checkpoint of one, opened for reading: as it was then, whoever goes on writing it.

    It is opened through a temporary folder of links, because opening writes files of its own: nothing in
    `path` is touched, and no right to write there is needed.
    """

    def __init__(self, path: Path) -> None:
        self._links = tempfile.TemporaryDirectory(prefix="freshet-reader-")
        try:
            super().__init__(Database.open_beside_writer(path, Path(self._links.name)))
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
        shards.extend(FollowedShard(path) for path in folders if holds_database(path))
    except StoreError:
        for shard in shards:
            shard.close()
        raise
    return shards
