"""What queries were clicked for since the generation, and where that moves them."""

from typing import NamedTuple

import numpy as np

from model.feedback import NewClicks, fed_back
from model.fresh.active.links import Links
from model.fresh.active.nodes import Nodes
from stream.dtypes import Float32s, Int64s


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
    """The vectors of active nodes, as they are published.

    Messages are without it: what a query tells its neighbours is what the network
    makes of it.

    Args:
        nodes: the state of the active nodes.
        links: the edges among them.
        weight: of `model.feedback.fed_back`; 0: new clicks move nothing by themselves.
    """

    def __init__(self, nodes: Nodes, links: Links, weight: float) -> None:
        self._nodes = nodes
        self._links = links
        self._weight = weight

    def vectors(self, slots: Int64s) -> Float32s:
        """Return ``float32 [n, dim]``, unit vectors by the state; NaN where it is not
        finite.
        """
        own = self._nodes.vectors(slots)
        clicked = self.clicked(slots)
        items, which = np.unique(clicked.item, return_inverse=True)
        return self.moved(own, clicked, self._nodes.vectors(items)[which])

    def moved(self, own: Float32s, clicked: ClickedItems, items: Float32s) -> Float32s:
        """Return where new clicks move vectors of the network, ``float32 [n, dim]``.

        Args:
            own: ``float32 [n, dim]``.
            clicked: for each of them.
            items: ``float32``, the network's vectors of what was clicked. One that is
                not finite moves nothing.
        """
        is_finite = np.isfinite(items.sum(axis=1))
        clicks = NewClicks(clicked.place[is_finite], clicked.sessions[is_finite], items[is_finite])
        return fed_back(own, clicks, self._weight)

    def clicked(self, slots: Int64s) -> ClickedItems:
        """Return what was clicked for those of some nodes that are queries; nothing
        where clicks move nothing.
        """
        queries = np.flatnonzero(~self._nodes.columns.is_item[slots])
        found = self._links.of(slots[queries] if self._weight else slots[:0])
        sessions = self._links.new_sessions(found.link)
        new = np.flatnonzero(sessions)
        return ClickedItems(queries[found.place[new]], sessions[new], found.other[new])

    def followers(self, slots: Int64s) -> Int64s:
        """Return the queries that were clicked for with those of some nodes that are
        items, ``int64 [n]`` distinct slots.
        """
        columns = self._nodes.columns
        items = slots[columns.is_item[slots]] if self._weight else slots[:0]
        found = self._links.of(items)
        queries: Int64s = np.unique(found.other[self._links.new_sessions(found.link) > 0])
        return queries
