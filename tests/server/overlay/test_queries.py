"""Queries in layers are what their segments leave, one on top of the other."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import OverlayRows
from protos.text import text_key
from server.overlay.queries import HeldQueries
from testing.overlays import overlay_rows, random_units

DIM = 4
NAMES = tuple("abcdefgh")


def segment(random: np.random.Generator, names: list[str], gone: list[str]) -> OverlayRows:
    """Return rows of some queries, each with clicks of its own."""
    vectors = dict(zip(names, random_units(random, len(names), DIM), strict=True))
    rows = overlay_rows(DIM, queries=vectors, gone_queries=gone)
    clicks = tuple(f'{{"{name}": {random.integers(1, 99)}}}' for name in names)
    return replace(rows, query_clicks=clicks)


@st.composite
def drawn_segments(draw: st.DrawFn) -> list[OverlayRows]:
    """Draw segments of a few queries, some of which are gone in one."""
    random = np.random.default_rng(draw(st.integers(0, 99)))
    segments = []
    for _ in range(draw(st.integers(1, 7))):
        said = {name: draw(st.sampled_from(["new", "", "", "gone"])) for name in NAMES}
        new, gone = ([name for name in NAMES if said[name] == what] for what in ("new", "gone"))
        segments.append(segment(random, new, gone))
    return segments


@given(segments=drawn_segments())
def test_layers_have_what_the_segments_leave(segments: list[OverlayRows]) -> None:
    """Vectors, clicks and what is gone, after each of them."""
    held = HeldQueries()
    for number in range(1, len(segments) + 1):
        whole = merge_rows(segments[:number])
        newest = segments[number - 1]
        held = held.taking(replace(newest, gone_queries=whole.gone_queries))

        assert set(held) == set(whole.query_texts)
        assert len(held) == len(whole.query_texts)
        assert held.gone == frozenset(whole.gone_queries.tolist())
        for row, text in enumerate(whole.query_texts):
            assert text in held
            np.testing.assert_array_equal(held.vector(text), whole.query_vectors[row])
            assert held.clicks(text) == whole.query_clicks[row]
        for text in set(NAMES) - set(whole.query_texts):
            assert held.vector(text) is None
            assert held.clicks(text) == ""


def test_a_small_segment_touches_no_thick_layer() -> None:
    """And all layers together have at most twice what there is."""
    random = np.random.default_rng(1)
    names = [f"query {number}" for number in range(400)]
    held = HeldQueries().taking(segment(random, names, []))
    thick = held._layers[-1]

    for number in range(150):
        held = held.taking(segment(random, [names[number % 7]], []))

        assert held._layers[-1] is thick
        assert sum(len(layer.places) for layer in held._layers) <= 2 * len(held)
    for number in range(0, 400, 20):
        held = held.taking(segment(random, names[number : number + 20], []))

        assert sum(len(layer.places) for layer in held._layers) <= 2 * len(held)
    assert held._layers[-1] is not thick
    assert len(held) == len(names)


def test_an_erased_query_leaves_no_vector_in_any_layer() -> None:
    """Nor is it there again by what was said before; it is by what is said after."""
    random = np.random.default_rng(2)
    names = [f"query {number}" for number in range(9)]
    held = HeldQueries().taking(segment(random, names, []))
    held = held.taking(segment(random, names[:1], []))

    gone = segment(random, [], names[:2])
    held = held.taking(gone)

    assert set(held) == set(names[2:])
    assert not any(name in layer.places for layer in held._layers for name in names[:2])
    again = segment(random, names[:1], names[1:2])
    held = held.taking(again)
    assert set(held) == {names[0], *names[2:]}
    np.testing.assert_array_equal(held.vector(names[0]), again.query_vectors[0])
    assert held.gone == {text_key(names[1])}
