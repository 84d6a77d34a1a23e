"""Pure: edges from facts. Counts, times and decayed weights of (query, item), whatever
their order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from stream.actions import Action
from stream.dtypes import Int64s
from stream.events.columns import Keys
from stream.graph.facts import NUM_ACTIONS, Digest, FactColumns
from stream.graph.folded import FoldedEdge, FoldedEdges
from stream.graph.keysets import run_starts

_MAX_FLOAT64 = float(np.finfo(np.float64).max)


@dataclass(frozen=True, slots=True)
class EdgeColumns:
    """Edges as columns, in ascending order of (query key, item key).

    Attributes:
        query: ``uint64 [num_edges]``.
        item: ``uint64 [num_edges]``.
        sessions: ``int64 [num_edges]`` distinct sessions.
        first_ms: ``int64 [num_edges]`` time of the first fact.
        last_ms: ``int64 [num_edges]`` time of the last fact.
        actions: ``int64 [num_edges, num_actions + 1]`` facts by
            `stream.events.types.Action`.
        facts: the facts that make them and are held, in ascending order of (query,
            item, session, action).
        first_fact: ``int64 [num_edges]`` where an edge's facts begin in `facts`.
        folded: what other facts left behind that were folded, by row; it is in the
            counts and times above.
    """

    query: Keys
    item: Keys
    sessions: Int64s
    first_ms: Int64s
    last_ms: Int64s
    actions: Int64s
    facts: FactColumns
    first_fact: Int64s
    folded: Mapping[int, FoldedEdge] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.query)

    def actions_of(self, row: int) -> dict[str, int]:
        """Return how many facts of each action an edge has, by label, in ascending
        order of action.
        """
        counts = self.actions[row].tolist()
        return {action.label: counts[action] for action in Action if counts[action]}

    def digest(self) -> Digest:
        """Return the fingerprint of the facts that make them, folded ones included."""
        return sum((edge.digest for edge in self.folded.values()), self.facts.digest())

    def weights(
        self, at_ms: int, half_life_ms: int, weight_of_action: Mapping[int, float]
    ) -> NDArray[np.float64]:
        """Return the decayed weight of each edge, ``float64 [num_edges]``.

        The sum of ``action_weight * 2^(-(at_ms - t) / half_life)`` over its facts:
        forward decay (Cormode et al., ICDE 2009) with the landmark at `at_ms`. Facts
        after `at_ms` weigh more than one; what is too large for a float is the largest
        float.
        """
        if not len(self):
            return np.empty(0, dtype=np.float64)
        factor = np.array([weight_of_action.get(action, 0.0) for action in range(NUM_ACTIONS + 1)])
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            decayed = np.exp2((self.facts.ts_ms - at_ms) / half_life_ms)
            parts = np.minimum(decayed, _MAX_FLOAT64) * factor[self.facts.action]
            if not self.folded:
                return np.minimum(np.add.reduceat(parts, self.first_fact), _MAX_FLOAT64)
            weights = _sums(parts, self.first_fact)
            for row, edge in self.folded.items():
                weights[row] += edge.weight(at_ms, half_life_ms, weight_of_action)
            return np.minimum(weights, _MAX_FLOAT64)


def edges_of(facts: FactColumns) -> EdgeColumns:
    """Return the edges that facts make; facts that make none are left out.

    A fact may be there several times, with several times: the earliest counts.

    Raises:
        ValueError: a fact has an action that is none: its entry is damaged.
    """
    facts = distinct_facts(facts.take(facts.makes_edge))
    if len(facts) and int(facts.action.max()) > NUM_ACTIONS:
        raise ValueError(f"a fact has the action {facts.action.max()}, which is none")
    firsts = np.flatnonzero(run_starts(facts.query, facts.item))
    if not len(firsts):
        none = np.empty(0, dtype=np.int64)
        actions = np.empty((0, NUM_ACTIONS + 1), dtype=np.int64)
        return EdgeColumns(facts.query, facts.item, none, none, none, actions, facts, none)
    # Facts are by (query, item, session, action), each once: an edge is a run of one
    # (query, item), its sessions are the runs of one session inside it, and its actions
    # are counted in a row of cells, one cell an action.
    new_session = run_starts(facts.query, facts.item, facts.session).astype(np.int64)
    ts_ms, action = facts.ts_ms, facts.action
    edge_of_fact = np.cumsum(run_starts(facts.query, facts.item)) - 1
    cells = np.bincount(
        edge_of_fact * (NUM_ACTIONS + 1) + action, minlength=len(firsts) * (NUM_ACTIONS + 1)
    ).astype(np.int64)
    return EdgeColumns(
        query=facts.query[firsts],
        item=facts.item[firsts],
        sessions=np.add.reduceat(new_session, firsts),
        first_ms=np.minimum.reduceat(ts_ms, firsts),
        last_ms=np.maximum.reduceat(ts_ms, firsts),
        actions=cells.reshape(-1, NUM_ACTIONS + 1),
        facts=facts,
        first_fact=firsts,
    )


def with_folded(edges: EdgeColumns, folded: FoldedEdges) -> EdgeColumns:
    """Return edges with what is folded added, to those there are or as edges of no
    facts that are held.
    """
    if not folded:
        return edges
    pairs = list(zip(edges.query.tolist(), edges.item.tolist(), strict=True))
    places = {pair: place for place, pair in enumerate(pairs)}
    rows = sorted(places.keys() | folded.keys())
    place = np.array([places.get(pair, -1) for pair in rows], dtype=np.int64)
    columns = _spread(edges, place, rows)
    by_row = {row: folded[pair] for row, pair in enumerate(rows) if pair in folded}
    for row, edge in by_row.items():
        columns.sessions[row] += edge.sessions
        columns.first_ms[row] = min(columns.first_ms[row], edge.first_ms)
        columns.last_ms[row] = max(columns.last_ms[row], edge.last_ms)
        for action, of_action in edge.actions.items():
            columns.actions[row, action] += of_action.num_facts
    return replace(columns, folded=by_row)


def distinct_facts(facts: FactColumns) -> FactColumns:
    """Return each fact once, at its earliest time, in ascending order of (query, item,
    session, action).
    """
    action = facts.action
    order = np.lexsort((facts.stamp, action, facts.session, facts.item, facts.query))
    facts, action = facts.take(order), action[order]
    return facts.take(run_starts(facts.query, facts.item, facts.session, action.astype(np.uint64)))


def _spread(edges: EdgeColumns, place: Int64s, pairs: list[tuple[int, int]]) -> EdgeColumns:
    """Return one edge a pair: that at its place, or one of nothing where the place is
    -1.
    """
    is_there, sizes = place >= 0, np.diff(np.append(edges.first_fact, len(edges.facts)))

    def column(values: Int64s, nothing: int) -> Int64s:
        spread = np.full((len(place), *values.shape[1:]), nothing, dtype=np.int64)
        spread[is_there] = values[place[is_there]]
        return spread

    bounds = np.iinfo(np.int64)
    return EdgeColumns(
        query=np.array([query for query, _ in pairs], dtype=np.uint64),
        item=np.array([item for _, item in pairs], dtype=np.uint64),
        sessions=column(edges.sessions, 0),
        first_ms=column(edges.first_ms, bounds.max),
        last_ms=column(edges.last_ms, bounds.min),
        actions=column(edges.actions, 0),
        facts=edges.facts,
        first_fact=np.cumsum(np.append(0, column(sizes, 0)))[:-1],
    )


def _sums(parts: NDArray[np.float64], firsts: Int64s) -> NDArray[np.float64]:
    """Return the sum of each piece of `parts`; a piece may be empty."""
    has_parts = np.diff(np.append(firsts, len(parts))) > 0
    sums = np.zeros(len(firsts), dtype=np.float64)
    if len(parts):
        sums[has_parts] = np.add.reduceat(parts, firsts[has_parts])
    return sums
