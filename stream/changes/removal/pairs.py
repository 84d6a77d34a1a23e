"""Pairs of keys."""

import numpy as np

from stream.dtypes import Bools
from stream.events.columns import Keys
from stream.graph.keysets import contains, distinct


class Pairs:
    """A set of pairs of keys, exactly.

    Each side is numbered first, so that a pair is one number.
    """

    def __init__(self, left: Keys, right: Keys) -> None:
        self._lefts, self._rights = distinct(left), distinct(right)
        self._numbers = np.unique(self._number(left, right))

    def contains(self, left: Keys, right: Keys) -> Bools:
        """Return which pairs are in the set."""
        # A pair can only be numbered where both sides are known: the rows left after
        # each side are the ones whose number is looked up.
        is_in = contains(self._lefts, left)
        rows = np.flatnonzero(is_in)
        rows = rows[contains(self._rights, right[rows])]
        is_in[:] = False
        is_in[rows] = contains(self._numbers, self._number(left[rows], right[rows]))
        return is_in

    def _number(self, left: Keys, right: Keys) -> Keys:
        places = np.searchsorted(self._lefts, left), np.searchsorted(self._rights, right)
        return (places[0] * len(self._rights) + places[1]).astype(np.uint64)
