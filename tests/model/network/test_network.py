"""Laws of the network: what is hidden cannot be read, what is silent is not heard,
order does not matter.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.artifact.encoder import TextEncoder
from model.data.graph import GraphPart
from model.data.training_set import TrainingSet, build_training_set
from model.network.graph import NodeVectors, VisibilityMask
from model.network.network import DualChannelNetwork
from model.network.whole_graph import FullReceptiveField, Graph
from model.settings import ModelSettings
from model.training.result import TrainedModel
from model.training.step import Learner
from model.training.warm_start import export_encoder
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(arrays: GraphArrays, settings: ModelSettings) -> TrainingSet:
    """Return the shop's training set."""
    return build_training_set(arrays, settings)


@pytest.fixture
def network(data: TrainingSet, settings: ModelSettings) -> DualChannelNetwork:
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


def rows(nodes: NodeVectors) -> Tensor:
    """Return all nodes' vectors, queries first."""
    return torch.cat([nodes.query, nodes.item])


def test_vectors_are_unit_and_attention_sums_to_one(
    network: DualChannelNetwork, data: TrainingSet
) -> None:
    """For every node."""
    graph = Graph(data.train, CPU)

    nodes = network(graph.reach_all())

    torch.testing.assert_close(rows(nodes).norm(dim=1), torch.ones(data.train.num_nodes))
    for attention in (nodes.query_attention, nodes.item_attention):
        assert attention.shape[1] == 3
        torch.testing.assert_close(attention.sum(dim=1), torch.ones(len(attention)))


def test_a_query_without_neighbours_gets_the_encoders_vector(
    network: DualChannelNetwork, data: TrainingSet, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """The server's numpy twin agrees with the network to 1e-5, for queries and for
    items.
    """
    graph = Graph(data.train, CPU)
    hidden = replace(VisibilityMask.everything(graph), node=torch.zeros(data.train.num_nodes))
    encoder = TextEncoder(export_encoder(network, data.texts, settings.num_buckets))

    nodes = network(FullReceptiveField(graph, hidden))

    for query, text in enumerate(arrays.query_texts):
        assert np.abs(nodes.query[query].detach().numpy() - encoder.encode(text)).max() < 1e-5
    for item, title in enumerate(arrays.item_titles):
        assert np.abs(nodes.item[item].detach().numpy() - encoder.encode_item(title)).max() < 1e-5


def test_a_hidden_node_is_the_same_in_any_graph(
    network: DualChannelNetwork, data: TrainingSet
) -> None:
    """It has neither neighbours nor an id vector, in both channels."""
    sides = []
    for part in (data.train, data.whole):
        graph = Graph(part, CPU)
        node = torch.ones(part.num_nodes)
        node[:10] = 0
        sides.append(
            rows(
                network(
                    FullReceptiveField(graph, replace(VisibilityMask.everything(graph), node=node))
                )
            )[:10]
        )

    torch.testing.assert_close(sides[0], sides[1])


def test_a_channel_in_which_a_node_has_no_neighbours_is_not_listened_to(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """A query whose session clicked one item has no hyperedge.

    An item never clicked has only its text.
    """
    arrays = make_arrays(
        [
            click(0, "s", "mug", "a"),
            click(1, "s", "mug", "b"),
            click(2, "t", "lamp", "c"),
        ]
    )
    data = build_training_set(arrays, settings)
    network = DualChannelNetwork(data.texts, settings, arrays.num_queries, arrays.num_items, CPU)
    graph = Graph(data.whole, CPU)

    attention = network(graph.reach_all()).query_attention

    lamp, mug = arrays.query_texts.index("lamp"), arrays.query_texts.index("mug")
    assert attention[lamp, 2] == 0
    assert (attention[lamp, :2] > 0).all()
    assert (attention[mug] > 0).all()


@pytest.mark.parametrize(
    ("switch", "column"),
    [("use_bipartite", 1), ("use_hypergraph", 2)],
    ids=["bipartite", "hypergraph"],
)
def test_a_channel_can_be_switched_off(
    data: TrainingSet, settings: ModelSettings, switch: str, column: int
) -> None:
    """It then gets no attention anywhere."""
    off = replace(settings, **{switch: False})  # type: ignore[arg-type]
    network = DualChannelNetwork(data.texts, off, data.whole.num_queries, data.whole.num_items, CPU)
    graph = Graph(data.whole, CPU)

    nodes = network(graph.reach_all())

    assert (nodes.query_attention[:, column] == 0).all()
    assert (nodes.item_attention[:, column] == 0).all()


def test_the_order_of_edges_and_hyperedges_does_not_matter(
    network: DualChannelNetwork, data: TrainingSet
) -> None:
    """A graph is a set."""
    rng = np.random.default_rng(2)
    part = data.whole
    edges, incidences = (
        rng.permutation(len(part.edge_query)),
        rng.permutation(len(part.incidence_node)),
    )
    renamed = rng.permutation(part.num_hyperedges)
    shuffled: GraphPart = replace(
        part,
        edge_query=part.edge_query[edges],
        edge_item=part.edge_item[edges],
        edge_weight=part.edge_weight[edges],
        incidence_hyperedge=renamed[part.incidence_hyperedge][incidences],
        incidence_node=part.incidence_node[incidences],
    )
    sides = []
    for each in (part, shuffled):
        graph = Graph(each, CPU)
        sides.append(rows(network(graph.reach_all())))

    torch.testing.assert_close(sides[0], sides[1], rtol=0, atol=1e-5)


def reaches(make_arrays: MakeArrays, settings: ModelSettings, *, hide: bool) -> float:
    """Return how much the supervised query's vector depends on the text of the item it
    is to find.
    """
    arrays = make_arrays(
        [
            click(0, "s", "mug", "target"),
            click(1, "s", "lamp", "other"),
            click(2, "t", "sofa", "elsewhere"),
        ]
    )
    data = build_training_set(arrays, replace(settings, node_dropout=0.0, edge_dropout=0.0))
    run = Learner(data, replace(settings, node_dropout=0.0, edge_dropout=0.0), CPU)
    query, item = arrays.query_texts.index("mug"), arrays.item_ids.index("target")
    edge = int(np.flatnonzero(data.train.edge_query == query)[0])
    graph = Graph(data.train, CPU)
    visible = run.hide(torch.tensor([edge])) if hide else VisibilityMask.everything(graph)
    run.network(FullReceptiveField(graph, visible)).query[query].sum().backward()
    gradient = run.network.ids.grad
    assert gradient is not None
    return float(gradient[arrays.num_queries + item].abs().max())


def test_a_supervised_query_cannot_read_its_answer_off_the_graph(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Neither through the supervised edge, nor through the hyperedge of the session
    that made it.
    """
    assert reaches(make_arrays, settings, hide=False) > 0
    assert reaches(make_arrays, settings, hide=True) == 0


def test_other_sessions_still_link_what_is_supervised(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Only the hyperedges of the sessions that made the edge go."""
    arrays = make_arrays(
        [
            click(0, "s", "mug", "a"),
            click(1, "s", "mug", "b"),
            click(2, "t", "mug", "b"),
            click(3, "t", "mug", "c"),
        ]
    )
    quiet = replace(settings, node_dropout=0.0, edge_dropout=0.0)
    data = build_training_set(arrays, quiet)
    run = Learner(data, quiet, CPU)
    of = {arrays.item_ids[item]: edge for edge, item in enumerate(data.train.edge_item)}

    visible = run.hide(torch.tensor([of["a"]]))

    assert visible.edge.tolist() == [float(edge != of["a"]) for edge in range(3)]
    assert sorted(visible.hyperedge.tolist()) == [0.0, 1.0]


def test_a_share_of_nodes_is_hidden_in_every_step(
    data: TrainingSet, settings: ModelSettings
) -> None:
    """About as large as the setting says, and another one every time."""
    run = Learner(data, replace(settings, node_dropout=0.4), CPU)

    first, second = (run.hide(torch.tensor([0])).node for _ in range(2))

    assert first.mean() == pytest.approx(0.6, abs=0.15)
    assert not torch.equal(first, second)


def test_known_nodes_listen_to_the_graph(trained: TrainedModel) -> None:
    """The attention that is stored is not all text."""
    assert trained.query_attention[:, 1:].sum(axis=1).max() > 0.2


def test_half_precision_gives_about_the_same_vectors(
    network: DualChannelNetwork, data: TrainingSet
) -> None:
    """Forced on the CPU, where it is not used otherwise.

    Other numbers, the same within bfloat16.
    """
    graph = Graph(data.train, CPU)
    exact = rows(network(graph.reach_all()))

    network.half_precision = True
    rounded = network(graph.reach_all())

    assert rounded.query.dtype == rounded.query_attention.dtype == torch.float32
    assert not torch.equal(rows(rounded), exact)
    assert (rows(rounded) * exact).sum(dim=1).min() > 0.999
    torch.testing.assert_close(rows(rounded), exact, rtol=0, atol=0.02)


def test_half_precision_learns_in_single_precision(
    data: TrainingSet, settings: ModelSettings
) -> None:
    """Loss and gradients are float32, and about those of a step without it."""
    losses, gradients = [], []
    for half_precision in (False, True):
        torch.manual_seed(3)
        run = Learner(data, settings, CPU)
        run.network.half_precision = half_precision
        losses.append(run.step(np.arange(100)))
        gradients.append([each.grad for each in run.network.parameters() if each.grad is not None])

    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    assert [each.dtype for each in gradients[1]] == [torch.float32] * len(gradients[0])


def test_mixed_precision_changes_nothing_on_the_cpu(
    data: TrainingSet, settings: ModelSettings
) -> None:
    """To the last bit: it is for GPUs."""
    losses = []
    for mixed_precision in (False, True):
        torch.manual_seed(3)
        run = Learner(data, replace(settings, mixed_precision=mixed_precision), CPU)
        losses.append([run.step(np.arange(start, start + 50)) for start in (0, 50)])

    assert losses[0] == losses[1]
