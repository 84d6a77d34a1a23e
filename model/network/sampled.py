"""Neighbour sampling: the receptive field of a batch, with a bound on the neighbours
that are drawn for each node.

It walks the network's propagation backwards, channel by channel: the hyperedges of the
wanted nodes and their members, then, a layer of the bipartite one after the other, the
neighbours of every node reached, because the bipartite channel feeds the hypergraph
one.

Degrees are those of the whole visible graph. Of a node's neighbours at most a bound are
drawn, uniformly and without replacement, again for every layer. What is drawn is scaled
by the inverse sampling rate, so every message is unbiased, and exact where the bound is
not reached. `docs/decisions/0006-sampled-propagation.md` has the reasons and the cost.
"""

import numpy as np
import torch
from torch import Tensor

from model.artifact.channels import channels_on
from model.data.graph import GraphPart
from model.data.graph_size import ChannelSize, GraphSize, largest_batch
from model.data.texts import HashedTexts
from model.data.titles import num_drawn
from model.data.training_set import TrainingSet
from model.network.compressed_rows import CsrMatrix
from model.network.graph import Hearing, IdVectors, VisibilityMask
from model.network.host_graph import HostGraph, HostReceptiveField, MaskedHostGraph
from model.network.messages import Messages
from model.network.propagation.channel import Drawn
from model.network.propagation.propagations import PROPAGATIONS
from model.network.text_towers import TextTowers
from model.settings import ModelSettings
from stream.dtypes import Int64s


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
        self, part: GraphPart, texts: HashedTexts, settings: ModelSettings, device: torch.device
    ) -> None:
        self.home = torch.device("cpu")
        self.num_nodes = part.num_nodes
        self.num_edges = len(part.edge_query)
        self.num_hyperedges = part.num_hyperedges
        self._graph = HostGraph(part, texts)
        self._settings = settings
        self._device = device

    def reach(self, visible: VisibilityMask, starts: Tensor) -> "SampledReceptiveField":
        """See `model.network.graph.PropagationGraph`."""
        open_ = self._graph.open(visible)
        return SampledReceptiveField(open_, starts.cpu().numpy(), self._settings, self._device)

    def reach_all(self) -> HostReceptiveField:
        """See `model.network.graph.PropagationGraph`."""
        return HostReceptiveField(self._graph.open(VisibilityMask.everything(self)), self._device)


def batch_counts(data: TrainingSet, settings: ModelSettings) -> GraphSize:
    """Return the size of a batch's receptive field, of one that is drawn for it."""
    part, cpu = data.whole, torch.device("cpu")
    rng = np.random.default_rng(settings.seed)
    edges = rng.permutation(len(part.edge_query))[: largest_batch(data, settings)]
    of_loss = data.loss_settings(settings)
    others = of_loss.num_negatives + num_drawn(data.titles, of_loss)
    items = np.union1d(part.edge_item[edges], rng.permutation(part.num_items)[:others])
    starts = np.concatenate([part.edge_query[edges], part.num_queries + items])
    graph = SampledGraph(part, data.texts, settings, cpu)
    return graph.reach(VisibilityMask.everything(graph), torch.from_numpy(starts)).counts()


class SampledReceptiveField:
    """A `ReceptiveField` of a few nodes in numbers of its own, on the device.

    Args:
        open_: the graph it is of.
        starts: ``int64 [num_starts]``, the nodes whose vectors are wanted: those alone
            are right.
        settings: layers, channels, how many neighbours are drawn.
        device: where the network is.
    """

    def __init__(
        self, open_: MaskedHostGraph, starts: Int64s, settings: ModelSettings, device: torch.device
    ) -> None:
        reached, drawn = _walk_back(open_, np.unique(starts), settings)
        self.nodes = torch.from_numpy(reached).to(device)
        self._num_queries = int(np.searchsorted(reached, open_.graph.num_queries))
        self._own = torch.from_numpy(open_.own[reached]).to(device)
        self._features = _features(open_.graph.features, reached).pattern(
            reached, np.arange(open_.graph.num_buckets), device
        )
        self._channels = {name: each.hearing(reached, device) for name, each in drawn.items()}
        self._sizes = {name: each.size for name, each in drawn.items()}

    def content(self, path: TextTowers) -> Tensor:
        """See `model.network.graph.ReceptiveField`."""
        return path.lift(self._features.product(path.bag), self._num_queries)

    def id_vectors(self, ids: IdVectors) -> Tensor:
        """See `model.network.graph.ReceptiveField`."""
        return ids.rows(self.nodes) * self._own[:, None]

    def channel(self, name: str) -> Hearing:
        """See `model.network.graph.ReceptiveField`."""
        return self._channels[name]

    def counts(self) -> GraphSize:
        """Return how large it is."""
        nothing = {each.name: ChannelSize(entries=0) for each in PROPAGATIONS}
        return GraphSize(
            num_nodes=len(self.nodes),
            num_terms=0,
            num_features=len(self._features.value),
            channels={**nothing, **self._sizes},
        )


def _walk_back(
    open_: MaskedHostGraph, reached: Int64s, settings: ModelSettings
) -> tuple[Int64s, dict[str, Drawn]]:
    """Draw the messages to some nodes in each channel, the last to propagate first.

    A channel that feeds another one is drawn for all senders of that one, too.

    Returns:
        All nodes reached, ascending, and what was drawn of each channel that is on.
    """
    drawn: dict[str, Drawn] = {}
    for channel in reversed(PROPAGATIONS):
        if channel.name in channels_on(settings):
            drawn[channel.name] = open_.channels[channel.name].draw(reached, settings)
            reached = np.union1d(reached, drawn[channel.name].senders)
    return reached, drawn


def _features(features: CsrMatrix, nodes: Int64s) -> Messages:
    """Return the mean over all text features of each of some nodes."""
    places = features.places(nodes)
    row = features.row[places]
    mean = (1.0 / np.maximum(features.lengths[row], 1)).astype(np.float32)
    return Messages(row=row, column=features.column[places], value=mean)
