"""Edges by their definition in plain Python, from facts as rows."""

import math

from hypothesis import strategies as st

from stream.actions import Action
from stream.events.columns import NO_KEY
from testing.graph.fact_rows import FactRow, earliest
from testing.histories import DAY_MS, NOON_MS

# The stream settings' defaults, not imported: the store is under test.
HALF_LIFE_MS = 30 * DAY_MS
WEIGHTS: dict[int, float] = {Action.CLICK: 1.0, Action.ADD_TO_CART: 2.0, Action.PURCHASE: 4.0}

EdgeValues = tuple[int, int, int, dict[str, int], float]
"""Sessions, first and last time, facts by action, weight."""

rows = st.tuples(
    st.integers(1, 3),
    st.sampled_from([NO_KEY, 1, 2**64 - 1]),
    st.integers(1, 3),
    st.sampled_from(Action),
    st.integers(0, 4).map(lambda step: NOON_MS + step * 11 * DAY_MS),
)


def edges_by_definition(facts: list[FactRow], at_ms: int) -> dict[tuple[int, int], EdgeValues]:
    """Return the edges that facts make, by (query, item), with weights at `at_ms`."""
    edges = {}
    once = [(*key, ts_ms) for key, ts_ms in earliest(facts).items()]
    for query, item in sorted(
        {(row[1], row[2]) for row in once if row[1] and row[3] != Action.VIEW}
    ):
        own = [row for row in once if row[1:3] == (query, item) and row[3] != Action.VIEW]
        actions = sorted(Action(action) for *_, action, _ in own)
        edges[query, item] = (
            len({session for session, *_ in own}),
            min(ts_ms for *_, ts_ms in own),
            max(ts_ms for *_, ts_ms in own),
            {action.label: actions.count(action) for action in actions},
            math.fsum(
                WEIGHTS[Action(row[3])] * 2 ** ((row[4] - at_ms) / HALF_LIFE_MS) for row in own
            ),
        )
    return edges
