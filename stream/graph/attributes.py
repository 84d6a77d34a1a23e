"""Attributes of many items as columns: each name and each value once."""

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from protos.attributes import is_askable

Int32s = NDArray[np.int32]

_NOT_ASKABLE: Final = -1  # no index of a value


@dataclass(frozen=True, kw_only=True)
class AttributeColumns:
    """What filters may ask of items, in ascending order of (name, item).

    An item has a name once at most.

    Attributes:
        names: distinct names, ascending.
        values: distinct values, as they are written.
        name: ``int32 [n]``, index into `names`.
        item: ``int32 [n]``, index of the item.
        value: ``int32 [n]``, index into `values`.
    """

    names: list[str]
    values: list[str]
    name: Int32s
    item: Int32s
    value: Int32s


def attribute_columns(items: Iterable[Mapping[str, str]]) -> AttributeColumns:
    """Return the attributes of items as columns, without values that no filter may ask
    for (`protos.attributes`).

    Args:
        items: the attributes of each.
    """
    names: dict[str, int] = {}
    values: list[str] = []
    known: dict[str, int] = {}
    columns = array("i"), array("i"), array("i")
    of_name, of_item, of_value = columns
    for item, attributes in enumerate(items):
        for name, value in attributes.items():
            number = known.get(value)
            if number is None:
                number = len(values) if is_askable(value) else _NOT_ASKABLE
                known[value] = number
                if number != _NOT_ASKABLE:
                    values.append(value)
            if number != _NOT_ASKABLE and name:
                of_name.append(names.setdefault(name, len(names)))
                of_item.append(item)
                of_value.append(number)
    ranked = sorted(names)
    rank = np.empty(len(ranked), dtype=np.int32)
    rank[[names[name] for name in ranked]] = np.arange(len(ranked), dtype=np.int32)
    by_arrival = [np.array(column, dtype=np.int32) for column in columns]
    by_arrival[0] = rank[by_arrival[0]]
    order = np.argsort(by_arrival[0], kind="stable")
    name_of, item_of, value_of = (column[order] for column in by_arrival)
    return AttributeColumns(names=ranked, values=values, name=name_of, item=item_of, value=value_of)


def no_attributes() -> AttributeColumns:
    """Return the columns of items without attributes."""
    return attribute_columns(())
