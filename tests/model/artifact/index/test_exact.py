"""What is the exact engine's own: it misses nothing, and ties go by id."""

from pathlib import Path

import numpy as np
import pytest

from model.artifact.index.exact import ENGINE
from model.artifact.index.indexed import IndexedVectors
from model.errors import GenerationCorrupt
from model.publishing.index.recall import exact_answers
from stream.dtypes import Float32s
from testing.vectors import DIM, MakeIndex, clustered_vectors


def nearest(vectors: Float32s, query: Float32s, k: int) -> list[int]:
    """Return the ids of the `k` nearest by float64 cosine, ties by id."""
    cosines = [float((row.astype(np.float64) * query).sum()) for row in vectors]
    return sorted(range(len(vectors)), key=lambda row: (-cosines[row], row))[:k]


@pytest.mark.parametrize("dim", [3, 16, 129])
def test_it_finds_what_a_scan_in_double_precision_finds(make_index: MakeIndex, dim: int) -> None:
    """To the last place, near duplicates included."""
    vectors = clustered_vectors(400, dim=dim)
    near = vectors[:100] + np.float32(1e-7) * clustered_vectors(100, seed=5, dim=dim)
    vectors = np.concatenate([vectors, near, vectors[:50]])
    index = make_index(ENGINE, vectors)

    for query in [*clustered_vectors(20, seed=6, dim=dim), *vectors[:20]]:
        for k in (1, 10, 400):
            assert index.search(query, k)[0].tolist() == nearest(vectors, query, k)


def test_equal_vectors_are_ordered_by_id(make_index: MakeIndex) -> None:
    """Wherever in the matrix they lie, which a float32 product would show."""
    vector, others = clustered_vectors(1, dim=129), clustered_vectors(1001, seed=7, dim=129)
    places = [3, 64, 500, 1000]
    others[places] = vector

    ids, scores = make_index(ENGINE, others).search(vector[0], 3)

    assert ids.tolist() == places[:3]
    assert len(set(scores.tolist())) == 1


def test_its_recall_is_one(make_index: MakeIndex, vectors: Float32s) -> None:
    """Whatever is asked."""
    answers = exact_answers(vectors, clustered_vectors(50, seed=8))

    assert answers.recall(make_index(ENGINE, vectors)) == 1.0


def test_numbers_of_another_type_are_refused(tmp_path: Path) -> None:
    """A matrix of float64 would be scanned at half the speed."""
    np.save(tmp_path / "index.npy", np.zeros((5, DIM)))

    with pytest.raises(GenerationCorrupt, match=r"holds float64 .*, not float32 \(5, 16\)"):
        ENGINE.open(tmp_path / "index.npy", IndexedVectors(clustered_vectors(5)), 0)
