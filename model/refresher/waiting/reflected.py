"""Up to when a prefix of what was read has everything, by what each write says of that.

Pure. Writes are numbered in the order in which they were read, from 1.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from typing import NamedTuple

from stream.feed.changes import ShardChanges


class _Told(NamedTuple):
    """What is true of a shard once a write, and all before it, is taken in.

    Attributes:
        number: of the write.
        shard: its index.
        reflected_ms: every record that had reached the shard's partitions by then, in
            broker time, is taken in; 0: not known.
    """

    number: int
    shard: int
    reflected_ms: int


class Reflected:
    """Up to when all shards are taken in, as far as one has come in their writes.

    What is true of a shard is told by its writes, and by each look at the feed of all
    of them together.
    """

    def __init__(self) -> None:
        self._told: deque[_Told] = deque()
        self._by_shard: dict[int, int] = {}

    def add(
        self, changes: Sequence[ShardChanges], reflected: Mapping[int, int], before: int
    ) -> None:
        """Learn what the writes of a look make true.

        Args:
            changes: numbered from `before` + 1.
            reflected: by shard, what is true once all of its writes here are taken in.
            before: number of the last write before them.
        """
        for each in _told_by(changes, reflected, before):
            self._by_shard.setdefault(each.shard, 0)
            self._told.append(each)

    def reach(self, number: int) -> int:
        """Return up to when every record, in broker time, is in the writes up to a
        number; 0: nothing can be said. It is asked of no lower number than before.
        """
        while self._told and self._told[0].number <= number:
            _, shard, reflected_ms = self._told.popleft()
            self._by_shard[shard] = max(self._by_shard[shard], reflected_ms)
        return min(self._by_shard.values(), default=0)


@dataclass
class Reach:
    """How far all was taken in, and all of the catalogue.

    Attributes:
        added: number of the newest write.
        taken: number of the last write that was taken.
        holding: numbers of those of whose states some are taken with them.
        reflected: up to when all is taken in, by writes.
        catalog: the same, of which the catalogue is asked.
    """

    added: int = 0
    taken: int = 0
    holding: deque[int] = field(default_factory=deque)
    reflected: Reflected = field(default_factory=Reflected)
    catalog: Reflected = field(default_factory=Reflected)

    def tell(self, changes: Sequence[ShardChanges], reflected: Mapping[int, int] | None) -> None:
        """Learn what writes make true that are about to be added."""
        if reflected is not None:
            self.reflected.add(changes, reflected, self.added)
            self.catalog.add(changes, reflected, self.added)

    def by_now(self, first: int | None) -> tuple[int, int]:
        """Return up to when all is taken in, and all of the catalogue; 0: not known.

        Args:
            first: number of the first write of which a state waits by itself; None:
                none does.
        """
        while self.holding and self.holding[0] <= self.taken:
            self.holding.popleft()
        listed = self.added if first is None else first - 1
        held = self.holding[0] - 1 if self.holding else listed
        return (
            self.reflected.reach(min(self.taken, listed)),
            self.catalog.reach(min(held, listed)),
        )


def in_turn(changes: Sequence[ShardChanges]) -> list[ShardChanges]:
    """Return writes in the order in which they were written, as far as clocks agree:
    what takes in some of them then has about as much of each shard.

    The order of each shard's own stays, whatever the clocks.

    Args:
        changes: those of each shard in order.
    """
    by_shard: dict[int, list[ShardChanges]] = {}
    for each in changes:
        by_shard.setdefault(each.shard, []).append(each)
    return list(merge(*by_shard.values(), key=lambda each: each.written_ms))


def _told_by(
    changes: Sequence[ShardChanges], reflected: Mapping[int, int], before: int
) -> list[_Told]:
    """Return what each of some writes makes true, and what all of them do, in the order
    of their numbers.
    """
    writes = list(enumerate(changes, before + 1))
    last = dict.fromkeys(reflected, before) | {each.shard: number for number, each in writes}
    told = [_Told(number, each.shard, each.reflected_ms) for number, each in writes]
    ends = [_Told(last[shard], shard, ms) for shard, ms in reflected.items()]
    return sorted([*told, *ends])
