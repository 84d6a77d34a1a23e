"""Pure: the table of a generation's attributes, from the columns of the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.strings import string_table
from model.artifact.attributes.table import AttributeTable
from protos.attributes import members_of, number_of
from stream.dtypes import Int64s
from stream.graph.attributes import AttributeColumns

Int32s = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class _Values:
    """The values of all attributes, numbered as the table has them.

    Attributes:
        texts: of each.
        starts: ``int64 [num_names + 1]``, the first of each attribute.
        lists: for each value, the values that are lists with it in them.
    """

    texts: list[str]
    starts: Int64s
    lists: list[list[int]]


def build_attributes(columns: AttributeColumns, items: Int64s) -> AttributeTable:
    """Return the attributes of some items.

    Args:
        columns: of all items.
        items: ``int64 [num_items]`` ascending, the items that the generation has; what
            no item of these has is left out.
    """
    place = np.searchsorted(items, columns.item)
    place = np.minimum(place, max(0, len(items) - 1))
    is_kept = items[place] == columns.item if len(items) else np.zeros(len(place), dtype=np.bool_)
    item, text = place[is_kept].astype(np.int32), columns.value[is_kept]
    names, name = np.unique(columns.name[is_kept], return_inverse=True)
    bounds = np.searchsorted(name, np.arange(len(names) + 1))
    values, value = _number_values(columns.values, text, bounds)
    order = np.argsort(value, kind="stable")
    counts = np.bincount(value, minlength=len(values.texts))
    return AttributeTable(
        names=string_table([columns.names[each] for each in names.tolist()]),
        values=string_table(values.texts),
        numbers=np.array([number_of(text) for text in values.texts], dtype=np.float64),
        value_starts=values.starts,
        posting_starts=_starts(counts),
        posting_items=item[order],
        column_items=item,
        column_values=value,
        list_starts=_starts(np.array([len(found) for found in values.lists], dtype=np.int64)),
        list_values=np.fromiter(chain.from_iterable(values.lists), dtype=np.int32),
    )


def _number_values(
    texts: Sequence[str], text: Int32s, bounds: Int64s
) -> tuple[_Values, NDArray[np.int32]]:
    """Return the values of all attributes, and the one at each place of a column.

    Args:
        texts: the distinct texts.
        text: ``int32 [n]``, which of them each place has, attribute by attribute.
        bounds: ``int64 [num_names + 1]``, where each attribute begins.
    """
    found = _Values(texts=[], starts=np.zeros(len(bounds), dtype=np.int64), lists=[])
    value = np.empty(len(text), dtype=np.int32)
    for name, (first, last) in enumerate(pairwise(bounds.tolist())):
        distinct, of_place = np.unique(text[first:last], return_inverse=True)
        single = [texts[each] for each in distinct.tolist()]
        members = {each: members_of(each) for each in single}
        ranked = sorted({*single, *chain.from_iterable(members.values())}, key=_rank)
        number = {each: len(found.texts) + row for row, each in enumerate(ranked)}
        value[first:last] = np.array([number[each] for each in single], dtype=np.int32)[of_place]
        lists: dict[str, list[int]] = {each: [] for each in ranked}
        for each in filter(members.__contains__, ranked):
            for member in members[each]:
                lists[member].append(number[each])
        found.texts.extend(ranked)
        found.lists.extend(lists.values())
        found.starts[name + 1] = len(found.texts)
    return found, value


def _rank(text: str) -> tuple[bool, float, str]:
    """Return what the values of an attribute are ordered by."""
    number = number_of(text)
    is_none = bool(np.isnan(number))
    return is_none, 0.0 if is_none else number, text


def _starts(counts: Int64s) -> Int64s:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
