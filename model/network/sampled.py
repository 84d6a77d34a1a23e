"""What a batch reaches of a graph, with a bound on how many neighbours are drawn for
each node.

It walks back what the network propagates over: a layer of the bipartite channel after
the other, then the hyperedges of every node reached and their members, because the
hypergraph channel feeds the bipartite one.

Degrees are those of the whole visible graph. Of a node's neighbours at most a bound are
drawn, uniformly and without replacement, anew for every layer; what is drawn counts as
much more as was left out, so that every message is right on average, and exactly where
the bound is not reached. Why, and what it costs:
`docs/decisions/0006-sampled-propagation.md`.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.data.counts import Counts, largest_batch
from model.data.graph import GraphPart
from model.data.texts import Texts
from model.data.training_set import TrainingSet
from model.network.content import ContentPath
from model.network.graph import Visible
from model.network.host_graph import HostGraph, HostReach, OpenGraph, Rows
from model.network.sparse import Pattern
from model.settings import ModelSettings

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Messages:
    """The entries of a sparse matrix.

    What is sent from nodes or hyperedges (columns) to others (rows).

    Attributes:
        row: ``int64 [num_messages]``.
        column: ``int64 [num_messages]``.
        value: ``float32 [num_messages]``.
    """

    row: Ints
    column: Ints
    value: Floats

    def pattern(self, rows: Ints, columns: Ints, device: torch.device) -> "Weighted":
        """Return them on the device, rows and columns numbered by their places in two
        ascending arrays.
        """
        row, column = np.searchsorted(rows, self.row), np.searchsorted(columns, self.column)
        pattern = Pattern(row, column, len(rows), len(columns), device)
        return Weighted(pattern=pattern, value=torch.from_numpy(self.value).to(device))


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A sparse matrix on the device: where its entries are, and what they are."""

    pattern: Pattern
    value: Tensor

    def product(self, x: Tensor) -> Tensor:
        """Return the matrix times `x`."""
        return self.pattern.product(self.value, x)


class SampledGraph:
    """A graph in the host's memory.

    Each step propagates over what its batch reaches of it.

    Args:
        part: the graph.
        texts: text features of its nodes.
        settings: layers, channels, how many neighbours are drawn.
        device: where the network is.
    """

    def __init__(
        self, part: GraphPart, texts: Texts, settings: ModelSettings, device: torch.device
    ) -> None:
        self.home = torch.device("cpu")
        self.num_nodes = part.num_nodes
        self.num_edges = len(part.edge_query)
        self.num_hyperedges = part.num_hyperedges
        self._graph = HostGraph(part, texts)
        self._settings = settings
        self._device = device

    def reach(self, visible: Visible, starts: Tensor) -> "Subgraph":
        """See `model.network.network.Propagable`."""
        open_ = self._graph.open(visible)
        return Subgraph(open_, starts.cpu().numpy(), self._settings, self._device)

    def reach_all(self) -> HostReach:
        """See `model.network.network.Propagable`."""
        return HostReach(self._graph.open(Visible.everything(self)), self._device)


def batch_counts(data: TrainingSet, settings: ModelSettings) -> Counts:
    """Return how much of the graph a batch reaches; one is drawn to see."""
    part, cpu = data.whole, torch.device("cpu")
    rng = np.random.default_rng(settings.seed)
    edges = rng.permutation(len(part.edge_query))[: largest_batch(data, settings)]
    items = np.union1d(
        part.edge_item[edges], rng.permutation(part.edge_item)[: settings.num_negatives]
    )
    starts = np.concatenate([part.edge_query[edges], part.num_queries + items])
    graph = SampledGraph(part, data.texts, settings, cpu)
    return graph.reach(Visible.everything(graph), torch.from_numpy(starts)).counts()


class Subgraph:
    """A `Reach` of a few nodes in numbers of its own, on the device.

    Args:
        open_: the graph it is of.
        starts: ``int64 [num_starts]``, the nodes whose vectors are wanted: those alone
            are right.
        settings: layers, channels, how many neighbours are drawn.
        device: where the network is.
    """

    def __init__(
        self, open_: OpenGraph, starts: Ints, settings: ModelSettings, device: torch.device
    ) -> None:
        bound, reached = settings.num_neighbours, np.unique(starts)
        layers: list[Messages] = []
        for _ in range(settings.num_layers if settings.use_bipartite else 0):
            layers.insert(0, _along_edges(open_, reached, bound))
            reached = np.union1d(reached, layers[0].column)
        from_session, to_session = _along_hyperedges(
            open_, reached if settings.use_hypergraph else reached[:0], bound
        )
        hyperedges, nodes = np.unique(to_session.row), np.union1d(reached, to_session.column)
        self.nodes = torch.from_numpy(nodes).to(device)
        self.edge_degree = _on(device, (open_.edge_degree * open_.node)[nodes])
        self.hyperedge_degree = _on(device, (open_.hyperedge_degree * open_.node)[nodes])
        self._num_queries = int(np.searchsorted(nodes, open_.graph.num_queries))
        self._own = _on(device, open_.own[nodes])
        self._features = _features(open_.graph.features, nodes).pattern(
            nodes, np.arange(open_.graph.num_buckets), device
        )
        self._layers = [layer.pattern(nodes, nodes, device) for layer in layers]
        self._to_session = to_session.pattern(hyperedges, nodes, device)
        self._from_session = from_session.pattern(nodes, hyperedges, device)

    def content(self, path: ContentPath) -> Tensor:
        """See `model.network.network.Reach`."""
        return path.lift(self._features.product(path.bag), self._num_queries)

    def id_vectors(self, table: Tensor) -> Tensor:
        """See `model.network.network.Reach`."""
        return table[self.nodes] * self._own[:, None]

    def along_edges(self, x: Tensor, layer: int) -> Tensor:
        """See `model.network.network.Reach`."""
        return self._layers[layer].product(x)

    def along_hyperedges(self, x: Tensor) -> Tensor:
        """See `model.network.network.Reach`."""
        return self._from_session.product(self._to_session.product(x))

    def counts(self) -> Counts:
        """Return how large it is."""
        return Counts(
            num_nodes=len(self.nodes),
            num_terms=0,
            num_features=len(self._features.value),
            num_edges=sum(len(layer.value) for layer in self._layers),
            num_hyperedges=self._to_session.pattern.num_rows,
            num_incidences=len(self._to_session.value) + len(self._from_session.value),
        )


def _along_edges(open_: OpenGraph, nodes: Ints, bound: int) -> Messages:
    """Draw what each of some nodes hears along edges in one layer."""
    neighbours = open_.graph.neighbours
    places = neighbours.places(nodes[open_.node[nodes] > 0])
    places, more = _draw(places[open_.edge_values[places] > 0], neighbours.row, bound)
    value = open_.edge_values[places] * more
    return Messages(row=neighbours.row[places], column=neighbours.column[places], value=value)


def _along_hyperedges(open_: OpenGraph, nodes: Ints, bound: int) -> tuple[Messages, Messages]:
    """Draw what each of some nodes hears from its hyperedges, and what those hear from
    their members.
    """
    hyperedges, members = open_.graph.hyperedges, open_.graph.members
    places = hyperedges.places(nodes[open_.node[nodes] > 0])
    places, more = _draw(
        places[open_.hyperedge[hyperedges.column[places]] > 0], hyperedges.row, bound
    )
    node, hyperedge = hyperedges.row[places], hyperedges.column[places]
    from_session = Messages(row=node, column=hyperedge, value=more / open_.hyperedge_degree[node])
    places, more = _draw(members.places(np.unique(hyperedge)), members.row, bound)
    size = members.lengths[members.row[places]].astype(np.float32)
    to_session = Messages(row=members.row[places], column=members.column[places], value=more / size)
    return from_session, to_session


def _features(features: Rows, nodes: Ints) -> Messages:
    """Return what each of some nodes hears of its text.

    The mean over all of its features.
    """
    places = features.places(nodes)
    row = features.row[places]
    mean = (1.0 / np.maximum(features.lengths[row], 1)).astype(np.float32)
    return Messages(row=row, column=features.column[places], value=mean)


def _draw(places: Ints, rows: Ints, bound: int) -> tuple[Ints, Floats]:
    """Draw at most `bound` places of each row, uniformly and without replacement.

    Args:
        places: what there is to draw from, a row after the other.
        rows: the row of each place there is.
        bound: places drawn of a row.

    Returns:
        The places drawn, in order, and ``float32``, how many times as much each counts.
    """
    _, row, count = np.unique(rows[places], return_inverse=True, return_counts=True)
    if count.max(initial=0) <= bound:
        return places, np.ones(len(places), dtype=np.float32)
    order = np.lexsort([torch.rand(len(places)).numpy(), row])
    rank = np.arange(len(places)) - np.repeat(np.cumsum(count) - count, count)
    kept = np.sort(order[rank < bound])
    return places[kept], (np.maximum(count, bound) / bound).astype(np.float32)[row[kept]]


def _on(device: torch.device, array: Floats) -> Tensor:
    return torch.from_numpy(array).to(device)
