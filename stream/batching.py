"""What was decoded and waits to be written, and which shard each part
of it belongs to.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.events.columns import NO_KEY, EventColumns, ShardBatch, Texts
from stream.events.fast_path import DecodedBatch
from stream.events.types import CatalogItem, Erasure, Position, RecordBatch, Rejection
from stream.kafka.partitioner import shard_of

Entry = tuple[RecordBatch, DecodedBatch]


class Intake:
    """Batches of records with what they hold, in the order in which they were read."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.num_events = 0

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, batch: RecordBatch, decoded: DecodedBatch) -> None:
        """Add records."""
        self.entries.append((batch, decoded))
        self.num_events += len(decoded.events) + len(decoded.items) + len(decoded.erasures)

    @property
    def num_records(self) -> int:
        """How many records there are."""
        return sum(len(batch) for batch, _ in self.entries)

    @property
    def num_ignored(self) -> int:
        """How many messages were in order but not about an item."""
        return sum(decoded.num_ignored for _, decoded in self.entries)

    @property
    def rejections(self) -> list[Rejection]:
        """What could not be decoded."""
        return [rejection for _, decoded in self.entries for rejection in decoded.rejections]

    @property
    def positions(self) -> dict[Position, int]:
        """Where reading goes on in each partition after all of this."""
        return {batch.position: batch.next_offset for batch, _ in self.entries}


class Sharding:
    """Cuts what was taken in into what each shard gets.

    Args:
        by_partition: a record's partition is its shard; otherwise its session, item or
            user decides.
        num_shards: of the store.
    """

    def __init__(self, num_shards: int, *, by_partition: bool) -> None:
        self._by_partition = by_partition
        self._num_shards = num_shards

    def shares(
        self, intake: Intake, texts: Texts, own_shards: Collection[int] | None
    ) -> Iterator[tuple[int, ShardBatch]]:
        """Yield what each shard gets, by shard.

        Only of `own_shards`, where those are given.
        """
        cut = self._by_partitions(intake) if self._by_partition else self._by_ids(intake, texts)
        return ((index, share) for index, share in cut if own_shards is None or index in own_shards)

    def _by_partitions(self, intake: Intake) -> Iterator[tuple[int, ShardBatch]]:
        entries: dict[int, list[Entry]] = {}
        for entry in intake.entries:
            batch, _ = entry
            shard = batch.position.partition if batch.shard is None else batch.shard
            entries.setdefault(shard, []).append(entry)
        for shard in sorted(entries):
            share = _all_of(entries[shard])
            share.positions = {batch.position: batch.next_offset for batch in share.batches}
            yield shard, share

    def _by_ids(self, intake: Intake, texts: Texts) -> Iterator[tuple[int, ShardBatch]]:
        whole = _all_of(intake.entries)
        shard_of_event = self._shards_of_events(whole.events, texts)
        for shard in range(self._num_shards):
            is_here = np.flatnonzero(shard_of_event == shard)
            yield (
                shard,
                ShardBatch(
                    events=whole.events.take(is_here),
                    place=whole.place[is_here],
                    batches=whole.batches,
                    items=[item for item in whole.items if self._shard_of_item(item[0]) == shard],
                    erasures=[
                        erasure for erasure in whole.erasures if self._is_for(erasure, shard)
                    ],
                    positions=intake.positions,
                ),
            )

    def _shards_of_events(self, events: EventColumns, texts: Texts) -> NDArray[np.int64]:
        """Return the shard of each event.

        That of its session's id, or of its user's where it has none.
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

    def _is_for(self, erasure: Erasure, shard: int) -> bool:
        """A user or an item may be anywhere; a session lives in one shard."""
        return erasure.kind != "session" or shard_of(erasure.id, self._num_shards) == shard


def _all_of(entries: Sequence[Entry]) -> ShardBatch:
    sizes = [len(decoded.events) for _, decoded in entries]
    return ShardBatch(
        events=EventColumns.concatenate([decoded.events for _, decoded in entries]),
        place=np.repeat(np.arange(len(entries), dtype=np.int32), sizes),
        batches=[batch for batch, _ in entries],
        items=[
            (item, place, row)
            for place, (_, decoded) in enumerate(entries)
            for item, row in decoded.items
        ],
        erasures=[erasure for _, decoded in entries for erasure in decoded.erasures],
    )
