"""Ranks and metrics against plain definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import model.ranking
from model.ranking import edge_ranks, popularity_ranks, quality_of, ranks_among
from stream.dtypes import Float32s, Int64s

NONE = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def ints(*values: int) -> Int64s:
    """Return an index array."""
    return np.array(values, dtype=np.int64)


def one_query(*scores: float) -> tuple[Float32s, Float32s]:
    """Return vectors that give one query these scores."""
    return np.ones((1, 1), dtype=np.float32), np.array(scores, dtype=np.float32)[:, None]


def test_the_rank_counts_what_scores_higher() -> None:
    """From 1."""
    ranks = edge_ranks(*one_query(0.1, 0.9, 0.5), (ints(0, 0, 0), ints(0, 1, 2)), NONE)

    assert ranks.tolist() == [3.0, 1.0, 2.0]


def test_items_seen_with_the_query_are_not_ranked() -> None:
    """They are known answers, not competitors."""
    ranks = edge_ranks(*one_query(0.1, 0.9, 0.5), (ints(0), ints(2)), (ints(0), ints(1)))

    assert ranks.tolist() == [1.0]


def test_scoring_everything_alike_gains_nothing() -> None:
    """Equal scores share the mean rank."""
    ranks = edge_ranks(*one_query(0.5, 0.5, 0.5), (ints(0), ints(0)), NONE)

    assert ranks.tolist() == [2.0]


def test_nan_ranks_last() -> None:
    """A broken model must never look perfect."""
    ranks = edge_ranks(*one_query(np.nan, 0.2, 0.1), (ints(0), ints(0)), NONE)

    assert ranks[0] >= 3


@given(st.data(), st.integers(1, 6), st.integers(1, 12))
def test_ranks_equal_those_of_a_plain_sort(
    data: st.DataObject, num_queries: int, num_items: int
) -> None:
    """Whatever the edges and the blocks."""
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    query_vectors = rng.normal(size=(num_queries, 3)).astype(np.float32)
    item_vectors = rng.normal(size=(num_items, 3)).astype(np.float32)
    label = rng.integers(0, 3, size=(num_queries, num_items))
    held_out, seen = (
        (cells[:, 0], cells[:, 1]) for cells in map(np.argwhere, (label == 1, label == 2))
    )

    ranks = edge_ranks(query_vectors, item_vectors, held_out, seen)

    scores = query_vectors @ item_vectors.T
    scores[seen] = -np.inf
    plain = [1 + int((scores[q] > scores[q, i]).sum()) for q, i in zip(*held_out, strict=True)]
    assert ranks.tolist() == plain


def test_the_size_of_blocks_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A query whose edges fall into two blocks is ranked the same."""
    rng = np.random.default_rng(1)
    vectors = (
        rng.normal(size=(20, 4)).astype(np.float32),
        rng.normal(size=(50, 4)).astype(np.float32),
    )
    held_out = (rng.integers(0, 20, 200), rng.integers(0, 25, 200))
    seen = (rng.integers(0, 20, 200), rng.integers(25, 50, 200))
    expected = edge_ranks(*vectors, held_out, seen)

    monkeypatch.setattr(model.ranking, "_BLOCK_SCORES", 150)

    assert edge_ranks(*vectors, held_out, seen).tolist() == expected.tolist()


def test_popularity_ranks_by_count() -> None:
    """The same order for every query, without what the query has seen."""
    ranks = popularity_ranks(ints(5, 9, 7), (ints(0, 1), ints(0, 0)), (ints(1), ints(1)))

    assert ranks.tolist() == [3.0, 2.0]


def test_every_query_counts_once() -> None:
    """One with many edges does not drown the others."""
    quality = quality_of(np.array([1.0, 20.0, 200.0, 2.0]), ints(0, 0, 0, 1))

    assert quality.num_queries == 2
    assert quality.num_edges == 4
    assert quality.mrr == pytest.approx((1.0 + 0.5) / 2)
    assert quality.recall_10 == pytest.approx((1 / 3 + 1.0) / 2)
    assert quality.recall_100 == pytest.approx((2 / 3 + 1.0) / 2)


def test_no_edges_give_zeros() -> None:
    """Not a division by zero."""
    assert quality_of(np.zeros(0), ints()).mrr == 0.0


def test_a_rank_among_some_items() -> None:
    """Equal scores share the mean, what is not ranked does not count, NaN is last."""
    scores = np.array([[0.9, 0.5, 0.5, 0.1], [np.nan, 0.5, 0.2, 0.1]], dtype=np.float32)
    wanted = np.array([0.5, np.nan], dtype=np.float32)
    without_best = np.array([False, True, True, True])

    assert ranks_among(scores, wanted, np.ones(4, dtype=np.bool_)).tolist() == [2.5, 5.0]
    assert ranks_among(scores, wanted, without_best).tolist() == [1.5, 4.0]
