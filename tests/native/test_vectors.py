"""The nearest of vectors, as NumPy finds them."""

import numpy as np
import pytest

import freshet_native
from model.artifact.index import scan
from model.artifact.index.cosines import rounding_of
from stream.dtypes import Float32s, Int64s
from testing.vectors import clustered_vectors

COUNT = 600


def with_ties(dim: int) -> Float32s:
    """Return vectors among which some are equal, and some nearly so."""
    vectors = clustered_vectors(COUNT // 2, dim=dim)
    near = vectors + np.float32(1e-7) * clustered_vectors(len(vectors), seed=5, dim=dim)
    near[::3] = vectors[::3]
    return np.concatenate([vectors, near])


def runs_of(*runs: tuple[int, int]) -> tuple[Int64s, Int64s]:
    """Return where some runs begin and end."""
    firsts, lasts = np.array(runs, dtype=np.int64).T
    return np.ascontiguousarray(firsts), np.ascontiguousarray(lasts)


@pytest.mark.parametrize("dim", [1, 3, 7, 8, 16, 31, 64, 100, 128, 129, 300, 1024])
@pytest.mark.parametrize("has_ids", [True, False])
def test_it_answers_as_numpy_does(dim: int, has_ids: bool) -> None:
    """Ids and cosines, bit for bit, of runs in any order, whatever the length."""
    assert scan.IS_NATIVE
    vectors = with_ties(dim)
    ids = np.random.default_rng(2).permutation(COUNT).astype(np.int64) if has_ids else None
    for runs in (runs_of((0, COUNT)), runs_of((400, 590), (7, 7), (10, 120))):
        for k in (1, 10, 300):
            for query in vectors[:30]:
                asked = (vectors, ids, *runs, query, k, rounding_of(dim))
                found, expected = scan.nearest(*asked), scan.scan(*asked)
                assert np.array_equal(found[0], expected[0])
                assert np.array_equal(found[1], expected[1])


def test_numbers_that_are_none_come_last() -> None:
    """As in NumPy they are no answer while there are others."""
    vectors = clustered_vectors(20, dim=8)
    vectors[3:6] = np.nan
    found, cosines = scan.nearest(vectors, None, *runs_of((0, 20)), vectors[0], 17, rounding_of(8))

    assert not {3, 4, 5} & {*found.tolist()}
    assert len(found) == 17
    assert np.isfinite(cosines).all()


@pytest.mark.parametrize(
    ("runs", "k"),
    [
        (runs_of((0, 21)), 1),
        (runs_of((-1, 5)), 1),
        (runs_of((5, 4), (0, 9)), 1),
        (runs_of((0, 5)), 6),
        (runs_of((0, 5)), 0),
        ((np.zeros(1, dtype=np.int64), np.array([5, 6], dtype=np.int64)), 1),
    ],
)
def test_nothing_is_read_beyond_the_vectors(runs: tuple[Int64s, Int64s], k: int) -> None:
    """Runs of other rows, and too few, are refused."""
    vectors = clustered_vectors(20, dim=8)
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(ValueError, match="runs must be of rows"):
        freshet_native.nearest(vectors, none, *runs, vectors[0], k, 1e-6)


@pytest.mark.parametrize("length", [0, 7, 9])
def test_a_vector_of_another_length_is_refused(length: int) -> None:
    """As are ids of other vectors."""
    vectors = clustered_vectors(20, dim=8)
    none, runs = np.zeros(0, dtype=np.int64), runs_of((0, 5))
    with pytest.raises(ValueError, match="runs must be of rows"):
        freshet_native.nearest(vectors, none, *runs, np.ones(length, np.float32), 1, 1e-6)
    with pytest.raises(ValueError, match="runs must be of rows"):
        freshet_native.nearest(vectors, np.zeros(19, np.int64), *runs, vectors[0], 1, 1e-6)
