"""What a new shard is told of the store that it is in: which ids are erased, and since
when facts may have been folded.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Self

from stream.events.columns import NO_KEY
from stream.events.types import SourcePartition
from stream.shard import codec
from stream.shard.codec import AuditEntry, ErasureTombstone, PartitionProgress, ShardState
from stream.shard.reader import ShardReader


class Sibling(NamedTuple):
    """What another shard of the store knows that a new one must know, too.

    Attributes:
        tombstones: of all erasures that it was asked for, or has made of them.
        positions: how far it had read the erasures topic by then.
        topic_ids: which topic that was.
        folded_before_ms: facts before this may have been folded; None: none was.
    """

    tombstones: tuple[ErasureTombstone, ...]
    positions: dict[SourcePartition, int]
    topic_ids: dict[str, str]
    folded_before_ms: int | None

    @classmethod
    def read(cls, shard: ShardReader, erasures_topic: str) -> Self:
        """Read it off a shard; one of an earlier format knows of no erasure.

        Raises:
            StoreUnreadable: an entry is damaged.
        """
        made_as = shard.format()
        if made_as is None or made_as.format_version != codec.FORMAT_VERSION:
            return cls((), {}, {}, None)
        positions = shard.positions().items()
        topic_ids = shard.topic_ids().items()
        return cls(
            tombstones=tuple(shard.tombstones()),
            positions={each: at for each, at in positions if each.source == erasures_topic},
            topic_ids={topic: found for topic, found in topic_ids if topic == erasures_topic},
            folded_before_ms=shard.state().folded_before_ms,
        )


def first_entries(siblings: Iterable[Sibling], now_ms: int) -> dict[bytes, bytes]:
    """Return the entries that a new shard begins with.

    What is erased is erased in it, too, also where the erasures topic no longer says
    so, and what was lifted since is not read again: it reads the topic on from where
    the furthest of its siblings is. The audit has an entry of each erasure. What is
    older than what was folded is too late in it, as it is in its siblings.

    Args:
        siblings: the other shards, those that can be read here.
        now_ms: the time, for the audit.
    """
    known = list(siblings)
    tombstones = {(each.kind, each.key): each for one in known for each in one.tombstones}
    asked = {
        place: each._replace(is_finished=True, facts=0, sessions=0)
        for place, each in sorted(tombstones.items())
    }
    entries = {
        codec.tombstone_key(each.kind, each.key): codec.pack_tombstone(each)
        for each in asked.values()
    }
    for number, record in enumerate(_audit(asked.values(), now_ms)):
        entries[codec.audit_key(0, number)] = codec.pack_audit(record)
    if known:
        furthest = max(known, key=lambda one: sum(one.positions.values()))
        for position, offset in furthest.positions.items():
            progress = PartitionProgress(offset, watermark_ms=None)
            entries[codec.position_key(position)] = codec.pack_partition_progress(progress)
        for topic, found in furthest.topic_ids.items():
            entries[codec.topic_id_key(topic)] = codec.pack_topic_id(found)
    folded = [one.folded_before_ms for one in known if one.folded_before_ms is not None]
    if folded:
        entries[codec.STATE_KEY] = codec.pack_state(ShardState(folded_before_ms=max(folded)))
    return entries


def _audit(tombstones: Iterable[ErasureTombstone], now_ms: int) -> Iterator[AuditEntry]:
    """Yield a record of each erasure that somebody asked for."""
    for each in tombstones:
        if each.cause == NO_KEY:
            yield AuditEntry("erased", each.kind, each.key, each.asked_ms, now_ms, 0, 0)
