"""Edges against their definition in plain Python.

Counts, times, weights at any time.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions import Action
from stream.events.columns import NO_KEY
from stream.graph.edges import EdgeColumns, edges_of
from stream.graph.facts import FactColumns
from testing.graph.edge_rows import HALF_LIFE_MS, WEIGHTS, edges_by_definition, rows
from testing.graph.fact_rows import FactRow, columns, earliest
from testing.histories import DAY_MS, NOON_MS

LARGEST = float(np.finfo(np.float64).max)


def found(edges: EdgeColumns, at_ms: int) -> dict[tuple[int, int], object]:
    """Return the same of `EdgeColumns`, in their order."""
    weights = edges.weights(at_ms, HALF_LIFE_MS, WEIGHTS)
    return {
        (int(edges.query[row]), int(edges.item[row])): (
            int(edges.sessions[row]),
            int(edges.first_ms[row]),
            int(edges.last_ms[row]),
            edges.actions_of(row),
            pytest.approx(float(weights[row]), rel=1e-12),
        )
        for row in range(len(edges))
    }


@given(st.lists(rows, max_size=15))
def test_edges_are_those_of_the_definition(facts: list[FactRow]) -> None:
    """Also where facts are there several times, with several times, and among facts
    that make none.
    """
    edges, expected = edges_of(columns(facts)), edges_by_definition(facts, NOON_MS)

    assert found(edges, NOON_MS) == expected
    assert list(found(edges, NOON_MS)) == list(expected)


@given(st.lists(rows, max_size=15))
def test_the_facts_of_edges_are_each_there_once(facts: list[FactRow]) -> None:
    """Their digest is that of the distinct facts on edges, at their earliest times."""
    edges = edges_of(columns(facts))
    once = [
        (*key, ts_ms) for key, ts_ms in earliest(facts).items() if key[1] and key[3] != Action.VIEW
    ]

    assert edges.facts.digest() == columns(once).digest()
    assert edges.actions.sum() == len(once)


def test_nothing_has_no_edges() -> None:
    """Neither no facts nor facts that make none."""
    for facts in (FactColumns.empty(), columns([(1, NO_KEY, 2, 2, 5), (1, 7, 2, 1, 5)])):
        edges = edges_of(facts)
        assert len(edges) == 0
        assert edges.weights(NOON_MS, HALF_LIFE_MS, WEIGHTS).tolist() == []


@pytest.mark.parametrize("years", [-1000, -50, 0, 50, 1000])
def test_weights_long_before_and_after_the_facts(years: int) -> None:
    """A weight is finite at any time.

    What is too small is 0, what is too large the largest float.
    """
    at_ms = NOON_MS + years * 365 * DAY_MS
    edges = edges_of(
        columns([(1, 1, 1, Action.PURCHASE, NOON_MS), (2, 1, 1, Action.CLICK, NOON_MS)])
    )
    (weight,) = edges.weights(at_ms, HALF_LIFE_MS, WEIGHTS).tolist()
    log2 = math.log2(5) - (at_ms - NOON_MS) / HALF_LIFE_MS

    assert weight == pytest.approx(2**log2 if log2 < 1024 else LARGEST, rel=1e-9)


def test_actions_that_weigh_nothing() -> None:
    """An action that is not listed weighs nothing, even where its decay is too large
    for a float.
    """
    edges = edges_of(columns([(1, 1, 1, Action.CLICK, NOON_MS)]))

    assert edges.weights(-(2**60), 3_600_000, {Action.PURCHASE: 4.0}).tolist() == [0.0]
    assert edges.weights(NOON_MS, 3_600_000, {Action.CLICK: 0.25}).tolist() == [0.25]


def test_an_action_that_is_none() -> None:
    """It is told, and counted for no other edge: the entry is damaged."""
    stamp = np.array([NOON_MS << 3 | 7], dtype=np.uint64)
    one = np.array([1], dtype=np.uint64)
    with pytest.raises(ValueError, match="action 7, which is none"):
        edges_of(FactColumns(one, one, one, stamp))
