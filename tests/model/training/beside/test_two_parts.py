"""Of several ways to weigh two parts, the one that pays and that no kind pays for."""

import numpy as np

from model.training.beside.two_parts import surely_better

_EACH = 40  # edges of a kind; enough to judge it by
QUERY = np.arange(2 * _EACH)
KIND = np.repeat([0, 1], _EACH)
WITHOUT = np.ones(2 * _EACH)
ONE_GAINS = np.repeat([2.0, 1.0], _EACH)
"""The first kind gains, the second stays as it is."""


def test_what_a_kind_surely_loses_counts_in_full() -> None:
    """Though the other kind gains so much that both together do."""
    gains = np.stack([ONE_GAINS, np.repeat([3.5, 0.2], _EACH), WITHOUT])

    assert surely_better(gains, QUERY, KIND) == 1
    assert surely_better(gains, QUERY, KIND, WITHOUT) == 0


def test_a_loss_that_may_be_chance_does_not() -> None:
    """Half of the second kind's edges lose, half gain nearly as much."""
    by_chance = np.concatenate([np.full(_EACH, 3.5), np.tile([0.0, 1.8], _EACH // 2)])
    gains = np.stack([ONE_GAINS, by_chance, WITHOUT])

    assert surely_better(gains, QUERY, KIND, WITHOUT) == 1
