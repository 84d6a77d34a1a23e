"""The bipartite channel: messages between queries and items, along clicks.

Light graph convolution (He et al., SIGIR 2020) over the weighted query-item matrix `A`:
``sum over l from 1 of (D^-1/2 A D^-1/2)^l x``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.data.graph_size import ChannelSize
from model.network.compressed_rows import CsrMatrix
from model.network.graph import Hearing, VisibilityMask
from model.network.messages import Messages, WeightedPattern, draw
from model.network.sparse import Adjacency, Matrix, NormalisedAdjacency
from model.settings import ModelSettings
from stream.dtypes import Float32s, Int64s

# In place of the degree 0 of a node without visible edges; see `model.network.sparse`.
_SMALL = 1e-9


class Bipartite:
    """See `model.network.propagation.channel.Propagation`."""

    name = "bipartite"
    fed_by: tuple[str, ...] = ()

    def on_device(self, part: GraphPart, device: torch.device) -> "DeviceEdges":
        """See `Propagation`."""
        return DeviceEdges(part, device)

    def on_host(self, part: GraphPart) -> "HostEdges":
        """See `Propagation`."""
        return HostEdges(part)

    def layers(self, start: Tensor, hearing: Hearing, settings: ModelSettings) -> Iterator[Tensor]:
        """Query to item and back: (D^-1/2 A D^-1/2)^l x, l from 1."""
        layer = start
        for number in range(settings.num_layers):
            layer = hearing.along(layer, number)
            yield layer


class DeviceEdges:
    """All edges of a graph on the device."""

    def __init__(self, part: GraphPart, device: torch.device) -> None:
        self.adjacency = Adjacency(
            part.edge_query, part.edge_item, part.num_queries, part.num_items, device
        )
        self.weight = torch.from_numpy(part.edge_weight).to(device)

    def open(self, visible: VisibilityMask) -> "OpenEdges":
        """See `DeviceForm`."""
        return OpenEdges(self, visible)


class OpenEdges:
    """What is visible of all edges, on the device; see `Hearing`."""

    def __init__(self, edges: DeviceEdges, visible: VisibilityMask) -> None:
        self._adjacency = edges.adjacency
        self._weight = edges.weight * visible.edge
        self._node = visible.node

    @cached_property
    def degree(self) -> Tensor:
        """The sum of each node's visible edge weights."""
        return self._adjacency.degrees(self._weight) * self._node

    def along(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # all layers go over all edges
        """Return D^-1/2 A D^-1/2 x."""
        return self._adjacency.convolve(self._matrix, x)

    def both(self) -> tuple[Matrix, Matrix]:
        """Return D^-1/2 A D^-1/2 and its transpose."""
        return self._adjacency.both(self._matrix)

    @cached_property
    def _matrix(self) -> NormalisedAdjacency:
        degrees = self._adjacency.degrees(self._weight)
        return self._adjacency.normalised(self._weight, degrees, self._node)


class HostEdges:
    """All edges of a graph in the host's memory.

    Attributes:
        neighbours: row: node, column: node at the other end, entry: an edge, or its
            number plus `num_edges`.
    """

    def __init__(self, part: GraphPart) -> None:
        item = part.num_queries + part.edge_item
        self.neighbours = CsrMatrix(
            np.concatenate([part.edge_query, item]),
            np.concatenate([item, part.edge_query]),
            part.num_nodes,
        )
        self.num_edges = len(part.edge_query)
        self.num_nodes = part.num_nodes
        self.weight = part.edge_weight

    def open(self, visible: VisibilityMask) -> "OpenHostEdges":
        """See `HostForm`."""
        return OpenHostEdges(self, visible)


class OpenHostEdges:
    """What is visible of all edges, in the host's memory; see `HostHearing`."""

    def __init__(self, edges: HostEdges, visible: VisibilityMask) -> None:
        self._neighbours = edges.neighbours
        self._node: Float32s = visible.node.numpy()
        # An edge is two entries of the symmetric matrix, with one weight.
        edge = edges.neighbours.entry % max(1, edges.num_edges)
        self._weights: Float32s = (edges.weight * visible.edge.numpy())[edge]
        self._num_nodes = edges.num_nodes

    @property
    def degree(self) -> Tensor:
        """The sum of each node's visible edge weights."""
        return torch.from_numpy(self._degree * self._node)

    def along(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # all layers go over all edges
        """Return D^-1/2 A D^-1/2 x."""
        node = torch.from_numpy(self._node)[:, None]
        return self._neighbours.product(self._values, x).mul_(node)

    def draw(self, nodes: Int64s, settings: ModelSettings) -> "DrawnEdges":
        """See `HostHearing`; neighbours are drawn again for every layer, the last layer
        first.
        """
        layers: list[Messages] = []
        for _ in range(settings.num_layers):
            layers.insert(0, self._draw_layer(nodes, settings.num_neighbours))
            nodes = np.union1d(nodes, layers[0].column)
        return DrawnEdges(senders=nodes, layers=layers, degree=self._degree * self._node)

    def _draw_layer(self, nodes: Int64s, bound: int) -> Messages:
        neighbours = self._neighbours
        places = neighbours.places(nodes[self._node[nodes] > 0])
        places, more = draw(places[self._values[places] > 0], neighbours.row, bound)
        value = self._values[places] * more
        return Messages(row=neighbours.row[places], column=neighbours.column[places], value=value)

    @cached_property
    def _values(self) -> Float32s:
        """``float32``, for each place in `neighbours` its entry of D^-1/2 A D^-1/2."""
        root = (1.0 / np.sqrt(np.maximum(self._degree, _SMALL))).astype(np.float32)
        return self._weights * root[self._neighbours.row] * root[self._neighbours.column]

    @cached_property
    def _degree(self) -> Float32s:
        row = self._neighbours.row
        return np.bincount(row, self._weights, self._num_nodes).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class DrawnEdges:
    """Edges drawn for a batch, layer by layer; see `Drawn`.

    Attributes:
        senders: the nodes of all layers.
        layers: the messages of each layer, the first one first.
        degree: ``float32 [num_nodes]``, of all nodes of the graph.
    """

    senders: Int64s
    layers: list[Messages]
    degree: Float32s

    @property
    def size(self) -> ChannelSize:
        """See `Drawn`."""
        return ChannelSize(entries=sum(len(layer.value) for layer in self.layers))

    def hearing(self, nodes: Int64s, device: torch.device) -> "LayeredEdges":
        """See `Drawn`."""
        return LayeredEdges(
            degree=torch.from_numpy(self.degree[nodes]).to(device),
            layers=[layer.pattern(nodes, nodes, device) for layer in self.layers],
        )


@dataclass(frozen=True, kw_only=True)
class LayeredEdges:
    """The messages of a batch, on the device; see `Hearing`."""

    degree: Tensor
    layers: list[WeightedPattern]

    def along(self, x: Tensor, layer: int) -> Tensor:
        """Return the messages of a layer."""
        return self.layers[layer].product(x)
