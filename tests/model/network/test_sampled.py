"""Sampled propagation: exact where no bound is reached, right on average elsewhere,
nothing is unhidden.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.data.training_set import TrainingSet, build_training_set
from model.network.graph import ChannelOutputs, HeldTable, IdVectors, VisibilityMask
from model.network.host_graph import HostGraph, HostReceptiveField
from model.network.network import DualChannelNetwork
from model.network.sampled import SampledGraph, SampledReceptiveField
from model.network.whole_graph import FullReceptiveField, Graph
from model.settings import ModelSettings
from model.training.step import Learner
from model.training.train import train
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click

CPU = torch.device("cpu")
ALL = 1 << 20


@pytest.fixture(scope="module")
def data(arrays: GraphArrays, settings: ModelSettings) -> TrainingSet:
    """Return the shop's training set."""
    return build_training_set(arrays, settings)


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
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def partly_hidden(graph: Graph) -> VisibilityMask:
    """Hide a fifth of everything."""
    return VisibilityMask(
        edge=(torch.rand(graph.num_edges) > 0.2).float(),
        hyperedge=(torch.rand(graph.num_hyperedges) > 0.2).float(),
        node=(torch.rand(graph.num_nodes) > 0.2).float(),
    )


def some_nodes(data: TrainingSet) -> tuple[Tensor, Tensor]:
    """Return a few queries and a few items, as nodes."""
    return torch.arange(0, 40, 7), data.train.num_queries + torch.tensor([12, 3, 25])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 3},
        {"use_bipartite": False},
        {"use_hypergraph": False},
        {"use_ids": False},
    ],
    ids=["both channels", "three layers", "hypergraph", "bipartite", "no ids"],
)
def test_where_no_bound_is_reached_it_is_the_whole_graphs_propagation(
    data: TrainingSet, settings: ModelSettings, changes: dict[str, int]
) -> None:
    """Vectors, attention and the gradients of all parameters, to 1e-5, with a fifth of
    everything hidden.
    """
    settings = replace(settings, num_neighbours=ALL, **changes)  # type: ignore[arg-type]
    network, graph = random_network(data, settings), Graph(data.train, CPU)
    visible, (queries, items) = partly_hidden(graph), some_nodes(data)
    sampled = SampledGraph(data.train, data.texts, settings, CPU)

    def found(channels: ChannelOutputs) -> list[Tensor]:
        network.zero_grad()
        vectors, attention = zip(
            *(network.join(channels, nodes) for nodes in (queries, items)), strict=True
        )
        (vectors[0] @ vectors[1].T).square().sum().backward()
        gradients = [
            parameter.grad for parameter in network.parameters() if parameter.grad is not None
        ]
        return [*vectors, *attention, *gradients]

    whole = found(network.propagate(FullReceptiveField(graph, visible)))
    drawn = found(network.propagate(sampled.reach(visible, torch.cat([queries, items]))))

    assert len(whole) == len(drawn)
    for ours, theirs in zip(drawn, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_only_what_a_batch_reaches_is_propagated_over(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """A shop's corner that nothing leads to from there is not."""
    arrays = make_arrays(
        [
            click(0, "s", "mug", "a"),
            click(1, "s", "mug", "b"),
            click(2, "t", "lamp", "c"),
            click(3, "t", "lamp", "d"),
        ]
    )
    data = build_training_set(arrays, settings)
    graph = SampledGraph(data.whole, data.texts, settings, CPU)
    mug = arrays.query_texts.index("mug")

    reach = graph.reach(VisibilityMask.everything(graph), torch.tensor([mug]))

    items = arrays.num_queries + np.array([arrays.item_ids.index(name) for name in ("a", "b")])
    assert sorted(reach.nodes.tolist()) == sorted([mug, *items.tolist()])


def test_drawn_neighbours_are_right_on_average(data: TrainingSet, settings: ModelSettings) -> None:
    """Each channel's mean over many draws is what the whole graph says, within its own
    uncertainty.
    """
    settings = replace(settings, num_neighbours=2)
    network, graph = random_network(data, settings), Graph(data.train, CPU)
    visible, starts = partly_hidden(graph), torch.cat(some_nodes(data))
    open_ = HostGraph(data.train, data.texts).open(visible)

    def channels_of(channels: ChannelOutputs) -> Tensor:
        rows = channels.rows(starts)
        return torch.stack([channel.vectors[rows] for channel in channels.each[1:]])

    with torch.no_grad():
        expected = channels_of(network.propagate(FullReceptiveField(graph, visible)))
        draws = torch.stack(
            [
                channels_of(
                    network.propagate(SampledReceptiveField(open_, starts.numpy(), settings, CPU))
                )
                for _ in range(200)
            ]
        )

    uncertainty = draws.std(dim=0) / len(draws) ** 0.5
    assert (uncertainty > 0).any()
    assert ((draws.mean(dim=0) - expected).abs() <= 5 * uncertainty + 1e-5).all()


def test_no_more_than_the_bound_is_drawn(data: TrainingSet, settings: ModelSettings) -> None:
    """Of each node, in each layer."""
    settings = replace(settings, num_neighbours=2, use_hypergraph=False, num_layers=1)
    graph = SampledGraph(data.train, data.texts, settings, CPU)
    starts = torch.arange(data.train.num_nodes)

    drawn = (
        graph.reach(VisibilityMask.everything(graph), starts).counts().channels["bipartite"].entries
    )

    degrees = np.bincount(data.train.edge_query, minlength=data.train.num_queries).tolist()
    degrees += np.bincount(data.train.edge_item, minlength=data.train.num_items).tolist()
    assert max(degrees) > 2
    assert drawn == sum(min(degree, 2) for degree in degrees)


def test_what_is_hidden_is_not_drawn(data: TrainingSet, settings: ModelSettings) -> None:
    """A query whose edges and hyperedges are hidden reaches nothing but itself."""
    graph = SampledGraph(data.train, data.texts, settings, CPU)
    query = int(data.train.edge_query[0])
    of_query = np.flatnonzero(data.train.edge_query == query)
    its_sessions = data.train.incidence_hyperedge[data.train.incidence_node == query]
    visible = VisibilityMask.everything(graph)
    visible.edge[of_query], visible.hyperedge[its_sessions] = 0.0, 0.0

    assert (
        graph.reach(VisibilityMask.everything(graph), torch.tensor([query])).counts().num_nodes > 1
    )
    assert graph.reach(visible, torch.tensor([query])).nodes.tolist() == [query]


def test_a_dropped_node_reaches_nothing_and_has_no_id_vector(
    data: TrainingSet, settings: ModelSettings
) -> None:
    """As in the whole graph."""
    graph = SampledGraph(data.train, data.texts, settings, CPU)
    query = int(data.train.edge_query[0])
    visible = VisibilityMask.everything(graph)
    visible.node[query] = 0.0

    reach = graph.reach(visible, torch.tensor([query]))

    assert reach.nodes.tolist() == [query]
    ones = IdVectors(torch.ones(graph.num_nodes, 3), HeldTable())
    assert reach.id_vectors(ones).tolist() == [[0.0, 0.0, 0.0]]


def test_an_export_over_the_hosts_memory_is_the_whole_graphs(
    data: TrainingSet, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-5, whatever the blocks of nodes."""
    monkeypatch.setattr("model.network.host_graph._BLOCK_NODES", 7)
    monkeypatch.setattr("model.network.network._BLOCK_NODES", 11)
    network, graph = random_network(data, settings), Graph(data.whole, CPU)
    visible = partly_hidden(graph)
    open_ = HostGraph(data.whole, data.texts).open(visible)

    with torch.no_grad():
        ours, theirs = (
            network(HostReceptiveField(open_, CPU)),
            network(FullReceptiveField(graph, visible)),
        )

    for name in ("query", "item", "query_attention", "item_attention"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=0, atol=1e-5)


def test_steps_have_the_same_losses_as_over_the_whole_graph(
    data: TrainingSet, settings: ModelSettings
) -> None:
    """Step by step, with what is supervised and dropped hidden, where no bound is
    reached.
    """
    losses = {}
    for propagation in ("full", "sampled"):
        torch.manual_seed(3)
        learner = Learner(data, replace(settings, num_neighbours=ALL), CPU, propagation)
        losses[propagation] = [
            learner.step(np.arange(start, start + 60)) for start in range(0, 240, 60)
        ]

    # Sums are in another order, and the optimiser makes a step of a gradient near 0.
    assert losses["sampled"] == pytest.approx(losses["full"], rel=1e-4)


def test_a_sampled_training_is_as_good(arrays: GraphArrays, settings: ModelSettings) -> None:
    """With a bound that is reached, far better than popularity, and repeatable."""
    sampled = replace(settings, propagation="sampled", num_neighbours=5)

    first, second = train(arrays, sampled), train(arrays, sampled)

    assert np.array_equal(first.query_vectors, second.query_vectors)
    assert first.evaluation["validation_mrr"] > 3 * first.evaluation["popularity_mrr"]
