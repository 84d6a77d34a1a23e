"""The hyperedges of active nodes: what sessions change of them, and new texts."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.fresh.active.nodes import ActiveRows, Nodes
from model.fresh.active.origin import Origin
from model.fresh.active.runs import MultiMap
from model.fresh.active.sums import add_numbers, add_products, sums_of_runs
from stream.dtypes import Bools, Float32s, Int64s
from stream.graph.keysets import run_starts

# Hyperedges of a node that learn of its new text: its newest, as many as a generation
# keeps for sure. Twice as many: twice the time of a text, for a part in a hundred of
# the others' channel.
_HYPEREDGES_OF_TEXT = 64


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

    A sum is over a node's hyperedges, of the mean of their members. It changes with the
    sessions that are touched, and with texts: then each hyperedge of the node tells its
    other members.

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
        self._texts = _ChangedTexts()

    def change(self, members: SessionMembers) -> None:
        """Take touched sessions in; all members are active."""
        for mask, sign in ((members.was_in, -1.0), (members.is_in, 1.0)):
            self._add(members, mask, sign)
        self._nodes.settle(np.unique(members.slot))

    def move(self, slots: Int64s, own: Float32s) -> Int64s:
        """Give distinct nodes another text vector, ``float32 [n, dim]``; return the
        slots of all nodes that this moves.
        """
        columns = self._nodes.columns
        moved = own - columns.own[slots]
        columns.own[slots] = own
        told, place, share = self._changed.neighbours(slots)
        add_products(columns.hypergraph, told, share, moved, place)
        if self._origin is None:
            return np.union1d(slots, told)
        self._texts.add(slots, columns.row[slots], self._origin)
        member, place, share = self._texts.told_by(slots)
        active = self._active.slots(member)
        is_active = active >= 0
        active = active[is_active]
        add_products(columns.hypergraph, active, share[is_active], moved, place[is_active])
        return np.unique(np.concatenate([slots, told, active]))

    def catch_up(self, slots: Int64s) -> None:
        """Tell nodes of the generation that have just become active which texts have
        changed in their hyperedges.
        """
        columns, origin = self._nodes.columns, self._origin
        if origin is None:
            return
        place, changer, share = self._texts.heard_by(columns.row[slots])
        if len(place):
            moved = columns.own[changer] - origin.own(columns.row[changer])
            add_products(columns.hypergraph, slots[place], share, moved, np.arange(len(place)))

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
        own = columns.own[slot]
        own[~np.isfinite(own).all(axis=1)] = 0.0
        means = sums_of_runs(own, starts)
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
        told, place, share = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        for at, number in zip(found.place.tolist(), found.value.tolist(), strict=True):
            members, count = self._members[number], self._count[number]
            if count:
                told.append(members)
                place.append(np.full(len(members), at))
                share.append(np.full(len(members), count / len(members)))
        return np.concatenate(told), np.concatenate(place), np.concatenate(share).astype(np.float32)


class _ChangedTexts:
    """Nodes of the generation with another text, and who shares their hyperedges."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        nobody = np.zeros(0, dtype=np.int64)
        self._entries = _Entries(nobody, nobody, np.zeros(0, dtype=np.float32))
        self._of_member = MultiMap()
        self._of_changer = MultiMap()

    def add(self, slots: Int64s, rows: Int64s, origin: Origin) -> None:
        """Note the hyperedges of nodes whose text changes for the first time."""
        for slot, row in zip(slots.tolist(), rows.tolist(), strict=True):
            if row < 0 or slot in self._known:
                continue
            self._known.add(slot)
            hyperedges = origin.hyperedges(row, _HYPEREDGES_OF_TEXT)
            place, member = origin.members(hyperedges)
            sizes = np.bincount(place, minlength=len(hyperedges))
            numbers = np.arange(len(member)) + len(self._entries.member)
            changer = np.full(len(member), slot)
            self._entries = _Entries(
                np.append(self._entries.changer, changer),
                np.append(self._entries.member, member),
                np.append(self._entries.share, (1.0 / sizes[place]).astype(np.float32)),
            )
            self._of_member.add(member, numbers)
            self._of_changer.add(changer, numbers)

    def told_by(self, slots: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return who hears of some nodes: the member's node in the generation, the
        place of the one that changes among `slots`, and its share; ``[n]`` each.
        """
        found = self._of_changer.find(slots)
        return self._entries.member[found.value], found.place, self._entries.share[found.value]

    def heard_by(self, rows: Int64s) -> tuple[Int64s, Int64s, Float32s]:
        """Return of whom some nodes of the generation hear: the place of the node among
        `rows`, the slot of the one that changed, and its share; ``[n]`` each.
        """
        found = self._of_member.find(rows)
        return found.place, self._entries.changer[found.value], self._entries.share[found.value]


class _Entries(NamedTuple):
    """Who hears of a new text: slot of the one that changed, node that hears of it, and
    the share of one in the mean that the other has of it.
    """

    changer: Int64s
    member: Int64s
    share: Float32s
