"""What was read of the feed and waits for its round.

States of the catalogue do not wait behind clicks. Of each item the newest that a shard
stored waits by itself, and whatever makes it gone is taken first: it cannot be
overtaken by an older state, since none of the item's waits elsewhere.

So there are two answers to how far all was taken in: of the catalogue, and of all.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from model.refresher.waiting.catalog import ItemKey, WaitingStates
from model.refresher.waiting.reflected import Reach, in_turn
from stream.events.types import CatalogItem
from stream.feed.changes import ShardChanges, WriterMark

# Of the changes that a round takes in, those that states of the catalogue may be while
# clicks wait: a catalogue that is loaded anew does not hold clicks up, nor they it.
# Twice as many are all.
_SHARE_OF_CATALOG = 0.5
# States that go ahead with what is urgent, so that all of the catalogue is claimed:
# some hundredths of a second. Twice as many hold a deletion up by as much more.
_FEW_STATES = 500


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What one look at the feed brought.

    Attributes:
        changes: writes, in the order of each shard.
        marks: what has been reached of each shard once all of them are applied.
        reflected: by shard, every record up to then, in broker time, is in the graph
            with all of its writes, 0: not known; None: neither they nor what the writes
            say of it counts.
        watermark_ms: event time up to which everything is; 0: not known.
        is_end: whether that was all that the feed had.
    """

    changes: Sequence[ShardChanges]
    marks: Mapping[int, WriterMark]
    reflected: Mapping[int, int] | None
    watermark_ms: int
    is_end: bool


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a round takes in.

    Attributes:
        catalog: states of the catalogue, a change for each shard.
        writes: what else writes changed, in the order of each shard.
        done: the last batch of which nothing waits any more; None: there is none that
            is new.
        reflected_ms: every record up to then, in broker time, is taken in with it; 0:
            not known.
        catalog_reflected_ms: every state of the catalogue up to then is.
    """

    catalog: Sequence[ShardChanges] = ()
    writes: Sequence[ShardChanges] = ()
    done: Batch | None = None
    reflected_ms: int = 0
    catalog_reflected_ms: int = 0

    @property
    def changes(self) -> list[ShardChanges]:
        """All of it: items are listed before clicks name them."""
        return [*self.catalog, *self.writes]


class _Numbered(NamedTuple):
    """A batch, and the number of its last write."""

    batch: Batch
    last: int


class Backlog:
    """Batches in the order in which they were read, and the states of the catalogue in
    them, which are taken before.

    Of an item whose erasure waits, or is under way, states do wait for it.
    """

    def __init__(self) -> None:
        self._batches: deque[_Numbered] = deque()
        self._catalog = WaitingStates()
        self._erasing: Counter[ItemKey] = Counter()
        self._reached: deque[_Numbered] = deque()
        self._reach = Reach()
        self._size = 0
        self._under_way = Taken()

    @property
    def size(self) -> int:
        """How many changes wait."""
        return self._size + len(self._catalog.states)

    @property
    def num_gone(self) -> int:
        """How many states wait that take an item out."""
        return len(self._catalog.gone)

    @property
    def num_urgent(self) -> int:
        """How many states wait that list an item that is new, or take one out."""
        return len(self._catalog.gone) + len(self._catalog.new)

    def __bool__(self) -> bool:
        return bool(self._batches or self._reached)

    def add(self, batch: Batch) -> None:
        """Let a batch wait; one without a change says only how far the last one goes by
        now.
        """
        changes = in_turn(batch.changes)
        self._reach.tell(changes, batch.reflected)
        if changes:
            writes = [self._add_write(each) for each in changes]
            self._size += sum(map(size_of, writes))
            self._batches.append(_Numbered(replace(batch, changes=writes), self._reach.added))
            return
        waiting = self._batches or self._reached
        before = waiting.pop().batch.changes if waiting else ()
        waiting.append(_Numbered(replace(batch, changes=before), self._reach.added))

    def take_urgent(self, limit: int) -> Taken:
        """Take out the states that take an item out, all of them, up to `limit` that
        list one that is new, and others while they are few, whatever waits before them.
        """
        keys = self._catalog.others(self._catalog.urgent(limit), min(limit, _FEW_STATES))
        return self._taken(Taken(catalog=self._catalog.take(keys)))

    def take_within(self, limit: int, *, gone_alone: bool) -> Taken:
        """Take out states that are urgent while what was taken last is not in yet.

        Where none of that is a state, all of the catalogue is in with them that is
        before the first state that waits.

        Args:
            limit: as `take_urgent` has it.
            gone_alone: only those that take an item out.
        """
        if gone_alone:
            taken = self._taken(Taken(catalog=self._catalog.take(list(self._catalog.gone))))
        else:
            taken = self.take_urgent(limit)
        under_way = self._under_way
        has_states = under_way.catalog or any(each.catalog for each in under_way.writes)
        known_ms = 0 if has_states else taken.catalog_reflected_ms
        return replace(taken, reflected_ms=0, catalog_reflected_ms=known_ms)

    def take(self, limit: int) -> Taken:
        """Take out about `limit` changes, at least one write where any waits: states of
        the catalogue first, those that are urgent before the others.
        """
        self._let_overtake(self._under_way.writes)
        room = round(limit * _SHARE_OF_CATALOG) if self._batches else limit
        keys = self._catalog.others(self._catalog.urgent(room), room)
        catalog = self._catalog.take(keys)
        writes = self._take_writes(max(limit - len(keys), 1))
        self._under_way = Taken(catalog=catalog, writes=writes, done=self._done())
        return self._taken(self._under_way)

    def _taken(self, taken: Taken) -> Taken:
        """Return what is taken, with what is true once it is taken in."""
        reflected_ms, catalog_reflected_ms = self._reach.by_now(self._catalog.first)
        return replace(taken, reflected_ms=reflected_ms, catalog_reflected_ms=catalog_reflected_ms)

    def _add_write(self, write: ShardChanges) -> ShardChanges:
        """Return a write without those of its states that need not wait for it."""
        self._reach.added += 1
        kept: dict[int, CatalogItem] = {}
        self._erasing.update(ItemKey(write.shard, item) for item in write.gone_items.tolist())
        for item, state in write.catalog.items():
            key = ItemKey(write.shard, item)
            if key in self._erasing:
                # Until it is in, newer ones do not overtake it, either.
                kept[item] = state
                self._erasing[key] += 1
            else:
                is_new = item in write.item_names
                self._catalog.put(key, state, self._reach.added, is_new=is_new)
        if kept:
            self._reach.holding.append(self._reach.added)
        return replace(write, catalog=kept) if write.catalog else write

    def _take_writes(self, limit: int) -> list[ShardChanges]:
        taken: list[ShardChanges] = []
        size = 0
        while self._batches and (not taken or size < limit):
            numbered = self._batches.popleft()
            batch = numbered.batch
            for number, each in enumerate(batch.changes):
                if taken and size + size_of(each) > limit:
                    rest = replace(batch, changes=batch.changes[number:])
                    self._batches.appendleft(_Numbered(rest, numbered.last))
                    self._forget(taken, size)
                    return taken
                taken.append(each)
                size += size_of(each)
            self._reached.append(_Numbered(replace(batch, changes=()), numbered.last))
        self._forget(taken, size)
        return taken

    def _forget(self, taken: Sequence[ShardChanges], size: int) -> None:
        self._size -= size
        self._reach.taken += len(taken)

    def _let_overtake(self, taken: Sequence[ShardChanges]) -> None:
        """Let states of items whose erasure is in by now be taken before clicks."""
        for each in taken:
            for item in (*each.gone_items.tolist(), *each.catalog):
                key = ItemKey(each.shard, item)
                self._erasing[key] -= 1
                if not self._erasing[key]:
                    del self._erasing[key]

    def _done(self) -> Batch | None:
        """Return the last batch whose writes were taken, and all states of which."""
        done, first = None, self._catalog.first
        while self._reached and (first is None or self._reached[0].last < first):
            done = self._reached.popleft().batch
        return done


def size_of(changes: ShardChanges) -> int:
    """Return how much a write changed: edges, members of sessions, catalogue states; at
    least 1.
    """
    size = len(changes.edges) + len(changes.sessions.member) + len(changes.catalog)
    return max(size + len(changes.gone_items) + len(changes.gone_queries), 1)


def erases(changes: Sequence[ShardChanges]) -> bool:
    """Whether an erasure left nothing of a query or an item in a shard."""
    return any(len(each.gone_items) or len(each.gone_queries) for each in changes)
