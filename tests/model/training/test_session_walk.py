"""What sessions say of items, and what walks through them count, as chosen on edges
that the model has not seen.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from model.publishing.publish import publish
from model.session_walk import WALK_OFF, WalkScales, directions
from model.settings import ModelSettings
from model.training.session_walk import (
    WalkNodes,
    choose_walk_scales,
    query_directions,
    session_directions,
    with_walk_scales,
)
from model.training.train import train
from stream.actions import Action
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, click, shop_events, snapshot_of

NUM = 120
SOME = WalkScales(query=1.0, item=0.2, new_item=0.3)


def noise(seed: int, dim: int = 8) -> Float32s:
    """Return random unit vectors."""
    return unit_rows(np.random.default_rng(seed).normal(size=(NUM, dim)).astype(np.float32))


def nodes(*, walks_know: bool, rest_knows: bool) -> WalkNodes:
    """Return queries and items, of which the item of each query is known to walks, to
    the rest of the vectors, to both or to neither.
    """
    nothing = np.zeros(0, dtype=np.int64)
    return WalkNodes(
        query_vectors=noise(1),
        item_vectors=noise(1) if rest_knows else noise(2),
        query_directions=noise(3),
        item_directions=noise(3) if walks_know else noise(4),
        seen=(nothing, nothing),
    )


@pytest.fixture
def unseen() -> tuple[Int64s, Int64s]:
    """Return an edge from each query to the item of its number."""
    return np.arange(NUM), np.arange(NUM)


def test_walks_that_find_what_the_rest_does_not_count(unseen: tuple[Int64s, Int64s]) -> None:
    """Also where they did not before."""
    chosen, figures = choose_walk_scales(nodes(walks_know=True, rest_knows=False), unseen, WALK_OFF)

    assert chosen.query * chosen.item >= 0.2
    assert figures["walk_worth"] > figures["walk_worth_without"]


def test_walks_that_say_nothing_are_switched_off(unseen: tuple[Int64s, Int64s]) -> None:
    """Zero is a candidate."""
    loud = WalkScales(query=1.0, item=2.0, new_item=2.0)

    chosen, _ = choose_walk_scales(nodes(walks_know=False, rest_knows=True), unseen, loud)

    assert chosen.is_off


def test_what_stands_stays_where_nothing_is_surely_better(
    unseen: tuple[Int64s, Int64s],
) -> None:
    """Noise is no reason to change."""
    both = nodes(walks_know=True, rest_knows=True)

    assert choose_walk_scales(both, unseen, WALK_OFF)[0] == WALK_OFF
    assert choose_walk_scales(both, unseen, SOME)[0] == SOME


def test_few_queries_choose_nothing(unseen: tuple[Int64s, Int64s]) -> None:
    """What stands is kept; a query that no walk leads from is none to judge by."""
    few = nodes(walks_know=True, rest_knows=False)
    few = replace(few, query_directions=few.query_directions * (np.arange(NUM) < 20)[:, None])

    chosen, figures = choose_walk_scales(few, unseen, SOME)

    assert chosen == SOME
    assert figures == {"walk_edges": 20.0}


def test_items_without_clicks_may_count_more(unseen: tuple[Int64s, Int64s]) -> None:
    """Where the rest knows the clicked ones and walks the others, these are not left
    where they were because they are few.
    """
    clicked = np.arange(NUM) < NUM // 2
    base = nodes(walks_know=True, rest_knows=True)
    mixed = replace(
        base,
        item_vectors=np.where(clicked[:, None], base.item_vectors, noise(5)),
        seen=((np.arange(NUM) + 1)[clicked] % NUM, np.arange(NUM)[clicked]),
    )

    chosen, _ = choose_walk_scales(mixed, unseen, WALK_OFF)

    assert chosen.new_item >= chosen.item > 0.0


def test_a_refresh_keeps_what_its_parent_chose(
    arrays: GraphArrays, settings: ModelSettings, tmp_path: Path
) -> None:
    """Unless walks are switched off, or something is surely better; texts have vectors
    of the same length.
    """
    settings = replace(settings, walk_dim=9)
    trained = with_walk_scales(train(arrays, settings), arrays, settings, SOME)
    store = ArtifactStore(tmp_path)
    name = publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
    generation = open_generation(store.generation_path(name))

    refreshed = train(arrays, settings, warm=generation)
    without = train(arrays, replace(settings, walk_dim=0), warm=generation)

    assert generation.walk_block == trained.walk == refreshed.walk
    assert generation.network_dim == settings.dim
    assert refreshed.dim == trained.dim == without.dim + 9
    assert without.walk is None
    encoded = generation.text_encoder().encode("never asked before")
    assert encoded.shape == (trained.dim,)
    assert np.linalg.norm(encoded) == pytest.approx(1.0, abs=1e-6)


def test_without_sessions_or_where_they_do_not_count_vectors_stay(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """And no figure says that walks were tried."""
    settings = replace(settings, use_hypergraph=False)

    trained = train(arrays, settings)

    assert trained.walk is None
    assert not [figure for figure in trained.evaluation if figure.startswith("walk")]


@pytest.fixture
def baskets(make_arrays: MakeArrays) -> GraphArrays:
    """Return two groups of items that are viewed together, each item twice, and one
    that is viewed alone.
    """
    sessions = [["a", "b", "c"], ["a", "b", "c"], ["x", "y"], ["x", "y"], ["alone"]]
    return make_arrays(
        [
            click(60_000 * number + place, f"s{number}", "", item, Action.VIEW)
            for number, items in enumerate(sessions)
            for place, item in enumerate(items)
        ]
    )


def test_items_of_the_same_sessions_have_the_same_direction(baskets: GraphArrays) -> None:
    """Those of others are apart, and who is seen alone has none."""
    every = np.ones(baskets.num_sessions, dtype=np.bool_)
    found = dict(zip(baskets.item_ids, session_directions(baskets, every, 2, seed=0), strict=True))

    assert found["a"] @ found["b"] == pytest.approx(1.0, abs=1e-4)
    assert found["x"] @ found["y"] == pytest.approx(1.0, abs=1e-4)
    assert found["a"] @ found["x"] == pytest.approx(0.0, abs=1e-4)
    assert not found["alone"].any()


def test_sessions_that_do_not_count_say_nothing(baskets: GraphArrays) -> None:
    """So that what is judged by has not been seen."""
    none = np.zeros(baskets.num_sessions, dtype=np.bool_)

    assert not session_directions(baskets, none, 2, seed=0).any()


def test_directions_are_those_of_the_whole_matrix(make_arrays: MakeArrays) -> None:
    """All of them together give the cosines of items over sessions."""
    arrays = make_arrays(shop_events(80))
    every = np.ones(arrays.num_sessions, dtype=np.bool_)
    incidence = np.zeros((arrays.num_sessions, arrays.num_items))
    incidence[arrays.incidence_session, arrays.incidence_item] = 1.0
    incidence[incidence.sum(axis=1) < 2] = 0.0
    lengths = np.linalg.norm(incidence, axis=0)
    incidence = np.divide(incidence, lengths, out=incidence, where=lengths > 0)

    found = session_directions(arrays, every, arrays.num_items, seed=0)

    assert found @ found.T == pytest.approx(incidence.T @ incidence, abs=1e-3)


def test_a_query_has_the_direction_of_its_items() -> None:
    """By weight; without an item that has one, none."""
    items = np.array([[1, 0], [0, 1], [0, 0]], dtype=np.float32)
    edges = np.array([0, 0, 2]), np.array([0, 1, 2])

    found = query_directions(edges, np.array([3.0, 4.0, 1.0], dtype=np.float32), items, 3)

    assert found == pytest.approx(directions(np.array([[3, 4], [0, 0], [0, 0]], np.float32)))
