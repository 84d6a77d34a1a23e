"""The table of channels that propagate, beside the list of all channels."""

import numpy as np
import torch

from model.artifact.channels import CHANNELS
from model.data.graph_size import GraphSize
from model.data.training_set import build_training_set
from model.network.graph import VisibilityMask
from model.network.host_graph import HostGraph
from model.network.propagation.propagations import PROPAGATIONS
from model.network.whole_graph import FullReceptiveField, Graph
from model.settings import ModelSettings
from stream.graph.arrays import GraphArrays

CPU = torch.device("cpu")


def test_every_channel_of_the_graph_propagates() -> None:
    """Those that have a switch, each once."""
    names = [channel.name for channel in PROPAGATIONS]

    assert sorted(names) == sorted(channel.name for channel in CHANNELS if channel.switch)


def test_what_feeds_a_channel_propagates_before_it() -> None:
    """It would start from what is not there yet."""
    for place, channel in enumerate(PROPAGATIONS):
        assert set(channel.fed_by) <= {before.name for before in PROPAGATIONS[:place]}


def test_all_forms_of_a_channel_say_the_same(arrays: GraphArrays, settings: ModelSettings) -> None:
    """On the device, on the host, drawn without a bound: degrees and vectors to 1e-5,
    with a fifth of everything hidden.
    """
    data = build_training_set(arrays, settings)
    graph, host = Graph(data.train, CPU), HostGraph(data.train, data.texts)
    torch.manual_seed(3)
    visible = VisibilityMask(
        edge=(torch.rand(graph.num_edges) > 0.2).float(),
        hyperedge=(torch.rand(graph.num_hyperedges) > 0.2).float(),
        node=(torch.rand(graph.num_nodes) > 0.2).float(),
    )
    x, nodes = torch.randn(graph.num_nodes, 5), np.arange(graph.num_nodes)
    unbound = ModelSettings(num_neighbours=1 << 20)
    for channel in PROPAGATIONS:
        on_device = FullReceptiveField(graph, visible).channel(channel.name)
        on_host = host.open(visible).channels[channel.name]
        drawn = on_host.draw(nodes, unbound).hearing(nodes, CPU)

        expected = torch.stack(list(channel.layers(x, on_device, unbound)))
        assert expected.abs().max() > 0
        for other in (on_host, drawn):
            torch.testing.assert_close(other.degree, on_device.degree)
            found = torch.stack(list(channel.layers(x, other, unbound)))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_size_of_every_channel_is_counted(arrays: GraphArrays, settings: ModelSettings) -> None:
    """The memory estimate knows no other."""
    data = build_training_set(arrays, settings)
    counts = GraphSize.of(data.train, data.texts)

    assert counts.channels.keys() == {channel.name for channel in PROPAGATIONS}
    assert all(size.entries > 0 for size in counts.channels.values())
