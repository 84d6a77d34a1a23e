"""The table of attributes against itself: numbers in range and in order, and the items
of values the same as the values of items.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.artifact.attributes.table import STRINGS, AttributeTable
from protos.attributes import number_of

# Values whose texts are held against their numbers and order, a microsecond each: all
# of most catalogues, spread over a larger one. Twice as many would find an error in
# single values twice as surely.
_CHECKED_VALUES = 1 << 16


def attributes_fault(table: AttributeTable, num_items: int) -> str:
    """Return what is wrong with a table, beginning with the name of its file; empty:
    nothing.

    Args:
        table: what to check; its strings may be anything.
        num_items: items of the generation.
    """
    for name in STRINGS:
        fault = getattr(table, name).fault(may_be_empty=False)
        if fault:
            return f"{name}.utf8 {fault}"
    fault = _shape_fault(table) or _bounds_fault(table, num_items)
    return fault or _order_fault(table) or _values_fault(table) or _transpose_fault(table)


def _shape_fault(table: AttributeTable) -> str:
    num_values = len(table.values)
    expected = {
        "numbers": num_values,
        "value_starts": len(table.names) + 1,
        "posting_starts": num_values + 1,
        "list_starts": num_values + 1,
    }
    for name, array in table.arrays().items():
        if array.ndim != 1:
            return f"{name}.npy has {array.ndim} axes, not one"
        if name in expected and len(array) != expected[name]:
            return f"{name}.npy has {len(array)} rows, not {expected[name]}"
    for name, length in (
        ("value_starts", num_values),
        ("posting_starts", len(table.posting_items)),
        ("list_starts", len(table.list_values)),
    ):
        starts = getattr(table, name)
        if starts[0] != 0 or starts[-1] != length:
            return f"{name}.npy does not begin and end where it should"
        if not (starts[1:] >= starts[:-1]).all():
            return f"{name}.npy does not ascend"
    for name in ("column_items", "column_values"):
        if len(getattr(table, name)) != len(table.posting_items):
            return f"{name}.npy is not as long as posting_items.npy"
    return ""


def _bounds_fault(table: AttributeTable, num_items: int) -> str:
    num_values = len(table.values)
    for name, limit in (
        ("posting_items", num_items),
        ("column_items", num_items),
        ("column_values", num_values),
        ("list_values", num_values),
    ):
        array = getattr(table, name)
        if len(array) and (array.min() < 0 or array.max() >= limit):
            return f"{name}.npy has a number that is not below {limit}"
    return ""


def _order_fault(table: AttributeTable) -> str:
    posting_starts, value_starts = table.posting_starts, table.value_starts
    if not (value_starts[1:] > value_starts[:-1]).all():
        return "value_starts.npy has an attribute without values"
    for name, starts, column in (
        ("posting_items", posting_starts, table.posting_items),
        ("column_items", posting_starts[value_starts], table.column_items),
        ("list_values", table.list_starts, table.list_values),
    ):
        if not _ascends(column, starts):
            return f"{name}.npy is not in ascending order, each once"
    of_column = np.repeat(np.arange(len(table.names)), np.diff(posting_starts[value_starts]))
    of_list = np.repeat(_name_of(table, np.arange(len(table.values))), np.diff(table.list_starts))
    if not (_name_of(table, table.column_values) == of_column).all():
        return "column_values.npy has a value of another attribute"
    if not (_name_of(table, table.list_values) == of_list).all():
        return "list_values.npy has a value of another attribute"
    return ""


def _values_fault(table: AttributeTable) -> str:
    if any(former >= latter for former, latter in pairwise(table.names)):
        return "names.utf8 is not in ascending order, each once"
    numbers, count = table.numbers, len(table.values)
    name = _name_of(table, np.arange(count))
    former, latter, same = numbers[:-1], numbers[1:], name[1:] == name[:-1]
    in_order = (former <= latter) | np.isnan(latter)
    if not in_order[same].all():
        return "numbers.npy is not in ascending order within an attribute"
    equal = same & ((former == latter) | np.isnan(former))
    taken = min(count, _CHECKED_VALUES)
    for row in (position * count // taken for position in range(taken)):
        text, number = table.values[row], number_of(table.values[row])
        if number != numbers[row] and not (np.isnan(number) and np.isnan(numbers[row])):
            return f"numbers.npy has {numbers[row]} for the value {text!r}"
        if row + 1 < count and equal[row] and not text < table.values[row + 1]:
            return f"values.utf8 is not in ascending order, each once, at {text!r}"
    return ""


def _transpose_fault(table: AttributeTable) -> str:
    counts = np.bincount(table.column_values, minlength=len(table.values))
    order = np.argsort(table.column_values, kind="stable")
    if not (counts == np.diff(table.posting_starts)).all() or not np.array_equal(
        table.column_items[order], table.posting_items
    ):
        return "posting_items.npy does not have the items that column_values.npy has"
    return ""


def _name_of(table: AttributeTable, values: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    return np.searchsorted(table.value_starts, values, side="right") - 1


def _ascends(column: NDArray[np.int32], starts: NDArray[np.int64]) -> bool:
    """Whether each run of a column ascends, without repeats."""
    begins = np.zeros(len(column) + 1, dtype=np.bool_)
    begins[starts] = True
    return bool(((column[1:] > column[:-1]) | begins[1:-1]).all()) if len(column) else True
