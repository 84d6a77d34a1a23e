"""Tests of what an overlay does to answers, as the bench measures it."""

from pathlib import Path

from bench.serve import overlay_figures, write_generation, write_overlay


def test_an_exact_index_and_an_overlay_miss_nothing_together(tmp_path: Path) -> None:
    """Both recalls are of the ten nearest, whatever is old, moved or new."""
    write_generation(tmp_path, num_items=2000, num_queries=100, dim=16, engine_name="exact")
    write_overlay(tmp_path, num_items=500)

    figures = overlay_figures(tmp_path)

    assert (figures.index_recall_10, figures.overlay_recall_10) == (1.0, 1.0)
    assert figures.num_queries == 100
    assert set(figures.cpu_ms) == {"k=10", "overlay k=10", "k=100", "overlay k=100"}
