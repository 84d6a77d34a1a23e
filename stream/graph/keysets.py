"""Set algebra on 64-bit keys in ascending order, as numpy columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Bools, Int64s
from stream.events.columns import Keys


def indexes_of(ordered: NDArray[Any], asked: NDArray[Any]) -> Int64s:
    """Return ``int64 [num_asked]``: where each value is in `ordered`; -1: not there.

    Args:
        ordered: distinct values, ascending.
        asked: values of the same kind, in any order.
    """
    if not len(ordered):
        return np.full(len(asked), -1, dtype=np.int64)
    # A value behind the last one has no place to compare with: any other will do.
    place = np.minimum(np.searchsorted(ordered, asked), len(ordered) - 1)
    return np.where(ordered[place] == asked, place, -1).astype(np.int64)


def contains(ordered: Keys, keys: Keys) -> Bools:
    """Return ``bool [num_keys]``: which keys are among those in ascending order."""
    is_in: Bools = indexes_of(ordered, keys) >= 0
    return is_in


def run_starts(*columns: NDArray[np.uint64] | Int64s) -> Bools:
    """Return True for each row of sorted columns that differs from
    the row before it.
    """
    starts = np.ones(len(columns[0]), dtype=np.bool_)
    if len(starts) > 1:
        starts[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            starts[1:] |= column[1:] != column[:-1]
    return starts


def distinct(keys: Keys) -> Keys:
    """Return the distinct keys, ascending."""
    ordered = np.sort(keys)
    return ordered[run_starts(ordered)]


def repeated(keys: Keys) -> Keys:
    """Return the keys that are there more than once, ascending."""
    ordered = np.sort(keys)
    return distinct(ordered[1:][ordered[1:] == ordered[:-1]])
