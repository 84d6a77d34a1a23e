"""Vectors to index, and a function that does."""

from pathlib import Path

import pytest

from model.artifact.index.engine import Engine, VectorIndex
from model.artifact.index.indexed import IndexedVectors
from model.settings import ModelSettings
from stream.dtypes import Float32s
from testing.vectors import MakeIndex, clustered_vectors, width


@pytest.fixture
def vectors() -> Float32s:
    """Return three thousand unit vectors."""
    return clustered_vectors(3000)


@pytest.fixture
def settings() -> ModelSettings:
    """Return settings of a small forest."""
    return ModelSettings(num_trees=10, seed=1)


@pytest.fixture
def make_index(tmp_path: Path, settings: ModelSettings) -> MakeIndex:
    """Return a function that builds an index and opens it."""

    def make(engine: Engine, vectors: Float32s, settings: ModelSettings = settings) -> VectorIndex:
        path = tmp_path / engine.file_name
        engine.build(vectors, path, settings)
        return engine.open(path, IndexedVectors(vectors), width(engine, len(vectors), settings))

    return make
