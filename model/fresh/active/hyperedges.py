"""The hyperedges of active nodes: what sessions change of them, and what their members
become.
"""

from dataclasses import dataclass

import numpy as np

from model.fresh.active.changed_sets import ChangedSets, Sets, TouchedSets
from model.fresh.active.nodes import ActiveRows, Nodes
from model.fresh.active.origin import Origin
from model.sums import (
    add_distinct,
    add_numbers,
    add_products,
    norms,
    summed_products,
    sums_of_runs,
)
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
        self._changed = ChangedSets()

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
        size, length = self._nodes.moves_to_carry(slots)
        with np.errstate(invalid="ignore", over="ignore"):
            slots = slots[np.isfinite(size) & (size > _LEAST_CHANGE * length)]
        carried = self._nodes.to_carry(slots)
        moved = carried - columns.carried[slots]
        columns.carried[slots] = carried
        columns.drift[slots] += moved
        self._hear(self._changed.of(slots), moved)
        self._hear(self._known_sets(slots), moved)

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

    def num_new_sets(self, slots: Int64s) -> Int64s:
        """Return ``int64 [n]``, sessions since the generation that have some nodes and
        others.
        """
        return self._changed.num_of(slots)

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
        return self._known_sets(slots).neighbours()

    def _known_sets(self, slots: Int64s) -> TouchedSets:
        """Return the generation's hyperedges of some nodes, with the active members."""
        origin, rows = self._origin, self._nodes.columns.row[slots]
        known = np.flatnonzero(rows >= 0)
        if origin is None or not len(known):
            return TouchedSets.nothing()
        place, hyperedge = origin.hyperedges(rows[known], _HYPEREDGES)
        numbers, which = np.unique(hyperedge, return_inverse=True)
        of_number, member = origin.members(numbers)
        sizes = np.bincount(of_number, minlength=len(numbers))
        active = self._active.slots(member)
        kept = np.flatnonzero(active >= 0)
        return TouchedSets(
            place=known[place],
            which=which,
            share=1.0 / np.maximum(sizes, 1),
            of_set=of_number[kept],
            member=active[kept],
        )

    def _hear(self, touched: TouchedSets, moved: Float32s) -> None:
        """Add what the members of hyperedges are told to their sums, and to what their
        vectors may have moved.

        What several members of a hyperedge say is summed first: its others hear it
        once.

        Args:
            touched: the hyperedges.
            moved: ``float32 [num_told, dim]``, what each node that tells says.
        """
        columns, num_sets = self._nodes.columns, len(touched.share)
        if not num_sets:
            return
        said = np.zeros((num_sets, moved.shape[1]), dtype=np.float32)
        ones = np.ones(len(touched.which), dtype=np.float32)
        add_products(said, touched.which, ones, moved, touched.place)
        share = touched.share[touched.of_set]
        told, heard = summed_products(
            touched.member, share, said, touched.of_set, self._nodes.count
        )
        add_distinct(columns.hypergraph, told, heard)
        movement = norms(heard) / np.maximum(columns.hyperedges[told], 1.0)
        columns.unrest[told] += (movement * columns.set_sensitivity[told]).astype(np.float32)

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
        self._changed.add(Sets(starts[whole], sizes[whole], slot), 1 if sign > 0 else -1)
