"""The nearest of vectors, as NumPy finds them."""

from typing import Any

import numpy as np
import pytest

import freshet_native
from model.artifact.index import scan
from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from model.artifact.index.scan import ScannedVectors
from stream.dtypes import Float32s, Int64s
from testing.vectors import clustered_vectors

COUNT = 600
DIMS = [1, 3, 7, 8, 16, 31, 64, 100, 128, 129, 300, 1024]


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


def in_numpy(monkeypatch: pytest.MonkeyPatch, scanned: ScannedVectors, *asked: Any) -> Any:
    """Return what is found without the library."""
    with monkeypatch.context() as patched:
        patched.setattr(scan, "IS_NATIVE", False)
        return scanned.nearest_of(*asked)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("is_coded", [True, False])
def test_it_answers_as_numpy_does(
    monkeypatch: pytest.MonkeyPatch, dim: int, has_ids: bool, is_coded: bool
) -> None:
    """Ids and cosines, bit for bit, of runs in any order, whatever the length, and
    whatever is hidden.
    """
    assert scan.IS_NATIVE
    random, vectors = np.random.default_rng(2), with_ties(dim)
    scanned = ScannedVectors(vectors, random.permutation(COUNT) if has_ids else None)
    if not is_coded:
        scanned.codes = b""
    some = Hidden(np.sort(random.choice(COUNT, COUNT // 3, replace=False)), COUNT)
    for runs in (runs_of((0, COUNT)), runs_of((400, 590), (7, 7), (10, 120))):
        for k, hidden in (
            (1, NOTHING_HIDDEN),
            (10, some),
            (10, NOTHING_HIDDEN),
            (300, some),
            (COUNT, some),
        ):
            for query in vectors[:20]:
                asked = (*runs, query, k, hidden)
                found, expected = scanned.nearest_of(*asked), in_numpy(monkeypatch, scanned, *asked)
                assert np.array_equal(found[0], expected[0])
                assert np.array_equal(found[1], expected[1])
                assert not {*found[0].tolist()} & {*hidden.ids.tolist()}


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("cells", [1, 7, 30])
def test_cells_are_those_that_numpy_finds(
    monkeypatch: pytest.MonkeyPatch, dim: int, cells: int
) -> None:
    """Also where centres are equal, cells are empty, and their vectors are hidden."""
    random, centres = np.random.default_rng(6), ScannedVectors(with_ties(dim)[::20])
    scanned = ScannedVectors(with_ties(dim), random.permutation(COUNT))
    inner = np.sort(random.choice(COUNT, len(centres) - 1)).astype(np.int64)
    starts = np.concatenate([[0], inner, [COUNT]])
    some = Hidden(np.sort(random.choice(COUNT, COUNT // 3, replace=False)), COUNT)
    for query in with_ties(dim)[:30]:
        for k, hidden in ((1, NOTHING_HIDDEN), (40, some)):
            asked = (centres, starts, cells, query, k, hidden)
            found = scanned.nearest_in_cells(*asked)
            with monkeypatch.context() as patched:
                patched.setattr(scan, "IS_NATIVE", False)
                expected = scanned.nearest_in_cells(*asked)
            assert np.array_equal(found[0], expected[0])
            assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize(
    ("cells", "starts"),
    [
        (0, [0, 10, 20]),
        (3, [0, 10, 20]),
        (2, [0, 20]),
        (2, [0, 10, 21]),
        (2, [-1, 10, 20]),
        (2, [0, 15, 10]),
    ],
)
def test_no_cell_reaches_beyond_the_vectors(cells: int, starts: list[int]) -> None:
    """A file that is damaged may say so; it ends no process."""
    vectors = clustered_vectors(20, dim=8)
    with pytest.raises(ValueError, match="runs must be of rows"):
        ScannedVectors(vectors).nearest_in_cells(
            ScannedVectors(vectors[:2]), np.array(starts, dtype=np.int64), cells, vectors[0], 1
        )


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
def test_vectors_of_any_length_are_found(
    monkeypatch: pytest.MonkeyPatch, dim: int, scale: float
) -> None:
    """Codes bound products of vectors that are no unit vectors, and of zeros."""
    vectors = clustered_vectors(COUNT, dim=dim) * np.float32(scale)
    vectors *= np.random.default_rng(3).choice([0.0, 0.1, 1.0], (COUNT, 1)).astype(np.float32)
    scanned, runs = ScannedVectors(vectors), runs_of((0, COUNT))
    for query in clustered_vectors(20, seed=4, dim=dim):
        asked = (*runs, query, 10, NOTHING_HIDDEN)
        found, expected = scanned.nearest_of(*asked), in_numpy(monkeypatch, scanned, *asked)
        assert np.array_equal(found[1], expected[1])


def test_numbers_that_are_none_come_last() -> None:
    """As in NumPy they are no answer while there are others."""
    vectors = clustered_vectors(20, dim=8)
    vectors[3:6] = np.nan
    found, cosines = ScannedVectors(vectors).nearest(vectors[0], 17)

    assert not {3, 4, 5} & {*found.tolist()}
    assert len(found) == 17
    assert np.isfinite(cosines).all()


def test_infinite_numbers_hide_no_others() -> None:
    """What codes cannot say is compared itself."""
    vectors = clustered_vectors(20, dim=8)
    vectors[7, 2] = np.float32(-np.inf) if vectors[0, 2] > 0 else np.float32(np.inf)
    found, _ = ScannedVectors(vectors).nearest(vectors[0], 5)

    assert found[0] == 0
    assert 7 not in found


@pytest.mark.parametrize(
    ("runs", "k"),
    [
        (runs_of((0, 21)), 1),
        (runs_of((-1, 5)), 1),
        (runs_of((5, 4), (0, 9)), 1),
        (runs_of((0, 5)), 0),
        ((np.zeros(1, dtype=np.int64), np.array([5, 6], dtype=np.int64)), 1),
    ],
)
def test_nothing_is_read_beyond_the_vectors(runs: tuple[Int64s, Int64s], k: int) -> None:
    """Runs of other rows are refused."""
    vectors = clustered_vectors(20, dim=8)
    with pytest.raises(ValueError, match="runs must be of rows"):
        nearest(vectors, runs=runs, k=k)


def test_runs_may_hold_fewer_than_are_wanted() -> None:
    """All of them are found then; of none, nothing."""
    vectors = clustered_vectors(20, dim=8)
    scanned = ScannedVectors(vectors)

    found, _ = scanned.nearest_of(*runs_of((0, 5)), vectors[0], 6)
    none, _ = scanned.nearest_of(*runs_of((5, 5)), vectors[0], 6)

    assert sorted(found.tolist()) == [0, 1, 2, 3, 4]
    assert len(none) == 0


@pytest.mark.parametrize(
    "given",
    [
        {"vector": np.ones(0, np.float32)},
        {"vector": np.ones(7, np.float32)},
        {"vector": np.ones(9, np.float32)},
        {"ids": np.zeros(19, np.int64)},
        {"codes": b"codes of others"},
    ],
)
def test_what_does_not_fit_the_vectors_is_refused(given: dict[str, Any]) -> None:
    """A vector of another length, and ids and codes of other vectors."""
    with pytest.raises(ValueError, match="runs must be of rows"):
        nearest(clustered_vectors(20, dim=8), **given)


@pytest.mark.parametrize("dim", [0, 7])
def test_codes_are_of_whole_vectors(dim: int) -> None:
    """Numbers that are no vectors of this length are refused."""
    with pytest.raises(ValueError, match="float32 of this length"):
        freshet_native.codes_of(clustered_vectors(20, dim=8), b"", dim)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("count", [1, 40, COUNT, 2 * COUNT])
def test_vectors_that_lie_elsewhere_are_found_as_copies_of_them(dim: int, count: int) -> None:
    """Some of a matrix in another order, bit for bit, as codes and as answers."""
    random, vectors = np.random.default_rng(8), with_ties(dim)
    stored = random.integers(0, COUNT, count).astype(np.int64)
    ids = random.permutation(count)
    there, copied = ScannedVectors(vectors, ids, stored), ScannedVectors(vectors[stored], ids)
    some = Hidden(np.sort(random.choice(count, count // 3, replace=False)), count)
    centres, starts = ScannedVectors(vectors[:4]), np.array([0, count // 2, count, count, count])

    assert len(there) == count
    assert there.codes == copied.codes
    for query in vectors[:20]:
        for k, hidden in ((1, NOTHING_HIDDEN), (10, some), (count, NOTHING_HIDDEN)):
            found, expected = there.nearest(query, k, hidden), copied.nearest(query, k, hidden)
            assert np.array_equal(found[0], expected[0])
            assert np.array_equal(found[1], expected[1])
            asked = centres, starts, 2, query, k, hidden
            found, expected = there.nearest_in_cells(*asked), copied.nearest_in_cells(*asked)
            assert np.array_equal(found[0], expected[0])
            assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("is_native", [True, False])
@pytest.mark.parametrize("row", [-1, 20, 1 << 40])
def test_no_vector_is_read_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch, *, is_native: bool, row: int
) -> None:
    """When codes are made, when they are copied, and by a search."""
    monkeypatch.setattr(scan, "IS_NATIVE", is_native)
    vectors, stored = clustered_vectors(20, dim=8), np.arange(5)
    codes = freshet_native.codes_of(vectors, stored, 8)
    stored[3] = row

    with pytest.raises(ValueError, match="rows"):
        ScannedVectors(vectors, stored=stored)
    with pytest.raises(ValueError, match="runs must be of rows"):
        nearest(vectors, k=5, codes=codes, stored=stored)


def test_without_codes_vectors_are_read_as_they_lie() -> None:
    """And nowhere else."""
    with pytest.raises(ValueError, match="runs must be of rows"):
        nearest(clustered_vectors(20, dim=8), stored=np.arange(20))


def nearest(
    vectors: Float32s, *, runs: tuple[Int64s, Int64s] = runs_of((0, 5)), k: int = 1, **given: Any
) -> Any:
    """Call the library itself."""
    rest = {"stored": b"", "codes": b"", "ids": b"", "hidden": b"", "vector": vectors[0], **given}
    rows = vectors, rest["stored"], rest["codes"], rest["ids"]
    return freshet_native.nearest(*rows, *runs, rest["hidden"], rest["vector"], k, 1e-6)
