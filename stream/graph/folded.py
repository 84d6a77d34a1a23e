"""Pure: what is kept of an edge's facts once they are folded.

Exact sums, whatever the order of adding.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

from stream.graph.decay import Decayed, add, weight_at
from stream.graph.facts import Digest


class FoldedFacts(NamedTuple):
    """The folded facts of one action: how many, and their exact decayed sum."""

    num_facts: int
    total: Decayed

    def plus(self, other: "FoldedFacts") -> "FoldedFacts":
        """Return both together."""
        return FoldedFacts(self.num_facts + other.num_facts, add(self.total, other.total))


class FoldedEdge(NamedTuple):
    """What is kept of the folded facts of one (query, item).

    Attributes:
        sessions: distinct sessions; a session is folded whole, so no other part of it
            counts again.
        first_ms: time of the first fact.
        last_ms: time of the last fact.
        actions: by `stream.events.types.Action`.
        digest: the fingerprint of the facts.
    """

    sessions: int
    first_ms: int
    last_ms: int
    actions: Mapping[int, FoldedFacts]
    digest: Digest

    def plus(self, other: Self) -> Self:
        """Return both together; they have no session in common."""
        actions = dict(self.actions)
        for action, folded in other.actions.items():
            actions[action] = actions[action].plus(folded) if action in actions else folded
        return type(self)(
            self.sessions + other.sessions,
            min(self.first_ms, other.first_ms),
            max(self.last_ms, other.last_ms),
            actions,
            self.digest + other.digest,
        )

    def weight(self, at_ms: int, half_life_ms: int, weight_of_action: Mapping[int, float]) -> float:
        """Return what the folded facts weigh at `at_ms`."""
        return sum(
            weight_of_action.get(action, 0.0) * weight_at(folded.total, at_ms, half_life_ms)
            for action, folded in self.actions.items()
        )


FoldedEdges = Mapping[tuple[int, int], FoldedEdge]
"""Folded edges by (query key, item key)."""


def add_folded(parts: "list[FoldedEdges]") -> dict[tuple[int, int], FoldedEdge]:
    """Return the edges of all parts, added up."""
    edges: dict[tuple[int, int], FoldedEdge] = {}
    for part in parts:
        for pair, edge in part.items():
            edges[pair] = edges[pair].plus(edge) if pair in edges else edge
    return edges
