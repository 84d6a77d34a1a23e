"""Sums of rows into rows that are named more than once."""

import numpy as np
import pytest

import model.sums
from model.sums import (
    add_distinct,
    add_numbers,
    add_products,
    moves_of,
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


@pytest.mark.parametrize("is_native", [False, True])
@pytest.mark.parametrize("dim", [1, 7, 128, 131])
@pytest.mark.parametrize("num_terms", [1, 3, 9])
def test_moves_are_those_of_the_sums(
    monkeypatch: pytest.MonkeyPatch, num_terms: int, dim: int, is_native: bool
) -> None:
    """In NumPy and in C; a weight of 0 leaves out what is not finite."""
    monkeypatch.setattr(model.sums, "IS_NATIVE", is_native)
    random = np.random.default_rng(dim)
    before, *rows = random.normal(size=(num_terms + 1, 40, 2, dim)).astype(np.float32)
    index = random.permutation(40)[:25]
    weights = random.normal(size=(num_terms, 25)).astype(np.float32)
    weights[0, :5] = 0.0
    rows[0][index[:5]] = np.nan
    terms = tuple((each[:, 1], weight) for each, weight in zip(rows, weights, strict=True))
    sums = sum(
        weight.astype(np.float64)[:, None] * np.nan_to_num(each[index, 1])
        for each, weight in zip(rows, weights, strict=True)
    )

    found = moves_of(before[:, 1], index, terms)

    expected = np.linalg.norm(sums - before[index, 1], axis=1)
    np.testing.assert_allclose(found.moved, expected, rtol=1e-4)
    np.testing.assert_allclose(found.length, np.linalg.norm(sums, axis=1), rtol=1e-4, atol=1e-4)
    rows[0][index[5]] = np.inf
    assert not np.isfinite(moves_of(before[:, 1], index, terms).moved[5])


@pytest.mark.parametrize("is_native", [False, True])
def test_rows_are_added_to_distinct_ones(monkeypatch: pytest.MonkeyPatch, is_native: bool) -> None:
    """To those that are named, alone."""
    monkeypatch.setattr(model.sums, "IS_NATIVE", is_native)
    target = np.ones((4, 2, 3), dtype=np.float32)
    values = np.arange(6, dtype=np.float32).reshape(2, 3)

    add_distinct(target[:, 1], np.array([3, 0]), values)

    assert target[:, 1].tolist() == [[4, 5, 6], [1, 1, 1], [1, 1, 1], [1, 2, 3]]
    assert (target[:, 0] == 1).all()
