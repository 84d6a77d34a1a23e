"""How fresh an overlay may say it is. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from model.artifact.overlay.segment import Claim, Mark, StageTimes
from protos import manifest_v1_pb2 as manifest_pb
from stream.feed.changes import ShardChanges, WriterMark


def first_claim(snapshot: manifest_pb.SnapshotRef) -> Claim:
    """Return what a generation claims by itself: the writes that its snapshot has.

    Up to when it has every record, a snapshot does not say.
    """
    return Claim(
        watermark_ms=snapshot.watermark_ms,
        marks={shard.shard: Mark(shard.writer, shard.sequence) for shard in snapshot.shards},
    )


def watermarks_of(snapshot: manifest_pb.SnapshotRef) -> dict[int, int]:
    """Return the largest event time that a snapshot has applied, by shard."""
    return {shard.shard: shard.watermark_ms for shard in snapshot.shards if shard.watermark_ms}


def with_reason(claim: Claim, reason: str, now_ms: int) -> Claim:
    """Return a claim as it is published: it says why it is behind, and nothing of what
    is yet to come by this machine's clock.
    """
    return replace(
        claim,
        reason=reason,
        reflected_ms=min(claim.reflected_ms, now_ms),
        catalog_reflected_ms=min(claim.catalog_reflected_ms, now_ms),
    )


def covers(new: Claim, old: Claim) -> bool:
    """Whether everything that one claim has is in another one, too: as servers see it
    (`server.overlay.coverage`).
    """
    if old.catalog_reflected_ms > max(new.catalog_reflected_ms, old.reflected_ms):
        return False
    if new.reflected_ms >= old.reflected_ms and (new.reflected_ms or not old.marks):
        return True
    return bool(old.marks) and all(
        shard in new.marks
        and new.marks[shard].writer == mark.writer
        and new.marks[shard].sequence >= mark.sequence
        for shard, mark in old.marks.items()
    )


def carried(new: Claim, old: Claim) -> Claim:
    """Return the claim of what covers `old`: what was true of that stays true."""
    return replace(
        new,
        reflected_ms=max(new.reflected_ms, old.reflected_ms),
        catalog_reflected_ms=max(new.catalog_reflected_ms, old.catalog_reflected_ms),
        watermark_ms=max(new.watermark_ms, old.watermark_ms),
    )


def marks_of(marks: Mapping[int, WriterMark]) -> dict[int, Mark]:
    """Return places in the feed as an overlay names them."""
    return {shard: Mark(mark.writer, mark.sequence) for shard, mark in marks.items()}


def places_of(marks: Mapping[int, Mark]) -> dict[int, WriterMark]:
    """Return what an overlay names as places in the feed."""
    return {shard: WriterMark(mark.writer, mark.sequence) for shard, mark in marks.items()}


def stages_of(changes: Iterable[ShardChanges]) -> tuple[StageTimes, StageTimes]:
    """Return when the oldest and the newest of some writes passed each stage."""
    writes = [
        (each.event_ms, each.oldest_record_ms, each.newest_record_ms, each.written_ms)
        for each in changes
    ]
    if not writes:
        return StageTimes(), StageTimes()
    events, oldest, newest, written = zip(*writes, strict=True)
    return (
        StageTimes(event_ms=_least(events), record_ms=_least(oldest), durable_ms=_least(written)),
        StageTimes(event_ms=max(events), record_ms=max(newest), durable_ms=max(written)),
    )


def _least(times_ms: Iterable[int]) -> int:
    """Return the least of the times that are known; 0: none is."""
    return min((each for each in times_ms if each), default=0)
