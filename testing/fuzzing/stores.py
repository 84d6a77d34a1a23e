"""Readers of what the stream keeps: entries and files of stores, snapshots, the change
feed, manifests of backups, the quarantine.
"""

import hashlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from stream.actions import Action
from stream.backup.manifest import (
    FORMAT_VERSION,
    BackedUpArtifacts,
    BackedUpFile,
    BackedUpPosition,
    BackedUpShard,
    BackedUpStore,
    Backup,
    decode_backup,
)
from stream.backup.store_files import read_erasures
from stream.changes.erasure.erase import erase
from stream.errors import (
    PARSE_ERRORS,
    BackupError,
    FeedUnreadable,
    SnapshotError,
    StoreError,
)
from stream.events.types import CatalogItem, Erasure, Record, Rejection, SourcePartition
from stream.feed import open_feed
from stream.feed.codec import BAD_RECORD_ERRORS, pack_changes, unpack_changes
from stream.quarantine.file import FileQuarantine, read_quarantine
from stream.quarantine.records import QuarantinedRecord
from stream.reading.reader import open_graph
from stream.reading.snapshot import read_manifest, take_snapshot
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.store.checkpoints import NotedErasure
from stream.store.store import Store
from testing.fuzzing.folders import folder_target
from testing.fuzzing.target import Prepared, Target
from testing.histories import NOON_MS, apply_events, event

# No fsync: thousands of stores are written, and none must outlive a power cut.
_SETTINGS = StreamSettings(sync_every_ms=60_000, erasure_horizon_seconds=0.0)
_DIGEST = hashlib.sha256(b"").hexdigest()


def small_store(root: Path) -> None:
    """Make a store of one shard that has entries of every kind but folded ones."""
    with Store.create_or_open(root, _SETTINGS, 1) as store:
        shard = store.shard(0)
        shopped = [
            event(
                f"s-{number}", query, f"i-{number % 5}", NOON_MS + number, action, f"u-{number % 3}"
            )
            for number, (query, action) in enumerate(
                [("tv ü", Action.CLICK), ("", Action.VIEW), ("red", Action.PURCHASE)] * 6
            )
        ]
        crowd = [event("crawler", "all", f"i-{n}", NOON_MS + n) for n in range(codec.WIDE_ROWS + 5)]
        items = [CatalogItem(item_id=f"i-{n}", title=f"T {n}", ts_ms=NOON_MS) for n in range(5)]
        positions = {SourcePartition("topic", 3): 42}
        apply_events(shard, [*shopped, *crowd], items, positions)
        erase(shard, [Erasure(kind="user", id="u-1", ts_ms=NOON_MS)], NOON_MS)
        apply_events(shard, [event("s-9", "late", "i-1", NOON_MS + 99)], positions=positions)


def _read_whole(root: Path) -> None:
    """Read all of a store or snapshot."""
    with open_graph(root, _SETTINGS) as graph:
        graph.arrays()
        graph.graph_hash()
        graph.positions()
        for _ in graph.dump():
            pass
        for _, shard in graph.shards():
            list(shard.tombstones())


def _entries_of(root: Path) -> list[tuple[bytes, bytes]]:
    """Return some entries of each kind of a small store."""
    small_store(root)
    found: list[tuple[bytes, bytes]] = []
    with open_graph(root, _SETTINGS) as graph:
        for _, shard in graph.shards():
            for kind in range(256):
                some = list(shard.entries(bytes([kind])))
                found += [*some[:4], *some[-2:]]
    return found


def _session(key: bytes, value: bytes) -> None:
    record = codec.unpack_session(value)
    if record.items is None:
        codec.facts_of_sessions(codec.unpack_keys([key]), [record])


def _meta(key: bytes, value: bytes) -> None:
    if key == codec.FORMAT_KEY:
        codec.unpack_format(value)
    elif key == codec.STATE_KEY:
        codec.unpack_state(value)
    elif key.startswith(codec.TOPIC_ID):
        codec.unpack_topic_id(key, value)


def _erased(key: bytes, value: bytes) -> None:
    if key[1:2] in codec.ERASURE_KINDS.values():
        codec.unpack_tombstone(key, value)
    else:
        codec.unpack_seen_user(key)


_UNPACK: MappingProxyType[bytes, Callable[[bytes, bytes], Any]] = MappingProxyType(
    {
        codec.META: _meta,
        codec.POSITION: codec.unpack_partition_progress,
        codec.QUERY_NAME: codec.unpack_name,
        codec.ITEM_NAME: codec.unpack_name,
        codec.CATALOG: codec.unpack_catalog,
        codec.SESSION: _session,
        codec.BY_QUERY: lambda key, value: codec.by_query([key], [value]),
        codec.BY_ITEM: lambda key, value: codec.by_item([key], [value]),
        codec.USER: lambda key, value: (codec.unpack_keys([key]), codec.unpack_users(value)),
        codec.DIRTY: lambda key, value: (codec.unpack_sequence(key), codec.unpack_dirty(value)),
        codec.ERASED: _erased,
        codec.AUDIT: lambda key, value: (
            codec.unpack_audit_sequence(key),
            codec.unpack_audit(value),
        ),
        codec.FOLDED: lambda key, value: (
            codec.unpack_folded_pair(key),
            codec.unpack_folded(value),
        ),
        codec.WINDOWS: lambda key, value: codec.unpack_windows(codec.unpack_keys([key]), [value]),
        codec.WIDE_FACT: lambda key, value: codec.unpack_wide_facts([key], [value]),
        codec.PURGED: codec.unpack_purge,
    }
)


def _prepare_entries(folder: Path) -> Prepared:
    """Entries of a shard, unpacked by themselves; every other input is a key."""
    entries = [each for each in _entries_of(folder / "store") if each[0][:1] in _UNPACK]
    seeds = [content for entry in entries for content in entry]

    def read(number: int, content: bytes) -> None:
        key, value = entries[number // 2]
        unpack = _UNPACK[key[:1]]
        unpack(*((content, value) if number % 2 == 0 else (key, content)))

    return Prepared(seeds=seeds, read=read)


def _prepare_written(folder: Path) -> Prepared:
    """Entries of a shard, changed in the store, and the whole store read."""
    root = folder / "store"
    # what the store was made as is read by whoever writes it, before anything is
    entries = [each for each in _entries_of(root) if each[0][:1] != codec.META]
    store = Store.create_or_open(root, _SETTINGS, 1)

    def read(number: int, content: bytes) -> None:
        key, value = entries[number]
        shard = store.shard(0)
        shard.write(ShardWrite.of({key: content}, []))
        try:
            _read_whole(root)
        finally:
            shard.write(ShardWrite.of({key: value}, []))

    return Prepared(seeds=[value for _, value in entries], read=read, close=store.close)


def _prepare_store(folder: Path) -> Prepared:
    """Files of a store that nobody has open."""
    small_store(folder / "store")
    return folder_target(folder / "store", partial(_read_whole, folder / "store"))


def _prepare_snapshot(folder: Path) -> Prepared:
    """Files of a snapshot."""
    small_store(folder / "store")
    out = folder / "snapshot"
    take_snapshot(folder / "store", out, _SETTINGS, NOON_MS)
    shutil.rmtree(folder / "store")

    def read() -> None:
        read_manifest(out)
        _read_whole(out)

    return folder_target(out, read)


def _prepare_manifests(folder: Path) -> Prepared:
    """The manifests of a store and a snapshot alone: they are the only files of them
    without a checksum.
    """
    small_store(folder / "store")
    out = folder / "snapshot"
    take_snapshot(folder / "store", out, _SETTINGS, NOON_MS)
    paths = [out / "manifest.json", folder / "store" / "store.json"]

    def read() -> None:
        read_manifest(out)
        open_graph(folder / "store", _SETTINGS).close()

    return folder_target(folder, read, paths=paths)


def _prepare_feed(folder: Path) -> Prepared:
    """Files of a change feed: logs and status."""
    small_store(folder / "store")
    feed = folder / "store" / "feed"

    def read() -> None:
        reader = open_feed(folder / "store")
        reader.read({})
        reader.close()

    return folder_target(feed, read)


def _prepare_feed_records(folder: Path) -> Prepared:
    """Records of a change feed, behind their checksum."""
    small_store(folder / "store")
    reader = open_feed(folder / "store")
    seeds = [pack_changes(each) for each in reader.read({}).changes]
    reader.close()
    return Prepared(
        seeds=[min(seeds, key=len), *seeds],
        read=lambda _number, content: _unpack_record(content),
    )


def _unpack_record(content: bytes) -> None:
    unpack_changes(content)


_BACKUP = Backup(
    format_version=FORMAT_VERSION,
    backup_id="20261123T151500Z-a1b2c3",
    taken_ms=NOON_MS,
    store=BackedUpStore(
        store_id="0" * 32,
        num_shards=1,
        graph_hash=_DIGEST,
        facts=3,
        watermark_ms=NOON_MS,
        shards=(
            BackedUpShard(
                shard=0,
                sequence=2,
                positions=(BackedUpPosition(source="topic", partition=3, next_offset=42),),
            ),
        ),
    ),
    artifacts=BackedUpArtifacts(
        generation_id="20261123T151500Z-a1b2c3",
        generation_ids=("20261123T151500Z-a1b2c3",),
        overlay_sequence=4,
        reflected_ms=NOON_MS,
    ),
    files=(BackedUpFile(part="store", name="shard-0000/000008.sst", size=9, sha256=_DIGEST),),
)


def _seal_backup(_number: int, body: bytes) -> bytes:
    return b'{"sha256":"%s","backup":%s}\n' % (hashlib.sha256(body).hexdigest().encode(), body)


def _prepare_backups(_folder: Path) -> Prepared:
    """Manifests of backups, behind their checksum."""
    body = msgspec.json.encode(_BACKUP)
    return Prepared(
        seeds=[body], read=lambda _number, content: _ignore(decode_backup(content, "backup"))
    )


def _prepare_erasures(_folder: Path) -> Prepared:
    """What a backup says is erased."""
    noted = NotedErasure(kind="user", key="00c0ffee00c0ffee", asked_ms=NOON_MS)
    return Prepared(
        seeds=[msgspec.json.encode(noted) + b"\n"],
        read=lambda _number, content: _ignore(read_erasures(content)),
    )


def _prepare_quarantine(folder: Path) -> Prepared:
    """Lines of a quarantine file; each is decoded again as a record."""
    path = folder / "quarantine" / "rejected.jsonl"
    record = Record(
        position=SourcePartition("file", 0),
        offset=7,
        next_offset=8,
        content_type="x/y",
        key=b"k",
        value=b"{",
        time_ms=NOON_MS,
        raw_headers=[("trace", b"\xff"), ("empty", None)],
    )
    quarantine = FileQuarantine(path)
    quarantine.put([Rejection(record=record, reason="malformed", detail="no JSON")], NOON_MS)
    quarantine.close()

    def read() -> None:
        for each in read_quarantine(path):
            _ignore(each.record)

    return folder_target(path.parent, read, paths=[path])


def _ignore(_found: Backup | list[NotedErasure] | Record | QuarantinedRecord) -> None:
    """Take what was read: that it could be is all."""


TARGETS = (
    Target(name="entries", share=3000, prepare=_prepare_entries, refusals=codec.BAD_ENTRY_ERRORS),
    Target(name="written entries", share=10, prepare=_prepare_written, refusals=(StoreError,)),
    Target(name="store files", share=2, prepare=_prepare_store, refusals=(StoreError,)),
    Target(
        name="snapshot files",
        share=2,
        prepare=_prepare_snapshot,
        refusals=(StoreError, SnapshotError),
    ),
    Target(
        name="manifests",
        share=100,
        prepare=_prepare_manifests,
        refusals=(StoreError, SnapshotError),
    ),
    Target(name="feed files", share=150, prepare=_prepare_feed, refusals=(FeedUnreadable,)),
    Target(
        name="feed records",
        share=600,
        prepare=_prepare_feed_records,
        refusals=BAD_RECORD_ERRORS,
    ),
    Target(
        name="backups",
        share=1500,
        prepare=_prepare_backups,
        refusals=(BackupError,),
        seal=_seal_backup,
    ),
    Target(
        name="erasures of backups",
        share=1500,
        prepare=_prepare_erasures,
        refusals=PARSE_ERRORS,
    ),
    Target(name="quarantine", share=150, prepare=_prepare_quarantine),
)
"""What the stream keeps."""
