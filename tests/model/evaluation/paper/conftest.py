"""A shop of ninety items, split at random."""

import pytest

from model.evaluation.paper.split import EdgeSplit, split_at_random
from stream.graph.arrays import GraphArrays
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.small_shop import fill_store, wide_events, wide_items


@pytest.fixture(scope="session")
def wide_arrays(tmp_path_factory: pytest.TempPathFactory) -> GraphArrays:
    """Return the graph of the whole log."""
    root = tmp_path_factory.mktemp("wide") / "store"
    fill_store(root, wide_events(400), wide_items())
    with open_graph(root, StreamSettings()) as graph:
        return graph.arrays()


@pytest.fixture(scope="session")
def split(wide_arrays: GraphArrays) -> EdgeSplit:
    """Return its edges in three parts."""
    return split_at_random(wide_arrays, 0)
