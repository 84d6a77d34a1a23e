"""Sums of rows into rows that are named more than once."""

import numpy as np
import pytest

import model.sums
from model.sums import (
    add_numbers,
    add_products,
    summed_products,
    sums_of_runs,
)


@pytest.mark.parametrize("block", [1, 7, 1 << 15])
@pytest.mark.parametrize("is_native", [False, True])
def test_every_product_is_added_once(
    monkeypatch: pytest.MonkeyPatch, block: int, is_native: bool
) -> None:
    """Whatever the size of a block, in NumPy and in C."""
    assert model.sums.IS_NATIVE
    monkeypatch.setattr(model.sums, "IS_NATIVE", is_native)
    monkeypatch.setattr(model.sums, "_BLOCK_ROWS", block)
    random = np.random.default_rng(block)
    target = random.normal(size=(6, 3)).astype(np.float32)
    source = random.normal(size=(5, 3)).astype(np.float32)
    index, at = random.integers(0, 6, 50), random.integers(0, 5, 50)
    weight = random.normal(size=50)
    expected = target.astype(np.float64)
    np.add.at(expected, index, weight[:, None] * source[at])

    add_products(target, index, weight, source, at)

    np.testing.assert_allclose(target, expected, atol=1e-4)


def test_sums_are_of_what_is_named_alone() -> None:
    """Ascending; a sum of nothing is no row."""
    source = np.array([[1.0, 2.0], [10.0, 20.0]], dtype=np.float32)

    found = summed_products(np.array([5, 2, 5]), np.ones(3), source, np.array([0, 1, 1]), 7)
    nothing = summed_products(np.zeros(0, np.int64), np.ones(0), source, np.zeros(0, np.int64), 7)

    assert found.named.tolist() == [2, 5]
    assert found.sums.tolist() == [[10.0, 20.0], [11.0, 22.0]]
    assert (len(nothing.named), nothing.sums.shape) == (0, (0, 2))


def test_numbers_are_added_to_those_that_are_named() -> None:
    """Twice where twice named; nothing where nothing is."""
    target = np.zeros(4)

    add_numbers(target, np.array([1, 3, 1]), np.array([1.0, 2.0, 4.0]))
    add_numbers(target, np.zeros(0, dtype=np.int64), np.zeros(0))

    assert target.tolist() == [0.0, 5.0, 0.0, 2.0]


@pytest.mark.parametrize("tail", [1, 5, 400])
def test_sums_of_runs_are_those_of_reduceat(tail: int) -> None:
    """Many short runs, and a few long ones."""
    random = np.random.default_rng(tail)
    sizes = np.concatenate([random.integers(1, 4, 60), random.integers(1, 1 + tail, 5)])
    firsts = np.cumsum(sizes) - sizes
    rows = random.normal(size=(int(sizes.sum()), 3)).astype(np.float32)

    expected = np.add.reduceat(rows.astype(np.float64), firsts, axis=0)

    np.testing.assert_allclose(sums_of_runs(rows, firsts), expected, atol=1e-4)
