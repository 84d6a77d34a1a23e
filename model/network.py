"""The dual-channel network: text, a bipartite channel, a hypergraph channel, and attention between them.

After "Search Behavior Prediction: A Hypergraph Perspective" (Han et al., WSDM 2023; DCAH), with three
differences: a node starts from its hashed text, not from a pre-trained sentence vector; the hypergraph
channel also feeds the bipartite one; and a score is the inner product of unit vectors, because an index
searches by it.

Formulas below: `A` is the weighted query-item matrix, `H` the incidence of nodes and hyperedges (sessions),
`D` with an index their degrees, `x` a node's own vector.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.dataset import GraphPart, Texts
from model.layers import Adjacency, Pattern
from model.settings import ModelSettings

CHANNELS = ("text", "bipartite", "hypergraph")
_FEATURE_STD = 0.3
_OUT_STD = 0.02
_FED_HYPERGRAPH = 0.5


class Graph:
    """A `GraphPart` on the device: the patterns that messages travel along."""

    def __init__(self, part: GraphPart, device: torch.device) -> None:
        self.num_queries = part.num_queries
        self.num_edges = len(part.edge_query)
        self.num_hyperedges = part.num_hyperedges
        self.edges = Adjacency(part.edge_query, part.edge_item, part.num_queries, part.num_items, device)
        self.incidences = Pattern(
            part.incidence_hyperedge, part.incidence_node, part.num_hyperedges, part.num_nodes, device
        )
        self.edge_weight = torch.from_numpy(part.edge_weight).to(device)
        self.seen = torch.from_numpy(part.seen).to(device).float()


@dataclass(frozen=True, kw_only=True)
class Visible:
    """What of a graph one propagation may use; 1: visible, 0: hidden.

    Attributes:
        edge: ``float32 [num_edges]``.
        hyperedge: ``float32 [num_hyperedges]``.
        node: ``float32 [num_nodes]``; a hidden one has no neighbours, in either channel, and no id vector.
    """

    edge: Tensor
    hyperedge: Tensor
    node: Tensor

    @staticmethod
    def everything(graph: Graph) -> "Visible":
        """Hide nothing."""
        return Visible(
            edge=torch.ones_like(graph.edge_weight),
            hyperedge=graph.edge_weight.new_ones(graph.num_hyperedges),
            node=torch.ones_like(graph.seen),
        )


@dataclass(frozen=True, kw_only=True)
class Propagated:
    """Unit vectors of all nodes, and how much each channel had to say in them.

    Attributes:
        query: ``float32 [num_queries, dim]``.
        item: ``float32 [num_items, dim]``.
        query_attention: ``float32 [num_queries, 3]``, in the order of `CHANNELS`; rows sum to 1.
        item_attention: ``float32 [num_items, 3]``.
    """

    query: Tensor
    item: Tensor
    query_attention: Tensor
    item_attention: Tensor


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One channel's vectors ``float32 [num_nodes, dim]``, and each node's degree in it; 0: it is silent."""

    vectors: Tensor
    degree: Tensor


@dataclass(frozen=True, kw_only=True)
class Channels:
    """What each channel says of every node, before attention joins them.

    Attributes:
        content: ``float32 [num_nodes, dim]``, each node's text alone, without an id vector.
        each: the channels, in the order of `CHANNELS`.
    """

    content: Tensor
    each: tuple[Channel, ...]


class ContentPath(nn.Module):
    """Hashed text features to vectors: ``mean + W2 relu(W1 mean + b1) + b2``, a tower for each kind of node.

    `model.encoder.TextEncoder` computes the same in numpy.
    """

    def __init__(self, texts: Texts, settings: ModelSettings, num_nodes: int, device: torch.device) -> None:
        super().__init__()
        self.bag = nn.Parameter(_FEATURE_STD * torch.randn(len(texts.buckets), settings.dim))
        self.towers = nn.ModuleDict({kind: _tower(settings) for kind in ("query", "item")})
        self._pattern = Pattern(texts.node, texts.feature, num_nodes, len(texts.buckets), device)
        counts = self._pattern.row_sums(torch.ones(len(texts.node), device=device))
        self._mean_weight = (1.0 / counts.clamp(min=1.0))[self._pattern.row]

    def forward(self, num_queries: int) -> Tensor:
        """Return ``float32 [num_nodes, dim]``, queries first."""
        mean = self._pattern.product(self._mean_weight, self.bag)
        query, item = mean.tensor_split([num_queries])
        return torch.cat([query + self.towers["query"](query), item + self.towers["item"](item)])


class ChannelAttention(nn.Module):
    """How much a node listens to each channel: by what the channel says, and by how much it has to go on."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.score = nn.Parameter(torch.zeros(len(CHANNELS), dim))
        self.bias = nn.Parameter(torch.zeros(len(CHANNELS)))
        self.degree = nn.Parameter(torch.zeros(len(CHANNELS), len(CHANNELS)))

    def forward(self, vectors: Tensor, degrees: Tensor) -> Tensor:
        """Return ``float32 [n, 3]``, the weights of ``vectors [n, 3, dim]``; a silent channel gets none."""
        scores = (torch.tanh(self.project(vectors)) * self.score).sum(dim=2) + self.bias
        scores = scores + torch.log1p(degrees) @ self.degree
        return scores.masked_fill(degrees == 0, -math.inf).softmax(dim=1)


class DualChannelNetwork(nn.Module):
    """All parameters of the model; `forward` propagates over a graph and returns every node's unit vector."""

    def __init__(
        self, texts: Texts, settings: ModelSettings, num_queries: int, num_items: int, device: torch.device
    ) -> None:
        super().__init__()
        self._settings = settings
        self._num_queries = num_queries
        self.content = ContentPath(texts, settings, num_queries + num_items, device)
        self.ids = nn.Parameter(torch.zeros(num_queries + num_items, settings.dim))
        self.fed_hypergraph = nn.Parameter(torch.tensor(_FED_HYPERGRAPH))
        self.attention = nn.ModuleDict({kind: ChannelAttention(settings.dim) for kind in ("query", "item")})
        self.log_temperature = nn.Parameter(torch.tensor(math.log(settings.temperature)))
        self.to(device)

    def forward(self, graph: Graph, visible: Visible) -> Propagated:
        """Propagate over what is visible of `graph`, and join the channels of all nodes."""
        channels = self.propagate(graph, visible)
        num_nodes = len(graph.seen)
        query, query_attention = self.join(
            channels, torch.arange(self._num_queries, device=graph.seen.device)
        )
        items = torch.arange(self._num_queries, num_nodes, device=graph.seen.device)
        item, item_attention = self.join(channels, items)
        return Propagated(
            query=query, item=item, query_attention=query_attention, item_attention=item_attention
        )

    def propagate(self, graph: Graph, visible: Visible) -> Channels:
        """Return what each channel says of every node."""
        content: Tensor = self.content(self._num_queries)
        own = self._own(content, graph, visible)
        hypergraph = self._hypergraph_channel(own, graph, visible)
        bipartite = self._bipartite_channel(own + self.fed_hypergraph * hypergraph.vectors, graph, visible)
        text = Channel(vectors=own, degree=torch.ones_like(graph.seen))
        return Channels(content=content, each=(text, bipartite, hypergraph))

    def join(self, channels: Channels, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors ``float32 [n, dim]`` of some nodes, and the attention behind them ``[n, 3]``.

        Args:
            channels: of `propagate`.
            nodes: ``int64 [n]``, all of them queries or all of them items.
        """
        kind = "query" if len(nodes) and int(nodes[0]) < self._num_queries else "item"
        vectors = torch.stack([channel.vectors[nodes] for channel in channels.each], dim=1)
        degrees = torch.stack([channel.degree[nodes] for channel in channels.each], dim=1)
        attention: Tensor = self.attention[kind](vectors, degrees)
        return F.normalize((attention[:, :, None] * vectors).sum(dim=1), dim=1), attention

    def _own(self, content: Tensor, graph: Graph, visible: Visible) -> Tensor:
        """Text, plus the id vector of a node that was seen in `graph` and is not hidden."""
        if not self._settings.use_ids:
            return content
        return content + self.ids * (graph.seen * visible.node)[:, None]

    def _hypergraph_channel(self, own: Tensor, graph: Graph, visible: Visible) -> Channel:
        """Node to session to node: D_v^-1 H D_e^-1 H^T x."""
        if not self._settings.use_hypergraph:
            return _silent(own)
        incidences = graph.incidences
        open_ = visible.hyperedge[incidences.row]
        size, degree = incidences.row_sums(open_), incidences.column_sums(open_)
        session = incidences.product(open_ / size.clamp(min=1.0)[incidences.row], own)
        vectors = incidences.transposed_product(open_ / degree.clamp(min=1.0)[incidences.column], session)
        return Channel(vectors=vectors * visible.node[:, None], degree=degree * visible.node)

    def _bipartite_channel(self, start: Tensor, graph: Graph, visible: Visible) -> Channel:
        """Query to item and back: the sum over layers of (D^-1/2 A D^-1/2)^l x, l from 1."""
        if not self._settings.use_bipartite:
            return _silent(start)
        weight = graph.edge_weight * visible.edge
        degrees = graph.edges.degrees(weight)
        matrix = graph.edges.normalised(weight, degrees)
        layer, total = start, torch.zeros_like(start)
        for _ in range(self._settings.num_layers):
            layer = graph.edges.convolve(matrix, layer) * visible.node[:, None]
            total = total + layer
        return Channel(vectors=total, degree=degrees * visible.node)


def _tower(settings: ModelSettings) -> nn.Sequential:
    out = nn.Linear(settings.hidden, settings.dim)
    nn.init.normal_(out.weight, std=_OUT_STD)
    nn.init.zeros_(out.bias)
    return nn.Sequential(nn.Linear(settings.dim, settings.hidden), nn.ReLU(), out)


def _silent(like: Tensor) -> Channel:
    return Channel(vectors=torch.zeros_like(like), degree=like.new_zeros(len(like)))
