"""Pairs of whole numbers, found by the first, that grow by the thousand."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Int64s

# Values that a column has room for at first: 8 KB. Twice as many: twice that.
_FIRST_ROOM = 1024


class Found(NamedTuple):
    """Pairs that were asked for.

    Attributes:
        place: ``int64 [n]``, which of the asked keys each is of.
        value: ``int64 [n]``.
    """

    place: Int64s
    value: Int64s


@dataclass(frozen=True)
class _Run:
    """Pairs in ascending order of key."""

    key: Int64s
    value: Int64s


class GrowingColumn:
    """A column that grows at its end, in twice the room when there is none left.

    Args:
        dtype: of its values.

    Attributes:
        values: ``[n]``, what it has; read it anew after growing.
    """

    def __init__(self, dtype: type) -> None:
        self._room: NDArray[Any] = np.zeros(_FIRST_ROOM, dtype=dtype)
        self.values: NDArray[Any] = self._room[:0]

    def extend(self, values: NDArray[Any]) -> None:
        """Add values at its end."""
        count = len(self.values)
        wanted = count + len(values)
        if wanted > len(self._room):
            room = np.zeros(max(wanted, 2 * len(self._room)), dtype=self._room.dtype)
            room[:count] = self.values
            self._room = room
        self._room[count:wanted] = values
        self.values = self._room[:wanted]


class MultiMap:
    """Values by key, of which a key may have many.

    Sorted runs, the longest first, each more than twice as long as the next: adding
    merges as few as keep it so, and a look goes through as many as the logarithm of all
    pairs.
    """

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, key: Int64s, value: Int64s) -> None:
        """Add pairs, ``int64 [n]`` each."""
        if not len(key):
            return
        runs = [_Run(key, value)]
        while self._runs and len(self._runs[-1].key) <= 2 * sum(len(run.key) for run in runs):
            runs.append(self._runs.pop())
        # Older pairs first, and stay so: values of a key are in the order of adding.
        key = np.concatenate([run.key for run in reversed(runs)])
        value = np.concatenate([run.value for run in reversed(runs)])
        order = np.argsort(key, kind="stable")
        self._runs.append(_Run(key[order], value[order]))

    def find(self, asked: Int64s) -> Found:
        """Return all pairs of some keys."""
        places, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for run in self._runs:
            first = np.searchsorted(run.key, asked, side="left")
            count = np.searchsorted(run.key, asked, side="right") - first
            places.append(np.repeat(np.arange(len(asked)), count))
            values.append(run.value[spans(first, count)])
        return Found(np.concatenate(places), np.concatenate(values))


class NewestValues:
    """The newest values of each key, so many of each, by small whole numbers as keys.

    A ring a key: adding costs what is added, and a look at most so many a key, however
    many there ever were.

    Args:
        most: values that are kept of a key. 4 bytes each, of every key up to the
            largest.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rings = np.zeros((0, most), dtype=np.int32)
        self._added = np.zeros(0, dtype=np.int64)

    def add(self, key: Int64s, value: Int64s) -> None:
        """Add pairs, ``int64 [n]`` each; of one key, later ones are newer."""
        if not len(key):
            return
        self._make_room(int(key.max()) + 1)
        order = np.argsort(key, kind="stable")
        key, value = key[order], value[order]
        keys, first, count = np.unique(key, return_index=True, return_counts=True)
        rank = np.arange(len(key)) - np.repeat(first, count)
        # Of more than a ring has room for, the last are written.
        kept = np.repeat(count, count) - rank <= self._most
        key, rank = key[kept], rank[kept]
        self._rings[key, (self._added[key] + rank) % self._most] = value[kept]
        self._added[keys] += count

    def find(self, asked: Int64s) -> Found:
        """Return the newest pairs of some keys."""
        known = np.flatnonzero(asked < len(self._added))
        kept = np.minimum(self._added[asked[known]], self._most)
        is_kept = np.arange(self._most) < kept[:, None]
        values = self._rings[asked[known]][is_kept].astype(np.int64)
        return Found(np.repeat(known, kept), values)

    def _make_room(self, wanted: int) -> None:
        if wanted <= len(self._added):
            return
        room = max(wanted, 2 * len(self._added))
        rings, added = np.zeros((room, self._most), np.int32), np.zeros(room, np.int64)
        rings[: len(self._added)], added[: len(self._added)] = self._rings, self._added
        self._rings, self._added = rings, added


def spans(first: Int64s, count: Int64s) -> Int64s:
    """Return ``int64 [sum of count]``: from each first number as many as its count, one
    span after the other.
    """
    total = int(count.sum())
    return np.repeat(first - (np.cumsum(count) - count), count) + np.arange(total)
