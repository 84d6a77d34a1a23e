"""Pure rules of the graph, on columns.

How facts merge, which make edges, which items a hyperedge keeps.

A fact is (session, query or none, item, action) at the earliest event time at which it
was seen. Everything else follows from the set of facts. Nothing here reads or writes a
store.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from stream.actions import Action
from stream.dtypes import Bools, Int64s
from stream.events.columns import NO_KEY, EventColumns, Keys
from stream.graph.keysets import order_by, run_starts
from stream.mixing import mixed_words

# Items; bounds what one crawler's session weighs. Chosen by hand; part of the graph's
# definition (docs/formats.md): twice as many give such sessions four times the pairs.
MAX_HYPEREDGE_ITEMS = 50
# Items; one item relates nothing to nothing. Part of the graph's definition.
MIN_HYPEREDGE_ITEMS = 2
NUM_ACTIONS = len(Action)

# The layout of a stamp: the time above, the action in the lowest three bits.
_ACTION_BITS = np.uint64(3)
_ACTION_MASK = np.uint64(7)
_TIME_BITS = np.uint64(61)
_VIEW = int(Action.VIEW)
# Hexadecimal digits of pi, so that nobody chose them; one lane each.
_LANE_SEEDS = (np.uint64(0x243F6A8885A308D3), np.uint64(0x13198A2E03707344))
_WORD = 1 << 64  # the modulus of a lane


@dataclass(frozen=True, slots=True)
class Digest:
    """A fingerprint of a set of facts that facts can be added to and taken from in any
    order.

    Two sums, modulo 2^64, of differently seeded 64-bit mixes of each fact, and how many
    facts there are: sets of facts add up, over batches and over shards.

    Attributes:
        count: how many facts there are.
        first: the sum of the first lane.
        second: the sum of the second lane.
    """

    count: int = 0
    first: int = 0
    second: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest(
            self.count + other.count,
            (self.first + other.first) % _WORD,
            (self.second + other.second) % _WORD,
        )

    def __sub__(self, other: "Digest") -> "Digest":
        return Digest(
            self.count - other.count,
            (self.first - other.first) % _WORD,
            (self.second - other.second) % _WORD,
        )


@dataclass(frozen=True, slots=True)
class FactColumns:
    """Facts as columns.

    Attributes:
        session: ``uint64 [num_facts]`` session key.
        query: ``uint64 [num_facts]`` query key; `NO_KEY` where the action came from no
            search.
        item: ``uint64 [num_facts]`` item key.
        stamp: ``uint64 [num_facts]`` the earliest time in milliseconds, times 8, plus
            the action.
    """

    session: Keys
    query: Keys
    item: Keys
    stamp: Keys

    def __len__(self) -> int:
        return len(self.stamp)

    @classmethod
    def empty(cls) -> Self:
        """Return columns of length 0."""
        return cls(*(np.empty(0, dtype=np.uint64) for _ in range(4)))

    @classmethod
    def of_events(cls, events: EventColumns) -> Self:
        """Return each event as a fact; events may repeat each other."""
        return cls(events.session, events.query, events.item, stamps(events.ts_ms, events.action))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the facts of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.session for part in parts]),
            np.concatenate([part.query for part in parts]),
            np.concatenate([part.item for part in parts]),
            np.concatenate([part.stamp for part in parts]),
        )

    def take(self, index: Int64s | Bools) -> Self:
        """Return the facts at these indexes, or where a mask is true."""
        if index.dtype == np.bool_:
            if index.all():
                return self
            index = np.flatnonzero(index)
        return type(self)(
            self.session[index], self.query[index], self.item[index], self.stamp[index]
        )

    def slice(self, start: int, end: int) -> Self:
        """Return the facts from `start` up to `end`."""
        columns = (self.session, self.query, self.item, self.stamp)
        return type(self)(*(column[start:end] for column in columns))

    def equals(self, other: Self) -> bool:
        """Whether these are the same facts, in the same order."""
        return (
            np.array_equal(self.stamp, other.stamp)
            and np.array_equal(self.item, other.item)
            and np.array_equal(self.query, other.query)
            and np.array_equal(self.session, other.session)
        )

    @property
    def action(self) -> NDArray[np.uint8]:
        """``uint8 [num_facts]`` `stream.events.types.Action`."""
        return (self.stamp & _ACTION_MASK).astype(np.uint8)

    @property
    def ts_ms(self) -> Int64s:
        """``int64 [num_facts]`` earliest time."""
        return times_of(self.stamp)

    @property
    def makes_edge(self) -> Bools:
        """``bool [num_facts]`` whether a fact counts for the edge of its query and
        item.
        """
        is_edge: Bools = (self.query != NO_KEY) & ((self.stamp & _ACTION_MASK) != _VIEW)
        return is_edge

    def digest(self) -> Digest:
        """Return the fingerprint of these facts."""
        if not len(self):
            return Digest()
        return Digest(len(self), *(int(lane.sum(dtype=np.uint64)) for lane in self.lanes()))

    def lanes(self) -> tuple[Keys, Keys]:
        """Return what each fact adds to the two sums of a digest, ``uint64
        [num_facts]`` each.
        """
        first, second = (self._mixed(seed) for seed in _LANE_SEEDS)
        return first, second

    def _mixed(self, seed: np.uint64) -> Keys:
        mixed = mixed_words(self.session ^ seed)
        for column in (self.query, self.item, self.stamp):
            mixed = mixed_words(mixed ^ column)
        return mixed


@dataclass(frozen=True, slots=True)
class MergedFacts:
    """What merging seen facts into stored ones gives.

    Attributes:
        facts: the union, each at its earliest time, in ascending order of (session,
            query, item, action).
        is_new: ``bool [num_facts]`` was not stored before.
        is_moved: ``bool [num_facts]`` was stored with a later time.
        replaced: the stored facts that moved, as they were.
    """

    facts: FactColumns
    is_new: Bools
    is_moved: Bools
    replaced: FactColumns


def stamps(ts_ms: Int64s, action: NDArray[np.uint8]) -> Keys:
    """Return times and actions as `FactColumns.stamp` holds them."""
    return (ts_ms.astype(np.uint64) << _ACTION_BITS) | action.astype(np.uint64)


def times_of(stamp: Keys) -> Int64s:
    """Return the times in `FactColumns.stamp`."""
    return (stamp >> _ACTION_BITS).astype(np.int64)


def merge_facts(stored: FactColumns, seen: FactColumns) -> MergedFacts:
    """Merge facts that were seen, in any order and however often, into facts that
    are stored once each.
    """
    facts = FactColumns.concatenate([stored, seen]) if len(stored) else seen
    is_stored = np.zeros(len(facts), dtype=np.bool_)
    is_stored[: len(stored)] = True
    # Actions, then times: of each fact the earliest comes first, and a stored one
    # before an equal seen one.
    by_time = ((facts.stamp & _ACTION_MASK) << _TIME_BITS) | (facts.stamp >> _ACTION_BITS)
    order = order_by(facts.session, facts.query, facts.item, by_time, ~is_stored)
    facts, is_stored = facts.take(order), is_stored[order]
    # Runs of one fact: its first row is the one to keep. A stored row that is not first
    # has an earlier one before it, which moves the fact.
    starts = run_starts(facts.session, facts.query, facts.item, facts.stamp & _ACTION_MASK)
    firsts = np.flatnonzero(starts)
    was_stored = np.logical_or.reduceat(is_stored, firsts) if len(firsts) else is_stored
    is_moved = was_stored & ~is_stored[firsts]
    return MergedFacts(
        facts=facts.take(firsts),
        is_new=~was_stored,
        is_moved=is_moved,
        replaced=facts.take(is_stored & ~starts),
    )


def hyperedge_sizes(facts: FactColumns, order: Int64s | None = None) -> tuple[Keys, Int64s]:
    """Return the distinct sessions, ascending, and how many items their hyperedges keep
    (0: it has none).

    Args:
        facts: of the sessions.
        order: ``int64 [num_facts]`` the facts in order of (session, item); None: it is
            found.
    """
    # Sorted by (session, item), each pair once: a session's run is as long as it has
    # distinct items.
    if order is None:
        order = order_by(facts.session, facts.item)
    session, item = facts.session[order], facts.item[order]
    session = session[run_starts(session, item)]
    firsts = np.flatnonzero(run_starts(session))
    sizes = np.minimum(np.diff(np.append(firsts, len(session))), MAX_HYPEREDGE_ITEMS)
    return session[firsts], np.where(sizes < MIN_HYPEREDGE_ITEMS, 0, sizes)


def hyperedge_rows(
    session: Keys | Int64s, item: Keys | Int64s, ts_ms: Int64s, rank_of_row: Int64s
) -> Int64s:
    """Return the rows that are hyperedge members, in order of (session, time, item id).

    A hyperedge has a session's distinct items over all its facts, whatever the action,
    each at its earliest time; at most `MAX_HYPEREDGE_ITEMS`, the earliest, ties by item
    id; none where there are fewer than `MIN_HYPEREDGE_ITEMS`.

    Args:
        session: of each row.
        item: of each row.
        ts_ms: of each row.
        rank_of_row: the place of the row's item id among item ids, in ascending order.
    """
    # By (session, item, time), the first of each pair: an item at its earliest time.
    # Those by (session, time, id): the first `MAX_HYPEREDGE_ITEMS` of each session
    # stay.
    by_item = np.lexsort((ts_ms, item, session))
    rows = by_item[run_starts(session[by_item], item[by_item])]
    rows = rows[np.lexsort((rank_of_row[rows], ts_ms[rows], session[rows]))]
    firsts = np.flatnonzero(run_starts(session[rows]))
    sizes = np.diff(np.append(firsts, len(rows)))
    place = np.arange(len(rows)) - np.repeat(firsts, sizes)
    is_kept = (np.repeat(sizes, sizes) >= MIN_HYPEREDGE_ITEMS) & (place < MAX_HYPEREDGE_ITEMS)
    return rows[is_kept]
