"""How far a new generation is from the live one."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.artifact.generation import Generation
from model.artifact.store import ArtifactStore
from model.data.parent import rows_in
from model.publishing.drift import (
    FIRST_PAGE_OVERLAP,
    ITEM_COSINE_MEAN,
    ITEM_COSINE_WORST,
    drift,
)
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainedModel
from stream.dtypes import Bools, Float32s
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, snapshot_of


def drift_to(
    generation: Generation,
    query_vectors: Float32s,
    item_vectors: Float32s,
    *,
    shown: Bools | None = None,
    is_warm: bool = True,
) -> dict[str, float]:
    """Return the drift to other vectors of the same queries and items."""
    rows = rows_in(generation, generation.query_keys, list(generation.item_ids))
    all_shown = np.ones(len(item_vectors), dtype=np.bool_)
    items = item_vectors, all_shown if shown is None else shown
    return drift(generation, rows, query_vectors, items, is_warm=is_warm)


def turned(vectors: Float32s, row: int) -> Float32s:
    """Return the vectors with one turned round."""
    changed = np.array(vectors)
    changed[row] *= -1
    return changed


def test_the_same_vectors_are_no_drift(generation: Generation) -> None:
    """All stays: pages, and every item."""
    found = drift_to(generation, generation.query_vectors, generation.item_vectors)

    assert found[FIRST_PAGE_OVERLAP] == 1.0
    assert found[ITEM_COSINE_MEAN] == pytest.approx(1.0, abs=1e-5)
    assert found[ITEM_COSINE_WORST] == pytest.approx(1.0, abs=1e-5)


def test_one_item_that_turned_is_the_worst_cosine(generation: Generation) -> None:
    """The mean hardly tells of it, the worst does; it leaves its pages."""
    found = drift_to(generation, generation.query_vectors, turned(generation.item_vectors, 3))

    num_items = len(generation.item_ids)
    assert found[ITEM_COSINE_WORST] == pytest.approx(-1.0, abs=1e-5)
    assert found[ITEM_COSINE_MEAN] == pytest.approx(1.0 - 2.0 / num_items, abs=1e-5)
    assert 0.9 < found[FIRST_PAGE_OVERLAP] < 1.0


def test_another_shop_shares_pages_by_chance_alone(generation: Generation) -> None:
    """Vectors that have nothing to do with the live ones."""
    noise = np.random.default_rng(5).normal(size=generation.item_vectors.shape)

    found = drift_to(generation, generation.query_vectors, unit_rows(noise.astype(np.float32)))

    by_chance = 10 / len(generation.item_ids)
    assert found[FIRST_PAGE_OVERLAP] == pytest.approx(by_chance, abs=0.1)
    assert abs(found[ITEM_COSINE_MEAN]) < 0.2


def test_turning_the_whole_space_changes_no_page(generation: Generation) -> None:
    """Answers are compared as answers; two trainings from scratch have no cosine."""
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(generation.manifest.dim,) * 2))
    turn = turn.astype(np.float32)

    found = drift_to(
        generation,
        generation.query_vectors @ turn,
        generation.item_vectors @ turn,
        is_warm=False,
    )

    assert found == {FIRST_PAGE_OVERLAP: pytest.approx(1.0, abs=0.02)}


def test_items_that_are_no_longer_shown_leave_pages(generation: Generation) -> None:
    """Half of the items hidden: about half of each page is another."""
    shown = np.arange(len(generation.item_ids)) % 2 == 0

    found = drift_to(generation, generation.query_vectors, generation.item_vectors, shown=shown)

    assert 0.3 < found[FIRST_PAGE_OVERLAP] < 0.7


def test_few_common_queries_say_nothing_of_pages(generation: Generation) -> None:
    """A mean of a handful is chance."""
    rows = rows_in(generation, generation.query_keys, list(generation.item_ids))
    few = replace(rows, query=np.where(np.arange(len(rows.query)) < 19, rows.query, -1))
    items = generation.item_vectors, np.ones(len(generation.item_ids), dtype=np.bool_)

    found = drift(generation, few, generation.query_vectors, items, is_warm=True)

    assert FIRST_PAGE_OVERLAP not in found
    assert ITEM_COSINE_WORST in found


def test_the_manifest_has_the_drift(
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    generation: Generation,
) -> None:
    """It is written with each generation that has one before it, also in lists."""
    refreshed = replace(trained, parent=generation.id)

    child = publish(refreshed, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS + 1000)

    first = artifacts.manifest(generation.id).evaluation
    second = artifacts.manifest(child).evaluation
    assert FIRST_PAGE_OVERLAP not in first
    assert second[FIRST_PAGE_OVERLAP] == 1.0
    assert second[ITEM_COSINE_WORST] == pytest.approx(1.0, abs=1e-5)
