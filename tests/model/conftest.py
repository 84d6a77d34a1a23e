"""A small shop whose structure is known, its graph through a real store, and
generations trained on it.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainedModel
from model.training.train import train
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, shop_events, shop_items, snapshot_of


@pytest.fixture(scope="session")
def arrays(make_arrays: MakeArrays) -> GraphArrays:
    """Return the shop's graph."""
    return make_arrays(shop_events(400), shop_items())


@pytest.fixture(scope="session")
def trained(arrays: GraphArrays, settings: ModelSettings) -> TrainedModel:
    """Return the shop's model."""
    return train(arrays, settings)


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    """Return an artifact folder that does not exist yet."""
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def generation(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> Generation:
    """Return the shop's model, published and live."""
    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)
    return open_generation(artifacts.generation_path(generation_id))


@pytest.fixture
def ticks() -> Iterator[int]:
    """Return an endless count, for times that only need to differ."""
    return count(NOW_MS, 1000)
