"""The store: a folder of shards, one RocksDB each, and what it was made as."""

import logging
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from stream.errors import (
    StoreMismatch,
    StoreMissing,
    StoreUnreadable,
    refusal,
)
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.fencing import is_free, shard_name
from stream.shard.rocksdb import busy
from stream.shard.shard import Shard
from stream.store.manifest import (
    MANIFEST_NAME,
    UNFINISHED_RESTORE_NAME,
    StoreManifest,
    check_none_is_gone,
    note_format_version,
    read_manifest,
    write_manifest,
)
from stream.store.ownership import Ownership

logger = logging.getLogger(__name__)

__all__ = [
    "MANIFEST_NAME",
    "REQUESTS_NAME",
    "Store",
    "StoreManifest",
    "check_none_is_gone",
    "read_manifest",
]

REQUESTS_NAME = "requests"


class Store:
    """A store opened for writing; a shard is opened when it is asked for.

    Closing closes them all.

    Attributes:
        root: the store's folder.
        settings: how it is opened.
        store_id: what its manifest says.
        ownership: which of its shards this process has, and how they come and go with
            Kafka's group.
    """

    def __init__(
        self,
        root: Path,
        settings: StreamSettings,
        manifest: StoreManifest,
        metrics: StreamMetrics | None = None,
    ) -> None:
        self.root = root
        self.settings = settings
        self.store_id = manifest.store_id
        self._format_version = manifest.format_version
        self.ownership = Ownership(root, manifest.num_shards, settings, metrics)

    @classmethod
    def create_or_open(
        cls,
        root: Path,
        settings: StreamSettings,
        num_shards: int | None = None,
        metrics: StreamMetrics | None = None,
    ) -> "Store":
        """Open the store at `root`, made first where there is none.

        Args:
            root: the store's folder.
            settings: `half_life_seconds` and `session_gap_seconds` must be the store's
                own.
            num_shards: of a new one; one that there is and has fewer is grown. None:
                what it has, or `settings.num_shards` for a new one.
            metrics: what is counted; None: nothing.

        Raises:
            StoreMismatch: the store was made with another half-life or session gap,
                or another version.
            StoreUnreadable: the store is damaged, or `root` cannot be written.
            StoreMissing: a backup is being restored into `root`.
        """
        try:
            manifest = read_manifest(root)
        except StoreMissing:
            manifest = _create(root, settings, num_shards or settings.num_shards)
        _check_same(
            root, "half_life_seconds", manifest.half_life_seconds, settings.half_life_seconds
        )
        _check_same(
            root, "session_gap_seconds", manifest.session_gap_seconds, settings.session_gap_seconds
        )
        store = cls(root, settings, manifest, metrics)
        if num_shards is not None:
            store.ownership.grow(num_shards)
        return store

    @property
    def num_shards(self) -> int:
        """How many shards it has, as far as this process knows."""
        return self.ownership.num_shards

    def grow(self, num_shards: int) -> None:
        """Give the store so many shards, as `stream.store.manifest.grow` does.

        Raises:
            StoreMismatch: it has more already, or cannot have so many.
            StoreBusy: another process is changing ``store.json``, and does not end.
            StoreWriteFailed: the disk refused; the store is as it was.
        """
        self.ownership.grow(num_shards)
        if self.num_shards > num_shards:
            raise StoreMismatch(
                f"store {self.root} has {self.num_shards} shards, and cannot have only "
                f"{num_shards}: the facts of the others would have no place; build a new store "
                "from the source"
            )

    def shard(self, index: int) -> "Shard":
        """Return a shard opened for writing, opening it on first use.

        Raises:
            StoreBusy: another process has it open.
            StoreUnreadable: its files are damaged.
            StoreMismatch: the folder is that of another shard.
        """
        shard = self.ownership.open(index)
        self._note_upgrade()
        return shard

    def open_shards(self) -> list["Shard"]:
        """Return the shards that are open now, by index."""
        return list(self.ownership.open_shards().values())

    def close_shard(self, index: int) -> None:
        """Force a shard to disk, close it and let others open it.

        Not open: nothing happens.
        """
        self.ownership.release(index)

    def check_free(self) -> None:
        """Check that no other process has a shard open, waiting a moment for one that
        is just being copied.

        Raises:
            StoreBusy: one has.
        """
        ours = self.ownership.open_shards()
        for index in range(self.num_shards):
            path = self.root / shard_name(index)
            if index not in ours and not is_free(path, self.settings.takeover_wait_seconds):
                raise busy(path)

    def sync_if_due(self) -> None:
        """Force to disk what has waited for longer than `sync_every_ms`.

        For the pauses between batches.
        """
        for shard in self.open_shards():
            shard.sync_if_due()

    def close(self) -> None:
        """Close all shards."""
        self.ownership.close()

    def upgrade(self) -> None:
        """Bring a store of format version 1 to the present one: opening a shard does.

        Raises:
            StoreBusy: another process has a shard open.
            StoreError: it is damaged, or the disk refused; what was done stays, and it
                can be done again.
        """
        for index in range(self.num_shards):
            self.shard(index)

    def _note_upgrade(self) -> None:
        """Put the present format version into ``store.json`` once every shard is seen
        to have it.
        """
        if (
            self._format_version != codec.FORMAT_VERSION
            and len(self.open_shards()) == self.num_shards
        ):
            self._format_version = note_format_version(self.root).format_version
            logger.info("store upgraded root=%s format_version=%d", self.root, codec.FORMAT_VERSION)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _create(root: Path, settings: StreamSettings, num_shards: int) -> StoreManifest:
    manifest = StoreManifest(
        format_version=codec.FORMAT_VERSION,
        store_id=uuid4().hex,
        num_shards=num_shards,
        half_life_seconds=settings.half_life_seconds,
        session_gap_seconds=settings.session_gap_seconds,
    )
    if (root / UNFINISHED_RESTORE_NAME).exists():
        raise StoreMissing(
            f"a backup is being restored into {root}, or was and the restore broke off; wait for "
            "it, or do it again, or remove what it left to begin with an empty store"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        write_manifest(root, manifest)
    except FileExistsError as error:
        what = "a link to what is not there" if root.is_symlink() else "a file"
        raise StoreMissing(
            f"{root} is {what}; name a folder, which need not be there yet"
        ) from error
    except OSError as error:
        raise StoreUnreadable(
            f"no store can be made at {root} ({error}); {refusal(error) or 'check the path'}"
        ) from error
    logger.info(
        "store made root=%s num_shards=%d half_life_seconds=%g",
        root,
        num_shards,
        manifest.half_life_seconds,
    )
    return read_manifest(root)


def _check_same(root: Path, name: str, stored: float, configured: float) -> None:
    if stored != configured:
        raise StoreMismatch(
            f"store {root} was made with {name} = {stored}, but {configured} is configured; "
            f"set stream.{name} to {stored}, or build a new store from the source"
        )
