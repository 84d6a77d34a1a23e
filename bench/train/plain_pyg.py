"""Freshet's network written plainly with PyG's own layers: `SAGEConv` and
`HypergraphConv` on edge lists.

Texts, towers, attention, loss, hiding and the average of the weights are the same.
Plain are the propagation, the edge lists that are filtered at every step, and
`torch.optim.Adam`.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import HypergraphConv, SAGEConv
from torch_geometric.utils import degree

from model.data.training_set import TrainingSet
from model.network.graph import ChannelOutput, ChannelOutputs
from model.network.network import DualChannelNetwork
from model.settings import ModelSettings
from model.training.objective import Objective
from model.training.optimizer import WeightAverage
from stream.dtypes import Int64s


class PlainNetwork(DualChannelNetwork):
    """The same parameters, and those that PyG's layers have besides."""

    def __init__(self, data: TrainingSet, settings: ModelSettings, device: torch.device) -> None:
        part, dim = data.train, settings.dim
        super().__init__(data.texts, settings, part.num_queries, part.num_items, device)
        node, feature = data.texts.flat()
        counts = np.bincount(node, minlength=part.num_nodes)
        self._starts = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        self._features = torch.from_numpy(feature).to(device)
        self.hypergraph = HypergraphConv(dim, dim)
        self.layers = nn.ModuleList(SAGEConv(dim, dim) for _ in range(settings.num_layers))
        self.to(device)

    def channels(
        self,
        edge_index: Tensor,
        incidence_index: Tensor,
        num_hyperedges: int,
        visible: Tensor,
        seen: Tensor,
    ) -> ChannelOutputs:
        """Return what each channel says of every node.

        Args:
            edge_index: ``int64 [2, num_messages]``, both directions.
            incidence_index: ``int64 [2, num_incidences]``, node and hyperedge.
            num_hyperedges: hidden ones included.
            visible: ``float32 [num_nodes]``; 0: the node has no neighbours and no id
                vector.
            seen: ``float32 [num_nodes]``; 0: the node has no id vector.
        """
        mean = F.embedding_bag(self._features, self.content.bag, self._starts, mode="mean")
        content = self.content.lift(mean, self.num_queries)
        own = content + self.ids * (seen * visible)[:, None]
        layer, total = own, torch.zeros_like(own)
        for convolution in self.layers:
            layer = convolution(layer, edge_index) * visible[:, None]
            total = total + layer
        carried = own + self.fed_bipartite * total
        hypergraph = (
            self.hypergraph(carried, incidence_index, num_edges=num_hyperedges) * visible[:, None]
        )
        return ChannelOutputs(
            content=content,
            each=(
                ChannelOutput(vectors=own, degree=torch.ones_like(visible)),
                ChannelOutput(vectors=total, degree=degree(edge_index[1], len(visible)) * visible),
                ChannelOutput(
                    vectors=hypergraph, degree=degree(incidence_index[0], len(visible)) * visible
                ),
            ),
        )


class PlainLearner:
    """The plain network with its training graph, and one step of learning.

    See `model.training.step.Learner`.
    """

    def __init__(self, data: TrainingSet, settings: ModelSettings, device: torch.device) -> None:
        part = data.train
        self._settings, self._device = settings, device
        self._num_hyperedges = part.num_hyperedges
        self._edge_index = torch.from_numpy(
            np.stack([part.edge_query, part.num_queries + part.edge_item])
        ).to(device)
        self._incidence_index = torch.from_numpy(
            np.stack([part.incidence_node, part.incidence_hyperedge])
        ).to(device)
        self._source_edge = torch.from_numpy(part.source_edge).to(device)
        self._source_hyperedge = torch.from_numpy(part.source_hyperedge).to(device)
        self._seen = torch.from_numpy(part.seen).to(device).float()
        self.network = PlainNetwork(data, settings, device)
        self._objective = Objective(part, data.titles, settings, device)
        self._optimizer = torch.optim.Adam(self._groups(), lr=settings.learning_rate)
        self._average = WeightAverage(dict(self.network.named_parameters()), settings.average_decay)

    def step(self, batch: Int64s) -> float:
        """Supervise a batch of edges, given as ``int64 [batch]`` positions.

        Return the loss.
        """
        edges = torch.from_numpy(batch).to(self._device)
        self._optimizer.zero_grad()
        edge, hyperedge, node = self._hide(edges)
        kept = self._edge_index[:, edge]
        channels = self.network.channels(
            torch.cat([kept, kept.flip(0)], dim=1),
            self._incidence_index[:, hyperedge[self._incidence_index[1]]],
            self._num_hyperedges,
            node.float(),
            self._seen,
        )
        loss = self._objective.loss(self.network, channels, self._objective.draw(edges))
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._average.update()
        return float(loss.detach())

    def _groups(self) -> list[dict[str, object]]:
        content: list[torch.nn.Parameter] = []
        others: list[torch.nn.Parameter] = []
        for name, parameter in self.network.named_parameters():
            (content if name.startswith("content.") else others).append(parameter)
        rate = self._settings.content_rate * self._settings.learning_rate
        return [{"params": content, "lr": rate}, {"params": others}]

    def _hide(self, edges: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what a step may see, ``bool`` of edges, hyperedges and nodes."""
        supervised = torch.zeros(self._edge_index.shape[1], dtype=torch.bool, device=self._device)
        supervised[edges] = True
        edge = self._drawn(len(supervised), self._settings.edge_dropout) & ~supervised
        hyperedge = self._drawn(self._num_hyperedges, self._settings.edge_dropout)
        hyperedge[self._source_hyperedge[supervised[self._source_edge]]] = False
        return edge, hyperedge, self._drawn(len(self._seen), self._settings.node_dropout)

    def _drawn(self, count: int, dropped_share: float) -> Tensor:
        return (torch.rand(count) >= dropped_share).to(self._device)
