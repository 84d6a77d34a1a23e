"""A graph in the host's memory, by compressed rows.

Batches are drawn from it, and exports go over it.

A product over it gathers nothing: `embedding_bag` on the CPU adds rows where they are.
So an export takes a few vectors of each node on the host, and on the device a block of
nodes.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model.data.graph import GraphPart
from model.data.texts import Texts
from model.network.content import ContentPath
from model.network.graph import Visible

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_BLOCK_NODES = 1 << 15
_SMALL = 1e-9


class Rows:
    """The entries of a sparse matrix in order of their rows.

    Args:
        row: ``int64 [num_entries]``, row of each entry.
        column: ``int64 [num_entries]``, its column.
        num_rows: rows of the matrix.

    Attributes:
        row: ascending.
        column: in the same order.
        entry: ``int64 [num_entries]``, where each was in what was given.
    """

    def __init__(self, row: Ints, column: Ints, num_rows: int) -> None:
        self.entry = np.argsort(row, kind="stable")
        self.row = row[self.entry]
        self.column = column[self.entry]
        self._starts = np.zeros(num_rows + 1, dtype=np.int64)
        self._starts[1:] = np.cumsum(np.bincount(row, minlength=num_rows))

    @property
    def lengths(self) -> Ints:
        """``int64 [num_rows]``, entries of each row."""
        return np.diff(self._starts)

    def places(self, rows: Ints) -> Ints:
        """Return ``int64 [n]``, the places of all entries of some rows, a row after the
        other.
        """
        first, count = self._starts[rows], self._starts[rows + 1] - self._starts[rows]
        return np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())

    def product(self, values: Floats, x: Tensor) -> Tensor:
        """Return the matrix times `x`, ``float32 [num_rows, dim]``, for values in order
        of the rows.
        """
        if not len(values):
            return x.new_zeros(len(self._starts) - 1, x.shape[1])
        column, starts, weights = map(torch.from_numpy, (self.column, self._starts[:-1], values))
        return F.embedding_bag(column, x, starts, mode="sum", per_sample_weights=weights)


class HostGraph:
    """A `GraphPart` and the texts of its nodes.

    Attributes:
        num_queries: nodes below it are queries, the others items.
        num_nodes: queries and items.
        neighbours: row: node, column: node at the other end, entry: an edge, or its
            number plus `num_edges`.
        hyperedges: row: node, column: its hyperedges.
        members: row: hyperedge, column: its nodes.
        features: row: node, column: its text features.
        num_buckets: columns of `features`.
    """

    def __init__(self, part: GraphPart, texts: Texts) -> None:
        item = part.num_queries + part.edge_item
        self.num_queries = part.num_queries
        self.num_nodes = part.num_nodes
        self.neighbours = Rows(
            np.concatenate([part.edge_query, item]),
            np.concatenate([item, part.edge_query]),
            part.num_nodes,
        )
        self.hyperedges = Rows(part.incidence_node, part.incidence_hyperedge, part.num_nodes)
        self.members = Rows(part.incidence_hyperedge, part.incidence_node, part.num_hyperedges)
        self.features = Rows(*texts.flat(), part.num_nodes)
        self.num_buckets = len(texts.buckets)
        self.num_edges = len(part.edge_query)
        self._edge_weight = part.edge_weight
        self._seen = part.seen

    def open(self, visible: Visible) -> "OpenGraph":
        """Return the graph as it is where only `visible` is to be seen."""
        node: Floats = visible.node.numpy()
        return OpenGraph(
            graph=self,
            edge_weight=self._edge_weight * visible.edge.numpy(),
            hyperedge=visible.hyperedge.numpy(),
            node=node,
            own=self._seen * node,
        )


@dataclass(frozen=True, kw_only=True)
class OpenGraph:
    """What is visible of a graph in one propagation, and the degrees that follow from
    all of it.

    Attributes:
        graph: all of it.
        edge_weight: ``float32 [num_edges]``; 0: hidden.
        hyperedge: ``float32 [num_hyperedges]``; 1: visible.
        node: ``float32 [num_nodes]``; 0: without neighbours and id vector.
        own: ``float32 [num_nodes]``; 1: with its id vector.
    """

    graph: HostGraph
    edge_weight: Floats
    hyperedge: Floats
    node: Floats
    own: Floats

    @cached_property
    def edge_values(self) -> Floats:
        """``float32``, for each place in `graph.neighbours` its entry of D^-1/2 A
        D^-1/2.
        """
        neighbours = self.graph.neighbours
        root = (1.0 / np.sqrt(np.maximum(self.edge_degree, _SMALL))).astype(np.float32)
        return self._edge_weights * root[neighbours.row] * root[neighbours.column]

    @cached_property
    def edge_degree(self) -> Floats:
        """``float32 [num_nodes]``, the sum of each node's visible edge weights."""
        row = self.graph.neighbours.row
        return np.bincount(row, self._edge_weights, self.graph.num_nodes).astype(np.float32)

    @cached_property
    def hyperedge_degree(self) -> Floats:
        """``float32 [num_nodes]``, the number of each node's visible hyperedges."""
        rows = self.graph.hyperedges
        return np.bincount(rows.row, self.hyperedge[rows.column], self.graph.num_nodes).astype(
            np.float32
        )

    @cached_property
    def _edge_weights(self) -> Floats:
        return self.edge_weight[self.graph.neighbours.entry % max(1, self.graph.num_edges)]


class HostReach:
    """All nodes of a graph in the host's memory.

    Text towers run on the device, a block of nodes at a time.

    It is for exports: nothing on it has a gradient.

    Args:
        open_: the graph.
        device: where the network is.
    """

    nodes = None

    def __init__(self, open_: OpenGraph, device: torch.device) -> None:
        self._open = open_
        self._device = device
        self._node = torch.from_numpy(open_.node)[:, None]
        self.edge_degree = torch.from_numpy(open_.edge_degree * open_.node)
        self.hyperedge_degree = torch.from_numpy(open_.hyperedge_degree * open_.node)

    def content(self, path: ContentPath) -> Tensor:
        """See `model.network.network.Reach`."""
        graph = self._open.graph
        weights = 1.0 / np.maximum(graph.features.lengths, 1)[graph.features.row]
        means = graph.features.product(weights.astype(np.float32), path.bag.detach().cpu())
        starts = range(0, len(means), _BLOCK_NODES)
        for start, block in zip(starts, torch.split(means, _BLOCK_NODES), strict=False):
            queries = min(max(0, graph.num_queries - start), len(block))
            block.copy_(path.lift(block.to(self._device), queries))
        return means

    def id_vectors(self, table: Tensor) -> Tensor:
        """See `model.network.network.Reach`."""
        return table.detach().cpu() * torch.from_numpy(self._open.own)[:, None]

    def along_edges(self, x: Tensor, layer: int) -> Tensor:  # noqa: ARG002  # all layers go over all edges
        """See `model.network.network.Reach`."""
        return self._open.graph.neighbours.product(self._open.edge_values, x).mul_(self._node)

    def along_hyperedges(self, x: Tensor) -> Tensor:
        """See `model.network.network.Reach`."""
        open_, graph = self._open, self._open.graph
        size = open_.hyperedge / np.maximum(graph.members.lengths, 1)
        session = graph.members.product(size[graph.members.row].astype(np.float32), x)
        share = (1.0 / np.maximum(open_.hyperedge_degree, 1.0)).astype(np.float32)
        values = open_.hyperedge[graph.hyperedges.column] * share[graph.hyperedges.row]
        return graph.hyperedges.product(values, session).mul_(self._node)
