"""Hyperedges as sets of members: those that sessions made and took since the
generation.
"""

from typing import NamedTuple

import numpy as np

from model.fresh.active.runs import GrowingColumn, NewestValues, spans
from stream.dtypes import Float32s, Float64s, Int64s

# Sets of a node that are found again, its newest: twice the hyperedges of a generation
# that learn of a change, for a session that goes on leaves about one that is over for
# each that counts. Twice as many: twice the time of what is in many sessions.
_NEWEST_SETS = 64


class Sets(NamedTuple):
    """Hyperedges as sets of members.

    Attributes:
        starts: ``int64 [num_sets]``, where the members of each begin.
        sizes: ``int64 [num_sets]``.
        slot: ``int64 [n]``, the members, set after set.
    """

    starts: Int64s
    sizes: Int64s
    slot: Int64s


class TouchedSets(NamedTuple):
    """Hyperedges of some nodes, each once, and who is in them.

    Attributes:
        place: ``int64 [num_incidences]``, which of the asked nodes.
        which: ``int64 [num_incidences]``, which of the hyperedges it is in.
        share: ``float64 [num_sets]``, the share of one member in the mean, as often as
            the hyperedge is there.
        of_set: ``int64 [num_members]``, which hyperedge each member is of.
        member: ``int64 [num_members]``, its slot.
    """

    place: Int64s
    which: Int64s
    share: Float64s
    of_set: Int64s
    member: Int64s

    @classmethod
    def nothing(cls) -> "TouchedSets":
        """Return no hyperedges."""
        none = np.zeros(0, dtype=np.int64)
        return cls(none, none, np.zeros(0), none, none)

    def neighbours(self) -> tuple[Int64s, Int64s, Float32s]:
        """Return who is in a hyperedge with the asked nodes, once a hyperedge: slot,
        the place of the node, and the share of one in the mean; ``[n]`` each.
        """
        counts = np.bincount(self.of_set, minlength=len(self.share))
        firsts = np.cumsum(counts) - counts
        count = counts[self.which]
        share = np.repeat(self.share[self.which], count).astype(np.float32)
        members = self.member[spans(firsts[self.which], count)]
        return members, np.repeat(self.place, count), share


class ChangedSets:
    """What sessions added to the generation's hyperedges, and took from them: each set
    of members once, with how often it was added less how often it was taken.

    Of a node that is in many, only the newest are found again: a click costs no more
    for all that were before it.
    """

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}
        self._count = GrowingColumn(np.int64)
        self._first = GrowingColumn(np.int64)
        self._size = GrowingColumn(np.int64)
        self._members = GrowingColumn(np.int64)
        self._of_slot = NewestValues(_NEWEST_SETS)
        self._num_of_slot = GrowingColumn(np.int64)

    def add(self, sets: Sets, sign: int) -> None:
        """Add sets of members (1), or take them (-1)."""
        if not len(sets.starts):
            return
        of_set = np.repeat(np.arange(len(sets.sizes)), sets.sizes)
        slots = sets.slot[spans(sets.starts, sets.sizes)]
        slots = slots[np.lexsort((slots, of_set))]
        self._count_of_slots(slots, sign)
        packed, ends = slots.tobytes(), (np.cumsum(sets.sizes) * slots.itemsize).tolist()
        known, first = len(self._count.values), 0
        numbers = np.empty(len(ends), dtype=np.int64)
        for place, end in enumerate(ends):
            members = packed[first:end]
            numbers[place] = self._number.setdefault(members, len(self._number))
            first = end
        new, firsts = np.unique(numbers, return_index=True)
        firsts = firsts[new >= known]
        self._count.extend(np.zeros(len(firsts), dtype=np.int64))
        np.add.at(self._count.values, numbers, sign)
        if len(firsts):
            starts, sizes = (np.cumsum(sets.sizes) - sets.sizes)[firsts], sets.sizes[firsts]
            fresh = slots[spans(starts, sizes)]
            self._first.extend(len(self._members.values) + np.cumsum(sizes) - sizes)
            self._size.extend(sizes)
            self._members.extend(fresh)
            self._of_slot.add(fresh, np.repeat(np.arange(known, known + len(firsts)), sizes))

    def of(self, slots: Int64s) -> TouchedSets:
        """Return the newest sets with some nodes, as often as they were added."""
        found = self._of_slot.find(slots)
        counts = np.flatnonzero(self._count.values[found.value])
        numbers, which = np.unique(found.value[counts], return_inverse=True)
        sizes = self._size.values[numbers]
        return TouchedSets(
            place=found.place[counts],
            which=which,
            share=self._count.values[numbers] / np.maximum(sizes, 1),
            of_set=np.repeat(np.arange(len(numbers)), sizes),
            member=self._members.values[spans(self._first.values[numbers], sizes)],
        )

    def num_of(self, slots: Int64s) -> Int64s:
        """Return ``int64 [n]``, how often sets with some nodes were added, less how
        often they were taken; not below zero.
        """
        counted = self._num_of_slot.values
        counts = np.zeros(len(slots), dtype=np.int64)
        known = slots < len(counted)
        counts[known] = counted[slots[known]]
        return np.maximum(counts, 0)

    def neighbours(self, slots: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return who is in one of the newest sets with some nodes, once a set: slot,
        the place of the node among `slots`, and the node's share in the set's mean;
        ``[n]`` each.
        """
        return self.of(slots).neighbours()

    def _count_of_slots(self, slots: Int64s, sign: int) -> None:
        missing = int(slots.max()) + 1 - len(self._num_of_slot.values)
        if missing > 0:
            self._num_of_slot.extend(np.zeros(missing, dtype=np.int64))
        np.add.at(self._num_of_slot.values, slots, sign)
