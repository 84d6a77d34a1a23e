"""Unit vectors: in clusters, as those of a shop's items are, with indexes of them, and
of two parts, of which either, both or neither knows what each query is asked for.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from model.artifact.encoder import unit_rows
from model.artifact.index.engine import Engine, VectorIndex
from model.settings import ModelSettings
from model.training.beside.two_parts import TwoParts
from stream.dtypes import Float32s, Int64s

DIM = 16  # small, so that an index of thousands is built in milliseconds
_CLUSTER_SIZE = 20  # vectors on average; chosen by hand
_SPREAD = 0.3  # of a cluster, beside 1 from one to the next; chosen by hand


NUM = 120
"""Queries, and items: enough to judge by."""
EDGES: tuple[Int64s, Int64s] = (np.arange(NUM), np.arange(NUM))
"""From each query to the item of its number."""
_PART_DIM = 8  # of each of two parts; chosen by hand

_Parts = TypeVar("_Parts", bound=TwoParts)


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


def noise(seed: int) -> Float32s:
    """Return random unit vectors."""
    return unit_rows(np.random.default_rng(seed).normal(size=(NUM, _PART_DIM)).astype(np.float32))


def parts(kind: type[_Parts], *, beside_knows: bool, rest_knows: bool) -> _Parts:
    """Return queries and items, of which the item of each query is known to what stands
    beside, to the rest of the vectors, to both or to neither.
    """
    nothing = np.zeros(0, dtype=np.int64)
    return kind(
        query_vectors=noise(1),
        item_vectors=noise(1) if rest_knows else noise(2),
        query_directions=noise(3),
        item_directions=noise(3) if beside_knows else noise(4),
        seen=(nothing, nothing),
    )


def half_clicked(kind: type[_Parts]) -> _Parts:
    """Return queries and items, of which the rest of the vectors knows the first half,
    which are clicked for others, and what stands beside knows all.
    """
    clicked = np.arange(NUM) < NUM // 2
    known = parts(kind, beside_knows=True, rest_knows=True)
    return kind(
        query_vectors=known.query_vectors,
        item_vectors=np.where(clicked[:, None], known.item_vectors, noise(5)),
        query_directions=known.query_directions,
        item_directions=known.item_directions,
        seen=((np.arange(NUM) + 1)[clicked] % NUM, np.arange(NUM)[clicked]),
    )
