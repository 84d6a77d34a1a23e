"""The channels of a few nodes, whose gradient is written out, against those of all
nodes and theirs.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from model.data.training_set import TrainingSet, build_training_set
from model.network.graph import ChannelOutputs, ReceptiveField, VisibilityMask
from model.network.network import DualChannelNetwork
from model.network.whole_graph import FullReceptiveField, Graph
from model.settings import ModelSettings
from model.training.step import Learner
from stream.events.types import Interaction
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click

CPU = torch.device("cpu")
RTOL, ATOL = 1e-4, 1e-6


def random_network(data: TrainingSet, settings: ModelSettings) -> DualChannelNetwork:
    """Return a network whose every weight is random.

    What is zero at the start could hide a mistake.
    """
    torch.manual_seed(5)
    network = DualChannelNetwork(
        data.texts, settings, data.whole.num_queries, data.whole.num_items, CPU
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def gradients(
    network: DualChannelNetwork, channels_of: Callable[[], ChannelOutputs]
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return what channels say, and the gradient of a random combination of it by
    parameter.
    """
    network.zero_grad()
    channels = channels_of()
    said = [channels.content, *(one.vectors for one in channels.each)]
    torch.manual_seed(11)
    sum((one * torch.randn_like(one)).sum() for one in said).backward()  # type: ignore[union-attr]
    found = {name: each.grad for name, each in network.named_parameters() if each.grad is not None}
    return [*said, *(one.degree for one in channels.each)], {
        name: gradient.clone() for name, gradient in found.items()
    }


def assert_same(network: DualChannelNetwork, reach: ReceptiveField, nodes: Tensor) -> None:
    """Check that both ways say the same, and learn the same from it."""
    few, few_gradients = gradients(network, lambda: network.propagate_to(reach, nodes))
    all_, all_gradients = gradients(network, lambda: network.propagate(reach).of(nodes))

    for one, other in zip(few, all_, strict=True):
        torch.testing.assert_close(one, other, rtol=RTOL, atol=ATOL)
    assert few_gradients.keys() == all_gradients.keys()
    for name, gradient in few_gradients.items():
        torch.testing.assert_close(gradient, all_gradients[name], rtol=RTOL, atol=ATOL, msg=name)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_a_few_nodes_are_as_among_all(
    arrays: GraphArrays, settings: ModelSettings, num_layers: int
) -> None:
    """Of what a step may see, hidden nodes among the wanted ones, in any order."""
    settings = replace(settings, num_layers=num_layers)
    data = build_training_set(arrays, settings)
    learner = Learner(data, settings, CPU)
    edges = torch.arange(0, len(data.train.edge_query), 3)
    visible = learner.hide(edges)
    nodes = torch.randperm(data.train.num_nodes)[: data.train.num_nodes // 2]
    assert (visible.node[nodes] == 0).any()

    assert_same(
        random_network(data, settings), FullReceptiveField(Graph(data.train, CPU), visible), nodes
    )


@pytest.mark.parametrize(
    "clicks",
    [
        [click(0, "s", "mug", "a"), click(1, "t", "lamp", "b")],
        [click(0, "s", "mug", "a"), click(1, "s", "mug", "b"), click(2, "t", "lamp", "c")],
    ],
    ids=["no session of two items", "one session"],
)
def test_a_graph_of_almost_nothing(
    make_arrays: MakeArrays, settings: ModelSettings, clicks: list[Interaction]
) -> None:
    """Without hyperedges, or with everything hidden, and for a single node."""
    arrays = make_arrays(clicks)
    data = build_training_set(arrays, settings)
    graph, network = Graph(data.whole, CPU), random_network(data, settings)
    everything = VisibilityMask.everything(graph)
    nothing = VisibilityMask(
        edge=0 * everything.edge, hyperedge=0 * everything.hyperedge, node=everything.node
    )
    for visible in (everything, nothing):
        for nodes in (torch.arange(graph.num_nodes), torch.tensor([1])):
            assert_same(network, FullReceptiveField(graph, visible), nodes)


@pytest.mark.parametrize("switched_off", ["use_bipartite", "use_hypergraph", "use_ids"])
def test_a_network_without_one_part(
    arrays: GraphArrays, settings: ModelSettings, switched_off: str
) -> None:
    """What is switched off is silent, for a few nodes as for all."""
    settings = replace(settings, **{switched_off: False})  # type: ignore[arg-type]
    data = build_training_set(arrays, settings)
    graph = Graph(data.train, CPU)

    assert_same(random_network(data, settings), graph.reach_all(), torch.tensor([3, 1, 8]))
