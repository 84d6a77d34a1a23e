"""The walk block: unit vectors whose inner product is the rest's and the walk's,
weighed, and which rank as before where there is no walk.
"""

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.beside.joined import directions, summed_directions
from model.beside.session_walk import (
    GUESS,
    WALK_OFF,
    WalkBlock,
    WalkGuess,
    WalkScales,
    fitted_guess,
    walk_block,
)
from model.errors import GenerationCorrupt
from stream.dtypes import Float32s

SCALES = WalkScales(query=1.0, new_query=0.0, item=0.2, new_item=0.6)
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


def test_a_query_without_a_direction_has_its_guess() -> None:
    """As much as the scales say; others keep their own."""
    scales = WalkScales(query=1.0, new_query=0.5, item=0.2, new_item=0.6)
    guess = WalkGuess(matrix=np.random.default_rng(4).normal(size=(9, 4)).astype(np.float32))
    block = WalkBlock(dim=5, scales=scales, guess=guess)
    rest, walk = (drawn(0, 8), drawn(1, 8)), (drawn(2, 4), drawn(3, 4))
    walk[0][1] = 0.0

    queries, items = block.queries(rest[0], walk[0]), block.items(rest[1], walk[1], KNOWN)

    rows = walk[0].copy()
    rows[1] = 0.5 * (guess.matrix[:8].T @ rest[0][1] + guess.matrix[8])
    scores = rest[0] @ rest[1].T + np.array([0.2, 0.6, 0.2]) * (rows @ walk[1].T)
    lengths = np.sqrt((1 + (rows**2).sum(axis=1)) * (1 + 0.6**2))
    assert queries @ items.T == pytest.approx(scores / lengths[:, None], abs=1e-5)
    new = block.without_sessions(rest[0][1:2], is_item=False)
    assert new == pytest.approx(queries[1:2], abs=1e-6)


def test_a_guess_is_what_others_of_its_kind_have() -> None:
    """Where vectors say all of a direction, and shorter the less there are to tell."""
    rng = np.random.default_rng(0)
    vectors = unit_rows(rng.normal(size=(400, 8)).astype(np.float32))
    walks = directions(vectors @ rng.normal(size=(8, 4)).astype(np.float32))
    few = walks * (np.arange(400) < 20)[:, None]

    of_many, of_few = (
        fitted_guess(vectors, walks).of(vectors),
        fitted_guess(vectors, few).of(vectors),
    )

    assert (directions(of_many) * walks).sum(axis=1).mean() > 0.95
    assert np.linalg.norm(of_few, axis=1).mean() < 0.5 * np.linalg.norm(of_many, axis=1).mean()


def test_a_block_is_read_as_it_was_stored() -> None:
    """With its guess; without one only where that counts nothing."""
    scales = WalkScales(query=1.0, new_query=0.5, item=0.2, new_item=0.6)
    guess = WalkGuess(matrix=np.ones((9, 4), dtype=np.float32))
    block = WalkBlock(dim=5, scales=scales, guess=guess)
    of_before = WalkScales(query=1.0, new_query=0.0, item=0.2, new_item=0.6)

    read = walk_block(block.arrays(), rest=8, dim=5, scales=scales)

    assert read.guess is not None
    assert read.guess.of(drawn(0, 8)) == pytest.approx(guess.of(drawn(0, 8)))
    assert walk_block({}, rest=8, dim=5, scales=of_before).guess is None
    for arrays in ({}, {GUESS: np.ones((8, 4), dtype=np.float32)}):
        with pytest.raises(GenerationCorrupt, match=r"walk\.guess.*train again"):
            walk_block(arrays, rest=8, dim=5, scales=scales)


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
        (WalkScales(query=1.0, new_query=0.0, item=0.0, new_item=0.0), True),
        (WalkScales(query=0.0, new_query=0.0, item=1.0, new_item=1.0), True),
        (WalkScales(query=1.0, new_query=0.0, item=0.0, new_item=0.1), False),
        (WalkScales(query=0.0, new_query=1.0, item=0.1, new_item=0.1), False),
    ],
)
def test_a_block_without_a_scale_is_off(scales: WalkScales, *, is_off: bool) -> None:
    """Of queries, or of all items."""
    assert scales.is_off is is_off
