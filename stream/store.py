"""The store: a folder of shards, one RocksDB each, and what it was made as."""

import logging
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

import msgspec

from stream import codec
from stream.errors import StoreMismatch, StoreMissing, StoreUnreadable
from stream.files import replace_file
from stream.locks import ShardLock, shard_name
from stream.rocks import Memory, busy
from stream.settings import StreamSettings
from stream.shard import Shard

logger = logging.getLogger(__name__)

MANIFEST_NAME = "store.json"
REQUESTS_NAME = "requests"

_LOCK_WAIT_SECONDS = 5.0


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
        self._memory = Memory(settings)
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
                self.root,
                index,
                self.num_shards,
                self.settings,
                memory=self._memory,
                wait_seconds=_LOCK_WAIT_SECONDS,
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
                raise busy(self.root / shard_name(index))
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
