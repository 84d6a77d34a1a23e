"""What is erased in a shard.

Keys of users, sessions and items, and the erasures that are not finished.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np

from stream.dtypes import Bools
from stream.events.columns import Keys
from stream.graph.keysets import contains
from stream.shard import codec
from stream.shard.codec import ErasureKind, ErasureTombstone

# Where a tombstone's entry has its key, and in its value whether it is finished.
_KEY_PLACE = slice(2, 10)
_FINISHED_PLACE = 1  # bytes from the start, after the version
# Bits more than keys have: with 16 places a key at most one other key in 16 is
# searched for; one more bit halves that and doubles the table.
_SPARE_BITS = 4
# Bits; a table of at most 16 MiB, whatever the number of keys.
_MAX_BITS = 24


class ErasedKeys:
    """Keys that are erased, eight bytes each.

    Attributes:
        pending: erasures that are not finished.
    """

    def __init__(self) -> None:
        self.pending: dict[tuple[ErasureKind, int], ErasureTombstone] = {}
        self._keys = {kind: _KeySet(_NONE) for kind in codec.ERASURE_KINDS}

    @classmethod
    def of_entries(cls, records: Mapping[ErasureKind, Sequence[tuple[bytes, bytes]]]) -> Self:
        """Return what the tombstones of a shard, in order of key, say."""
        erased = cls()
        for kind, tombstones in records.items():
            packed = b"".join(key[_KEY_PLACE] for key, _ in tombstones)
            erased._keys[kind] = _KeySet(np.frombuffer(packed, dtype=">u8").astype(np.uint64))
            unfinished = (pair for pair in tombstones if not pair[1][_FINISHED_PLACE])
            erased._note_pending(codec.unpack_tombstone(key, value) for key, value in unfinished)
        return erased

    @property
    def is_empty(self) -> bool:
        """Whether nothing is erased."""
        return not any(len(known.keys) for known in self._keys.values())

    def contains(self, kind: ErasureKind, keys: Keys) -> Bools:
        """Return which keys are erased."""
        return self._keys[kind].contains(keys)

    def add(self, tombstones: Iterable[ErasureTombstone]) -> None:
        """Record tombstones that were written."""
        tombstones = list(tombstones)
        self._note_pending(tombstones)
        for kind in codec.ERASURE_KINDS:
            keys = np.array(
                [tombstone.key for tombstone in tombstones if tombstone.kind == kind],
                dtype=np.uint64,
            )
            if len(keys):
                self._keys[kind] = _KeySet(np.union1d(self._keys[kind].keys, keys))

    def remove(self, kind: ErasureKind, keys: Keys) -> None:
        """Record tombstones that were removed."""
        self._keys[kind] = _KeySet(np.setdiff1d(self._keys[kind].keys, keys))

    def _note_pending(self, tombstones: Iterable[ErasureTombstone]) -> None:
        for tombstone in tombstones:
            if tombstone.is_finished:
                self.pending.pop((tombstone.kind, tombstone.key), None)
            else:
                self.pending[tombstone.kind, tombstone.key] = tombstone


class _KeySet:
    """A set of keys. Most keys that it is asked for are not in it.

    Their first bits tell.

    Attributes:
        keys: ``uint64 [num_keys]`` ascending.
    """

    def __init__(self, keys: Keys) -> None:
        self.keys = keys
        num_bits = min(max(len(keys).bit_length() + _SPARE_BITS, _SPARE_BITS), _MAX_BITS)
        self._shift = np.uint64(64 - num_bits)
        self._has_prefix = np.zeros(1 << num_bits if len(keys) else 0, dtype=np.bool_)
        self._has_prefix[keys >> self._shift] = True

    def contains(self, keys: Keys) -> Bools:
        """Return which keys are in the set."""
        if not len(self.keys):
            return np.zeros(len(keys), dtype=np.bool_)
        is_in: Bools = self._has_prefix[keys >> self._shift]
        rows = np.flatnonzero(is_in)
        is_in[rows] = contains(self.keys, keys[rows])
        return is_in


_NONE = np.empty(0, dtype=np.uint64)
