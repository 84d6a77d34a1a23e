"""A graph in the host's memory: batches are drawn from it, and exports go over it.

An export takes a few vectors of each node on the host, and on the device a block of
nodes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.data.graph import GraphPart
from model.data.texts import HashedTexts
from model.network.compressed_rows import CsrMatrix
from model.network.graph import IdVectors, VisibilityMask
from model.network.propagation.channel import HostHearing
from model.network.propagation.propagations import PROPAGATIONS
from model.network.text_towers import TextTowers
from stream.dtypes import Float32s

# Nodes of a block that goes through the text towers: 16 MB of vectors on the device at
# 128 dimensions. Twice as many take twice the memory there, and about the same time.
_BLOCK_NODES = 1 << 15


class HostGraph:
    """A `GraphPart` and the texts of its nodes.

    Attributes:
        num_queries: nodes below it are queries, the others items.
        num_nodes: queries and items.
        channels: each channel's part of it, by name.
        features: row: node, column: its text features.
        num_buckets: columns of `features`.
    """

    def __init__(self, part: GraphPart, texts: HashedTexts) -> None:
        self.num_queries = part.num_queries
        self.num_nodes = part.num_nodes
        self.channels = {each.name: each.on_host(part) for each in PROPAGATIONS}
        self.features = CsrMatrix(*texts.flat(), part.num_nodes)
        self.num_buckets = len(texts.buckets)
        self._seen = part.seen

    def open(self, visible: VisibilityMask) -> "MaskedHostGraph":
        """Return the graph under a visibility mask."""
        opened = {name: channel.open(visible) for name, channel in self.channels.items()}
        return MaskedHostGraph(graph=self, channels=opened, own=self._seen * visible.node.numpy())


@dataclass(frozen=True, kw_only=True)
class MaskedHostGraph:
    """The visible part of a graph in one propagation, and its degrees.

    Attributes:
        graph: all of it.
        channels: the messages of each channel, by name.
        own: ``float32 [num_nodes]``; 1: with its id vector.
    """

    graph: HostGraph
    channels: dict[str, HostHearing]
    own: Float32s


class HostReceptiveField:
    """All nodes of a graph in the host's memory.

    Text towers run on the device, a block of nodes at a time.

    It is for exports: nothing on it has a gradient.

    Args:
        open_: the graph.
        device: where the network is.
    """

    nodes = None

    def __init__(self, open_: MaskedHostGraph, device: torch.device) -> None:
        self._open = open_
        self._device = device

    def content(self, path: TextTowers) -> Tensor:
        """See `model.network.graph.ReceptiveField`."""
        graph = self._open.graph
        weights = 1.0 / np.maximum(graph.features.lengths, 1)[graph.features.row]
        means = graph.features.product(weights.astype(np.float32), path.bag.detach().cpu())
        starts = range(0, len(means), _BLOCK_NODES)
        for start, block in zip(starts, torch.split(means, _BLOCK_NODES), strict=False):
            queries = min(max(0, graph.num_queries - start), len(block))
            block.copy_(path.lift(block.to(self._device), queries))
        return means

    def id_vectors(self, ids: IdVectors) -> Tensor:
        """See `model.network.graph.ReceptiveField`."""
        return ids.whole().detach().cpu() * torch.from_numpy(self._open.own)[:, None]

    def channel(self, name: str) -> HostHearing:
        """See `model.network.graph.ReceptiveField`."""
        return self._open.channels[name]
