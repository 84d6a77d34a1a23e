"""The network in numpy is torch's network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.artifact.channels import CHANNEL_NAMES
from model.artifact.generation import Generation
from model.data.training_set import build_training_set
from model.errors import GenerationCorrupt
from model.fresh.network import ChannelRows, FrozenNetwork
from model.network.network import DualChannelNetwork
from model.network.whole_graph import Graph
from model.settings import ModelSettings
from model.training.warm_start import apply_warm_start, open_warm_start
from stream.dtypes import Float32s
from stream.graph.arrays import GraphArrays

CPU = torch.device("cpu")


@pytest.mark.parametrize("seed", range(5))
def test_numpy_gives_the_vectors_that_torch_gives(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For random weights of attention, and edges and hyperedges left out at random:
    texts and joined vectors to 1e-5, whatever the size of a block.
    """
    monkeypatch.setattr("model.fresh.network._BLOCK_ROWS", 1 + 50 * seed)
    random = np.random.default_rng(seed)
    attention = {
        name: random.normal(scale=0.7, size=array.shape).astype(np.float32)
        for name, array in generation.warm.items()
        if "attention" in name
    }
    generation = replace(generation, warm={**generation.warm, **attention})
    data = build_training_set(arrays, settings)
    part = data.whole
    edges = random.random(len(part.edge_query)) < 0.5
    part = replace(
        part,
        edge_query=part.edge_query[edges],
        edge_item=part.edge_item[edges],
        edge_weight=part.edge_weight[edges],
        incidence_hyperedge=part.incidence_hyperedge[:: seed + 1],
        incidence_node=part.incidence_node[:: seed + 1],
    )
    network = DualChannelNetwork(data.texts, settings, part.num_queries, part.num_items, CPU)
    warm = open_warm_start(generation, arrays, settings)
    assert warm is not None
    apply_warm_start(warm, network, data.texts)
    with torch.no_grad():
        reach = Graph(part, CPU).reach_all()
        channels, expected = network.propagate(reach), network(reach)
    text, bipartite, hypergraph = (
        channels.each[CHANNEL_NAMES.index(name)] for name in ("text", "bipartite", "hypergraph")
    )
    is_item = np.arange(part.num_nodes) >= part.num_queries
    frozen = FrozenNetwork(generation)

    vectors = frozen.join(
        ChannelRows(
            text=text.vectors.numpy(),
            bipartite=bipartite.vectors.numpy(),
            hypergraph=hypergraph.vectors.numpy(),
            weights=bipartite.degree.double().numpy(),
            hyperedges=hypergraph.degree.double().numpy(),
        ),
        is_item,
    ).vectors

    np.testing.assert_allclose(vectors[~is_item], expected.query.numpy(), atol=1e-5)
    np.testing.assert_allclose(vectors[is_item], expected.item.numpy(), atol=1e-5)
    contents = frozen.contents(arrays.query_texts, "query")
    np.testing.assert_allclose(contents, channels.content[~is_item].numpy(), atol=1e-5)
    contents = frozen.contents(arrays.item_titles, "item")
    np.testing.assert_allclose(contents, channels.content[is_item].numpy(), atol=1e-5)


def test_a_channel_that_is_switched_off_counts_nothing(generation: Generation) -> None:
    """Whatever the degrees."""
    manifest = generation.manifest
    manifest.model["use_bipartite"] = "False"
    frozen = FrozenNetwork(generation)
    one = np.ones((1, generation.network_dim), dtype=np.float32)
    random = np.random.default_rng(1)

    def joined(bipartite: float) -> Float32s:
        rows = ChannelRows(
            text=one,
            bipartite=bipartite * random.normal(size=one.shape).astype(np.float32),
            hypergraph=0 * one,
            weights=np.array([3.0]),
            hyperedges=np.array([0.0]),
        )
        return frozen.join(rows, np.array([False])).vectors

    np.testing.assert_array_equal(joined(0.0), joined(5.0))


def test_what_has_no_finite_vector_is_nan(generation: Generation) -> None:
    """So that nobody takes it for one."""
    frozen = FrozenNetwork(generation)
    rows = np.ones((4, frozen.dim), dtype=np.float32)
    rows[1, 0], rows[2, 0], rows[3, 0] = np.nan, np.inf, 1e30
    zeros = np.zeros_like(rows)

    vectors = frozen.join(
        ChannelRows(
            text=rows,
            bipartite=zeros,
            hypergraph=zeros,
            weights=np.zeros(4),
            hyperedges=np.zeros(4),
        ),
        np.array([True] * 4),
    ).vectors

    assert np.isfinite(vectors).all(axis=1).tolist() == [True, False, False, False]


def test_other_channels_and_missing_weights_are_refused(generation: Generation) -> None:
    """With what to do."""
    without = {name: array for name, array in generation.warm.items() if "score" not in name}
    with pytest.raises(GenerationCorrupt, match=r"warm\.weight\.attention.*train again"):
        FrozenNetwork(replace(generation, warm=without))
    generation.manifest.channels.append("copurchase")
    with pytest.raises(GenerationCorrupt, match="copurchase"):
        FrozenNetwork(generation)
