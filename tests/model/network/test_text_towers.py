"""The texts of some nodes against those of all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from model.artifact.encoder import TextEncoder
from model.data.training_set import TrainingSet, build_training_set
from model.network.graph import VisibilityMask
from model.network.network import DualChannelNetwork
from model.network.whole_graph import FullReceptiveField, Graph
from model.settings import ModelSettings
from model.training.warm_start import export_encoder
from stream.graph.arrays import GraphArrays

CPU = torch.device("cpu")


@pytest.fixture
def data(arrays: GraphArrays, settings: ModelSettings) -> TrainingSet:
    """Return the shop's training set, in which one item has no title and one has more
    text than that.
    """
    titles, texts = (
        ["", *arrays.item_titles[1:]],
        ["", "of thin blue glass", *arrays.item_texts[2:]],
    )
    return build_training_set(replace(arrays, item_titles=titles, item_texts=texts), settings)


@pytest.fixture
def network(data: TrainingSet, settings: ModelSettings) -> DualChannelNetwork:
    """Return a network of random weights."""
    torch.manual_seed(3)
    part = data.whole
    return DualChannelNetwork(data.texts, settings, part.num_queries, part.num_items, CPU)


def gradients(network: DualChannelNetwork, rows: Tensor) -> list[Tensor]:
    """Return the gradient of a fixed combination of rows by each weight of the text
    towers.
    """
    wanted = torch.linspace(-1, 1, rows.numel()).view_as(rows)
    return list(torch.autograd.grad((rows * wanted).sum(), list(network.content.parameters())))


@pytest.mark.parametrize("share", [1, 2, 7])
def test_some_nodes_are_as_among_all(
    data: TrainingSet, network: DualChannelNetwork, share: int
) -> None:
    """What their texts say, and every gradient."""
    num_queries = data.whole.num_queries
    nodes = torch.arange(0, data.whole.num_nodes, share)

    some, rows = network.content.some(nodes, num_queries), network.content(num_queries)[nodes]

    torch.testing.assert_close(some, rows)
    for one, other in zip(gradients(network, some), gradients(network, rows), strict=True):
        torch.testing.assert_close(one, other)


def test_a_title_is_read_as_a_server_reads_it(
    data: TrainingSet, network: DualChannelNetwork, settings: ModelSettings, arrays: GraphArrays
) -> None:
    """As a new query, without what else an item's text says."""
    titles = data.titles
    encoder = TextEncoder(export_encoder(network, data.texts, settings.num_buckets))

    said = network.of_query_texts(
        torch.from_numpy(titles.term), torch.from_numpy(titles.starts[:-1])
    )

    asked = [encoder.encode(arrays.item_titles[item]) for item in titles.item]
    np.testing.assert_allclose(said.detach().numpy(), np.stack(asked), rtol=1e-4, atol=1e-5)


def test_where_few_nodes_were_seen_a_step_reads_the_texts_of_those_it_needs(
    data: TrainingSet, network: DualChannelNetwork
) -> None:
    """The channels of what it compares are the same."""
    edges = np.arange(4)
    part = replace(
        data.train,
        edge_query=data.train.edge_query[edges],
        edge_item=data.train.edge_item[edges],
        edge_weight=data.train.edge_weight[edges],
        incidence_hyperedge=np.zeros(2, dtype=np.int64),
        incidence_node=np.arange(2) + data.train.num_nodes - 2,
    )
    graph, visible = Graph(part, CPU), VisibilityMask.everything(Graph(part, CPU))
    nodes = torch.from_numpy(np.union1d(part.edge_query, np.arange(0, part.num_nodes, 5)))

    few = network.propagate_to(graph.reach(visible, nodes), nodes)
    all_ = network.propagate_to(FullReceptiveField(graph, visible), nodes)

    unread = network.propagate(graph.reach(visible, nodes)).content.norm(dim=1) == 0
    assert unread.sum() > part.num_nodes // 2
    torch.testing.assert_close(few.content, all_.content)
    for one, other in zip(few.each, all_.each, strict=True):
        torch.testing.assert_close(one.vectors, other.vectors)
        torch.testing.assert_close(one.degree, other.degree)
