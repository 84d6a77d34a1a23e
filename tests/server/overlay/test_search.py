"""Index and overlay together answer as one exact ranking of what they hold."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.artifact.index.engines import ENGINES
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import Claim, OverlayRows
from model.settings import ModelSettings
from server.live import LiveGeneration
from server.overlay.held import HeldOverlay, IndexPlaces, hold
from server.overlay.search import search
from server.overlay.view import LiveView
from server.retrieve import QueryPath, RetrievalQuery, query_vector, retrieve
from server.settings import ServerSettings
from testing.overlays import overlay_rows, random_units
from testing.small_generations import DIM, NOW_MS, Artifacts, Catalogue, make_catalogue

QUERIES = ["xbox 360", "halo 3", "lamp"]
NUM_ITEMS = 60

Vectors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module", params=ENGINES)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LiveView:
    """A small generation; its index misses nothing, with either engine."""
    # So wide that it examines all.
    settings = ModelSettings(index_engine=request.param, index_search_k=1000, num_trees=10, seed=1)
    catalogue = replace(make_catalogue(NUM_ITEMS, QUERIES), settings=settings)
    catalogue.hidden = frozenset(range(0, NUM_ITEMS, 7))
    artifacts = Artifacts(tmp_path_factory.mktemp("generations") / "artifacts")
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveView.bare(LiveGeneration.load(path, ServerSettings()))


def shown_vectors(view: LiveView) -> Vectors:
    """Return the vectors of what the generation shows, by id."""
    generation = view.live.generation
    return {
        generation.item_ids[item]: generation.item_vectors[item]
        for item in generation.index_items.tolist()
    }


def held(view: LiveView, rows: OverlayRows, gone: dict[str, int] | None = None) -> LiveView:
    """Return a view with these rows in its overlay."""
    overlay: HeldOverlay = hold(
        view.live,
        rows,
        Claim(),
        sequence=1,
        writer="w",
        gone=gone or {},
        places=IndexPlaces(view.live),
    )
    return replace(view, overlay=overlay)


def item_ids(view: LiveView, vector: NDArray[np.float32], k: int) -> list[str]:
    """Return the ids of the nearest items."""
    nearest = search(view.live, view.overlay, vector, k)
    generation, rows = view.live.generation, view.overlay.rows
    assert list(nearest.scores) == sorted(nearest.scores, reverse=True)
    return [
        rows.item_ids[row] if is_fresh else generation.item_ids[row]
        for is_fresh, row in zip(nearest.from_overlay, nearest.rows.tolist(), strict=True)
    ]


def ranked(vectors: Vectors, query: NDArray[np.float32], k: int) -> list[str]:
    """Return the ids nearest to a vector, by an exact scan."""
    cosines = {id_: float(vector.astype(np.float64) @ query) for id_, vector in vectors.items()}
    return sorted(cosines, key=lambda id_: -cosines[id_])[:k]


@st.composite
def drawn_overlay(
    draw: st.DrawFn,
) -> tuple[int, list[int], list[int], list[int], list[int], list[int], int]:
    """Draw a seed, items that change, are new, unavailable, gone, listed gone, and
    k.
    """
    some = st.lists(st.integers(0, NUM_ITEMS - 1), unique=True, max_size=NUM_ITEMS)
    return (
        draw(st.integers(0, 999)),
        draw(some),
        draw(some),
        draw(some),
        draw(some),
        draw(some),
        draw(st.integers(1, 2 * NUM_ITEMS + 5)),
    )


@given(drawn=drawn_overlay())
def test_an_overlay_answers_as_a_generation_rebuilt_with_it(
    live: LiveView,
    drawn: tuple[int, list[int], list[int], list[int], list[int], list[int], int],
) -> None:
    """Whatever changed, is new, unavailable, gone by a segment or by the list, and
    whatever `k`: the nearest of what may be shown, and none is missing.
    """
    seed, changed, new, unavailable, gone, listed, k = drawn
    random = np.random.default_rng(seed)
    name = f"{live.generation_id}/{{}}".format
    gone_ids = {name(item) for item in gone}
    listed_ids = {name(item) for item in listed}
    known = {name(item): random_units(random, 1, DIM)[0] for item in changed}
    items = {id_: vector for id_, vector in known.items() if id_ not in gone_ids}
    items |= {f"new {item}": random_units(random, 1, DIM)[0] for item in new}
    hidden_ids = {id_ for item in unavailable for id_ in (name(item), f"new {item}")}
    rows = overlay_rows(DIM, items=items, gone_items=gone_ids, hidden=hidden_ids)
    taken_ms = live.live.generation.manifest.snapshot.taken_ms
    view = held(live, rows, dict.fromkeys(listed_ids, taken_ms))

    merged = {**shown_vectors(live), **items}
    for id_ in gone_ids | listed_ids | (hidden_ids & items.keys()):
        merged.pop(id_, None)
    query = random_units(random, 1, DIM)[0]
    found = item_ids(view, query, k)
    assert len(set(found)) == len(found)
    # Not by id: cosines that float32 cannot tell apart may come in either order.
    np.testing.assert_allclose(
        [float(merged[id_] @ query) for id_ in found],
        [float(merged[id_] @ query) for id_ in ranked(merged, query, k)],
        atol=1e-6,
    )


def test_hidden_items_cost_no_place(live: LiveView) -> None:
    """The nearest ten are gone: the ten behind them are the answer."""
    query = random_units(np.random.default_rng(3), 1, DIM)[0]
    nearest = ranked(shown_vectors(live), query, 20)

    view = held(live, overlay_rows(DIM, gone_items=nearest[:10]))

    assert item_ids(view, query, 10) == nearest[10:]


def test_many_that_moved_away_cost_no_place(live: LiveView) -> None:
    """Old selves near the query hide nothing that is nearer than their new ones."""
    query = random_units(np.random.default_rng(3), 1, DIM)[0]
    nearest = ranked(shown_vectors(live), query, 40)

    view = held(live, overlay_rows(DIM, items=dict.fromkeys(nearest[:20], -query)))

    assert item_ids(view, query, 10) == nearest[20:30]


def test_a_generation_newer_than_a_deletion_knows_better(live: LiveView) -> None:
    """An item that was listed again is in the next snapshot."""
    taken_ms = live.live.generation.manifest.snapshot.taken_ms
    query = random_units(np.random.default_rng(3), 1, DIM)[0]
    first, second = ranked(shown_vectors(live), query, 2)

    view = held(live, overlay_rows(DIM), {first: taken_ms - 1, second: taken_ms})

    assert view.overlay.gone_items == {second: taken_ms}
    assert item_ids(view, query, 1) == [first]


def test_the_list_of_gone_items_counts_more_than_an_older_vector(live: LiveView) -> None:
    """An overlay from before the deletion, after a rollback."""
    query = random_units(np.random.default_rng(3), 1, DIM)[0]
    rows = overlay_rows(DIM, items={"new": query})

    assert item_ids(held(live, rows), query, 1) == ["new"]
    assert "new" not in item_ids(held(live, rows, {"new": NOW_MS}), query, NUM_ITEMS)


def test_a_query_has_the_newest_vector_there_is(live: LiveView) -> None:
    """The overlay's, else the generation's unless that is gone, else the encoder's."""
    fresh = random_units(np.random.default_rng(3), 2, DIM)
    rows = overlay_rows(
        DIM, queries={"new one": fresh[0], "lamp": fresh[1]}, gone_queries=["halo 3"]
    )
    view = held(live, rows)

    paths = {text: query_vector(view, text)[0] for text in ("new one", *QUERIES, "unseen")}

    assert paths == {
        "new one": QueryPath.FRESH,
        "lamp": QueryPath.FRESH,
        "xbox 360": QueryPath.KNOWN,
        "halo 3": QueryPath.ENCODED,
        "unseen": QueryPath.ENCODED,
    }
    np.testing.assert_array_equal(query_vector(view, "lamp")[1], fresh[1])


def test_an_answer_has_the_titles_of_the_overlay(live: LiveView) -> None:
    """A new item is found by the query that was clicked for it, with its title."""
    vector = random_units(np.random.default_rng(3), 1, DIM)[0]
    view = held(live, overlay_rows(DIM, items={"new": vector}, queries={"new one": vector}))

    answer = retrieve(view, RetrievalQuery(query="new one", k=3))

    assert (answer.item_ids[0], answer.titles[0]) == ("new", "new new")
    assert answer.scores[0] == pytest.approx(1)
    assert len(answer.item_ids) == 3


def test_an_overlay_answers_beside_an_empty_index(artifacts: Artifacts) -> None:
    """A shop whose first items are listed after the training."""
    empty: Catalogue = make_catalogue(0, ["lamp"])
    path = artifacts.store.generation_path(artifacts.write(empty))
    view = LiveView.bare(LiveGeneration.load(path, ServerSettings()))
    vectors = random_units(np.random.default_rng(3), 3, DIM)
    rows = overlay_rows(DIM, items={f"item {row}": vectors[row] for row in range(3)})

    assert item_ids(held(view, rows), vectors[1], 1) == ["item 1"]
    assert len(item_ids(held(view, rows), vectors[1], 9)) == 3


def test_places_in_the_index_do_not_depend_on_what_was_held_before(live: LiveView) -> None:
    """They are looked up once, also of items that are nowhere."""
    first, second, *_ = shown_vectors(live)
    parts = [
        overlay_rows(DIM, gone_items=[first, "nowhere"]),
        overlay_rows(DIM, gone_items=[second]),
    ]

    hidden = held(live, merge_rows(parts)).overlay.hidden.ids

    both = (held(live, part).overlay.hidden.ids for part in parts)
    assert set(hidden) == set().union(*both)
    assert len(hidden) == 2
