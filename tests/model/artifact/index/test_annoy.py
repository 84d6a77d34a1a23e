"""What is Annoy's own: it looks at some candidates, and may miss a neighbour."""

from dataclasses import replace

import numpy as np

from model.artifact.index.annoy import ENGINE
from model.publishing.index.recall import exact_answers
from model.settings import ModelSettings
from testing.vectors import MakeIndex, clustered_vectors

# Without clusters, and with few candidates: hard for a forest.
HARD = ModelSettings(index_engine="annoy", num_trees=2, index_search_k=200, seed=1)


def test_a_wider_search_finds_more(make_index: MakeIndex) -> None:
    """In the end all."""
    rng = np.random.default_rng(4)
    vectors = clustered_vectors(4000, dim=32) + rng.normal(size=(4000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = exact_answers(vectors, vectors[::40])
    recalls = []
    for search_k in (200, 1000, 5000, 20_000):
        settings = replace(HARD, index_search_k=search_k)
        recalls.append(answers.recall(make_index(ENGINE, vectors, settings)))

    assert recalls == sorted(recalls)
    assert recalls[0] < 0.7
    assert recalls[-1] == 1.0


def test_a_large_search_k_is_within_what_annoy_takes(make_index: MakeIndex) -> None:
    """It counts with 32 bits; beyond them it would look at nothing."""
    settings = replace(HARD, index_search_k=1 << 30, num_trees=1000)
    index = make_index(ENGINE, clustered_vectors(300), settings)

    ids, _ = index.search(clustered_vectors(1)[0], 300)

    assert len(ids) == 300


def test_fewer_trees_take_less_memory_to_build() -> None:
    """As the advice says."""
    many, few = ModelSettings(num_trees=100), ModelSettings(num_trees=10)

    assert "lower model.num_trees (now 100)" in ENGINE.less_memory(many)
    costs = [ENGINE.estimate(10_000, 64, settings).build_bytes for settings in (few, many)]
    assert costs[0] < costs[1] / 2
