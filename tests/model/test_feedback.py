"""Queries go towards what was clicked for them, and stay vectors of length one."""

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.feedback import NewClicks, Reach, fed_back
from stream.dtypes import Float32s


def rows(count: int, seed: int = 0) -> Float32s:
    """Return unit vectors at random."""
    return unit_rows(np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32))


def clicks(*columns: tuple[int, int], seed: int = 1) -> NewClicks:
    """Return clicks of (query, sessions), each on an item of its own."""
    place, sessions = zip(*columns, strict=True)
    return NewClicks(
        np.array(place), np.array(sessions), np.arange(len(columns)), rows(len(columns), seed)
    )


def test_a_query_goes_towards_what_was_clicked_for_it() -> None:
    """The further, the more sessions clicked it; others stay to the last bit."""
    queries = rows(3)

    once = fed_back(queries, clicks((1, 1)), 0.4).vectors
    often = fed_back(queries, clicks((1, 20)), 0.4).vectors

    item = clicks((1, 1)).items[0]
    assert queries[1] @ item < once[1] @ item < often[1] @ item < 1.0
    assert np.array_equal(once[[0, 2]], queries[[0, 2]])
    assert np.linalg.norm(often, axis=1) == pytest.approx(np.ones(3), abs=1e-6)


def test_it_is_the_formula() -> None:
    """Whatever the order of the clicks."""
    queries, given = rows(2), clicks((1, 3), (0, 1), (1, 1))
    mean = (np.log1p(3) * given.items[0] + np.log1p(1) * given.items[2]) / (
        np.log1p(3) + np.log1p(1)
    )
    wanted = queries[1] + 0.4 * np.log1p(4) * mean

    assert fed_back(queries, given, 0.4).vectors[1] == pytest.approx(
        wanted / np.linalg.norm(wanted), abs=1e-6
    )


def test_queries_share_an_item() -> None:
    """As if each of their clicks had a vector of its own."""
    queries, items = rows(3), rows(2, seed=1)
    place, sessions = np.array([2, 0, 2, 1]), np.array([1, 2, 3, 4])
    item = np.array([1, 0, 0, 1])

    shared = fed_back(queries, NewClicks(place, sessions, item, items), 0.4)
    own = fed_back(queries, NewClicks(place, sessions, np.arange(4), items[item]), 0.4)

    assert np.array_equal(shared.vectors, own.vectors)
    assert np.array_equal(shared.shifts, own.shifts)


@pytest.mark.parametrize("weight", [0.1, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_shifts_say_how_far_an_item_moves_its_query_at_most(seed: int, weight: float) -> None:
    """By its share of the mean; nobody else, and a query without clicks by nothing."""
    queries, given = rows(3, seed), clicks((1, 3), (0, 1), (1, 1), seed=seed + 9)
    step = 0.01 * rows(1, seed + 99)[0]
    items = given.items.copy()
    items[2] += step

    before = fed_back(queries, given, weight)
    after = fed_back(queries, given._replace(items=items), weight)

    moved = np.linalg.norm(after.vectors - before.vectors, axis=1)
    bound = before.shifts[1] * np.log1p(1) / (np.log1p(3) + np.log1p(1)) * np.linalg.norm(step)
    assert 0 < moved[1] <= bound * 1.02
    assert moved[[0, 2]].tolist() == [0.0, 0.0]
    assert before.shifts[2] == 0.0


@pytest.mark.parametrize("weight", [0.0, 0.4])
def test_no_click_moves_nothing(weight: float) -> None:
    """Nor does a click that is worth nothing."""
    queries, nothing = rows(2), NewClicks(*(np.zeros(0, np.int64),) * 3, rows(0))

    assert np.array_equal(fed_back(queries, nothing, weight).vectors, queries)
    assert fed_back(queries, clicks((0, 3)), 0.0).vectors == pytest.approx(queries, abs=1e-6)


def test_a_query_opposite_to_its_items_stays() -> None:
    """There is nowhere to go; and what is not finite stays so, to be found."""
    query = rows(1)
    opposite = NewClicks(np.array([0]), np.array([1]), np.array([0]), -query)

    assert np.array_equal(fed_back(query, opposite, 1 / float(np.log1p(1))).vectors, query)
    assert np.isnan(fed_back(np.full_like(query, np.nan), opposite, 0.4).vectors).all()


@pytest.mark.parametrize("cosine", [0.2, 0.5, 0.9])
def test_a_query_comes_as_near_as_it_is_asked_to(cosine: float) -> None:
    """And no nearer, unless its clicks are worth more; one that is near stays."""
    queries = rows(3)
    items = np.stack([-queries[0] + 0.8 * queries[1], queries[1], queries[2]])
    given = NewClicks(np.arange(3), np.ones(3, dtype=np.int64), np.arange(3), unit_rows(items))
    asked = Reach(cosine, np.array([5.0, 5.0, 0.0]))

    moved = fed_back(queries, given, 0.0, asked).vectors
    often = fed_back(queries, given, 9.0, asked).vectors

    assert moved[0] @ given.items[0] == pytest.approx(cosine, abs=1e-5)
    assert np.array_equal(moved[2], queries[2])
    assert moved[1] == pytest.approx(queries[1], abs=1e-6)
    assert often[0] @ given.items[0] > cosine + 0.05


def test_a_query_goes_no_further_than_it_may() -> None:
    """However near it is asked to come; of several items it is their mean."""
    queries, given = rows(1), clicks((0, 1), (0, 3))
    mean = (np.log1p(1) * given.items[0] + np.log1p(3) * given.items[1]) / (
        np.log1p(1) + np.log1p(3)
    )
    mean /= np.linalg.norm(mean)

    moved = fed_back(queries, given, 0.0, Reach(0.999, np.array([0.25]))).vectors

    wanted = queries[0] + 0.25 * mean
    assert moved[0] == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)
