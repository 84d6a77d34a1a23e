"""What sessions say of items, and so of queries."""

import numpy as np
import pytest

from model.beside.joined import directions
from model.training.beside.session_directions import query_directions, session_directions
from stream.actions import Action
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click, shop_events


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
