"""The types that all forms of a propagation graph share: masks, id vectors, receptive
fields, channel outputs.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from model.network.text_towers import TextTowers


@dataclass(frozen=True, kw_only=True)
class VisibilityMask:
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
    def everything(graph: "PropagationGraph") -> "VisibilityMask":
        """Hide nothing."""
        return VisibilityMask(
            edge=torch.ones(graph.num_edges, device=graph.home),
            hyperedge=torch.ones(graph.num_hyperedges, device=graph.home),
            node=torch.ones(graph.num_nodes, device=graph.home),
        )


@dataclass(frozen=True, kw_only=True)
class NodeVectors:
    """Unit vectors of all nodes, and the attention weights of their channels.

    Attributes:
        query: ``float32 [num_queries, dim]``.
        item: ``float32 [num_items, dim]``.
        query_attention: ``float32 [num_queries, num_channels]``, in the order of
            `CHANNELS`; rows sum to 1.
        item_attention: ``float32 [num_items, num_channels]``, the same.
    """

    query: Tensor
    item: Tensor
    query_attention: Tensor
    item_attention: Tensor


@dataclass(frozen=True, kw_only=True)
class ChannelOutput:
    """One channel's vectors ``float32 [num_nodes, dim]``, and each node's degree in it;
    0: no message reaches the node in this channel.
    """

    vectors: Tensor
    degree: Tensor


@dataclass(frozen=True, kw_only=True)
class ChannelOutputs:
    """The vectors of each channel for every node, before attention joins them.

    Attributes:
        content: ``float32 [num_nodes, dim]``, each node's text alone, without an id
            vector.
        each: the channels, in the order of `CHANNELS`.
        nodes: ``int64 [num_rows]``, ascending: the nodes there is a row of; None: all.
    """

    content: Tensor
    each: tuple[ChannelOutput, ...]
    nodes: Tensor | None = None

    def rows(self, nodes: Tensor) -> Tensor:
        """Return ``int64 [n]``, the row of each of some nodes."""
        return nodes if self.nodes is None else torch.searchsorted(self.nodes, nodes)

    def of(self, nodes: Tensor) -> "ChannelOutputs":
        """Return the channels of some distinct nodes alone.

        Each read of rows makes a gradient of the size of what it reads from: of few
        nodes it is small.

        Args:
            nodes: ``int64 [n]``, in any order.
        """
        nodes = nodes.sort().values
        rows = self.rows(nodes)
        each = tuple(
            ChannelOutput(vectors=one.vectors[rows], degree=one.degree[rows]) for one in self.each
        )
        return ChannelOutputs(content=self.content[rows], each=each, nodes=nodes)


class IdTable(Protocol):
    """The id vectors of all nodes."""

    def rows(self, own: Tensor, nodes: Tensor) -> Tensor:
        """Return the vectors of some nodes, ``float32 [n, dim]``, with gradients.

        Args:
            own: the parameter: the vectors that this process holds.
            nodes: ``int64 [n]``, ascending and distinct.
        """

    def whole(self, own: Tensor) -> Tensor:
        """Return all vectors, ``float32 [num_nodes, dim]``, for what goes over the
        whole graph.
        """


@dataclass(frozen=True)
class IdVectors:
    """A parameter of id vectors, and the table that it is of.

    Attributes:
        own: those that this process holds.
        table: how it reads the others.
    """

    own: Tensor
    table: IdTable

    def rows(self, nodes: Tensor) -> Tensor:
        """See `IdTable`."""
        return self.table.rows(self.own, nodes)

    def whole(self) -> Tensor:
        """See `IdTable`."""
        return self.table.whole(self.own)


class HeldTable:
    """See `IdTable`: this process holds all of it."""

    def rows(self, own: Tensor, nodes: Tensor) -> Tensor:
        """See `IdTable`."""
        return own[nodes]

    def whole(self, own: Tensor) -> Tensor:
        """See `IdTable`."""
        return own


class Hearing(Protocol):
    """The messages of one propagation in one channel."""

    @property
    def degree(self) -> Tensor:
        """``float32 [num_rows]``, the degree of each node; 0: no message reaches it."""

    def along(self, x: Tensor, layer: int) -> Tensor:
        """Return the messages that reach each node from ``x [num_rows, dim]``, in the
        same shape.

        Args:
            x: a vector of each node.
            layer: number of the channel's layer, from 0; drawn neighbours differ.
        """


class ReceptiveField(Protocol):
    """The receptive field of one propagation: its nodes and their messages."""

    @property
    def nodes(self) -> Tensor | None:
        """``int64 [num_rows]``, ascending: the nodes there is a row of; None: all."""

    def content(self, path: "TextTowers") -> Tensor:
        """Return ``float32 [num_rows, dim]``, what `path` makes of each node's text."""

    def id_vectors(self, ids: IdVectors) -> Tensor:
        """Return ``float32 [num_rows, dim]`` out of ``[num_nodes, dim]``.

        Rows of new or hidden nodes are zeros.
        """

    def channel(self, name: str) -> "Hearing":
        """Return the messages of a channel of the table."""


class PropagationGraph(Protocol):
    """A graph that steps propagate over.

    Attributes:
        home: the device on which visibility masks are.
        num_nodes: queries and items.
        num_edges: query-item edges.
        num_hyperedges: sessions.
    """

    home: torch.device
    num_nodes: int
    num_edges: int
    num_hyperedges: int

    def reach(self, visible: VisibilityMask, starts: Tensor) -> ReceptiveField:
        """Return the receptive field of some nodes, with gradients.

        Args:
            visible: what may be used, on `home`.
            starts: ``int64 [num_starts]``.
        """

    def reach_all(self) -> ReceptiveField:
        """Return the receptive field of all nodes with nothing hidden, without
        gradients.
        """
