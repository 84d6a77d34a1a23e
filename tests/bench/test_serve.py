"""Tests of what answers find, as the bench measures it."""

from pathlib import Path

from bench.found import recall_of
from bench.serving.generations import write_generation, write_overlay
from bench.serving.overlay import overlay_figures
from model.artifact.store import ArtifactStore
from server.live import LiveGeneration
from server.settings import ServerSettings


def test_an_exact_index_and_an_overlay_miss_nothing_together(tmp_path: Path) -> None:
    """Both recalls are of the ten nearest, whatever is old, moved or new."""
    write_generation(tmp_path, num_items=2000, num_queries=100, dim=16, engine_name="exact")
    write_overlay(tmp_path, num_items=500)

    figures = overlay_figures(tmp_path)

    assert (figures.index_recall_10, figures.overlay_recall_10) == (1.0, 1.0)
    assert figures.num_queries == 100
    assert set(figures.cpu_ms) == {"k=10", "overlay k=10", "k=100", "overlay k=100"}


def test_an_index_that_auto_chose_finds_what_it_was_chosen_for(tmp_path: Path) -> None:
    """Of queries that it was not chosen with."""
    write_generation(tmp_path, num_items=5000, num_queries=400, dim=16)
    store = ArtifactStore(tmp_path)
    path = store.generation_path(store.current_id() or "")
    live = LiveGeneration.load(path, ServerSettings())
    asked = live.generation.query_vectors[:100]

    assert recall_of(live, asked, 10) >= 0.96
    assert recall_of(live, asked, len(live.index)) <= 1.0
