"""What queries were clicked for since the generation."""

from typing import NamedTuple

import numpy as np

from model.fresh.active.links import Links
from model.fresh.active.nodes import Nodes
from model.sums import add_numbers
from stream.dtypes import Float32s, Float64s, Int64s


class ClickedItems(NamedTuple):
    """Items that were clicked for some queries since the generation.

    Attributes:
        place: ``int64 [n]``, which of the asked slots each is of.
        sessions: ``int64 [n]``, how many sessions, at least one.
        item: ``int64 [n]``, its slot.
    """

    place: Int64s
    sessions: Int64s
    item: Int64s


class Feedback:
    """Which queries are published nearer to what was clicked for them.

    Messages are without it: what a query tells its neighbours is what the network
    makes of it.

    Args:
        nodes: the state of the active nodes.
        links: the edges among them.
        weight: of `model.feedback.fed_back`; 0: new clicks move nothing by themselves.
        cosine: of `model.feedback.Reach`; 0: queries need not come near to new items.

    Attributes:
        weight: as given.
        cosine: as given.
    """

    def __init__(self, nodes: Nodes, links: Links, *, weight: float, cosine: float) -> None:
        self.weight = weight
        self.cosine = cosine
        self._nodes = nodes
        self._links = links

    @property
    def _moves(self) -> bool:
        return self.weight > 0.0 or self.cosine > 0.0

    def clicked(self, slots: Int64s) -> ClickedItems:
        """Return what was clicked for those of some nodes that are queries; nothing
        where clicks move nothing.
        """
        return self.new_clicks(slots if self._moves else slots[:0])

    def new_clicks(self, slots: Int64s) -> ClickedItems:
        """Return what was clicked for those of some nodes that are queries."""
        queries = np.flatnonzero(~self._nodes.columns.is_item[slots])
        found = self._links.of(slots[queries])
        sessions = self._links.new_sessions(found.link)
        new = np.flatnonzero(sessions)
        return ClickedItems(queries[found.place[new]], sessions[new], found.other[new])

    def boldness(self, slots: Int64s, clicked: ClickedItems) -> Float64s:
        """Return how boldly queries may go to what was clicked for them, ``float64
        [n]``: only for an item that the generation does not have, the share of their
        edges' weight that is of edges with new sessions, 1 for new queries.

        One click on a new item says all that is known of a new query, and little of one
        that hundreds have clicked for.

        Args:
            slots: ``int64 [n]``.
            clicked: as `clicked` returns it of them.
        """
        columns = self._nodes.columns
        is_new = columns.row[clicked.item] < 0
        for_new = np.zeros(len(slots), dtype=np.bool_)
        for_new[clicked.place[is_new]] = True
        links = self._links.find(slots[clicked.place], clicked.item)
        new = np.bincount(clicked.place, self._links.weights(links), minlength=len(slots))
        whole = columns.weight[slots]
        share = np.divide(new, whole, out=np.zeros_like(whole), where=whole > 0.0)
        bold: Float64s = np.where(for_new, np.minimum(share, 1.0), 0.0)
        return bold

    def pull(self, slots: Int64s, movement: Float32s) -> None:
        """Note what some nodes that moved mean for the queries that were clicked for
        with those of them that are items.

        Args:
            slots: ``int64 [n]``.
            movement: ``float32 [n]``, by how much, in radians.
        """
        columns = self._nodes.columns
        items = np.flatnonzero(columns.is_item[slots] & self._moves)
        found = self._links.of(slots[items])
        sessions = self._links.new_sessions(found.link)
        new = np.flatnonzero(sessions)
        query = found.other[new]
        by = movement[items[found.place[new]]] * np.log1p(sessions[new]) * columns.gain[query]
        add_numbers(columns.pull, query, by)

    def note_shifts(self, slots: Int64s, clicked: ClickedItems, shifts: Float64s) -> None:
        """Note that queries are published, and how far they follow their items.

        Args:
            slots: ``int64 [n]``.
            clicked: as `clicked` returns it of them.
            shifts: of `model.feedback.FedBack`, ``float64 [n]``.
        """
        columns = self._nodes.columns
        whole = np.bincount(clicked.place, np.log1p(clicked.sessions), minlength=len(slots))
        gain = np.divide(shifts, whole, out=np.zeros(len(slots)), where=whole > 0.0)
        columns.gain[slots], columns.pull[slots] = gain, 0.0
