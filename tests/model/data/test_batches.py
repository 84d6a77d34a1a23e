"""What a pass draws, and how it is cut."""

import numpy as np
import pytest

from model.data.batches import (
    closing_pass_edges,
    num_batches,
    num_refresh_batches,
    pass_edges,
    shuffled_batches,
)
from model.data.parent import LearnedClicks
from model.data.training_set import build_training_set
from model.settings import ModelSettings
from stream.graph.arrays import GraphArrays


@pytest.mark.parametrize(
    ("num_edges", "expected"), [(0, 1), (10, 1), (149, 1), (151, 2), (1000, 10)]
)
def test_a_pass_of_a_training(num_edges: int, expected: int) -> None:
    """About as many edges in each as the settings say."""
    assert num_batches(num_edges, 100) == expected


@pytest.mark.parametrize(
    ("num_edges", "expected"),
    [(0, 1), (149, 1), (310, 3), (400, 4), (900, 4), (1600, 4), (1601, 5), (8000, 20)],
)
def test_a_pass_of_a_refresh(num_edges: int, expected: int) -> None:
    """The same while they are few; then batches grow, to four times the size."""
    assert num_refresh_batches(num_edges, 100) == expected


def test_warm_training_goes_over_recent_edges_and_a_sample_of_older_ones(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Every pass has all edges that the parent did not know, and another sample of the
    others.
    """
    cut_ms = int(np.quantile(arrays.edge_first_ms, 0.4))
    sessions = np.where(arrays.edge_first_ms <= cut_ms, arrays.edge_sessions, 0)
    data = build_training_set(arrays, settings, LearnedClicks(sessions=sessions, until_ms=cut_ms))
    recent, older = np.flatnonzero(data.recent), np.flatnonzero(~data.recent)
    assert len(recent) > 50
    assert len(older) > 50

    rng = np.random.default_rng(0)
    passes = [pass_edges(data.recent, settings.replay_share, rng) for _ in range(2)]

    replayed = [np.setdiff1d(drawn, recent) for drawn in passes]
    for drawn, sample in zip(passes, replayed, strict=True):
        assert np.isin(recent, drawn).all()
        assert len(np.unique(drawn)) == len(drawn)
        assert len(sample) == np.ceil(settings.replay_share * len(older))
    assert not np.array_equal(replayed[0], replayed[1])


def test_a_closing_pass_has_the_newest_edges_beside_as_many_others() -> None:
    """An edge that was clicked twice counts twice; other ones come in each pass."""
    rng, newest, others = np.random.default_rng(0), np.array([7, 7, 9]), np.arange(100, 200)

    first, second = (closing_pass_edges(newest, others, rng) for _ in range(2))

    for edges in (first, second):
        assert edges[:3].tolist() == [7, 7, 9]
        assert len(np.unique(edges[3:])) == 3
        assert np.isin(edges[3:], others).all()
    assert not np.array_equal(first, second)


def test_a_closing_pass_takes_what_others_there_are() -> None:
    """Where nearly everything is new."""
    edges = closing_pass_edges(np.arange(5), np.array([8]), np.random.default_rng(0))

    assert sorted(edges.tolist()) == [0, 1, 2, 3, 4, 8]


def test_batches_hold_every_edge_once_in_random_order() -> None:
    """They are of about one size."""
    edges = np.arange(100, 110)

    batches = shuffled_batches(edges, 3, np.random.default_rng(0))

    assert sorted(len(batch) for batch in batches) == [3, 3, 4]
    assert sorted(np.concatenate(batches).tolist()) == edges.tolist()
    assert not np.array_equal(np.concatenate(batches), edges)
