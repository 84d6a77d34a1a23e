"""Where walks through sessions lead the nodes that the fresh lane publishes.

An item that the generation's sessions say something of keeps the direction that they
gave it. One that is new in sessions has that of those it was seen with. A query has the
direction of what it is clicked for by now, among the items of the generation.
"""

import numpy as np

from model.artifact.generation import Generation
from model.beside.joined import summed_directions
from model.fresh.active.graph import ActiveGraph
from model.fresh.active.origin import Origin
from stream.dtypes import Bools, Float32s, Int64s


class WalkDirections:
    """Directions of active nodes, by the state of the graph.

    Args:
        generation: has the directions of its items.
        origin: its nodes; None: nothing is known of sessions and clicks.
        graph: the active nodes.
    """

    def __init__(self, generation: Generation, origin: Origin | None, graph: ActiveGraph) -> None:
        self._block = generation.walk_block
        self._dim = self._block.dim - 1 if self._block is not None else 0
        self._items = np.asarray(generation.item_vectors)[:, : generation.dim_before_prior]
        self._origin = origin
        self._graph = graph

    def of(self, slots: Int64s, *, is_item: bool) -> Float32s:
        """Return ``float32 [n, dim - 1]`` of queries or of items, rows of length one or
        zeros; ``[n, 0]`` where the generation has no walks.
        """
        if self._block is None or self._origin is None or not len(slots):
            return np.zeros((len(slots), self._dim), dtype=np.float32)
        return self._of_items(slots) if is_item else self._of_queries(self._origin, slots)

    def _of_items(self, slots: Int64s) -> Float32s:
        found = self._stored(slots)
        new = np.flatnonzero(~found.any(axis=1) & self._is_new_in_sessions(slots))
        if len(new):
            other, place, share = self._graph.in_new_sessions(slots[new])
            counts = self._graph.nodes.columns.is_item[other]
            found[new] = summed_directions(
                place[counts],
                share[counts].astype(np.float64),
                self._stored(other[counts]),
                len(new),
            )
        return found

    def _is_new_in_sessions(self, slots: Int64s) -> Bools:
        """Return ``bool [n]``: no session of the generation has the item."""
        origin, rows = self._origin, self._graph.nodes.columns.row[slots]
        is_new = rows < 0
        if origin is not None:
            known = np.flatnonzero(~is_new)
            is_new[known] = origin.num_hyperedges(rows[known]) == 0
        return is_new

    def _of_queries(self, origin: Origin, slots: Int64s) -> Float32s:
        rows, links = self._graph.nodes.columns.row[slots], self._graph.links
        known = np.flatnonzero(rows >= 0)
        clicks = origin.clicks(rows[known])
        # Edges among active nodes are links, with what has come since.
        asleep = np.flatnonzero(self._graph.rows.slots(clicks.other) < 0)
        found = links.of(slots)
        return summed_directions(
            np.concatenate([known[clicks.place[asleep]], found.place]),
            np.concatenate([links.weight_of(clicks.sessions[asleep]), links.weights(found.link)]),
            np.concatenate(
                [
                    self._directions(clicks.other[asleep] - origin.num_queries),
                    self._stored(found.other),
                ]
            ),
            len(slots),
        )

    def _stored(self, slots: Int64s) -> Float32s:
        """Return the directions of items that are in the generation's vectors, zeros of
        new ones.
        """
        rows = self._graph.nodes.columns.row[slots]
        first = self._origin.num_queries if self._origin is not None else 0
        return self._directions(np.where(rows >= 0, rows - first, -1))

    def _directions(self, items: Int64s) -> Float32s:
        """Return the directions of some items of the generation; -1: it has it not."""
        known = items >= 0
        found = np.zeros((len(items), self._dim), dtype=np.float32)
        if self._block is not None:
            found[known] = self._block.directions_of(self._items[items[known]])
        return found
