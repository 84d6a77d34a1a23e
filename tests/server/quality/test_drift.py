"""How much a new generation answers unlike the one before."""

import math
from pathlib import Path

import pytest

from server.live import LiveGeneration
from server.quality.drift import answer_overlap
from server.settings import ServerSettings
from testing.small_generations import NOW_MS, Artifacts, Catalogue, make_catalogue

_QUERIES = [f"query {number}" for number in range(40)]
_IDS = [f"item-{number}" for number in range(60)]


def _catalogue(seed: int, queries: list[str]) -> Catalogue:
    catalogue = make_catalogue(60, queries, seed=seed)
    catalogue.item_ids = _IDS
    catalogue.created_ms = NOW_MS + seed
    return catalogue


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """A folder of this test's own."""
    return Artifacts(tmp_path / "artifacts")


def _live(artifacts: Artifacts, catalogue: Catalogue) -> LiveGeneration:
    generation_id = artifacts.write(catalogue)
    return LiveGeneration.load(artifacts.store.generation_path(generation_id), ServerSettings())


def test_the_same_vectors_answer_alike_and_others_do_not(artifacts: Artifacts) -> None:
    """Ten random items of sixty have one in six in common with ten others, about."""
    first = _live(artifacts, _catalogue(1, _QUERIES))
    again = _catalogue(1, _QUERIES)
    again.created_ms += 60_000
    same, other = _live(artifacts, again), _live(artifacts, _catalogue(2, _QUERIES))

    assert answer_overlap(first, same) == 1
    assert 0.05 < answer_overlap(first, other) < 0.4


def test_without_a_query_in_common_nothing_is_said(artifacts: Artifacts) -> None:
    """No figure is better than one of nothing."""
    first = _live(artifacts, _catalogue(1, _QUERIES))

    assert math.isnan(answer_overlap(first, _live(artifacts, _catalogue(2, ["lamp"]))))
    assert math.isnan(answer_overlap(_live(artifacts, _catalogue(3, [])), first))
