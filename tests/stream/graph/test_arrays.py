"""What `min_sessions` leaves out of the arrays, and what it leaves in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions import Action
from stream.errors import StoreUnreadable
from stream.graph.arrays import GraphArrays, GraphParts, build_arrays
from stream.graph.edges import edges_of
from testing.graph.edge_rows import HALF_LIFE_MS, WEIGHTS, edges_by_definition, rows
from testing.graph.fact_rows import FactRow, columns, earliest
from testing.histories import NOON_MS


def arrays_of(facts: list[FactRow], min_sessions: int) -> GraphArrays:
    """Return the arrays of distinct facts; texts are their keys in words."""
    parts = GraphParts(
        path=Path("store"),
        query_names={key: f"query {key}" for key in sorted({row[1] for row in facts if row[1]})},
        item_names={key: f"item {key}" for key in sorted({row[2] for row in facts})},
        catalog={},
        facts=columns(facts),
        edges=edges_of(columns(facts)),
        half_life_ms=HALF_LIFE_MS,
        weight_of_action=WEIGHTS,
        min_sessions=min_sessions,
    )
    return build_arrays(parts, at_ms=NOON_MS, watermark_ms=NOON_MS)


def distinct(facts: list[FactRow]) -> list[FactRow]:
    """Return each fact once, in ascending order."""
    return sorted((*key, ts_ms) for key, ts_ms in earliest(facts).items())


@given(st.lists(rows, max_size=20).map(distinct), st.integers(1, 4))
def test_edges_of_few_sessions_are_left_out_with_their_facts(
    facts: list[FactRow], min_sessions: int
) -> None:
    """Edges of too few distinct sessions are not there, nor are their facts.

    All others are.
    """
    arrays = arrays_of(facts, min_sessions)
    edges = {
        pair: edge
        for pair, edge in edges_by_definition(facts, NOON_MS).items()
        if edge[0] >= min_sessions
    }
    sessions = sorted({session for session, *_ in facts})

    assert [
        (int(arrays.query_keys[query]), int(arrays.item_keys[item]))
        for query, item in zip(arrays.edge_query, arrays.edge_item, strict=True)
    ] == list(edges)
    assert arrays.edge_weight.tolist() == pytest.approx(
        [edge[4] for edge in edges.values()], rel=1e-6
    )
    found = [
        (
            sessions[session],
            int(arrays.query_keys[query]),
            int(arrays.item_keys[item]),
            int(action),
            int(ts_ms),
        )
        for session, query, item, action, ts_ms in zip(
            arrays.fact_session,
            arrays.fact_query,
            arrays.fact_item,
            arrays.fact_action,
            arrays.fact_ms,
            strict=True,
        )
    ]
    assert found == [row for row in facts if row[1:3] in edges and row[3] != Action.VIEW]


@given(st.lists(rows, max_size=20).map(distinct))
def test_sessions_and_names_do_not_depend_on_it(facts: list[FactRow]) -> None:
    """Hyperedges, sessions and names are those of all facts, whatever edges are left
    out.
    """
    some, none = arrays_of(facts, 1), arrays_of(facts, 1000)

    for name in (
        "query_keys",
        "item_keys",
        "session_last_ms",
        "incidence_session",
        "incidence_item",
    ):
        assert np.array_equal(getattr(some, name), getattr(none, name))
    assert some.num_sessions == none.num_sessions
    assert len(none.edge_query) == len(none.fact_query) == 0


def test_weights_stay_within_float32() -> None:
    """A weight too large for a float32 is the largest one."""
    late = NOON_MS + 200 * HALF_LIFE_MS

    assert arrays_of([(1, 1, 1, Action.CLICK, late)], 1).edge_weight.tolist() == [
        np.finfo(np.float32).max
    ]


@pytest.mark.parametrize(
    "names", [[], [(4, "other")], [(9, "other")]], ids=["none", "smaller", "larger"]
)
@pytest.mark.parametrize("missing", ["query", "item"])
def test_keys_without_names_are_damage(missing: str, names: list[tuple[int, str]]) -> None:
    """A key in the graph that no name is stored for is an error that
    names the store.
    """
    parts = GraphParts(
        path=Path("store"),
        query_names=dict(names if missing == "query" else [(5, "tv")]),
        item_names=dict(names if missing == "item" else [(6, "a")]),
        catalog={},
        facts=columns([(1, 5, 6, Action.CLICK, NOON_MS)]),
        edges=edges_of(columns([(1, 5, 6, Action.CLICK, NOON_MS)])),
        half_life_ms=HALF_LIFE_MS,
        weight_of_action=WEIGHTS,
        min_sessions=1,
    )

    with pytest.raises(StoreUnreadable, match="store store has records whose names are missing"):
        build_arrays(parts, at_ms=NOON_MS, watermark_ms=NOON_MS)
