"""Unit vectors in clusters, as those of a shop's items are, and indexes of them."""

from collections.abc import Callable

import numpy as np

from model.artifact.encoder import unit_rows
from model.artifact.index.engine import Engine, VectorIndex
from model.settings import ModelSettings
from stream.dtypes import Float32s

DIM = 16  # small, so that an index of thousands is built in milliseconds
_CLUSTER_SIZE = 20  # vectors on average; chosen by hand
_SPREAD = 0.3  # of a cluster, beside 1 from one to the next; chosen by hand


def width(engine: Engine, count: int, settings: ModelSettings) -> int:
    """Return how wide an index of `count` vectors is searched: as the settings say,
    else as wide as it can be.
    """
    return settings.index_search_k or engine.search_ks(count)[-1]


MakeIndex = Callable[..., VectorIndex]


def clustered_vectors(num: int, seed: int = 0, dim: int = DIM) -> Float32s:
    """Return ``float32 [num, dim]``, in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, num // _CLUSTER_SIZE), dim))
    noise = _SPREAD * rng.normal(size=(num, dim))
    return unit_rows((centres[rng.integers(len(centres), size=num)] + noise).astype(np.float32))
