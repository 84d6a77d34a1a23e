"""Pure: whether one view of the shop is at least as fresh as another."""

from collections.abc import Mapping
from dataclasses import replace

from model.artifact.overlay.segment import Claim, Mark
from protos import manifest_v1_pb2 as manifest_pb


def covers(new: Claim, old: Claim) -> bool:
    """Return whether all that `old` claims is in what `new` claims.

    It claims a time that is not before the other's, or it has every write of every
    shard that the other has; and it has what of the catalogue went ahead in the other.
    """
    if old.catalog_reflected_ms > max(new.catalog_reflected_ms, old.reflected_ms):
        return False
    if new.reflected_ms >= old.reflected_ms and (new.reflected_ms or not old.marks):
        return True
    return bool(old.marks) and all(
        shard in new.marks and _is_reached(new.marks[shard], mark)
        for shard, mark in old.marks.items()
    )


def carried(new: Claim, old: Claim) -> Claim:
    """Return the claim of what covers `old`: what was true of it stays true."""
    return replace(
        new,
        reflected_ms=max(new.reflected_ms, old.reflected_ms),
        catalog_reflected_ms=max(new.catalog_reflected_ms, old.catalog_reflected_ms),
        watermark_ms=max(new.watermark_ms, old.watermark_ms),
        marks=new.marks or old.marks,
    )


def claim_of_snapshot(snapshot: manifest_pb.SnapshotRef) -> Claim:
    """Return what a generation claims by itself: the writes in its snapshot."""
    return Claim(watermark_ms=snapshot.watermark_ms, marks=_marks_of(snapshot))


def _marks_of(snapshot: manifest_pb.SnapshotRef) -> Mapping[int, Mark]:
    """Return the newest write of each shard.

    Snapshots from before writers were recorded tell none.
    """
    shards = {shard.shard: Mark(shard.writer, shard.sequence) for shard in snapshot.shards}
    return shards if all(mark.writer for mark in shards.values()) else {}


def _is_reached(mark: Mark, wanted: Mark) -> bool:
    """Whether a write is the wanted one, or a later one of the same writer.

    Numbers of two writers cannot be compared: one may have begun from an old
    checkpoint.
    """
    return mark.writer == wanted.writer and mark.sequence >= wanted.sequence
