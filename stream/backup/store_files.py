"""What of a store is in a backup: copied consistently, while it is written."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream.backup.manifest import BackedUpPosition, BackedUpShard, BackedUpStore
from stream.backup.writer import LocalFile
from stream.events.columns import NO_KEY
from stream.events.types import SourcePartition
from stream.quarantine.file import FILE_NAME as QUARANTINE_NAME
from stream.quarantine.redactions import REDACTIONS_NAME
from stream.reading.reader import GraphReader, open_graph
from stream.reading.snapshot import SnapshotInfo, take_snapshot
from stream.scratch import scratch_folder
from stream.settings import StreamSettings
from stream.store.checkpoints import NotedErasure
from stream.store.store import MANIFEST_NAME, StoreManifest, read_manifest

ERASURES_NAME = "erasures.jsonl"
"""Of the file that has the erasures that a backup knows of."""


class StoreCopy(NamedTuple):
    """A store as it was at one moment.

    Attributes:
        store: what the manifest says of it.
        files: of it, in a folder that goes when the context ends.
    """

    store: BackedUpStore
    files: list[LocalFile]


@contextmanager
def copied_store(
    root: Path, settings: StreamSettings, now_ms: int, *, is_checked: bool
) -> Iterator[StoreCopy]:
    """Yield a copy of a store, of hard links where it can be.

    Each shard is as it was after one of its writes, with the positions of that write.

    Args:
        root: the store's folder; another process may be writing it.
        settings: `snapshot_timeout_seconds` is used.
        now_ms: the time.
        is_checked: whether all of it is read, so that nothing damaged is backed up.

    Raises:
        StoreMissing: there is no store.
        StoreUnreadable: it is damaged.
        SnapshotError: the process that holds it did not answer, or could not.
        OSError: the copy cannot be made.
    """
    with scratch_folder(root) as scratch:
        snapshot = scratch / "snapshot"
        info = take_snapshot(root, snapshot, settings, now_ms)
        # Read after the shards, one of which might say that there are more by now.
        manifest = read_manifest(root)
        shutil.copyfile(root / MANIFEST_NAME, scratch / MANIFEST_NAME)
        with open_graph(snapshot, settings) as graph:
            if is_checked:
                for _, shard in graph.shards():
                    shard.check()
            (scratch / ERASURES_NAME).write_bytes(
                b"".join(msgspec.json.encode(each) + b"\n" for each in erasures_of(graph))
            )
        yield StoreCopy(
            store=_describe(manifest, info),
            files=[
                LocalFile("store", MANIFEST_NAME, scratch / MANIFEST_NAME),
                LocalFile("erasures", ERASURES_NAME, scratch / ERASURES_NAME),
                *_quarantine_files(root, scratch),
                *_shard_files(snapshot, info),
            ],
        )


def erasures_of(graph: GraphReader) -> list[NotedErasure]:
    """Return what is erased in any shard because somebody asked for it.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    asked: dict[tuple[str, int], NotedErasure] = {}
    for _, shard in graph.shards():
        for found in shard.tombstones():
            if found.cause == NO_KEY:
                key = f"{found.key:016x}"
                noted = NotedErasure(kind=found.kind, key=key, asked_ms=found.asked_ms)
                asked.setdefault((found.kind, found.key), noted)
    return [asked[place] for place in sorted(asked)]


def read_erasures(content: bytes) -> list[NotedErasure]:
    """Return the erasures in a backup's file of them.

    Raises:
        ValueError: it does not parse; so for all of `PARSE_ERRORS`.
    """
    lines: Iterable[bytes] = content.splitlines()
    return [msgspec.json.decode(line, type=NotedErasure) for line in lines]


def _quarantine_files(root: Path, scratch: Path) -> list[LocalFile]:
    """Copy a store's quarantine, after its shards: so all is there that was rejected
    before their positions.

    Notes of redactions come first, so that none speaks of a file from before it. A
    last line that is just being written is passed over by whoever reads the copy.
    """
    files = []
    for name in (REDACTIONS_NAME, QUARANTINE_NAME):
        with suppress(FileNotFoundError):
            target = scratch / Path(name).name
            shutil.copyfile(root / name, target)
            files.append(LocalFile("store", name, target))
    return files


def _shard_files(snapshot: Path, info: SnapshotInfo) -> list[LocalFile]:
    return [
        LocalFile(
            "store",
            f"{shard.directory}/{path.name}",
            path,
            is_final=path.suffix == ".sst",
        )
        for shard in info.shards
        for path in sorted((snapshot / shard.directory).iterdir())
    ]


def _describe(manifest: StoreManifest, info: SnapshotInfo) -> BackedUpStore:
    return BackedUpStore(
        store_id=manifest.store_id,
        num_shards=manifest.num_shards,
        graph_hash=info.graph_hash,
        facts=info.counts.facts,
        watermark_ms=info.watermark_ms,
        shards=tuple(
            BackedUpShard(
                shard=shard.shard, sequence=shard.sequence, positions=_positions(shard.positions)
            )
            for shard in info.shards
        ),
    )


def _positions(offsets: Mapping[SourcePartition, int]) -> tuple[BackedUpPosition, ...]:
    positions = [
        BackedUpPosition(
            source=position.source, partition=position.partition, next_offset=next_offset
        )
        for position, next_offset in offsets.items()
    ]
    return tuple(sorted(positions, key=lambda each: (each.source, each.partition)))
