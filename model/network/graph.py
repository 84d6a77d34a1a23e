"""What is propagated over: the graph on its device, and both channels' steps on it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.network.content import ContentPath
from model.network.fused_channels import Matrices
from model.network.sparse import Adjacency, Normalised, Pattern, gather


class Graph:
    """A `GraphPart` on the device: the patterns that messages travel along."""

    def __init__(self, part: GraphPart, device: torch.device) -> None:
        self.home = device
        self.num_queries = part.num_queries
        self.num_nodes = part.num_nodes
        self.num_edges = len(part.edge_query)
        self.num_hyperedges = part.num_hyperedges
        self.edges = Adjacency(
            part.edge_query, part.edge_item, part.num_queries, part.num_items, device
        )
        self.incidences = Pattern(
            part.incidence_hyperedge,
            part.incidence_node,
            part.num_hyperedges,
            part.num_nodes,
            device,
        )
        self.edge_weight = torch.from_numpy(part.edge_weight).to(device)
        self.seen = torch.from_numpy(part.seen).to(device).float()

    def reach(self, visible: "Visible", starts: Tensor) -> "Reach":  # noqa: ARG002  # all nodes are reached
        """See `Propagable`."""
        return WholeReach(self, visible)

    def reach_all(self) -> "Reach":
        """See `Propagable`."""
        return WholeReach(self, Visible.everything(self))


@dataclass(frozen=True, kw_only=True)
class Visible:
    """What of a graph one propagation may use; 1: visible, 0: hidden.

    Attributes:
        edge: ``float32 [num_edges]``.
        hyperedge: ``float32 [num_hyperedges]``.
        node: ``float32 [num_nodes]``; a hidden one has no neighbours, in either
            channel, and no id vector.
    """

    edge: Tensor
    hyperedge: Tensor
    node: Tensor

    @staticmethod
    def everything(graph: "Propagable") -> "Visible":
        """Hide nothing."""
        return Visible(
            edge=torch.ones(graph.num_edges, device=graph.home),
            hyperedge=torch.ones(graph.num_hyperedges, device=graph.home),
            node=torch.ones(graph.num_nodes, device=graph.home),
        )


@dataclass(frozen=True, kw_only=True)
class Propagated:
    """Unit vectors of all nodes, and how much each channel had to say in them.

    Attributes:
        query: ``float32 [num_queries, dim]``.
        item: ``float32 [num_items, dim]``.
        query_attention: ``float32 [num_queries, 3]``, in the order of `CHANNELS`; rows
            sum to 1.
        item_attention: ``float32 [num_items, 3]``.
    """

    query: Tensor
    item: Tensor
    query_attention: Tensor
    item_attention: Tensor


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel's vectors ``float32 [num_nodes, dim]``, and each node's degree in it.

    0: it is silent.
    """

    vectors: Tensor
    degree: Tensor


@dataclass(frozen=True, kw_only=True)
class Channels:
    """What each channel says of every node, before attention joins them.

    Attributes:
        content: ``float32 [num_nodes, dim]``, each node's text alone, without an id
            vector.
        each: the channels, in the order of `CHANNELS`.
        nodes: ``int64 [num_rows]``, ascending: the nodes there is a row of; None: all.
    """

    content: Tensor
    each: tuple[Channel, ...]
    nodes: Tensor | None = None

    def rows(self, nodes: Tensor) -> Tensor:
        """Return ``int64 [n]``, the row of each of some nodes."""
        return nodes if self.nodes is None else torch.searchsorted(self.nodes, nodes)

    def of(self, nodes: Tensor) -> "Channels":
        """Return the channels of some distinct nodes alone.

        Whoever reads rows several times makes a gradient of all nodes each time; of
        these it is a small one.

        Args:
            nodes: ``int64 [n]``, in any order.
        """
        nodes = nodes.sort().values
        rows = self.rows(nodes)
        each = tuple(
            Channel(vectors=one.vectors[rows], degree=one.degree[rows]) for one in self.each
        )
        return Channels(content=self.content[rows], each=each, nodes=nodes)


class Reach(Protocol):
    """The nodes of one propagation, and how they hear of each other."""

    @property
    def nodes(self) -> Tensor | None:
        """``int64 [num_rows]``, ascending: the nodes there is a row of; None: all."""

    @property
    def edge_degree(self) -> Tensor:
        """``float32 [num_rows]``, what is visible of each node's edges.

        0: it hears nothing along them.
        """

    @property
    def hyperedge_degree(self) -> Tensor:
        """``float32 [num_rows]``, the number of each node's visible hyperedges."""

    def content(self, path: "ContentPath") -> Tensor:
        """Return ``float32 [num_rows, dim]``, what `path` makes of each node's text."""

    def id_vectors(self, table: Tensor) -> Tensor:
        """Return ``float32 [num_rows, dim]`` out of ``[num_nodes, dim]``.

        Zeros for who is new or hidden.
        """

    def along_edges(self, x: Tensor, layer: int) -> Tensor:
        """Return D^-1/2 A D^-1/2 x, ``float32 [num_rows, dim]``, as the layer with this
        number needs it.
        """

    def along_hyperedges(self, x: Tensor) -> Tensor:
        """Return D_v^-1 H D_e^-1 H^T x, ``float32 [num_rows, dim]``."""


class Propagable(Protocol):
    """A graph that steps propagate over.

    Attributes:
        home: where what is visible of it is said.
        num_nodes: queries and items.
        num_edges: query-item edges.
        num_hyperedges: sessions.
    """

    home: torch.device
    num_nodes: int
    num_edges: int
    num_hyperedges: int

    def reach(self, visible: Visible, starts: Tensor) -> Reach:
        """Return what it takes to get the vectors of some nodes, with gradients.

        Args:
            visible: what may be used, on `home`.
            starts: ``int64 [num_starts]``.
        """

    def reach_all(self) -> Reach:
        """Return what it takes to get the vectors of all nodes with nothing hidden,
        without gradients.
        """


class WholeReach:
    """All nodes, and what is visible of a whole graph on the device."""

    nodes = None

    def __init__(self, graph: Graph, visible: Visible) -> None:
        self._graph = graph
        self._visible = visible
        self._open = gather(visible.hyperedge, graph.incidences.row)
        self._weight = graph.edge_weight * visible.edge

    @cached_property
    def edge_degree(self) -> Tensor:
        """See `Reach`."""
        return self._graph.edges.degrees(self._weight) * self._visible.node

    @cached_property
    def hyperedge_degree(self) -> Tensor:
        """See `Reach`."""
        return self._member_degree * self._visible.node

    def content(self, path: "ContentPath") -> Tensor:
        """See `Reach`."""
        content: Tensor = path(self._graph.num_queries)
        return content

    def id_vectors(self, table: Tensor) -> Tensor:
        """See `Reach`."""
        return table * (self._graph.seen * self._visible.node)[:, None]

    def along_edges(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # all layers go over all edges
        """See `Reach`."""
        return self._graph.edges.convolve(self._matrix, x)

    def along_hyperedges(self, x: Tensor) -> Tensor:
        """See `Reach`."""
        incidences = self._graph.incidences
        return incidences.transposed_product(self._heard, incidences.product(self._told, x))

    def matrices(self, nodes: Tensor, num_layers: int) -> Matrices:
        """Return what it takes to get the channels of some nodes, ``int64 [n]`` and
        distinct.
        """
        graph = self._graph
        return Matrices(
            layers=num_layers,
            edges=graph.edges.both(self._matrix),
            last=graph.edges.some_rows(self._matrix, nodes),
            to_session=graph.incidences.both(self._told),
            from_session=graph.incidences.both(self._heard)[::-1],
            has_id=graph.seen * self._visible.node,
            nodes=nodes,
        )

    @cached_property
    def _told(self) -> Tensor:
        """Entries of H D_e^-1: a session is the mean of its members."""
        size = self._graph.incidences.row_sums(self._open).clamp(min=1.0)
        return self._open / gather(size, self._graph.incidences.row)

    @cached_property
    def _heard(self) -> Tensor:
        """Entries of D_v^-1 H: a node hears the mean of its sessions, a hidden one
        nothing.
        """
        share = self._visible.node / self._member_degree.clamp(min=1.0)
        return self._open * gather(share, self._graph.incidences.column)

    @cached_property
    def _matrix(self) -> Normalised:
        edges = self._graph.edges
        return edges.normalised(self._weight, edges.degrees(self._weight), self._visible.node)

    @cached_property
    def _member_degree(self) -> Tensor:
        return self._graph.incidences.column_sums(self._open)
