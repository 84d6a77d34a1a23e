"""The network of Han et al. (WSDM 2023; DCAH): SAGE and hypergraph convolutions,
attention, an MLP scorer.

In the order of the paper's method and of its public code
(amazon-science/dual-channel-hypergraph-neural-network, Apache-2.0; its names in
brackets): the query-item graph and the hypergraph (`PaperGraph`), a channel for each
(`MeanConvolution` for [layer.SAGE], `HypergraphConvolution` for [layer.HyperGCN]),
attention between the two (`DcahAttention`, [dual_model.Attention]), and the
score of a pair (`PairScorer`, [layer.MLPPredictor], [layer.MLPCatPredictor]). The
layers are those of PyTorch Geometric, which the public code uses, written as products
with sparse matrices: these take a third of the time.

`A` is the query-item matrix over all nodes, `H` the incidence of nodes and hyperedges,
`D`, `B` and `C` the diagonal matrices of the nodes' hyperedges, the hyperedges' nodes
and the nodes' neighbours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from model.data.graph import whole_graph
from model.network.graph import VisibilityMask
from model.network.sparse import Pattern, gather
from protos.text import text_features
from stream.graph.arrays import GraphArrays

# Spread of the text features' vectors at first: the mean of a title's is then about as
# long as a sentence vector. Chosen by hand; twice as much starts with longer texts.
_FEATURE_STD = 1.0
# Layers of each channel, as in the paper. Twice as many smooth more and cost twice.
_LAYERS = 2
# Numbers in a block of hidden layers: 16 MiB of float32. Chosen by hand; twice as many
# take twice the memory.
_BLOCK_FLOATS = 1 << 22

Scorer = Literal["concatenation", "product"]


class PaperGraph:
    """The query-item graph and the hypergraph of sessions.

    Nodes are numbered queries first, then items.

    Args:
        arrays: the graph.
        num_queries: how many queries there are; those behind the ones of `arrays` have
            no neighbours.
        sessions_hold_queries: a hyperedge holds the session's queries beside its items,
            as everywhere here; False: items alone, as in the paper.
    """

    def __init__(
        self, arrays: GraphArrays, *, num_queries: int, sessions_hold_queries: bool = True
    ) -> None:
        part = whole_graph(arrays)
        self.num_queries = num_queries
        self.num_nodes = num_queries + part.num_items
        self.num_hyperedges = part.num_hyperedges
        edge_item = num_queries + part.edge_item
        self.edge = torch.from_numpy(np.stack([part.edge_query, edge_item]))
        is_item = part.incidence_node >= part.num_queries
        node = part.incidence_node + is_item * (num_queries - part.num_queries)
        kept = is_item | sessions_hold_queries
        node, hyperedge = node[kept], part.incidence_hyperedge[kept]
        self.incidence = torch.from_numpy(np.stack([node, hyperedge]))
        device = torch.device("cpu")
        listener = np.concatenate([part.edge_query, edge_item])
        speaker = np.concatenate([edge_item, part.edge_query])
        self._neighbours = Pattern(listener, speaker, self.num_nodes, self.num_nodes, device)
        self._members = Pattern(hyperedge, node, self.num_hyperedges, self.num_nodes, device)

    def everything(self) -> VisibilityMask:
        """Hide nothing."""
        return VisibilityMask(
            edge=torch.ones(self.edge.shape[1]),
            hyperedge=torch.ones(self.num_hyperedges),
            node=torch.ones(self.num_nodes),
        )

    def connected(self) -> Tensor:
        """Return ``int64``, the nodes that have an edge or are in a hyperedge,
        ascending.
        """
        has_neighbours = torch.zeros(self.num_nodes, dtype=torch.bool)
        has_neighbours[self.edge.flatten()] = True
        has_neighbours[self.incidence[0]] = True
        return has_neighbours.nonzero().flatten()

    def open(self, visible: VisibilityMask) -> "OpenGraph":
        """Return the messages of the edges whose ends are visible, and of the
        incidences whose node and hyperedge are.
        """
        ends = visible.edge * visible.node[self.edge[0]] * visible.node[self.edge[1]]
        edges = ends.repeat(2)
        node, hyperedge = self.incidence
        incidences = visible.node[node] * visible.hyperedge[hyperedge]
        return OpenGraph(
            neighbours=self._neighbours,
            mean=edges / gather(self._neighbours.row_sums(edges).clamp(1.0), self._neighbours.row),
            members=self._members,
            to_hyperedge=incidences
            / gather(self._members.row_sums(incidences).clamp(1.0), self._members.row),
            to_node=incidences
            / gather(self._members.column_sums(incidences).clamp(1.0), self._members.column),
        )


@dataclass(frozen=True, kw_only=True)
class OpenGraph:
    """What is visible of a graph, as the matrices that messages go by.

    Attributes:
        neighbours: where ``C^-1 A`` has entries.
        mean: ``float32 [2 * num_edges]``, its values.
        members: where ``B^-1 H^T`` and ``(D^-1 H)^T`` have entries.
        to_hyperedge: ``float32 [num_incidences]``, the values of the first.
        to_node: ``float32 [num_incidences]``, those of the second.
    """

    neighbours: Pattern
    mean: Tensor
    members: Pattern
    to_hyperedge: Tensor
    to_node: Tensor

    def along_edges(self, x: Tensor) -> Tensor:
        """Return ``C^-1 A x``: the mean of each node's neighbours, or zeros."""
        return self.neighbours.product(self.mean, x)

    def along_hyperedges(self, x: Tensor) -> Tensor:
        """Return ``D^-1 H B^-1 H^T x``: the mean over a node's hyperedges of their
        nodes' means, or zeros.
        """
        return self.members.transposed_product(
            self.to_node, self.members.product(self.to_hyperedge, x)
        )


class MeanConvolution(nn.Module):
    """A layer of the query-item channel: ``C^-1 A x W_1 + x W_2 + b`` (GraphSAGE with
    means, Hamilton et al., NeurIPS 2017; `torch_geometric.nn.SAGEConv`).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.neighbours = nn.Linear(dim, dim)
        self.own = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor, graph: OpenGraph) -> Tensor:
        """Return ``float32 [num_nodes, dim]``."""
        out: Tensor = self.neighbours(graph.along_edges(x)) + self.own(x)
        return out


class HypergraphConvolution(nn.Module):
    """A layer of the hypergraph channel: ``D^-1 H B^-1 H^T x W + b`` (Bai et al.,
    Pattern Recognition 2021; `torch_geometric.nn.HypergraphConv`).

    A node in no hyperedge gets `b` alone.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Linear(dim, dim, bias=False)
        self.bias = nn.Parameter(torch.zeros(dim))
        nn.init.xavier_uniform_(self.weight.weight)

    def forward(self, x: Tensor, graph: OpenGraph) -> Tensor:
        """Return ``float32 [num_nodes, dim]``."""
        return graph.along_hyperedges(self.weight(x)) + self.bias


class PaperNetwork(nn.Module):
    """Both channels start from text alone: there are no id vectors.

    The mean of learned vectors of hashed features stands in for the paper's pre-trained
    sentence vectors; at first its length is about one, like theirs. The MLP reads both
    vectors, or their product as in the authors' code.

    Args:
        texts: of the nodes that are trained on; the buckets of their features get
            vectors.
        num_buckets: that features are hashed to.
        dim: length of all vectors.
        scorer: what the MLP reads of a pair.
        has_hypergraph: False: the query-item channel alone, and no attention. It is
            then the GraphSAGE that the paper's gains are over.
    """

    def __init__(
        self,
        texts: Sequence[str],
        num_buckets: int,
        dim: int,
        scorer: Scorer,
        *,
        has_hypergraph: bool = True,
    ) -> None:
        super().__init__()
        self._num_buckets = num_buckets
        buckets = sorted({bucket for text in texts for bucket in text_features(text, num_buckets)})
        self._row = {bucket: row for row, bucket in enumerate(buckets)}
        self.bag = nn.Parameter(_FEATURE_STD * torch.randn(len(buckets), dim))
        self.bipartite = nn.ModuleList(MeanConvolution(dim) for _ in range(_LAYERS))
        self.hypergraph = nn.ModuleList(
            HypergraphConvolution(dim) for _ in range(_LAYERS * has_hypergraph)
        )
        self.attention = DcahAttention(dim) if has_hypergraph else None
        self.scorer = PairScorer(dim, scorer)

    def features(self, texts: Sequence[str]) -> "FeatureMeans":
        """Return what the network reads of texts.

        Their features, without those that were not trained on.
        """
        rows = [
            [
                self._row[bucket]
                for bucket in text_features(text, self._num_buckets)
                if bucket in self._row
            ]
            for text in texts
        ]
        return FeatureMeans(rows, len(self._row))

    def forward(
        self, features: "FeatureMeans", graph: PaperGraph, visible: VisibilityMask
    ) -> Tensor:
        """Return ``float32 [num_nodes, dim]``.

        A channel is its layers with a ReLU between them, both from the same texts;
        attention joins what the two say of a node.
        """
        text, messages = features.mean(self.bag), graph.open(visible)
        bipartite = _layers(self.bipartite, text, messages)
        if self.attention is None:
            return bipartite
        hypergraph = _layers(self.hypergraph, text, messages)
        fused: Tensor = self.attention(torch.stack([bipartite, hypergraph], dim=1))
        return fused


def _layers(layers: nn.ModuleList, x: Tensor, graph: OpenGraph) -> Tensor:
    for number, layer in enumerate(layers):
        x = layer(x.relu() if number else x, graph)
    return x


class FeatureMeans:
    """Which rows of a table each text is the mean of.

    Args:
        rows: of each text; repeats count.
        num_rows: rows of the table.
    """

    def __init__(self, rows: Sequence[Sequence[int]], num_rows: int) -> None:
        lengths = np.array([len(each) for each in rows], dtype=np.int64)
        text = np.repeat(np.arange(len(rows), dtype=np.int64), lengths)
        row = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
        self._pattern = Pattern(text, row, len(rows), num_rows, torch.device("cpu"))
        self._weight = torch.from_numpy(1.0 / lengths.clip(min=1)[text]).float()

    def mean(self, table: Tensor) -> Tensor:
        """Return ``float32 [num_texts, dim]``; zeros where a text has no row."""
        return self._pattern.product(self._weight, table)


class DcahAttention(nn.Module):
    """Weighs the channels of each node: the softmax over channels of ``a^T tanh(W h +
    b)``, with `h` what a channel says of it; the node's vector is the sum of both,
    each times its weight.

    One weight a channel; the public code has one for each number of the vector.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.score = nn.Linear(dim, 1, bias=False)

    def forward(self, channels: Tensor) -> Tensor:
        """Return ``float32 [n, dim]``, the weighted sum of ``channels [n, num_channels,
        dim]``.
        """
        weights = self.score(torch.tanh(self.project(channels))).softmax(dim=1)
        fused: Tensor = (weights * channels).sum(dim=1)
        return fused


class PairScorer(nn.Module):
    """How likely a query leads to an item, as a logit: an MLP over a pair of vectors.

    Args:
        dim: length of the vectors.
        reads: both, one behind the other, or their element-wise product.
    """

    def __init__(self, dim: int, reads: Scorer) -> None:
        super().__init__()
        self._reads = reads
        self.hidden = nn.Linear(2 * dim if reads == "concatenation" else dim, dim)
        self.out = nn.Linear(dim, 1)

    def forward(self, query: Tensor, item: Tensor) -> Tensor:
        """Return ``float32 [n]`` for pairs ``[n, dim]`` and ``[n, dim]``."""
        pair = torch.cat([query, item], dim=1) if self._reads == "concatenation" else query * item
        logits: Tensor = self.out(self.hidden(pair).relu()).squeeze(1)
        return logits

    def table(self, query: Tensor, item: Tensor) -> Tensor:
        """Return ``float32 [num_queries, num_items]``, every pair, computed in blocks
        of bounded size.
        """
        rows = math.ceil(_BLOCK_FLOATS / max(1, item.numel()))
        hidden = self._hidden_of_sum if self._reads == "concatenation" else self._hidden_of_product
        blocks = [
            self.out(hidden(block, item).relu()).squeeze(2) for block in torch.split(query, rows)
        ]
        return torch.cat(blocks)

    def _hidden_of_sum(self, query: Tensor, item: Tensor) -> Tensor:
        of_query, of_item = self.hidden.weight.chunk(2, dim=1)
        return (query @ of_query.T + self.hidden.bias)[:, None] + item @ of_item.T

    def _hidden_of_product(self, query: Tensor, item: Tensor) -> Tensor:
        hidden: Tensor = self.hidden(query[:, None] * item)
        return hidden
