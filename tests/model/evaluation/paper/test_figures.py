"""The figures of the paper's protocol, on scores whose figures are known."""

import numpy as np
import pytest

from model.evaluation.paper.figures import candidate_ranks, figures_of_pairs, is_found_in_pool


def test_mrr_among_a_hundred_and_one() -> None:
    """First, third and last of 101: the mean of 1, 1/3 and 1/101."""
    wrong = np.tile(np.linspace(0.0, 1.0, 100), (3, 1))
    right = np.array([2.0, 0.985, -1.0])
    figures = figures_of_pairs(right, wrong)

    assert candidate_ranks(right, wrong).tolist() == [1.0, 3.0, 101.0]
    assert figures["mrr"].mean() == pytest.approx((1 + 1 / 3 + 1 / 101) / 3)
    assert figures["recall_10"].tolist() == [1.0, 1.0, 0.0]


def test_a_model_that_says_nothing_gains_nothing() -> None:
    """Equal scores share the middle place, and none is found; a NaN is the last."""
    same = np.full((4, 100), 0.5)
    found = figures_of_pairs(same[:, 0], same)

    assert found["mrr"].tolist() == [1 / 51] * 4
    assert not found["recall"].any()
    nothing = np.full(4, np.nan)
    assert candidate_ranks(nothing, same).tolist() == [101.0] * 4
    assert not is_found_in_pool(nothing, same).any()


def test_recall_pools_all_pairs() -> None:
    """Three right pairs: those among the three best of all, though each is the first
    among its own.
    """
    right = np.array([0.9, 0.5, 0.2])
    wrong = np.array([[0.8, 0.1], [0.4, 0.3], [0.1, 0.0]])

    assert candidate_ranks(right, wrong).tolist() == [1.0, 1.0, 1.0]
    assert is_found_in_pool(right, wrong).tolist() == [True, True, False]


def test_recall_counts_no_score_that_is_no_edge() -> None:
    """A logit of 0 or less says that there is none, whoever is below it."""
    right = np.array([0.1, 0.0, -0.5])
    wrong = np.full((3, 2), -1.0)

    assert is_found_in_pool(right, wrong).tolist() == [True, False, False]
