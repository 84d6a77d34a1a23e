"""Which values of an attribute a test accepts, in a generation and in an overlay."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.attributes.table import AttributeTable
from server.filters.conditions import AnyOf, NumberRange, Present, Test
from server.overlay.attributes import OverlayColumn
from stream.dtypes import Bools, Int64s

Int32s = NDArray[np.int32]
Indexes = NDArray[np.integer[Any]]

_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """Values of one attribute of a generation.

    Attributes:
        table: the generation's.
        name: number of the attribute.
        first: the values from this one
        last: to the one before this are accepted, and
        others: these, ``int64``, ascending; none of them is among the former.
    """

    table: AttributeTable
    name: int
    first: int
    last: int
    others: Int64s

    def num_items(self) -> int:
        """Return how many items have one of the values."""
        starts = self.table.posting_starts
        others = (starts[self.others + 1] - starts[self.others]).sum()
        return int(starts[self.last] - starts[self.first] + others)

    def items(self) -> Int32s:
        """Return the items that have one of the values, ``int32``, ascending: for one
        value as they are stored, not copied.
        """
        starts, posting_items = self.table.posting_starts, self.table.posting_items
        others = ((value, value + 1) for value in self.others.tolist())
        spans = [
            (first, last)
            for first, last in ((self.first, self.last), *others)
            if starts[last] > starts[first]
        ]
        slices = [posting_items[starts[first] : starts[last]] for first, last in spans]
        if len(spans) == 1 and spans[0][1] - spans[0][0] == 1:
            return slices[0]
        found: Int32s = np.concatenate([posting_items[:0], *slices])
        found.sort()
        return found

    def holds_for(self, items: Indexes) -> Bools:
        """Return ``bool [n]``, which of some items have one of the values."""
        values = self.table.of_items(self.name, items)
        found: Bools = (values >= self.first) & (values < self.last)
        if len(self.others):
            found |= contains(self.others, values)
        return found


def accepted_of_generation(table: AttributeTable, name: int, test: Test) -> Accepted:
    """Return the values of an attribute that a test accepts.

    Args:
        table: the generation's.
        name: number of the attribute.
        test: the test.
    """
    first, last = table.values_of(name)
    match test:
        case Present():
            return Accepted(table=table, name=name, first=first, last=last, others=_NOTHING)
        case AnyOf(values):
            found = [table.find(name, value) for value in values]
            known = [value for value in found if value is not None]
            lists = [_lists(table, value, value + 1) for value in known]
            others = np.unique(np.concatenate([np.array(known, dtype=np.int64), *lists]))
            return Accepted(table=table, name=name, first=first, last=first, others=others)
        case NumberRange():
            numbers = table.numbers[first : table.numeric_end(name)]
            low = first + _place(numbers, test.low, is_behind=not test.has_low)
            high = first + _place(numbers, test.high, is_behind=test.has_high)
            others = np.unique(_lists(table, low, high))
            return Accepted(table=table, name=name, first=low, last=high, others=others)


def _place(numbers: NDArray[np.float64], bound: float, *, is_behind: bool) -> int:
    return int(np.searchsorted(numbers, bound, side="right" if is_behind else "left"))


def _lists(table: AttributeTable, first: int, last: int) -> Int64s:
    """Return the lists with a value from `first` to the one before `last` in them."""
    found = table.list_values[table.list_starts[first] : table.list_starts[last]]
    return found.astype(np.int64)


def rows_of_overlay(column: OverlayColumn, test: Test) -> Bools:
    """Return ``bool [num_rows]``, for which rows of an overlay a test holds."""
    match test:
        case Present():
            return column.values >= 0
        case AnyOf(values):
            owners: list[int] = []
            for value in values:
                owners.extend(column.owners.get(value, ()))
            return column.rows_with(owners)
        case NumberRange():
            numbers = column.numbers
            above = numbers >= test.low if test.has_low else numbers > test.low
            below = numbers <= test.high if test.has_high else numbers < test.high
            return column.rows_with(column.number_owners[above & below])


def contains(ascending: Indexes, values: Indexes) -> Bools:
    """Return ``bool [n]``, which of some values are among others."""
    if not len(ascending):
        return np.zeros(len(values), dtype=np.bool_)
    # Of one type, or the many that are searched are converted each time.
    values = values.astype(ascending.dtype, copy=False)
    places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: Bools = ascending[places] == values
    return found


def without(ascending: Indexes, removed: Indexes) -> Indexes:
    """Return ascending values without some; what is not among them does not matter."""
    if not len(ascending) or not len(removed):
        return ascending
    removed = removed.astype(ascending.dtype, copy=False)
    places = np.minimum(np.searchsorted(ascending, removed), len(ascending) - 1)
    is_kept = np.ones(len(ascending), dtype=np.bool_)
    is_kept[places[ascending[places] == removed]] = False
    return ascending[is_kept]
