"""How passes are cut."""

import pytest

from model.data.batches import num_batches, num_refresh_batches


@pytest.mark.parametrize(
    ("num_edges", "expected"), [(0, 1), (10, 1), (149, 1), (151, 2), (1000, 10)]
)
def test_a_pass_of_a_training(num_edges: int, expected: int) -> None:
    """About as many edges in each as the settings say."""
    assert num_batches(num_edges, 100) == expected


@pytest.mark.parametrize(
    ("num_edges", "expected"),
    [(0, 1), (149, 1), (310, 3), (400, 4), (900, 4), (1600, 4), (1601, 5), (8000, 20)],
)
def test_a_pass_of_a_refresh(num_edges: int, expected: int) -> None:
    """The same while they are few; then batches grow, to four times the size."""
    assert num_refresh_batches(num_edges, 100) == expected
