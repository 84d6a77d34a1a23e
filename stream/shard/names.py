"""Caches which names a shard stores, so that existing names need no read."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Bools
from stream.events import native
from stream.events.columns import Keys, texts_of
from stream.events.native import LearntTexts
from stream.graph.keysets import distinct, indexes_of

# Names of one kind; at 12 bytes 48 MB. Beyond that a name is read to know it.
_MAX_NAMES = 4_000_000
# The newest names are merged into the others once they are one part in so many of
# them. Twice as many: merged twice as often, looked up in a table half as large.
_MERGE_AT = 8

Hashes = NDArray[np.uint32]


def text_hashes(texts: Sequence[str]) -> Hashes:
    """Return a hash of each text, ``uint32 [num_texts]``.

    Another process has others.
    """
    if native.IS_HERE:
        return native.text_checks(texts)
    return np.array(list(map(hash, texts)), dtype=np.int64).astype(np.uint32)


def hashes_of(known: Mapping[int, str], keys: Keys) -> Hashes:
    """Return the `text_hashes` of the texts of some keys, ``uint32 [num_keys]``.

    Args:
        known: some of a `stream.events.columns.Texts`.
        keys: ``uint64 [num_keys]``.
    """
    if isinstance(known, LearntTexts):
        return known.checks_of(keys)
    return text_hashes(texts_of(known, keys))


class NameCache:
    """Keys of stored names of one kind, each with a hash of its text.

    It takes twelve bytes a name. The names that a shard has when it is opened are added
    from `next_key` on, a slice at a time. Once there are more than `max_names`, all are
    dropped, and a name that is not cached is read.

    Of a name that was compared with its text, and whose text was not forgotten since,
    the key alone tells.

    Attributes:
        is_complete: whether a key that is not cached has no name in the shard.
        next_key: the first key whose stored name was not added yet; None: all were.
    """

    def __init__(self, max_names: int = _MAX_NAMES) -> None:
        self.is_complete = False
        self.next_key: int | None = 0
        self._max_names = max_names
        self._main = self._recent = _Table.empty()
        self._generation: object = None
        self._compared = _KeySet.empty()

    def recall(self, keys: Keys, generation: object) -> Bools:
        """Return which keys are known to be stored with their texts of this generation.

        Args:
            keys: ``uint64 [num_keys]``, ascending and distinct.
            generation: `stream.events.columns.Texts.generation` of the texts.
        """
        if generation is not self._generation:
            self._generation, self._compared = generation, _KeySet.empty()
        return self._compared.contains(keys)

    def find(self, keys: Keys, hashes: Hashes) -> tuple[Bools, Bools]:
        """Return which names are stored as they are, and which must be read to tell.

        Args:
            keys: ``uint64 [num_names]``, ascending and distinct.
            hashes: ``uint32 [num_names]``, of their texts.
        """
        has_key = np.zeros(len(keys), dtype=np.bool_)
        is_stored = np.zeros(len(keys), dtype=np.bool_)
        for table in (self._main, self._recent):
            place, is_here = table.find(keys)
            has_key |= is_here
            is_stored[is_here] |= table.hashes[place[is_here]] == hashes[is_here]
        return is_stored, has_key & ~is_stored if self.is_complete else ~is_stored

    def add(self, keys: Keys, hashes: Hashes, is_found: Bools | None = None) -> None:
        """Add names (keys ascending and distinct) that a finished write stored, or that
        were compared with what is stored, of the generation that was last recalled.

        Args:
            keys: ``uint64 [num_names]``.
            hashes: ``uint32 [num_names]``, of their texts.
            is_found: ``bool [num_names]`` which of them were found as they are; None:
                none was.
        """
        self._compared = self._compared.with_keys(keys)
        if is_found is None:
            self._add(keys, hashes)
        else:
            self._add(keys[~is_found], hashes[~is_found])

    def add_slice(self, keys: Keys, hashes: Hashes, next_key: int | None) -> None:
        """Add the stored names from `next_key` on, which moves on.

        None: these were the last.
        """
        self.next_key, self.is_complete = next_key, next_key is None
        self._add(keys, hashes)

    def remove(self, keys: Keys) -> None:
        """No longer know some keys, given in ascending order."""
        self._main, self._recent = self._main.without(keys), self._recent.without(keys)
        self._compared = self._compared.without(keys)

    def _add(self, keys: Keys, hashes: Hashes) -> None:
        if len(self._main.keys) + len(self._recent.keys) + len(keys) > self._max_names:
            self._main = self._recent = _Table.empty()
            self.is_complete, self.next_key = False, None
        self._recent = self._recent.with_names(keys, hashes)
        if len(self._recent.keys) * _MERGE_AT > len(self._main.keys):
            self._main = self._main.with_names(*self._recent)
            self._recent = _Table.empty()


def _united(first: Keys, second: Keys) -> Keys:
    """Return the keys of two columns in ascending order, ascending, each once."""
    if native.IS_HERE:
        return native.united(first, second)[0]
    return distinct(np.concatenate([first, second]))


def _places(ordered: Keys, asked: Keys) -> NDArray[np.int64]:
    """Return where each of some keys is among others, ``int64 [num_asked]``; -1: it is
    not there. Both are in ascending order.
    """
    return native.indexes_of(ordered, asked) if native.IS_HERE else indexes_of(ordered, asked)


class _Table(NamedTuple):
    """Keys in ascending order, each once, with their hashes."""

    keys: Keys
    hashes: Hashes

    @classmethod
    def empty(cls) -> Self:
        return cls(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32))

    def find(self, keys: Keys) -> tuple[NDArray[np.int64], Bools]:
        """Return where each key is, which says nothing of one that is not there, and
        whether it is there.
        """
        place = _places(self.keys, keys)
        return place, place >= 0

    def with_names(self, keys: Keys, hashes: Hashes) -> Self:
        if native.IS_HERE:
            united, places = native.united(self.keys, keys)
            return type(self)(united, np.concatenate([self.hashes, hashes])[places])
        is_new = ~self.find(keys)[1]
        every = np.concatenate([self.keys, keys[is_new]])
        order = np.argsort(every, kind="stable")  # two ascending runs: one pass
        return type(self)(every[order], np.concatenate([self.hashes, hashes[is_new]])[order])

    def without(self, keys: Keys) -> Self:
        is_kept = ~np.isin(self.keys, keys)
        return type(self)(self.keys[is_kept], self.hashes[is_kept])


class _KeySet(NamedTuple):
    """Keys in two ascending runs, so that adding some does not copy all."""

    main: Keys
    recent: Keys

    @classmethod
    def empty(cls) -> Self:
        return cls(np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint64))

    def contains(self, keys: Keys) -> Bools:
        return (_places(self.main, keys) >= 0) | (_places(self.recent, keys) >= 0)

    def with_keys(self, keys: Keys) -> Self:
        recent = _united(self.recent, keys)
        if len(recent) * _MERGE_AT > len(self.main):
            return type(self)(_united(self.main, recent), recent[:0])
        return self._replace(recent=recent)

    def without(self, keys: Keys) -> Self:
        return type(self)(
            self.main[~np.isin(self.main, keys)], self.recent[~np.isin(self.recent, keys)]
        )
