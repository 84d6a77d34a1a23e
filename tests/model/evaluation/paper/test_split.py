"""The random split of edges: three parts that share none, and groups by degree."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from model.data.graph import whole_graph
from model.errors import EvaluationRefused
from model.evaluation.paper.groups import GROUPS, group_of_items
from model.evaluation.paper.split import EdgeSplit, split_at_random
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click


def test_parts_share_no_edge_and_lose_none(split: EdgeSplit) -> None:
    """Each edge is learned, validated or tested; every group is tested."""
    parts = [split.train, split.validation, split.test]

    assert all(len(part) for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(split.arrays.edge_query)))
    assert sum(split.of_group(name).sum() for name in GROUPS) == len(split.test)
    assert split.of_group("all").all()
    assert all(split.of_group(name).any() for name in GROUPS)


def test_the_graph_to_learn_from_has_no_held_out_edge(split: EdgeSplit) -> None:
    """Nor a click on one, nor a query in a session by such a click alone; the items of
    sessions stay.
    """
    whole, known = split.arrays, split.training_arrays
    held_out = np.concatenate([split.validation, split.test])
    code = whole.edge_query * whole.num_items + whole.edge_item

    assert not np.isin(known.edge_query * known.num_items + known.edge_item, code[held_out]).any()
    assert not np.isin(known.fact_query * known.num_items + known.fact_item, code[held_out]).any()
    assert len(known.edge_query) == len(split.train) == len(known.edge_sessions)
    lost = _incidences(whole) - _incidences(known)
    assert lost
    assert all(node < whole.num_queries for _, node in lost)


def test_the_strict_graph_has_no_session_of_a_held_out_click(split: EdgeSplit) -> None:
    """These are gone whole, the others and all edges are as they were."""
    whole, known, strict = split.arrays, split.training_arrays, split.strict_arrays
    learned = np.isin(whole.edge_of_fact, split.train)
    told = set(whole.fact_session[~learned].tolist())
    kept = [session not in told for session in known.incidence_session.tolist()]

    assert 0 < sum(kept) < len(kept)
    assert np.array_equal(strict.incidence_session, known.incidence_session[kept])
    assert np.array_equal(strict.incidence_item, known.incidence_item[kept])
    assert np.array_equal(strict.edge_item, known.edge_item)
    hyperedges = whole_graph(strict).num_hyperedges
    assert hyperedges == len(set(strict.incidence_session.tolist()))


def _incidences(arrays: GraphArrays) -> set[tuple[int, int]]:
    part = whole_graph(arrays)
    return set(zip(part.incidence_hyperedge.tolist(), part.incidence_node.tolist(), strict=True))


def test_a_seed_decides_the_split(wide_arrays: GraphArrays, split: EdgeSplit) -> None:
    """The same seed the same parts, another one others."""
    same, other = (split_at_random(wide_arrays, seed) for seed in (0, 1))

    assert np.array_equal(same.test, split.test)
    assert np.array_equal(same.validation, split.validation)
    assert not np.array_equal(other.test, split.test)


def test_no_group_gives_more_than_a_quarter_to_the_test(split: EdgeSplit) -> None:
    """A twentieth of all edges at most, and never more than half of a group is held
    out.
    """
    of_edge = group_of_items(split.arrays)[split.arrays.edge_item]
    for place, name in enumerate(GROUPS):
        tested = split.of_group(name).sum()
        assert tested <= len(of_edge) // 20
        assert tested <= np.count_nonzero(of_edge == place) / 4


def test_groups_are_by_place_in_both_graphs(wide_arrays: GraphArrays) -> None:
    """Two fifths of the items are of low degree, two of middle, one of high; an item is
    in one group at most, by its clicked queries and by the sizes of its sessions.
    """
    arrays, group = wide_arrays, group_of_items(wide_arrays)
    sizes = Counter(arrays.incidence_session.tolist())
    clicks, met = Counter(arrays.edge_item.tolist()), Counter[int]()
    for session, item in zip(
        arrays.incidence_session.tolist(), arrays.incidence_item.tolist(), strict=True
    ):
        met[item] += sizes[session]
    items = sorted({*clicks, *met})
    places = []
    for degree in (clicks, met):
        ordered = sorted(items, key=lambda item: degree[item])
        places.append({item: 5 * place // len(items) for place, item in enumerate(ordered)})
    expected = {
        item: next(
            (
                number
                for number, (low, high) in enumerate(
                    [((4,), (4,)), ((4,), (2, 3)), ((2, 3), (4,)), ((0, 1), (0, 1))]
                )
                if places[0][item] in low and places[1][item] in high
            ),
            -1,
        )
        for item in items
    }

    assert {item: int(group[item]) for item in items} == expected
    assert set(expected.values()) == {-1, 0, 1, 2, 3}


def test_items_that_nobody_touched_are_in_no_group(wide_arrays: GraphArrays) -> None:
    """A catalogue item without edge and session is no isolated one."""
    arrays = replace(wide_arrays, item_keys=np.append(wide_arrays.item_keys, np.uint64(2**64 - 1)))

    assert group_of_items(arrays)[-1] == -1
    assert np.array_equal(group_of_items(arrays)[:-1], group_of_items(wide_arrays))


@pytest.mark.parametrize(
    ("sessions", "problem"),
    [(["a", "b", "c"], "no session of the log has two items"), (["a", "a", "a"], "3 query-item")],
)
def test_a_log_too_small_is_refused(
    make_arrays: MakeArrays, sessions: list[str], problem: str
) -> None:
    """By what it lacks, and what to do."""
    events = [click(place, name, f"q{place}", f"i{place}") for place, name in enumerate(sessions)]

    with pytest.raises(EvaluationRefused, match=problem) as refused:
        split_at_random(make_arrays(events), 0)
    assert "--protocol time" in str(refused.value)
