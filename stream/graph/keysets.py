"""Set algebra on 64-bit keys in ascending order, as numpy columns."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Bools, Int64s
from stream.events.columns import Keys

_WORD_BITS = np.uint64(64)


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


def order_by(first: Keys, second: Keys, *others: NDArray[Any]) -> Int64s:
    """Return ``int64 [num_rows]``: the rows in ascending order by columns, of which the
    first counts most; rows that are equal in all stay as they are.

    It is `numpy.lexsort`, for keys that seldom agree in their upper bits: two sorts of
    whole words are several times as fast as one of rows.
    """
    is_ordered = not (first[1:] < first[:-1]).any()
    order = np.arange(len(first)) if is_ordered else np.argsort(first)
    ordered = first[order]
    rank = np.cumsum(run_starts(ordered)).astype(np.uint64)
    bits = np.uint64(int(rank[-1]).bit_length() if len(rank) else 0)
    # The rank of the first key above as many bits as there is room for of the second.
    words = (rank << (_WORD_BITS - bits)) | (second[order] >> bits)
    by_word = np.argsort(words)
    order, words = order[by_word], words[by_word]
    is_next_equal = words[1:] == words[:-1]
    tied = np.flatnonzero(np.append(is_next_equal, False) | np.append(False, is_next_equal))
    if len(tied):
        rows = np.sort(order[tied])
        columns = [column[rows] for column in (first, second, *others)]
        order[tied] = rows[np.lexsort(columns[::-1])]
    return order


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
