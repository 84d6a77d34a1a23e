"""Unit vectors in clusters, as those of a shop's items are, and indexes of them."""

from collections.abc import Callable

import numpy as np

from model.artifact.encoder import unit_rows
from model.artifact.index.engine import VectorIndex
from stream.dtypes import Float32s

DIM = 16

MakeIndex = Callable[..., VectorIndex]


def clustered_vectors(num: int, seed: int = 0, dim: int = DIM) -> Float32s:
    """Return ``float32 [num, dim]``, about twenty to a cluster."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, num // 20), dim))
    noise = 0.3 * rng.normal(size=(num, dim))
    return unit_rows((centres[rng.integers(len(centres), size=num)] + noise).astype(np.float32))
