"""Compares a graph with the facts that it should be made of: what is lost, what counts
twice.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from stream.actions import Action
from stream.reading.reader import GraphReader

# The definition's bound (docs/formats.md), not imported: the store is under test.
_MAX_HYPEREDGE_ITEMS = 50

Fact = tuple[str, str, str, Action]
Counts = Counter[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class GraphCounts:
    """A graph's counts, by kind.

    Facts of each edge, hyperedge items, all facts, all sessions.
    """

    kinds: Mapping[str, Counts]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What is missing from a graph and what it counts too often, by
    kind of `GraphCounts`.
    """

    lost: Mapping[str, int]
    doubled: Mapping[str, int]

    @property
    def num_lost(self) -> int:
        """Everything missing."""
        return sum(self.lost.values())

    @property
    def num_doubled(self) -> int:
        """Everything counted too often, or not to be there at all."""
        return sum(self.doubled.values())


def compare(found: GraphCounts, expected: GraphCounts) -> Losses:
    """Return the losses of one graph against another."""
    return Losses(
        lost={
            kind: (counts - found.kinds[kind]).total() for kind, counts in expected.kinds.items()
        },
        doubled={
            kind: (found.kinds[kind] - counts).total() for kind, counts in expected.kinds.items()
        },
    )


def counts_of_facts(facts: AbstractSet[Fact]) -> GraphCounts:
    """Count the graph that a set of facts makes, by its definition, without the
    store's code.
    """
    edges: Counts = Counter()
    items: dict[str, set[str]] = defaultdict(set)
    for session, query, item, action in facts:
        items[session].add(item)
        if query and action is not Action.VIEW:
            edges[query, item, action.label] += 1
    hyperedges: Counts = Counter()
    hyperedges.update(
        {(name,): min(len(of), _MAX_HYPEREDGE_ITEMS) for name, of in items.items() if len(of) > 1}
    )
    return _graph_counts(edges, hyperedges, len(facts), len(items))


def counts_of_graph(graph: GraphReader) -> GraphCounts:
    """Count a graph from its dump and its statistics."""
    edges, hyperedges = _dumped(map(json.loads, graph.dump()))
    stats = graph.stats()
    return _graph_counts(edges, hyperedges, stats.facts, stats.sessions)


def _dumped(records: Iterable[dict[str, object]]) -> tuple[Counts, Counts]:
    edges: Counts = Counter()
    hyperedges: Counts = Counter()
    for record in records:
        match record:
            case {"kind": "edge", "query": str(query), "item": str(item), "actions": dict(actions)}:
                edges.update({(query, item, label): count for label, count in actions.items()})
            case {"kind": "hyperedge", "session": str(session), "items": list(items)}:
                hyperedges[session,] += len(items)
            case _:
                raise ValueError(f"the dump has a line of no known form: {record}")
    return edges, hyperedges


def _graph_counts(
    edges: Counts, hyperedges: Counts, num_facts: int, num_sessions: int
) -> GraphCounts:
    kinds: dict[str, Counts] = {
        "facts of edges": edges,
        "hyperedge items": hyperedges,
        "facts": Counter({(): num_facts}),
        "sessions": Counter({(): num_sessions}),
    }
    return GraphCounts(kinds=kinds)
