"""Unit vectors in clusters, and indexes of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.encoder import unit_rows
from model.artifact.index.engine import Engine, VectorIndex
from model.settings import ModelSettings

DIM = 16
SETTINGS = ModelSettings(num_trees=10, seed=1)

Floats = NDArray[np.float32]
MakeIndex = Callable[..., VectorIndex]


def random_vectors(num: int, seed: int = 0, dim: int = DIM) -> Floats:
    """Return unit vectors in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, num // 20), dim))
    noise = 0.3 * rng.normal(size=(num, dim))
    return unit_rows((centres[rng.integers(len(centres), size=num)] + noise).astype(np.float32))


@pytest.fixture
def vectors() -> Floats:
    """Return three thousand of them."""
    return random_vectors(3000)


@pytest.fixture
def make_index(tmp_path: Path) -> MakeIndex:
    """Return a function that builds an index and opens it."""

    def make(engine: Engine, vectors: Floats, settings: ModelSettings = SETTINGS) -> VectorIndex:
        path = tmp_path / engine.file_name
        engine.build(vectors, path, settings)
        return engine.open(path, vectors.shape[1], len(vectors), engine.search_k(settings))

    return make
