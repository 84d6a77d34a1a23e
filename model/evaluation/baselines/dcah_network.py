"""The network of Han et al. (WSDM 2023; DCAH): SAGE and hypergraph convolutions,
attention, an MLP scorer.
"""

import math
from collections.abc import Sequence
from itertools import chain
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.nn import HypergraphConv, SAGEConv

from model.data.graph import whole_graph
from model.network.graph import VisibilityMask
from model.network.sparse import Pattern
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
    """Edges and hyperedges as PyG wants them.

    Nodes are numbered queries first, then items.

    Args:
        arrays: the graph.
        num_queries: how many queries there are; those behind the ones of `arrays` have
            no neighbours.
    """

    def __init__(self, arrays: GraphArrays, *, num_queries: int) -> None:
        part = whole_graph(arrays)
        self.num_queries = num_queries
        self.num_nodes = num_queries + part.num_items
        self.num_hyperedges = part.num_hyperedges
        self.edge = torch.from_numpy(np.stack([part.edge_query, num_queries + part.edge_item]))
        shift = (part.incidence_node >= part.num_queries) * (num_queries - part.num_queries)
        self.incidence = torch.from_numpy(
            np.stack([part.incidence_node + shift, part.incidence_hyperedge])
        )

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

    def visible_edges(self, visible: VisibilityMask) -> Tensor:
        """Return ``int64 [2, 2 * num_visible]``, edges whose ends are both visible, in
        both directions.
        """
        kept = (visible.edge * visible.node[self.edge[0]] * visible.node[self.edge[1]]) > 0
        edge = self.edge[:, kept]
        return torch.cat([edge, edge.flip(0)], dim=1)

    def visible_incidences(self, visible: VisibilityMask) -> Tensor:
        """Return ``int64 [2, num_visible]``, node and hyperedge of incidences where
        both are visible.
        """
        node, hyperedge = self.incidence
        return self.incidence[:, (visible.node[node] * visible.hyperedge[hyperedge]) > 0]


class PaperNetwork(nn.Module):
    """Both channels start from text alone: there are no id vectors.

    The mean of learned vectors of hashed features stands in for the paper's pre-trained
    sentence vectors; at first its length is about one, like theirs. Sessions hold their
    queries beside their items, as everywhere here; the paper's hold items only. The MLP
    reads both vectors, or their product as in the authors' code.

    Args:
        texts: of the nodes that are trained on; the buckets of their features get
            vectors.
        num_buckets: that features are hashed to.
        dim: length of all vectors.
        scorer: what the MLP reads of a pair.
    """

    def __init__(self, texts: Sequence[str], num_buckets: int, dim: int, scorer: Scorer) -> None:
        super().__init__()
        self._num_buckets = num_buckets
        buckets = sorted({bucket for text in texts for bucket in text_features(text, num_buckets)})
        self._row = {bucket: row for row, bucket in enumerate(buckets)}
        self.bag = nn.Parameter(_FEATURE_STD * torch.randn(len(buckets), dim))
        self.sage = nn.ModuleList(SAGEConv(dim, dim) for _ in range(_LAYERS))
        self.hypergraph = nn.ModuleList(HypergraphConv(dim, dim) for _ in range(_LAYERS))
        self.attention = DcahAttention(dim)
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
        """Return ``float32 [num_nodes, dim]``."""
        text = features.mean(self.bag)
        edges, incidences = graph.visible_edges(visible), graph.visible_incidences(visible)
        bipartite, hypergraph = text, text
        for layer, (sage, convolution) in enumerate(zip(self.sage, self.hypergraph, strict=True)):
            if layer:
                bipartite, hypergraph = bipartite.relu(), hypergraph.relu()
            bipartite = sage(bipartite, edges)
            hypergraph = convolution(hypergraph, incidences, num_edges=graph.num_hyperedges)
        fused: Tensor = self.attention(torch.stack([bipartite, hypergraph], dim=1))
        return fused


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
    """Weighs the channels of each node.

    The softmax over channels of ``a^T tanh(W h + b)``.
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
