"""A whole graph on the device: every step goes over all of it."""

import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.network.graph import Hearing, IdVectors, ReceptiveField, VisibilityMask
from model.network.propagation.propagations import PROPAGATIONS
from model.network.text_towers import TextTowers

# Share of nodes with clicks or sessions from which a step reads the texts of all: those
# patterns are made once, those of some nodes at each step, which takes about twice as
# long a text. Twice as much: never all.
_MOSTLY = 0.5


class Graph:
    """A `GraphPart` on the device: the patterns that messages travel along.

    Attributes:
        channels: each channel's part of it, by name.
        seen: ``float32 [num_nodes]``; 1: an id vector can be learned.
    """

    def __init__(self, part: GraphPart, device: torch.device) -> None:
        self.home = device
        self.num_queries = part.num_queries
        self.num_nodes = part.num_nodes
        self.num_edges = len(part.edge_query)
        self.num_hyperedges = part.num_hyperedges
        self.channels = {each.name: each.on_device(part, device) for each in PROPAGATIONS}
        self.seen = torch.from_numpy(part.seen).to(device).float()
        self._is_mostly_seen = part.seen.mean() > _MOSTLY

    def reach(self, visible: VisibilityMask, starts: Tensor) -> ReceptiveField:
        """See `PropagationGraph`."""
        if self._is_mostly_seen:
            return FullReceptiveField(self, visible)
        wanted = self.seen > 0
        wanted[starts] = True
        return FullReceptiveField(self, visible, wanted.nonzero()[:, 0])

    def reach_all(self) -> ReceptiveField:
        """See `PropagationGraph`."""
        return FullReceptiveField(self, VisibilityMask.everything(self))


class FullReceptiveField:
    """All nodes, and what is visible of a whole graph on the device.

    Args:
        graph: the graph.
        visible: what of it may be used.
        read: ``int64 [n]``, ascending: the nodes whose texts are read, the text vectors
            of others are zeros; None: all are.
    """

    nodes = None

    def __init__(self, graph: Graph, visible: VisibilityMask, read: Tensor | None = None) -> None:
        self._graph = graph
        self._visible = visible
        self._read = read
        self._opened: dict[str, Hearing] = {}

    def content(self, path: TextTowers) -> Tensor:
        """See `ReceptiveField`."""
        if self._read is None:
            content: Tensor = path(self._graph.num_queries)
            return content
        rows = path.some(self._read, self._graph.num_queries)
        return rows.new_zeros(self._graph.num_nodes, rows.shape[1]).index_copy(0, self._read, rows)

    def has_id(self) -> Tensor:
        """Return ``float32 [num_nodes]``; 1: with its id vector."""
        return self._graph.seen * self._visible.node

    def id_vectors(self, ids: IdVectors) -> Tensor:
        """See `ReceptiveField`."""
        return ids.whole() * self.has_id()[:, None]

    def channel(self, name: str) -> Hearing:
        """See `ReceptiveField`; opened at its first use."""
        if name not in self._opened:
            self._opened[name] = self._graph.channels[name].open(self._visible)
        return self._opened[name]
