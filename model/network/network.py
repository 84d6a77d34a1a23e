"""The dual-channel network: text, a bipartite channel, a hypergraph channel, and
attention between them.

After "Search Behavior Prediction: A Hypergraph Perspective" (Han et al., WSDM 2023;
DCAH), with three differences: a node starts from its hashed text, not from a
pre-trained sentence vector; the hypergraph channel also feeds the bipartite one; and a
score is the inner product of unit vectors, because an index searches by it.

Formulas below: `A` is the weighted query-item matrix, `H` the incidence of nodes and
hyperedges (sessions), `D` with an index their degrees, `x` a node's own vector.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.data.graph import GraphPart
from model.data.texts import Texts
from model.network.fused_channels import Matrices, rows_of
from model.network.fused_towers import lifted
from model.network.sparse import Adjacency, Normalised, Pattern, gather
from model.settings import ModelSettings

CHANNELS = ("text", "bipartite", "hypergraph")
_FEATURE_STD = 0.3
_OUT_STD = 0.02
_FED_HYPERGRAPH = 0.1
_BLOCK_NODES = 1 << 13


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


class ContentPath(nn.Module):
    """Hashed text features to vectors: ``mean + W2 relu(W1 mean + b1) + b2``, a tower
    for each kind of node.

    `model.artifact.encoder.TextEncoder` computes the same in numpy.
    """

    def __init__(self, texts: Texts, settings: ModelSettings, num_nodes: int) -> None:
        super().__init__()
        self.bag = nn.Parameter(_FEATURE_STD * torch.randn(len(texts.buckets), settings.dim))
        self.towers = nn.ModuleDict({kind: _tower(settings) for kind in ("query", "item")})
        self._texts = texts
        self._num_nodes = num_nodes

    def forward(self, num_queries: int) -> Tensor:
        """Return ``float32 [num_nodes, dim]``, queries first."""
        of_terms = self._of_terms.product(self._once, self.bag)
        return self.lift(self._of_texts.product(self._mean_weight, of_terms), num_queries)

    def lift(self, mean: Tensor, num_queries: int) -> Tensor:
        """Return ``float32 [n, dim]`` from texts' mean features.

        The first `num_queries` are of queries.
        """
        if torch.is_autocast_enabled(mean.device.type):
            query, item = mean.tensor_split([num_queries])
            return torch.cat(
                [query + self.towers["query"](query), item + self.towers["item"](item)]
            )
        return lifted(
            mean, num_queries, *self.towers["query"].parameters(), *self.towers["item"].parameters()
        )

    @cached_property
    def _of_terms(self) -> Pattern:
        texts = self._texts
        return Pattern(
            texts.owner, texts.feature, texts.num_terms, len(texts.buckets), self.bag.device
        )

    @cached_property
    def _of_texts(self) -> Pattern:
        texts = self._texts
        return Pattern(texts.node, texts.term, self._num_nodes, texts.num_terms, self.bag.device)

    @cached_property
    def _once(self) -> Tensor:
        return torch.ones(len(self._texts.owner), device=self.bag.device)

    @cached_property
    def _mean_weight(self) -> Tensor:
        """A text is the mean of its features, whichever of its terms they are of."""
        share = 1.0 / self._texts.lengths(self._num_nodes).clip(min=1)
        return torch.from_numpy(share[self._texts.node].astype(np.float32)).to(self.bag.device)


class ChannelAttention(nn.Module):
    """How much a node listens to each channel.

    By what the channel says, and by how much it has to go on.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.score = nn.Parameter(torch.zeros(len(CHANNELS), dim))
        self.bias = nn.Parameter(torch.zeros(len(CHANNELS)))
        self.degree = nn.Parameter(torch.zeros(len(CHANNELS), len(CHANNELS)))

    def forward(self, vectors: Tensor, degrees: Tensor) -> Tensor:
        """Return ``float32 [n, 3]``, the weights of ``vectors [n, 3, dim]``.

        A silent channel gets none.
        """
        scores = (torch.tanh(self.project(vectors)) * self.score).sum(dim=2) + self.bias
        scores = scores + torch.log1p(degrees) @ self.degree
        return scores.masked_fill(degrees == 0, -math.inf).softmax(dim=1)


class DualChannelNetwork(nn.Module):
    """All parameters of the model; `forward` returns every node's unit vector.

    Attributes:
        half_precision: text towers and attention multiply in bfloat16; sparse products
            and scores never do.
    """

    def __init__(
        self,
        texts: Texts,
        settings: ModelSettings,
        num_queries: int,
        num_items: int,
        device: torch.device,
    ) -> None:
        super().__init__()
        self._settings = settings
        self._num_queries = num_queries
        self.half_precision = settings.mixed_precision and device.type == "cuda"
        self.content = ContentPath(texts, settings, num_queries + num_items)
        self.ids = nn.Parameter(torch.zeros(num_queries + num_items, settings.dim))
        self.fed_hypergraph = nn.Parameter(torch.tensor(_FED_HYPERGRAPH))
        self.attention = nn.ModuleDict(
            {kind: ChannelAttention(settings.dim) for kind in ("query", "item")}
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(settings.temperature)))
        self.to(device)

    def forward(self, reach: Reach) -> Propagated:
        """Propagate over all nodes, and join their channels, a block of nodes at a
        time.
        """
        channels = self.propagate(reach)
        query, query_attention = self._join_range(channels, 0, self._num_queries)
        item, item_attention = self._join_range(channels, self._num_queries, len(self.ids))
        return Propagated(
            query=query, item=item, query_attention=query_attention, item_attention=item_attention
        )

    def propagate(self, reach: Reach) -> Channels:
        """Return what each channel says of every node that is reached."""
        with self._dense():
            content = reach.content(self.content)
        own = content + reach.id_vectors(self.ids) if self._settings.use_ids else content
        hypergraph = self._hypergraph_channel(own, reach)
        fed = self.fed_hypergraph.to(own.device) * hypergraph.vectors
        bipartite = self._bipartite_channel(own + fed, reach)
        text = Channel(vectors=own, degree=own.new_ones(len(own)))
        return Channels(content=content, each=(text, bipartite, hypergraph), nodes=reach.nodes)

    def propagate_to(self, reach: Reach, nodes: Tensor) -> Channels:
        """Return what each channel says of some distinct nodes, ``int64 [n]``.

        For a step, with gradients.
        """
        settings = self._settings
        has_all = settings.use_bipartite and settings.use_hypergraph and settings.use_ids
        if not (has_all and isinstance(reach, WholeReach)):
            return self.propagate(reach).of(nodes)
        nodes = nodes.sort().values
        with self._dense():
            content = reach.content(self.content)
        rows = rows_of(
            content, self.ids, self.fed_hypergraph, reach.matrices(nodes, settings.num_layers)
        )
        text = Channel(vectors=rows.own, degree=rows.own.new_ones(len(nodes)))
        bipartite = Channel(vectors=rows.bipartite, degree=reach.edge_degree[nodes])
        hypergraph = Channel(vectors=rows.hypergraph, degree=reach.hyperedge_degree[nodes])
        return Channels(content=rows.content, each=(text, bipartite, hypergraph), nodes=nodes)

    def join(self, channels: Channels, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors ``float32 [n, dim]`` of some nodes, and the attention
        behind them ``[n, 3]``.

        Args:
            channels: of `propagate`.
            nodes: ``int64 [n]``, all of them queries or all of them items.
        """
        kind = "query" if len(nodes) and int(nodes[0]) < self._num_queries else "item"
        rows = channels.rows(nodes)
        vectors = torch.stack([channel.vectors[rows] for channel in channels.each], dim=1)
        degrees = torch.stack([channel.degree[rows] for channel in channels.each], dim=1)
        vectors, degrees = vectors.to(self.ids.device), degrees.to(self.ids.device)
        with self._dense():
            attention: Tensor = self.attention[kind](vectors, degrees)
        return F.normalize((attention[:, :, None] * vectors).sum(dim=1), dim=1), attention

    def _dense(self) -> torch.autocast:
        return torch.autocast(self.ids.device.type, torch.bfloat16, enabled=self.half_precision)

    def _join_range(self, channels: Channels, start: int, end: int) -> tuple[Tensor, Tensor]:
        home = channels.content.device
        blocks = torch.split(torch.arange(start, end, device=home), _BLOCK_NODES)
        joined = [[each.to(home) for each in self.join(channels, block)] for block in blocks]
        vectors, attention = (torch.cat(each) for each in zip(*joined, strict=True))
        return vectors, attention

    def _hypergraph_channel(self, own: Tensor, reach: Reach) -> Channel:
        """Node to session to node: D_v^-1 H D_e^-1 H^T x."""
        if not self._settings.use_hypergraph:
            return _silent(own)
        return Channel(vectors=reach.along_hyperedges(own), degree=reach.hyperedge_degree)

    def _bipartite_channel(self, start: Tensor, reach: Reach) -> Channel:
        """Query to item and back: the sum over layers of (D^-1/2 A D^-1/2)^l x, l from
        1.
        """
        if not self._settings.use_bipartite:
            return _silent(start)
        layer = total = reach.along_edges(start, 0)
        for number in range(1, self._settings.num_layers):
            layer = reach.along_edges(layer, number)
            total = total + layer
        return Channel(vectors=total, degree=reach.edge_degree)


def _tower(settings: ModelSettings) -> nn.Sequential:
    out = nn.Linear(settings.hidden, settings.dim)
    nn.init.normal_(out.weight, std=_OUT_STD)
    nn.init.zeros_(out.bias)
    return nn.Sequential(nn.Linear(settings.dim, settings.hidden), nn.ReLU(), out)


def _silent(like: Tensor) -> Channel:
    return Channel(vectors=torch.zeros_like(like), degree=like.new_zeros(len(like)))
