"""Sums of rows into rows that are named more than once, as NumPy makes them."""

from typing import Any

import numpy as np
import pytest

import freshet_native


@pytest.mark.parametrize("dim", [1, 7, 8, 128, 300])
def test_it_adds_as_numpy_does(dim: int) -> None:
    """Into every other row of an array of three axes, and of rows that lie apart."""
    random = np.random.default_rng(dim)
    target = random.normal(size=(20, 2, dim)).astype(np.float32)
    source = random.normal(size=(9, 3, dim)).astype(np.float32)
    index, place = random.integers(0, 20, 500), random.integers(0, 9, 500)
    weight = random.normal(size=500).astype(np.float32)
    expected = target.astype(np.float64)
    np.add.at(expected[:, 1], index, weight[:, None].astype(np.float64) * source[place, 2])

    freshet_native.add_products(target[:, 1], index, weight, source[:, 2], place)

    np.testing.assert_allclose(target, expected, rtol=0, atol=1e-4)
    assert np.array_equal(target[:, 0], expected[:, 0].astype(np.float32))


ROWS = np.zeros((3, 4), dtype=np.float32)
ONE, WEIGHT = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.float32)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((ROWS, ONE + 3, WEIGHT, ROWS, ONE), id="no such row"),
        pytest.param((ROWS, ONE, WEIGHT, ROWS, ONE - 1), id="a row before the first"),
        pytest.param((ROWS, ONE, WEIGHT[:0], ROWS, ONE), id="too few weights"),
        pytest.param((ROWS, ONE, WEIGHT, ROWS, ONE[:0]), id="too few places"),
        pytest.param((ROWS, ONE, WEIGHT, ROWS[:, :3], ONE), id="rows of another length"),
        pytest.param((ROWS, ONE, WEIGHT, ROWS[0], ONE), id="one axis"),
        pytest.param((ROWS, ONE, WEIGHT, ROWS.astype(np.float64), ONE), id="float64"),
        pytest.param((ROWS[:, ::2], ONE, WEIGHT, ROWS[:, ::2], ONE), id="numbers that lie apart"),
    ],
)
def test_what_does_not_fit_is_refused(given: tuple[Any, ...]) -> None:
    """And nothing is written."""
    with pytest.raises(ValueError, match="float32 of one length"):
        freshet_native.add_products(*given)

    assert not ROWS.any()


def test_rows_that_cannot_be_written_are_refused() -> None:
    """As any buffer of Python."""
    kept = ROWS.copy()
    kept.setflags(write=False)

    with pytest.raises((BufferError, ValueError)):
        freshet_native.add_products(kept, ONE, WEIGHT, ROWS, ONE)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param((ROWS, ONE + 3, ((ROWS, WEIGHT),)), id="no such row before"),
        pytest.param((ROWS, ONE + 2, ((ROWS[:2], WEIGHT),)), id="no such row of a term"),
        pytest.param((ROWS, ONE - 1, ((ROWS, WEIGHT),)), id="a row before the first"),
        pytest.param((ROWS, ONE, ((ROWS, WEIGHT[:0]),)), id="too few weights"),
        pytest.param((ROWS, ONE, ((ROWS[:, :3], WEIGHT),)), id="rows of another length"),
        pytest.param((ROWS, ONE, ((ROWS.astype(np.float64), WEIGHT),)), id="float64"),
        pytest.param((ROWS, ONE, ()), id="no terms"),
        pytest.param((ROWS, ONE, ((ROWS, WEIGHT),) * 10), id="too many terms"),
        pytest.param((ROWS, ONE, ((ROWS, WEIGHT), (ROWS,))), id="a term without weights"),
        pytest.param((ROWS, ONE, [(ROWS, WEIGHT)]), id="no tuple"),
    ],
)
def test_moves_of_what_does_not_fit_are_refused(given: tuple[Any, ...]) -> None:
    """Before anything is read."""
    with pytest.raises(ValueError, match="one to nine pairs"):
        freshet_native.moves_of(*given)
