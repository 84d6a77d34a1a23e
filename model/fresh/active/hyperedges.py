"""The hyperedges of active nodes: what sessions change of them, and what their members
become.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.fresh.active.nodes import ActiveRows, Nodes
from model.fresh.active.origin import Origin
from model.fresh.active.runs import MultiMap
from model.fresh.active.sums import add_numbers, add_products, norms, sums_of_runs
from stream.dtypes import Bools, Float32s, Int64s
from stream.graph.keysets import run_starts

# Hyperedges of a node that learn what has changed of it: its newest, half as many as a
# generation keeps for sure. Twice as many: twice the time of what many sessions have,
# for a part in a hundred of the others' channel.
_HYPEREDGES = 32
# The least relative change of what a node's hyperedges have of it that they are told;
# smaller ones add up until they are larger. In the mean of a hyperedge it is a part of
# that. Ten times as much: errors of hundredths of a radian; a tenth: popular items tell
# all of their sessions of each click.
_LEAST_CHANGE = 1e-2


@dataclass(frozen=True, kw_only=True)
class SessionMembers:
    """Members of touched sessions, by session.

    Attributes:
        session: ``int64 [n]`` ascending, which session each is of.
        slot: ``int64 [n]``.
        was_in: ``bool [n]``.
        is_in: ``bool [n]``.
        is_partial: ``bool [n]``, of a session of which only some members are told: the
            others keep what they have.
    """

    session: Int64s
    slot: Int64s
    was_in: Bools
    is_in: Bools
    is_partial: Bools


class _Sets(NamedTuple):
    """Hyperedges as sets of members.

    Attributes:
        starts: ``int64 [num_sets]``, where the members of each begin.
        sizes: ``int64 [num_sets]``.
        slot: ``int64 [n]``, the members, set after set.
    """

    starts: Int64s
    sizes: Int64s
    slot: Int64s


class Hyperedges:
    """Keeps the hypergraph channel's sums of active nodes.

    A sum is over a node's hyperedges, of the mean of what their members are. It changes
    with the sessions that are touched, and with members that become something else:
    then each hyperedge of theirs tells its other members.

    Args:
        origin: the generation's nodes; None: only new ones are known.
        nodes: the active nodes.
        active: where those of the generation are among them.
    """

    def __init__(self, origin: Origin | None, nodes: Nodes, active: ActiveRows) -> None:
        self._origin = origin
        self._nodes = nodes
        self._active = active
        self._changed = _ChangedSets()

    def change(self, members: SessionMembers) -> None:
        """Take touched sessions in; all members are active."""
        for mask, sign in ((members.was_in, -1.0), (members.is_in, 1.0)):
            self._add(members, mask, sign)
        self._nodes.settle(np.unique(members.slot))

    def tell(self, slots: Int64s) -> None:
        """Tell the hyperedges of distinct nodes what is to be carried of them, where
        that has changed enough.
        """
        columns = self._nodes.columns
        carried = self._nodes.to_carry(slots)
        moved = carried - columns.carried[slots]
        with np.errstate(invalid="ignore", over="ignore"):
            size = norms(moved)
            tells = np.isfinite(size) & (size > _LEAST_CHANGE * norms(carried))
        slots, moved, size = slots[tells], moved[tells], size[tells]
        columns.carried[slots] = carried[tells]
        columns.drift[slots] += moved
        told, place, share = self._changed.neighbours(slots)
        self._hear(told, place, share, moved, size)
        self._hear(*self._members_of(slots), moved, size)

    def catch_up(self, slots: Int64s) -> None:
        """Tell nodes of the generation that have just become active what has changed of
        the active members of their hyperedges.
        """
        columns = self._nodes.columns
        other, place, share = self._members_of(slots)
        moved = columns.drift[other].any(axis=1)
        add_products(
            columns.hypergraph, slots[place[moved]], share[moved], columns.drift, other[moved]
        )

    def in_new_sets(self, slots: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return who is in a session with some nodes since the generation, once a
        session: slot, the place of the node among `slots`, and one over the session's
        members; ``[n]`` each.
        """
        return self._changed.neighbours(slots)

    def _members_of(self, slots: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return the active members of the generation's hyperedges of some nodes: slot,
        the place of the node among `slots`, and the share of one in the mean; ``[n]``
        each.
        """
        origin, rows = self._origin, self._nodes.columns.row[slots]
        known = np.flatnonzero(rows >= 0)
        if origin is None or not len(known):
            nobody = np.zeros(0, dtype=np.int64)
            return nobody, nobody, np.zeros(0, dtype=np.float32)
        place, hyperedge = origin.hyperedges(rows[known], _HYPEREDGES)
        of_hyperedge, member = origin.members(hyperedge)
        share = 1.0 / np.bincount(of_hyperedge, minlength=len(hyperedge))[of_hyperedge]
        active = self._active.slots(member)
        kept = np.flatnonzero(active >= 0)
        return active[kept], known[place[of_hyperedge[kept]]], share[kept].astype(np.float32)

    def _hear(
        self, told: Int64s, place: Int64s, share: Float32s, moved: Float32s, size: Float32s
    ) -> None:
        """Add what nodes are told to their sums, and to what their vectors may have
        moved.
        """
        columns = self._nodes.columns
        add_products(columns.hypergraph, told, share, moved, place)
        # The channel counts for no more than all of a vector, which is about as long as
        # the node's own.
        length = norms(columns.own[told]) * np.maximum(columns.hyperedges[told], 1.0)
        movement = np.zeros(len(told))
        np.divide(np.abs(share) * size[place], length, out=movement, where=length > 0)
        add_numbers(columns.unrest, told, movement)

    def _add(self, members: SessionMembers, mask: Bools, sign: float) -> None:
        columns = self._nodes.columns
        session, slot = members.session[mask], members.slot[mask]
        if not len(slot):
            return
        starts = np.flatnonzero(run_starts(session))
        sizes = np.diff(np.append(starts, len(slot)))
        # Training has no hyperedge of queries alone, which is what is left of a session
        # whose items are gone.
        has_items = np.add.reduceat(columns.is_item[slot].astype(np.int64), starts) > 0
        carried = columns.carried[slot]
        carried[~np.isfinite(carried).all(axis=1)] = 0.0
        means = sums_of_runs(carried, starts)
        means /= sizes[:, None].astype(np.float32)
        number = np.repeat(np.arange(len(starts)), sizes)
        joins_or_leaves = ~members.is_partial | (members.was_in != members.is_in)
        told = has_items[number] & joins_or_leaves[mask]
        signs = np.full(int(told.sum()), sign)
        add_products(columns.hypergraph, slot[told], signs, means, number[told])
        add_numbers(columns.hyperedges, slot[told], signs)
        whole = has_items & ~members.is_partial[mask][starts]
        self._changed.add(_Sets(starts[whole], sizes[whole], slot), 1 if sign > 0 else -1)


class _ChangedSets:
    """What sessions added to the generation's hyperedges, and took from them: each set
    of members once, with how often it was added less how often it was taken.
    """

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}
        self._count: list[int] = []
        self._members: list[Int64s] = []
        self._of_slot = MultiMap()

    def add(self, sets: _Sets, sign: int) -> None:
        """Add sets of members (1), or take them (-1)."""
        fresh: list[int] = []
        for start, size in zip(sets.starts.tolist(), sets.sizes.tolist(), strict=True):
            members = np.sort(sets.slot[start : start + size])
            number = self._number.setdefault(members.tobytes(), len(self._count))
            if number == len(self._count):
                self._count.append(0)
                self._members.append(members)
                fresh.append(number)
            self._count[number] += sign
        if fresh:
            sizes = np.array([len(self._members[number]) for number in fresh])
            slots = np.concatenate([self._members[number] for number in fresh])
            self._of_slot.add(slots, np.repeat(np.array(fresh, dtype=np.int64), sizes))

    def neighbours(self, slots: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return who is in a set with some nodes, once a set: slot, the place of the
        node among `slots`, and the node's share in the set's mean; ``[n]`` each.
        """
        found = self._of_slot.find(slots)
        numbers = found.value.tolist()
        count = np.array([self._count[number] for number in numbers], dtype=np.float32)
        members = [self._members[number] for number in numbers]
        sizes = np.array([len(each) for each in members], dtype=np.int64)
        told: Int64s = np.concatenate([np.zeros(0, np.int64), *members])
        share = np.repeat(count / np.maximum(sizes, 1), sizes).astype(np.float32)
        counts = np.flatnonzero(share)
        return told[counts], np.repeat(found.place, sizes)[counts], share[counts]
