"""The manifest of a snapshot: `freshet.manifest.v1.Snapshot` on disk, our own frozen
types in code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format

from protos import manifest_v1_pb2 as manifest_pb
from stream.errors import SnapshotUnreadable, StoreMismatch, refusal
from stream.events.types import SourcePartition
from stream.feed import WriterMark

# Of the manifest's layout, docs/formats.md.
FORMAT_VERSION = 2
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class SnapshotShard:
    """One shard of a snapshot: its folder beside the manifest, and how far it was.

    Attributes:
        shard: its index.
        directory: relative to the manifest.
        sequence: batches applied since the store was made.
        watermark_ms: the largest event time applied; 0: none was.
        positions: the next offset of each partition.
        writer: the id of whoever wrote it last, in hexadecimal; empty: not known.
    """

    shard: int
    directory: str
    sequence: int
    watermark_ms: int
    positions: Mapping[SourcePartition, int]
    writer: str = ""

    @property
    def mark(self) -> WriterMark:
        """Its place in the shard's change feed."""
        return WriterMark(self.writer, self.sequence)


@dataclass(frozen=True, kw_only=True)
class SnapshotCounts:
    """How much is in a snapshot: sums over its shards that every write kept.

    Attributes:
        facts: (session, query or none, item, action) seen at least once.
        edge_facts: those of them that make edges.
        sessions: sessions with at least one fact.
        hyperedges: sessions of at least two distinct items.
        incidences: items over all hyperedges.
    """

    facts: int
    edge_facts: int
    sessions: int
    hyperedges: int
    incidences: int


@dataclass(frozen=True, kw_only=True)
class SnapshotInfo:
    """What a snapshot is a picture of.

    Attributes:
        snapshot_id: sorts by time.
        path: its folder.
        taken_ms: when, UTC epoch milliseconds.
        watermark_ms: minimum over the shards that have applied anything; 0: nothing was
            applied.
        graph_hash: `stream.reading.reader.GraphReader.graph_hash`.
        half_life_seconds: of the decay that edges were summed with.
        action_weights: as configured when it was taken.
        counts: how much is in it.
        shards: one entry a shard that holds anything.
    """

    snapshot_id: str
    path: Path
    taken_ms: int
    watermark_ms: int
    graph_hash: str
    half_life_seconds: float
    action_weights: Mapping[str, float]
    counts: SnapshotCounts
    shards: tuple[SnapshotShard, ...]

    def to_manifest(self) -> manifest_pb.Snapshot:
        """Return the protobuf message, without the path."""
        return manifest_pb.Snapshot(
            format_version=FORMAT_VERSION,
            snapshot_id=self.snapshot_id,
            taken_ms=self.taken_ms,
            watermark_ms=self.watermark_ms,
            graph_hash=self.graph_hash,
            shards=[_shard_to_proto(shard) for shard in self.shards],
            half_life_seconds=self.half_life_seconds,
            action_weights=dict(self.action_weights),
            counts=manifest_pb.Counts(**vars(self.counts)),
        )


def write_manifest(folder: Path, info: SnapshotInfo) -> None:
    """Write ``manifest.json`` into the folder of a snapshot that is being made."""
    text = json_format.MessageToJson(info.to_manifest(), preserving_proto_field_name=True)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(path: Path) -> SnapshotInfo:
    """Read the manifest of the snapshot at `path`.

    Raises:
        SnapshotUnreadable: there is none, or it or a shard's folder is damaged.
        StoreMismatch: it has a format that this version does not know.
    """
    try:
        text = (path / MANIFEST_NAME).read_text(encoding="utf-8")
        message = json_format.Parse(text, manifest_pb.Snapshot(), ignore_unknown_fields=True)
    except (OSError, UnicodeDecodeError, json_format.ParseError) as error:
        raise SnapshotUnreadable(
            f"{path} is no readable snapshot ({error}); {refusal(error) or 'take a new one'}"
        ) from error
    if message.format_version == 0:
        raise SnapshotUnreadable(
            f"{path} is no readable snapshot (its manifest is empty); take a new one"
        )
    if message.format_version != FORMAT_VERSION:
        raise StoreMismatch(
            f"snapshot {path} has format version {message.format_version}, this version of "
            "Freshet reads "
            f"{FORMAT_VERSION}; take a new one"
        )
    info = _from_proto(path, message)
    for shard in info.shards:
        _check_shard(path, shard.directory)
    return info


def _check_shard(path: Path, directory: str) -> None:
    if Path(directory).name != directory:
        raise SnapshotUnreadable(
            f"snapshot {path} names {directory[:80]!r}, which is no folder in it; take a new one"
        )
    try:
        is_there = (path / directory / "CURRENT").is_file()
    except OSError as error:
        raise SnapshotUnreadable(
            f"{directory[:80]!r} of snapshot {path} cannot be looked at ({error.strerror}); "
            f"{refusal(error) or 'take a new one'}"
        ) from error
    if not is_there:
        raise SnapshotUnreadable(f"snapshot {path} lacks {directory}; take a new one")


def _shard_to_proto(shard: SnapshotShard) -> manifest_pb.Shard:
    positions = [
        manifest_pb.Position(
            source=position.source, partition=position.partition, next_offset=offset
        )
        for position, offset in shard.positions.items()
    ]
    return manifest_pb.Shard(
        shard=shard.shard,
        directory=shard.directory,
        sequence=shard.sequence,
        watermark_ms=shard.watermark_ms,
        positions=positions,
        writer=shard.writer,
    )


def _from_proto(path: Path, message: manifest_pb.Snapshot) -> SnapshotInfo:
    counts = message.counts
    return SnapshotInfo(
        snapshot_id=message.snapshot_id,
        path=path,
        taken_ms=message.taken_ms,
        watermark_ms=message.watermark_ms,
        graph_hash=message.graph_hash,
        half_life_seconds=message.half_life_seconds,
        action_weights=dict(message.action_weights),
        counts=SnapshotCounts(
            facts=counts.facts,
            edge_facts=counts.edge_facts,
            sessions=counts.sessions,
            hyperedges=counts.hyperedges,
            incidences=counts.incidences,
        ),
        shards=tuple(_shard_from_proto(shard) for shard in message.shards),
    )


def _shard_from_proto(shard: manifest_pb.Shard) -> SnapshotShard:
    return SnapshotShard(
        shard=shard.shard,
        directory=shard.directory,
        sequence=shard.sequence,
        watermark_ms=shard.watermark_ms,
        positions={
            SourcePartition(position.source, position.partition): position.next_offset
            for position in shard.positions
        },
        writer=shard.writer,
    )
