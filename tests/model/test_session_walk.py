"""The walk block: unit vectors whose inner product is the rest's and the walk's,
weighed, and which rank as before where there is no walk.
"""

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.session_walk import WALK_OFF, WalkBlock, WalkScales, directions, summed_directions
from stream.dtypes import Float32s

SCALES = WalkScales(query=1.0, item=0.2, new_item=0.6)
BLOCK = WalkBlock(dim=5, scales=SCALES)
KNOWN = np.array([True, False, True])


def drawn(seed: int, dim: int) -> Float32s:
    """Return three random unit vectors."""
    return unit_rows(np.random.default_rng(seed).normal(size=(3, dim)).astype(np.float32))


def test_scores_are_weighed_sums() -> None:
    """By what the scales say of clicked items and of others, over one length."""
    rest, walk = (drawn(0, 8), drawn(1, 8)), (drawn(2, 4), drawn(3, 4))
    queries, items = BLOCK.queries(rest[0], walk[0]), BLOCK.items(rest[1], walk[1], KNOWN)

    weights = np.array([0.2, 0.6, 0.2])
    expected = rest[0] @ rest[1].T + weights * (walk[0] @ walk[1].T)

    assert queries @ items.T == pytest.approx(expected / np.sqrt(2.0 * (1 + 0.6**2)), abs=1e-6)
    assert np.linalg.norm(queries, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert np.linalg.norm(items, axis=1) == pytest.approx(np.ones(3), abs=1e-6)


def test_a_query_without_a_walk_scores_all_items_alike() -> None:
    """Whatever sessions say of them: what was a new query's score is shrunk by one
    number.
    """
    walk = drawn(2, 4)
    walk[2] = 0.0
    rest = drawn(0, 8), drawn(1, 8)

    queries = BLOCK.without_sessions(rest[0], is_item=False)
    items = BLOCK.items(rest[1], walk, KNOWN)

    expected = rest[0] @ rest[1].T / np.sqrt(1 + 0.6**2)
    assert queries @ items.T == pytest.approx(expected, abs=1e-6)


def test_directions_are_found_in_vectors() -> None:
    """Of clicked items, of others, and of those that have none."""
    walk = drawn(2, 4)
    walk[2] = 0.0

    found = BLOCK.directions_of(BLOCK.items(drawn(1, 8), walk, KNOWN))

    assert found == pytest.approx(walk, abs=1e-6)
    alone = BLOCK.without_sessions(drawn(1, 8), is_item=True)
    assert not BLOCK.directions_of(alone).any()


def test_sums_are_weighed_and_of_length_one() -> None:
    """A sum without rows, or of opposite ones, has no direction."""
    rows = np.array([[1, 0], [0, 1], [1, 0], [-1, 0]], dtype=np.float32)

    found = summed_directions(np.array([2, 2, 0, 0]), np.array([3.0, 4.0, 1.0, 1.0]), rows, 4)

    assert found == pytest.approx(np.array([[0, 0], [0, 0], [0.6, 0.8], [0, 0]]), abs=1e-6)


def test_what_is_tiny_has_no_direction() -> None:
    """It is rounding."""
    assert not directions(np.full((1, 3), 1e-7, dtype=np.float32)).any()


@pytest.mark.parametrize(
    ("scales", "is_off"),
    [
        (WALK_OFF, True),
        (WalkScales(query=1.0, item=0.0, new_item=0.0), True),
        (WalkScales(query=0.0, item=1.0, new_item=1.0), True),
        (WalkScales(query=1.0, item=0.0, new_item=0.1), False),
    ],
)
def test_a_block_without_a_scale_is_off(scales: WalkScales, *, is_off: bool) -> None:
    """Of queries, or of all items."""
    assert scales.is_off is is_off
