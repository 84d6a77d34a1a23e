"""Segments on top of each other are what their changes say, one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import OverlayRows
from protos.text import text_key
from testing.overlays import overlay_rows, random_units

DIM = 4
NAMES = ("a", "b", "c", "d")

Kept = dict[str, tuple[float, ...] | None]
"""Vectors by name; None: gone."""


@st.composite
def drawn_parts(draw: st.DrawFn) -> list[OverlayRows]:
    """Draw changes of a few items and queries."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    parts = []
    for _ in range(draw(st.integers(1, 6))):
        said = {
            kind: {name: draw(st.sampled_from(["new", "gone", ""])) for name in NAMES}
            for kind in ("item", "query")
        }
        new, gone = (
            {kind: [name for name in NAMES if said[kind][name] == what] for kind in said}
            for what in ("new", "gone")
        )
        parts.append(
            overlay_rows(
                DIM,
                items={name: random_units(random, 1, DIM)[0] for name in new["item"]},
                queries={name: random_units(random, 1, DIM)[0] for name in new["query"]},
                gone_items=gone["item"],
                gone_queries=gone["query"],
            )
        )
    return parts


def kept_items(rows: OverlayRows) -> Kept:
    """Return what rows say of items."""
    vectors = zip(rows.item_ids, map(tuple, rows.item_vectors.tolist()), strict=True)
    return {**dict.fromkeys(rows.gone_items), **dict(vectors)}


def kept_queries(rows: OverlayRows) -> Kept:
    """Return what rows say of queries."""
    names = {text_key(name): name for name in NAMES}
    vectors = zip(rows.query_texts, map(tuple, rows.query_vectors.tolist()), strict=True)
    return {**{names[key]: None for key in rows.gone_queries.tolist()}, **dict(vectors)}


@given(parts=drawn_parts())
def test_the_last_word_on_each_name_counts(parts: list[OverlayRows]) -> None:
    """A vector or that it is gone, whatever was said before."""
    merged = merge_rows(parts)

    for kept in (kept_items, kept_queries):
        wanted: Kept = {}
        for part in parts:
            wanted |= kept(part)
        assert kept(merged) == wanted
    assert merged.item_titles == tuple(f"new {item}" for item in merged.item_ids)


@given(parts=drawn_parts())
def test_it_does_not_matter_when_parts_are_merged(parts: list[OverlayRows]) -> None:
    """A server that takes deltas one by one has what one has that starts with them."""
    step_by_step = parts[0]
    for part in parts[1:]:
        step_by_step = merge_rows([step_by_step, part])

    at_once = merge_rows(parts)
    assert kept_items(step_by_step) == kept_items(at_once)
    assert kept_queries(step_by_step) == kept_queries(at_once)
