"""Pure: few of a kind among ranked items."""

from dataclasses import dataclass, field

import numpy as np

from model.artifact.attributes.table import AttributeTable
from server.filters.accepted import Indexes
from server.overlay.attributes import OverlayColumn
from stream.dtypes import Bools, Int64s


@dataclass(frozen=True)
class Groups:
    """Says which group an item is in: the value that it has of one attribute.

    Args:
        table: the generation's attributes.
        name: number of the attribute in it; None: it does not have it.
        column: the overlay's.
        max_hits: most items of a group, at least 1.
    """

    table: AttributeTable
    name: int | None
    column: OverlayColumn
    max_hits: int
    _of_text: dict[int, int] = field(default_factory=dict, init=False)

    def of(self, items: Indexes, rows: Int64s) -> Int64s:
        """Return ``int64 [len(items) + len(rows)]``, the groups of items of the
        generation, then of rows of the overlay; -1: an item is in none.
        """
        of_items = (
            np.full(len(items), -1, dtype=np.int64)
            if self.name is None
            else self.table.of_items(self.name, items)
        )
        values = self.column.values[rows]
        distinct, of_row = np.unique(values, return_inverse=True)
        groups = np.array([self._of_value(value) for value in distinct.tolist()], dtype=np.int64)
        return np.concatenate([of_items, groups[of_row]])

    def _of_value(self, value: int) -> int:
        """Return the group of a value of the overlay: the generation's, where it has
        the value.
        """
        if value < 0:
            return -1
        if value not in self._of_text:
            known = None
            if self.name is not None:
                known = self.table.find(self.name, self.column.texts[value])
            own = len(self.table.values) + value
            self._of_text[value] = own if known is None else known
        return self._of_text[value]

    def most(self, groups: Int64s) -> int:
        """Return how many of some items can be in one answer.

        Args:
            groups: ``int64 [n]``, the group of each.
        """
        grouped = groups[groups >= 0]
        _, sizes = np.unique(grouped, return_counts=True)
        return len(groups) - len(grouped) + int(np.minimum(sizes, self.max_hits).sum())

    def first_of_each(self, groups: Int64s) -> Bools:
        """Return ``bool [n]``, which of ranked items are among the first of their
        group, or in none.

        Args:
            groups: ``int64 [n]``, the group of each, best first.
        """
        order = np.argsort(groups, kind="stable")
        ordered = groups[order]
        is_first = np.ones(len(ordered), dtype=np.bool_)
        is_first[1:] = ordered[1:] != ordered[:-1]
        starts = np.maximum.accumulate(np.where(is_first, np.arange(len(ordered)), 0))
        rank = np.empty(len(groups), dtype=np.int64)
        rank[order] = np.arange(len(ordered)) - starts
        found: Bools = (groups < 0) | (rank < self.max_hits)
        return found
