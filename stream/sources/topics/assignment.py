"""What a member of the group reads, and from where.

As the group gives and as its shards have stored.
"""

import logging
from bisect import bisect_left
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Protocol

from stream.errors import StreamError
from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.client import Reader
from stream.sources.topics.watch import TopicLayout

logger = logging.getLogger(__name__)


class ShardOwner(Protocol):
    """Opens and closes this process's shards."""

    def acquire(self, index: int, topic_ids: Mapping[str, str], /) -> Mapping[SourcePartition, int]:
        """Open a shard if it is not open, and return its stored positions in the topics
        of these ids.

        Raises:
            StoreError: it cannot be opened.
            TopicRecreated: it has read another topic of that name, and the settings say
                to stop.
        """

    def release(self, index: int, /) -> None:
        """Force a shard to disk, close it and let others open it."""

    def lose(self, index: int, /) -> None:
        """Close a shard that somebody else has, without writing."""


class Assignment:
    """Follows the group: shards open and close, and the reader reads what they need
    from where they are.

    Partition n of every keyed topic goes to shard n; all of the erasures go to each
    shard.

    Args:
        reader: reads what this says.
        owner: of the shards.
        layout: what there is to read.

    Attributes:
        changes: how often partitions came or went.
    """

    def __init__(
        self,
        reader: Reader,
        owner: ShardOwner,
        layout: TopicLayout,
    ) -> None:
        self.changes = 0
        self._reader = reader
        self._owner = owner
        self._layout = layout
        self._shards: set[int] = set()
        self._handed: dict[SourcePartition, int] = {}
        self._handed_erasures: dict[tuple[int, SourcePartition], int] = {}
        self._settled = 0
        self._failure: StreamError | None = None

    @property
    def shards(self) -> Collection[int]:
        """The shards that the group has given to this member."""
        return sorted(self._shards)

    @property
    def partitions(self) -> Collection[SourcePartition]:
        """What they read of the keyed topics."""
        return self._layout.partitions_of(self.shards)

    @property
    def erasures(self) -> Collection[SourcePartition]:
        """What they all read of the erasures; nothing without shards."""
        return self._layout.erasure_partitions() if self._shards else []

    @property
    def positions(self) -> Collection[SourcePartition]:
        """All that is read, of keyed topics and of erasures."""
        return [*self.partitions, *self.erasures]

    def rearrange(self, layout: TopicLayout) -> None:
        """Record that the topics are others, or have more partitions, for `settle`."""
        self._layout = layout
        self.changes += 1

    def assigned(self, partitions: Collection[int]) -> None:
        """Record shards to open; that may take long, so it waits for `settle`."""
        logger.info("partitions assigned partitions=%s", list(partitions))
        self._shards.update(partitions)
        self.changes += 1

    def revoked(self, partitions: Collection[int]) -> None:
        """Close shards in good order."""
        logger.info("partitions revoked partitions=%s", list(partitions))
        self._drop(partitions)
        for shard in partitions:
            try:
                self._owner.release(shard)
            except StreamError as error:
                self._failure = error

    def lost(self, partitions: Collection[int]) -> None:
        """Close shards at once."""
        logger.warning("partitions lost partitions=%s", list(partitions))
        self._drop(partitions)
        for shard in partitions:
            try:
                self._owner.lose(shard)
            except StreamError as error:
                self._failure = error

    def settle(self) -> bool:
        """Open what came, and read everything on from where its shard is.

        Return whether there was anything.

        What was handed out and is not in a shard is handed out again.

        Raises:
            StreamError: a shard cannot be opened, or could not be closed.
        """
        if self._failure is not None:
            raise self._failure
        if self._settled == self.changes:
            return False
        self._settled = self.changes
        topic_ids = self._layout.topic_ids
        stored = {shard: self._owner.acquire(shard, topic_ids) for shard in self.shards}
        self._reader.assign(self.positions)
        self._seek_partitions(stored)
        self._seek_erasures(stored)
        return True

    def hand_out(self, batch: RecordBatch) -> list[RecordBatch]:
        """Return what the worker gets for a batch that was read.

        Of erasures, every shard's own copy.
        """
        if batch.position.source not in self._layout.erasures:
            if batch.position not in self._handed:
                return []
            self._handed[batch.position] = batch.next_offset
            return [batch]
        copies = [self._copy(batch, shard) for shard in self.shards]
        return [copy for copy in copies if copy]

    def pass_over(
        self, position: SourcePartition, stored: int, goes_on_at: int
    ) -> list[RecordBatch]:
        """Record that the reader resumes elsewhere than where the shards are, and
        return what moves their positions there, without a record.

        Args:
            position: of the reader.
            stored: where it was, the least of its shards.
            goes_on_at: where it resumes; before `stored`: all is read again.
        """
        if position.source not in self._layout.erasures:
            if position not in self._handed:
                return []
            self._handed[position] = goes_on_at
            return [RecordBatch.gap(position, goes_on_at)]
        moved = [
            shard
            for shard in self.shards
            if goes_on_at < stored or self._handed_erasures[shard, position] < goes_on_at
        ]
        self._handed_erasures |= {(shard, position): goes_on_at for shard in moved}
        return [RecordBatch.gap(position, goes_on_at, shard) for shard in moved]

    def rewound(self, offsets: Mapping[SourcePartition, int]) -> None:
        """Record that the reader resumes elsewhere, for `settle` to say where."""
        for position, offset in offsets.items():
            if position.source in self._layout.erasures:
                self._handed_erasures |= {(shard, position): offset for shard in self._shards}
            else:
                self._handed[position] = offset

    def counts(self, position: SourcePartition) -> bool:
        """Whether this member counts what is lost of a partition that it reads.

        All members read the erasures: the one that has the first shard counts those.
        """
        return position.source not in self._layout.erasures or 0 in self._shards

    def close(self) -> None:
        """Close all shards in good order."""
        if self._shards:
            self.revoked(self.shards)
        if self._failure is not None:
            logger.error("shard not closed in good order error=%s", self._failure)

    def _drop(self, shards: Collection[int]) -> None:
        self._shards.difference_update(shards)
        self.changes += 1

    def _seek_partitions(self, stored: Mapping[int, Mapping[SourcePartition, int]]) -> None:
        starts = {
            position: stored[position.partition].get(position) for position in self.partitions
        }
        moved = {
            position: start
            for position, start in starts.items()
            if position not in self._handed or self._handed[position] != (start or 0)
        }
        for position, start in moved.items():
            logger.info(
                "reading topic=%s partition=%d next_offset=%s",
                position.source,
                position.partition,
                "earliest" if start is None else start,
            )
        self._handed = {position: start or 0 for position, start in starts.items()}
        self._reader.seek(moved)

    def _seek_erasures(self, stored: Mapping[int, Mapping[SourcePartition, int]]) -> None:
        self._handed_erasures = {
            (shard, position): positions.get(position, 0)
            for shard, positions in stored.items()
            for position in self.erasures
        }
        least = {
            position: min(self._handed_erasures[shard, position] for shard in stored)
            for position in self.erasures
        }
        self._reader.seek({position: start or None for position, start in least.items()})

    def _copy(self, batch: RecordBatch, shard: int) -> RecordBatch:
        """Return the part of a batch of erasures that a shard has not seen."""
        begin = bisect_left(batch.offsets, self._handed_erasures[shard, batch.position])
        if begin < len(batch):
            self._handed_erasures[shard, batch.position] = batch.next_offset
        return replace(batch.rows(begin, len(batch)), shard=shard)
