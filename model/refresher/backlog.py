"""What was read of the feed and waits for its round."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from stream.feed.changes import ShardChanges, WriterMark


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one look at the feed brought.

    Attributes:
        changes: writes, in the order of each shard.
        marks: what has been reached of each shard once all of them are applied.
        reflected_ms: every record up to then is in the graph with them; 0: not known.
        watermark_ms: event time up to which everything is; 0: not known.
        is_end: whether that was all that the feed had.
    """

    changes: Sequence[ShardChanges]
    marks: Mapping[int, WriterMark]
    reflected_ms: int
    watermark_ms: int
    is_end: bool


class Backlog:
    """Batches in the order in which they were read."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._size = 0

    @property
    def size(self) -> int:
        """How many changes wait."""
        return self._size

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, batch: Batch) -> None:
        """Let a batch wait; one without a change says only how far the last one goes by
        now.
        """
        if self._batches and not batch.changes:
            batch = replace(batch, changes=self._batches.pop().changes)
        else:
            self._size += sum(map(size_of, batch.changes))
        self._batches.append(batch)

    def take(self, limit: int) -> tuple[list[ShardChanges], Batch | None]:
        """Take out writes of about `limit` changes, at least one write where any waits.

        Returns:
            The writes, and the last batch of which nothing waits any more, or None.
        """
        taken: list[ShardChanges] = []
        size, done = 0, None
        while self._batches and (not taken or size < limit):
            batch = self._batches.popleft()
            for number, each in enumerate(batch.changes):
                if taken and size + size_of(each) > limit:
                    self._batches.appendleft(replace(batch, changes=batch.changes[number:]))
                    self._size -= size
                    return taken, done
                taken.append(each)
                size += size_of(each)
            done = batch
        self._size -= size
        return taken, done


def size_of(changes: ShardChanges) -> int:
    """Return how much a write changed: edges, members of sessions, catalogue states; at
    least 1.
    """
    size = len(changes.edges) + len(changes.sessions.member) + len(changes.catalog)
    return max(size + len(changes.gone_items) + len(changes.gone_queries), 1)


def is_urgent(changes: Sequence[ShardChanges]) -> bool:
    """Whether writes list an item, or take one out: what should be seen at once."""
    return any(
        len(each.gone_items)
        or len(each.gone_queries)
        or any(
            item.deleted or not item.available or key in each.item_names
            for key, item in each.catalog.items()
        )
        for each in changes
    )
