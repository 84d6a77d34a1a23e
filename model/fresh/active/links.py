"""The edges among active nodes."""

from typing import NamedTuple

import numpy as np

from model.fresh.active.runs import MultiMap
from stream.dtypes import Float64s, Int64s

# Edges that there is room for at first; they are a few bytes each.
_FIRST_ROOM = 1024
# Bits of a slot in a pair's code: four billion slots of a kilobyte each.
_SLOT_BITS = 32


class LinkRows(NamedTuple):
    """Edges of some nodes.

    Attributes:
        place: ``int64 [n]``, which of the asked nodes each is of.
        link: ``int64 [n]``, its number.
        other: ``int64 [n]``, the slot at its other end.
    """

    place: Int64s
    link: Int64s
    other: Int64s


class Links:
    """Edges by number, with their sessions and weight.

    Args:
        min_sessions: distinct sessions below which an edge weighs nothing.
    """

    def __init__(self, min_sessions: int) -> None:
        self._min_sessions = min_sessions
        self._ends = np.zeros((_FIRST_ROOM, 2), dtype=np.int64)
        self._sessions = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self._new_sessions = np.zeros(_FIRST_ROOM, dtype=np.int64)
        self._weight = np.zeros(_FIRST_ROOM, dtype=np.float64)
        self._count = 0
        self._of_slot = MultiMap()
        self._of_pair = MultiMap()

    def add(self, query: Int64s, item: Int64s, sessions: Int64s) -> Int64s:
        """Add edges that are not there yet; return their numbers, ``int64 [n]``.

        Args:
            query: ``int64 [n]``, slots.
            item: ``int64 [n]``, slots.
            sessions: ``int64 [n]``.
        """
        links = np.arange(self._count, self._count + len(query))
        self._make_room(self._count + len(query))
        self._count += len(query)
        self._ends[links, 0], self._ends[links, 1] = query, item
        self._sessions[links] = sessions
        self._weight[links] = self.weight_of(sessions)
        self._of_slot.add(np.concatenate([query, item]), np.concatenate([links, links]))
        self._of_pair.add(pair_codes(query, item), links)
        return links

    def find(self, query: Int64s, item: Int64s) -> Int64s:
        """Return ``int64 [n]``, the numbers of edges; -1: there is none."""
        links = np.full(len(query), -1, dtype=np.int64)
        found = self._of_pair.find(pair_codes(query, item))
        links[found.place] = found.value
        return links

    def of(self, slots: Int64s) -> LinkRows:
        """Return all edges of some nodes."""
        found = self._of_slot.find(slots)
        ends = self._ends[found.value]
        other = np.where(ends[:, 0] == slots[found.place], ends[:, 1], ends[:, 0])
        return LinkRows(found.place, found.value, other)

    def ends(self, links: Int64s) -> tuple[Int64s, Int64s]:
        """Return the slots of query and item of some edges, ``int64 [n]`` each."""
        return self._ends[links, 0], self._ends[links, 1]

    def weights(self, links: Int64s) -> Float64s:
        """Return ``float64 [n]``."""
        return self._weight[links]

    def new_sessions(self, links: Int64s) -> Int64s:
        """Return ``int64 [n]``, sessions since the generation; 0 where an edge weighs
        nothing.
        """
        return np.where(self._weight[links] > 0, np.maximum(0, self._new_sessions[links]), 0)

    def change(self, links: Int64s, sessions: Int64s) -> Float64s:
        """Add sessions to distinct edges; return by how much their weights change."""
        before = self._weight[links]
        self._sessions[links] = np.maximum(0, self._sessions[links] + sessions)
        self._new_sessions[links] += sessions
        self._weight[links] = self.weight_of(self._sessions[links])
        return self._weight[links] - before

    def weight_of(self, sessions: Int64s) -> Float64s:
        """Return ``float64 [n]``, what edges of so many sessions weigh."""
        return np.where(sessions >= self._min_sessions, np.log1p(sessions), 0.0)

    def _make_room(self, wanted: int) -> None:
        room = len(self._sessions)
        if wanted <= room:
            return
        room = max(wanted, 2 * room)
        self._ends = _grown(self._ends, room)
        self._sessions = _grown(self._sessions, room)
        self._new_sessions = _grown(self._new_sessions, room)
        self._weight = _grown(self._weight, room)


def pair_codes(query: Int64s, item: Int64s) -> Int64s:
    """Return ``int64 [n]``, one number for each pair of slots."""
    return (query << _SLOT_BITS) | item


def _grown(column: np.ndarray, room: int) -> np.ndarray:
    grown = np.zeros((room, *column.shape[1:]), dtype=column.dtype)
    grown[: len(column)] = column
    return grown
