"""The index file: deterministic, verified, and close to exact."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.encoder import unit_rows
from model.artifact.index.annoy import VectorIndex, build_index
from model.errors import GenerationCorrupt

DIM = 16


def random_vectors(num: int, seed: int = 0) -> NDArray[np.float32]:
    """Return unit vectors in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, num // 20), DIM))
    return unit_rows(
        (centres[rng.integers(len(centres), size=num)] + 0.3 * rng.normal(size=(num, DIM))).astype(
            np.float32
        )
    )


@pytest.fixture
def vectors() -> NDArray[np.float32]:
    """Return three thousand of them."""
    return random_vectors(3000)


@pytest.fixture
def index(vectors: NDArray[np.float32], tmp_path: Path) -> VectorIndex:
    """Return an index of them."""
    build_index(vectors, tmp_path / "index.ann", trees=10, seed=1)
    return VectorIndex(tmp_path / "index.ann", DIM, len(vectors))


def test_results_are_the_exact_ones_with_their_cosines(
    index: VectorIndex, vectors: NDArray[np.float32]
) -> None:
    """A small index is exact for nearly every query."""
    queries = random_vectors(100, seed=2)
    found = 0
    for query in queries:
        ids, scores = index.search(query, 10)
        exact = vectors @ query

        assert scores == pytest.approx(exact[ids], abs=1e-5)
        assert (np.diff(scores) <= 0).all()
        found += len(set(ids.tolist()) & set(np.argsort(-exact)[:10].tolist()))

    assert found / 1000 > 0.99


def test_the_same_vectors_and_seed_give_the_same_bytes(
    vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    """A generation can be made again."""
    for name in ("a", "b"):
        build_index(vectors, tmp_path / name, trees=3, seed=5)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_asking_for_more_than_there_is_gives_all(tmp_path: Path) -> None:
    """The number asked for is a wish."""
    build_index(random_vectors(7), tmp_path / "few", trees=2, seed=1)

    ids, scores = VectorIndex(tmp_path / "few", DIM, 7).search(random_vectors(1)[0], 100)

    assert sorted(ids.tolist()) == list(range(7))
    assert len(scores) == 7


def test_an_index_of_nothing_answers_nothing(tmp_path: Path) -> None:
    """A shop may have no item to show."""
    build_index(np.zeros((0, DIM), dtype=np.float32), tmp_path / "none", trees=2, seed=1)

    ids, scores = VectorIndex(tmp_path / "none", DIM, 0).search(random_vectors(1)[0], 10)

    assert len(ids) == len(scores) == 0


def test_a_file_with_another_number_of_vectors_is_refused(
    vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    """Annoy itself would load it."""
    build_index(vectors, tmp_path / "index.ann", trees=2, seed=1)

    with pytest.raises(GenerationCorrupt, match="holds 3000 vectors, not 2999"):
        VectorIndex(tmp_path / "index.ann", DIM, 2999)


def test_a_file_cut_short_is_refused(vectors: NDArray[np.float32], tmp_path: Path) -> None:
    """Cut at a node boundary Annoy loads it "successfully"."""
    path = tmp_path / "index.ann"
    build_index(vectors, path, trees=2, seed=1)
    node_bytes = 4 * DIM + 12
    path.write_bytes(path.read_bytes()[: node_bytes * 100])

    with pytest.raises(GenerationCorrupt, match=str(path)):
        VectorIndex(path, DIM, len(vectors))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """With our error, not Annoy's."""
    with pytest.raises(GenerationCorrupt, match="cannot be loaded"):
        VectorIndex(tmp_path / "none", DIM, 5)


def test_another_metric_is_refused(vectors: NDArray[np.float32], tmp_path: Path) -> None:
    """Annoy would load the file and rank wrongly."""
    build_index(vectors, tmp_path / "index.ann", trees=2, seed=1)

    with pytest.raises(GenerationCorrupt, match="angular"):
        VectorIndex(tmp_path / "index.ann", DIM, len(vectors), "angular")


@pytest.mark.parametrize(
    ("vector", "k"),
    [
        (np.full(DIM, np.nan, dtype=np.float32), 10),
        (np.full(DIM, np.inf, dtype=np.float32), 10),
        (np.zeros(DIM + 1, dtype=np.float32), 10),
        (np.zeros(DIM, dtype=np.float32), 0),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(
    index: VectorIndex, vector: NDArray[np.float32], k: int
) -> None:
    """Annoy would answer NaN with items."""
    with pytest.raises(ValueError, match=r"query vector|k is"):
        index.search(vector, k)
