"""A whole graph on the device: every step goes over all of it."""

import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.network.graph import Hearing, ReceptiveField, VisibilityMask
from model.network.propagation.propagations import PROPAGATIONS
from model.network.text_towers import TextTowers


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

    def reach(self, visible: VisibilityMask, starts: Tensor) -> ReceptiveField:  # noqa: ARG002  # all nodes are reached
        """See `PropagationGraph`."""
        return FullReceptiveField(self, visible)

    def reach_all(self) -> ReceptiveField:
        """See `PropagationGraph`."""
        return FullReceptiveField(self, VisibilityMask.everything(self))


class FullReceptiveField:
    """All nodes, and what is visible of a whole graph on the device."""

    nodes = None

    def __init__(self, graph: Graph, visible: VisibilityMask) -> None:
        self._graph = graph
        self._visible = visible
        self._opened: dict[str, Hearing] = {}

    def content(self, path: TextTowers) -> Tensor:
        """See `ReceptiveField`."""
        content: Tensor = path(self._graph.num_queries)
        return content

    def has_id(self) -> Tensor:
        """Return ``float32 [num_nodes]``; 1: with its id vector."""
        return self._graph.seen * self._visible.node

    def id_vectors(self, table: Tensor) -> Tensor:
        """See `ReceptiveField`."""
        return table * self.has_id()[:, None]

    def channel(self, name: str) -> Hearing:
        """See `ReceptiveField`; opened at its first use."""
        if name not in self._opened:
            self._opened[name] = self._graph.channels[name].open(self._visible)
        return self._opened[name]
