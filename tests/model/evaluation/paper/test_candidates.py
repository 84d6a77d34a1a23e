"""The wrong pairs that right ones are ranked among."""

from dataclasses import replace

import numpy as np
import pytest

from model.errors import EvaluationRefused
from model.evaluation.paper import candidates
from model.evaluation.paper.candidates import draw_candidates
from model.evaluation.paper.split import EdgeSplit
from stream.dtypes import Float32s, Int64s
from testing.small_shop import MakeArrays, click


def test_no_wrong_pair_is_an_edge(split: EdgeSplit) -> None:
    """Of the whole log, be it learned or tested; none comes twice beside one pair."""
    arrays = split.arrays
    drawn = draw_candidates(arrays, split.pairs(split.test), 50, np.random.default_rng(0))
    edges = set(zip(arrays.edge_query.tolist(), arrays.edge_item.tolist(), strict=True))
    wrong = [
        pair
        for row, (query, item) in enumerate(zip(drawn.query, drawn.item, strict=True))
        for pair in (
            *((query, other) for other in drawn.wrong_item[row]),
            *((other, item) for other in drawn.wrong_query[row]),
        )
    ]

    assert len(wrong) == 100 * len(split.test)
    assert not edges & set(wrong)
    for rows in (drawn.wrong_item, drawn.wrong_query):
        assert all(len(set(row)) == 50 for row in rows.tolist())


def test_all_that_is_left_is_drawn_where_little_is(make_arrays: MakeArrays) -> None:
    """Four items and four queries: the three that a pair does not have, each once."""
    arrays = make_arrays(
        [click(place, f"s{place}", f"q{place}", f"i{place}") for place in range(4)]
    )
    pairs = arrays.edge_query, arrays.edge_item
    drawn = draw_candidates(arrays, pairs, 3, np.random.default_rng(0))

    for right, wrong in ((pairs[0], drawn.wrong_query), (pairs[1], drawn.wrong_item)):
        assert [{*row, own} for own, row in zip(right.tolist(), wrong.tolist(), strict=True)] == [
            {0, 1, 2, 3}
        ] * 4
    with pytest.raises(EvaluationRefused, match="4 wrong items and 4 wrong queries"):
        draw_candidates(arrays, pairs, 4, np.random.default_rng(0))


def test_items_of_no_session_and_no_edge_are_not_drawn(split: EdgeSplit) -> None:
    """They are not in the graph, whatever the catalogue holds."""
    arrays = split.arrays
    wider = replace(arrays, item_keys=np.append(arrays.item_keys, np.uint64(2**64 - 1)))
    drawn = draw_candidates(wider, split.pairs(split.test), 50, np.random.default_rng(0))

    assert drawn.wrong_item.max() < arrays.num_items


@pytest.mark.parametrize("pairs", [1, 100, 1 << 16])
def test_scores_are_beside_their_pair(
    split: EdgeSplit, monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    """Wrong items, then wrong queries, whatever the size of the blocks."""
    monkeypatch.setattr(candidates, "_BLOCK_PAIRS", pairs)
    drawn = draw_candidates(
        split.arrays, split.pairs(split.validation), 5, np.random.default_rng(0)
    )

    def code(query: Int64s, item: Int64s) -> Float32s:
        return (1000 * query + item).astype(np.float32)

    right, wrong = drawn.scored(code)
    assert np.array_equal(right, 1000 * drawn.query + drawn.item)
    assert np.array_equal(wrong[:, :5], 1000 * drawn.query[:, None] + drawn.wrong_item)
    assert np.array_equal(wrong[:, 5:], 1000 * drawn.wrong_query + drawn.item[:, None])
