"""Turns a share of a log's search clicks into views: the query is hidden, the session
kept.
"""

from dataclasses import dataclass

import numpy as np

from stream.actions import Action
from stream.dtypes import Bools
from stream.events.columns import NO_KEY
from stream.graph.facts import FactColumns, merge_facts, stamps

# Bits of a hash that make a number from 0 to 1: those of a float64's fraction. Layout,
# not tunable.
_FRACTION_BITS = 53


@dataclass(frozen=True, kw_only=True)
class HiddenQueries:
    """Which search clicks lose their query, and what becomes of them.

    The graph that is left is that of a shop where so many of the product views come out
    of no search. What a session did with an item for a query loses it together. Which
    these are follows from session, query, item and seed alone: not from what else there
    is, so that a longer past hides what a shorter one does.

    Attributes:
        share: of the session, query and item triples, from 0 up to 1.
        seed: another one hides others.
    """

    share: float
    seed: int = 0

    def __call__(self, facts: FactColumns) -> FactColumns:
        """Return the facts with a share of them as views: same session, same item, at
        the earliest time.

        Args:
            facts: in any order.

        Returns: In ascending order of (session, query, item, action), each once.
        """
        hides = self.hides(facts)
        views = np.full(len(facts), int(Action.VIEW), dtype=np.uint8)
        changed = FactColumns(
            facts.session,
            np.where(hides, NO_KEY, facts.query),
            facts.item,
            np.where(hides, stamps(facts.ts_ms, views), facts.stamp),
        )
        return merge_facts(FactColumns.empty(), changed).facts

    def hides(self, facts: FactColumns) -> Bools:
        """Return ``bool [num_facts]``: which facts lose their query."""
        seeds = np.full(len(facts), self.seed, dtype=np.uint64)
        hashed, _ = FactColumns(facts.session, facts.query, facts.item, seeds).lanes()
        drawn = (hashed >> np.uint64(64 - _FRACTION_BITS)) / float(1 << _FRACTION_BITS)
        hides: Bools = (facts.query != NO_KEY) & (drawn < self.share)
        return hides
