"""The micro-batch: decoded records that wait to be written, and their
split by shard.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.events.columns import NO_KEY, EventColumns, References, ShardBatch, Texts
from stream.events.fast_path import DecodedBatch
from stream.events.types import CatalogItem, RecordBatch, Rejection, SourcePartition
from stream.kafka.partitioner import shard_of
from stream.reasons import Repair

MicroBatchPart = tuple[RecordBatch, DecodedBatch]


class MicroBatch:
    """Records with what was decoded from them, in the order in which they were read."""

    def __init__(self) -> None:
        self.parts: list[MicroBatchPart] = []
        self.num_events = 0

    def __len__(self) -> int:
        return len(self.parts)

    def add(self, batch: RecordBatch, decoded: DecodedBatch) -> None:
        """Add records."""
        self.parts.append((batch, decoded))
        self.num_events += (
            len(decoded.events) + len(decoded.items) + len(decoded.erasures) + len(decoded.searches)
        )

    @property
    def num_records(self) -> int:
        """How many records there are."""
        return sum(len(batch) for batch, _ in self.parts)

    @property
    def ignored(self) -> "Counter[str]":
        """How many valid messages were not about an item, by reason."""
        return sum((decoded.ignored for _, decoded in self.parts), Counter[str]())

    @property
    def num_searches(self) -> int:
        """How many texts of searches there are."""
        return sum(len(decoded.searches) for _, decoded in self.parts)

    @property
    def repairs(self) -> Counter[Repair]:
        """How often texts of items were cut or left out."""
        return sum((decoded.repairs for _, decoded in self.parts), Counter())

    @property
    def rejections(self) -> list[Rejection]:
        """The records that could not be decoded."""
        return [rejection for _, decoded in self.parts for rejection in decoded.rejections]

    @property
    def positions(self) -> dict[SourcePartition, int]:
        """The next offset to read of each partition after these records."""
        return {batch.position: batch.next_offset for batch, _ in self.parts}


class ShardRouter:
    """Splits a micro-batch by shard.

    Args:
        by_partition: a record's partition is its shard; otherwise its session, item or
            user decides.
        num_shards: of the store.
    """

    def __init__(self, num_shards: int, *, by_partition: bool) -> None:
        self._by_partition = by_partition
        self._num_shards = num_shards

    def split(
        self, micro_batch: MicroBatch, texts: Texts, own_shards: Collection[int] | None
    ) -> Iterator[tuple[int, ShardBatch]]:
        """Yield each shard's index and batch, only of `own_shards` where those are
        given.
        """
        cut = (
            self._by_partitions(micro_batch)
            if self._by_partition
            else self._by_ids(micro_batch, texts)
        )
        return (
            (index, shard_batch)
            for index, shard_batch in cut
            if own_shards is None or index in own_shards
        )

    def _by_partitions(self, micro_batch: MicroBatch) -> Iterator[tuple[int, ShardBatch]]:
        parts: dict[int, list[MicroBatchPart]] = {}
        for part in micro_batch.parts:
            batch, _ = part
            shard = batch.position.partition if batch.shard is None else batch.shard
            parts.setdefault(shard, []).append(part)
        for shard in sorted(parts):
            shard_batch = _joined(parts[shard])
            shard_batch.positions = {
                batch.position: batch.next_offset for batch in shard_batch.batches
            }
            yield shard, shard_batch

    def _by_ids(self, micro_batch: MicroBatch, texts: Texts) -> Iterator[tuple[int, ShardBatch]]:
        whole = _joined(micro_batch.parts)
        shard_of_event = self._shards_of_events(whole.events, texts)
        for shard in range(self._num_shards):
            is_here = np.flatnonzero(shard_of_event == shard)
            yield (
                shard,
                ShardBatch(
                    events=whole.events.take(is_here),
                    place=whole.place[is_here],
                    batches=whole.batches,
                    read_ms=whole.read_ms,
                    items=[item for item in whole.items if self._shard_of_item(item[0]) == shard],
                    erasures=whole.erasures,  # a session may be in several, too
                    positions=micro_batch.positions,
                    references=whole.references.take(shard_of_event == shard),
                    # Which shards an id's actions are in is not known: their sessions
                    # decide, which no search has to name.
                    searches=whole.searches,
                ),
            )

    def _shards_of_events(self, events: EventColumns, texts: Texts) -> NDArray[np.int64]:
        """Return the shard of each event, ``int64 [num_events]``: by its session's id,
        or by its user's id where it has no session.
        """
        if self._num_shards == 1:
            return np.zeros(len(events), dtype=np.int64)
        shards = np.empty(len(events), dtype=np.int64)
        has_session = events.session != NO_KEY
        for mask, keys, text_of in (
            (has_session, events.session, texts.sessions),
            (~has_session, events.user, texts.users),
        ):
            distinct, place = np.unique(keys[mask], return_inverse=True)
            found = [shard_of(text_of[key], self._num_shards) for key in distinct.tolist()]
            shards[mask] = np.array(found, dtype=np.int64)[place]
        return shards

    def _shard_of_item(self, item: CatalogItem) -> int:
        return shard_of(item.item_id, self._num_shards)


def _joined(parts: Sequence[MicroBatchPart]) -> ShardBatch:
    sizes = [len(decoded.events) for _, decoded in parts]
    return ShardBatch(
        events=EventColumns.concatenate([decoded.events for _, decoded in parts]),
        place=np.repeat(np.arange(len(parts), dtype=np.int32), sizes),
        batches=[batch for batch, _ in parts],
        read_ms=[decoded.read_ms for _, decoded in parts],
        items=[
            (item, place, row)
            for place, (_, decoded) in enumerate(parts)
            for item, row in decoded.items
        ],
        erasures=[erasure for _, decoded in parts for erasure in decoded.erasures],
        references=References.concatenate([decoded.references for _, decoded in parts], sizes),
        searches=[search for _, decoded in parts for search in decoded.searches],
    )
