"""What is the engine's own that searches cells: with all cells it misses nothing."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.artifact.arrays.array_file import map_arrays, write_arrays
from model.artifact.index import exact, ivf, scan
from model.artifact.index.indexed import IndexedVectors
from model.artifact.index.ivf import ENGINE, IvfVectors, num_cells
from model.errors import GenerationCorrupt
from model.publishing.index.recall import exact_answers
from model.settings import ModelSettings
from stream.dtypes import Float32s
from testing.vectors import MakeIndex, clustered_vectors

ALL = ModelSettings(index_engine="ivf", index_search_k=1 << 20, seed=1)
LAYOUT = {
    "centres": (np.float32, 2),
    "starts": (np.int64, 1),
    "ids": (np.int64, 1),
}
GOLDEN = Path(__file__).parent / "golden" / "index-v2.ivf"


@pytest.mark.parametrize("dim", [3, 16, 129])
@pytest.mark.parametrize("search_k", [0, 1 << 20], ids=["zero is all", "more than there are"])
def test_with_all_cells_it_answers_as_the_exact_engine(
    tmp_path: Path, dim: int, search_k: int
) -> None:
    """Bit for bit, near duplicates and equal vectors included."""
    vectors = clustered_vectors(400, dim=dim)
    near = vectors[:100] + np.float32(1e-7) * clustered_vectors(100, seed=5, dim=dim)
    vectors = np.concatenate([vectors, near, vectors[:50]])
    for engine, name in ((ENGINE, "cells"), (exact.ENGINE, "all")):
        engine.build(vectors, tmp_path / name, ALL)
    cells = ENGINE.open(tmp_path / "cells", IndexedVectors(vectors), search_k)
    all_ = exact.ENGINE.open(tmp_path / "all", IndexedVectors(vectors), 0)

    for query in [*clustered_vectors(20, seed=6, dim=dim), *vectors[:20]]:
        for k in (1, 10, len(vectors)):
            ids, cosines = cells.search(query, k)
            exact_ids, exact_cosines = all_.search(query, k)
            assert np.array_equal(ids, exact_ids)
            assert np.array_equal(cosines, exact_cosines)


def test_more_cells_find_more(make_index: MakeIndex) -> None:
    """Each cell only adds to what is found."""
    rng = np.random.default_rng(4)
    vectors = clustered_vectors(4000, dim=32) + rng.normal(size=(4000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = exact_answers(vectors, vectors[::40])

    recalls = [
        answers.recall(make_index(ENGINE, vectors, replace(ALL, index_search_k=search_k)))
        for search_k in (1, 3, 10, 50, num_cells(4000))
    ]

    assert recalls == sorted(recalls)
    assert recalls[0] < 0.7
    assert recalls[-1] == 1.0


@pytest.mark.parametrize("is_native", [True, False])
def test_a_file_from_before_format_version_3_answers_as_it_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_native: bool
) -> None:
    """It has a copy of the generation's vectors behind its cells."""
    monkeypatch.setattr(scan, "IS_NATIVE", is_native)
    arrays = map_arrays(GOLDEN, {**LAYOUT, "vectors": (np.float32, 2)})
    vectors = np.zeros_like(arrays["vectors"])
    vectors[arrays["ids"]] = arrays["vectors"]
    write_arrays(tmp_path / "new", {name: arrays[name] for name in LAYOUT})
    exact.ENGINE.build(vectors, tmp_path / "all", ALL)

    for search_k in (0, 2):
        old, new = (
            ENGINE.open(path, IndexedVectors(vectors), search_k)
            for path in (GOLDEN, tmp_path / "new")
        )
        all_ = exact.ENGINE.open(tmp_path / "all", IndexedVectors(vectors), 0)
        for query in vectors:
            found = old.search(query, 5)
            expected = new.search(query, 5) if search_k else all_.search(query, 5)
            assert np.array_equal(found[0], expected[0])
            assert np.array_equal(found[1], expected[1])


def test_the_file_has_no_vectors(tmp_path: Path) -> None:
    """Twice as long ones take no more of it than their centres do."""
    sizes = []
    for dim in (64, 128):
        ENGINE.build(clustered_vectors(3000, dim=dim), tmp_path / str(dim), ALL)
        sizes.append((tmp_path / str(dim)).stat().st_size)

    assert sizes[1] - sizes[0] == 4 * 64 * num_cells(3000)


@given(st.integers(1, 60), st.integers(1, 5), st.integers(1, 80))
def test_it_returns_as_many_as_there_are_whatever_it_scans(
    count: int, search_k: int, k: int
) -> None:
    """A search never runs out of items while the index has some."""
    vectors = clustered_vectors(count, seed=count)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index"
        ENGINE.build(vectors, file, ALL)
        ids, cosines = ENGINE.open(file, IndexedVectors(vectors), search_k).search(vectors[0], k)

    assert len(ids) == len(set(ids.tolist())) == min(k, count)
    assert cosines == pytest.approx(vectors[ids] @ vectors[0], abs=1e-5)
    assert (np.diff(cosines) <= 0).all()


def test_a_large_k_is_searched_wider(make_index: MakeIndex, vectors: Float32s) -> None:
    """A hundred results lie in more cells than ten."""
    index = make_index(ENGINE, vectors, replace(ALL, index_search_k=12))
    found = 0
    for query in clustered_vectors(50, seed=2):
        least = np.partition(vectors @ query, -100)[-100]
        found += int((index.search(query, 100)[1] >= least - 1e-6).sum())

    assert found / (50 * 100) > 0.95


@pytest.mark.parametrize("count", [0, 1, 10, 1000, 1_000_000])
def test_the_widest_search_costs_less_than_a_scan(count: int) -> None:
    """And each is wider than the one before."""
    widths = ENGINE.search_ks(count)

    assert list(widths) == sorted(set(widths))
    assert widths[0] == 1
    assert widths[-1] <= max(8, num_cells(count) / 4)


def _change(name: str, change: Any) -> Any:
    def changed(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {**arrays, name: change(arrays[name].copy())}

    return changed


def _set(place: int, value: int) -> Any:
    def changed(array: NDArray[Any]) -> NDArray[Any]:
        array[place] = value
        return array

    return changed


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (_change("ids", _set(0, 999_999)), "do not hold each vector once"),
        (_change("ids", _set(0, -1)), "do not hold each vector once"),
        (_change("ids", np.zeros_like), "do not hold each vector once"),
        (_change("starts", _set(1, 999_999)), "do not begin where they should"),
        (_change("starts", _set(-1, 5)), "do not begin where they should"),
        (_change("starts", lambda starts: starts[:-1]), "do not begin where they should"),
        (_change("centres", lambda centres: centres[:, :3]), "cells of 3 dimensions, not 16"),
        (_change("centres", lambda centres: centres.astype(np.float64)), "float64"),
    ],
)
def test_a_file_that_would_be_read_out_of_bounds_is_refused(
    tmp_path: Path, vectors: Float32s, break_it: Any, words: str
) -> None:
    """However well its checksum fits."""
    ENGINE.build(vectors, tmp_path / "good", ALL)
    write_arrays(tmp_path / "bad", break_it(map_arrays(tmp_path / "good", LAYOUT)))

    with pytest.raises(GenerationCorrupt, match=words):
        ENGINE.open(tmp_path / "bad", IndexedVectors(vectors), 5)


def test_a_damaged_file_ends_no_process(tmp_path: Path, vectors: Float32s) -> None:
    """Any byte of it: it is refused, or answers with ids that it has."""
    ENGINE.build(vectors[:200], tmp_path / "good", ALL)
    good, rng = (tmp_path / "good").read_bytes(), np.random.default_rng(0)
    for number in range(100):
        content = bytearray(good)
        content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        path = tmp_path / f"bad-{number}"
        path.write_bytes(bytes(content))
        try:
            index = IvfVectors(path, IndexedVectors(vectors[:200]), 3)
        except GenerationCorrupt:
            continue
        ids, _ = index.search(vectors[0], 10)
        assert len(ids) <= 200
        assert ((ids >= 0) & (ids < 200)).all()


def test_less_memory_to_build_is_the_exact_engines() -> None:
    """As the advice says."""
    assert "set model.index_engine to exact" in ivf.ENGINE.less_memory(ALL)
    costs = [each.ENGINE.estimate(10_000, 64, ALL).build_bytes for each in (exact, ivf)]
    assert costs[0] < costs[1]
