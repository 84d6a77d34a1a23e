"""The attributes of a generation's items: which items have a value, which value an item
has.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.strings import StringTable
from protos.attributes import number_of
from stream.dtypes import Float64s, Int64s

Int32s = NDArray[np.int32]

ATTRIBUTES_PREFIX: Final = "attributes."
"""Of the names of the files."""

STRINGS: Final = ("names", "values")
"""The stored string tables."""

ARRAY_TYPES: Final[Mapping[str, type[np.generic]]] = MappingProxyType(
    {
        "numbers": np.float64,
        "value_starts": np.int64,
        "posting_starts": np.int64,
        "posting_items": np.int32,
        "column_items": np.int32,
        "column_values": np.int32,
        "list_starts": np.int64,
        "list_values": np.int32,
    }
)
"""The stored arrays and their types."""


@dataclass(frozen=True, kw_only=True)
class AttributeTable:
    """Attributes by dense item index; an item has one value of an attribute at most.

    Values are numbered through all attributes. Within one, numbers come first,
    ascending; what is equal or no number is in ascending order of its text. A value
    such as ``red, blue`` is a list; its members are values, too, whether an item has
    them alone or not.

    Attributes:
        names: the attributes, ascending.
        values: texts of the values, attribute by attribute.
        numbers: ``float64 [num_values]``, each value as a number; NaN: it is none.
        value_starts: ``int64 [num_names + 1]``, the first value of each attribute.
        posting_starts: ``int64 [num_values + 1]``, where the items of each value begin.
        posting_items: ``int32 [num_postings]``, the items that have each value,
            ascending in each.
        column_items: ``int32 [num_postings]``, the items that have each attribute,
            ascending in each. An attribute's begin where the items of its first value
            do.
        column_values: ``int32 [num_postings]``, the values that these items have.
        list_starts: ``int64 [num_values + 1]``, where the lists with each value begin.
        list_values: ``int32 [n]``, the values that are lists with each value in them,
            ascending in each.
    """

    names: StringTable
    values: StringTable
    numbers: Float64s
    value_starts: Int64s
    posting_starts: Int64s
    posting_items: Int32s
    column_items: Int32s
    column_values: Int32s
    list_starts: Int64s
    list_values: Int32s

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the stored arrays by name."""
        return {name: getattr(self, name) for name in ARRAY_TYPES}

    @cached_property
    def number_of_name(self) -> Mapping[str, int]:
        """The number of each attribute, by name."""
        return MappingProxyType({name: number for number, name in enumerate(self.names)})

    def values_of(self, name: int) -> tuple[int, int]:
        """Return the first value of an attribute, and the one behind its last."""
        return int(self.value_starts[name]), int(self.value_starts[name + 1])

    def numeric_end(self, name: int) -> int:
        """Return the value behind the last of an attribute that is a number."""
        first, last = self.values_of(name)
        return first + int(np.searchsorted(self.numbers[first:last], np.nan))

    def find(self, name: int, text: str) -> int | None:
        """Return the value of an attribute that has this text; None: there is none."""
        first, last = self.values_of(name)
        split, number = self.numeric_end(name), number_of(text)
        if np.isnan(number):
            first = split
        else:
            numbers = self.numbers[first:split]
            last = first + int(np.searchsorted(numbers, number, side="right"))
            first += int(np.searchsorted(numbers, number, side="left"))
        place = bisect_left(self.values, text, first, last)
        return place if place < last and self.values[place] == text else None

    def column(self, name: int) -> tuple[Int32s, Int32s]:
        """Return the items that have an attribute, ascending, and the value of each,
        ``int32`` both.
        """
        first, last = self.posting_starts[self.value_starts[name : name + 2]].tolist()
        return self.column_items[first:last], self.column_values[first:last]

    def of_items(self, name: int, items: NDArray[np.integer[Any]]) -> Int64s:
        """Return ``int64 [n]``, the value that each item has of an attribute; -1: it
        has none.

        Args:
            name: which attribute.
            items: ``[n]`` dense indexes; -1 is no item.
        """
        having, values = self.column(name)
        found = np.full(len(items), -1, dtype=np.int64)
        if not len(having):
            return found
        if having[0] == 0 and having[-1] == len(having) - 1:  # every item up to the last has it
            known = (items >= 0) & (items < len(having))
            found[known] = values[items[known]]
            return found
        places = np.minimum(np.searchsorted(having, items), len(having) - 1)
        known = having[places] == items
        found[known] = values[places[known]]
        return found

    def attributes_of(self, item: int) -> dict[str, str]:
        """Return what filters may ask of an item, by name, ascending."""
        found: dict[str, str] = {}
        for number, name in enumerate(self.names):
            value = int(self.of_items(number, np.array([item]))[0])
            if value >= 0:
                found[name] = self.values[value]
        return found
