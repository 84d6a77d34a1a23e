"""What one write changes in a shard: the entries that it puts and deletes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from stream.events.columns import Keys
from stream.feed.changes import ShardChanges
from stream.shard.rocksdb import Puts

_NO_KEYS: Keys = np.empty(0, dtype=np.uint64)


class DirtyKeys(NamedTuple):
    """The nodes that a write touches, for `ShardReader.dirty_since`.

    Attributes:
        sequence: of the write.
        queries: ``uint64 [num_queries]`` query keys, ascending.
        items: ``uint64 [num_items]`` item keys, ascending.
    """

    sequence: int
    queries: Keys = _NO_KEYS
    items: Keys = _NO_KEYS


@dataclass(frozen=True, slots=True)
class ShardWrite:
    """Entries to be put and deleted, all in one write or none.

    Attributes:
        puts: the records that are put.
        deletes: the keys of the records that are deleted, after the puts.
        dirty: what is noted for `ShardReader.dirty_since`; None: nothing.
        changes: what the feed tells of the write; None: nothing.
        reflected_ms: up to when the feed tells all that had arrived, once it is
            written; 0: as far as it did before.
    """

    puts: Puts
    deletes: Sequence[bytes] = ()
    dirty: DirtyKeys | None = None
    changes: ShardChanges | None = None
    reflected_ms: int = 0

    @classmethod
    def of(cls, puts: Mapping[bytes, bytes], deletes: Sequence[bytes] = ()) -> Self:
        """Return the write that puts these entries, given by key."""
        return cls(Puts.of(puts), deletes)

    @classmethod
    def joined(
        cls,
        parts: Iterable[Self],
        dirty: DirtyKeys | None = None,
        changes: ShardChanges | None = None,
    ) -> Self:
        """Return what all parts put and delete as one; what they touch is `dirty`, and
        what the feed tells of it `changes`.
        """
        listed = list(parts)
        deletes = [key for part in listed for key in part.deletes]
        return cls(Puts.joined(part.puts for part in listed), deletes, dirty, changes)

    def __bool__(self) -> bool:
        """Whether anything is put or deleted."""
        return bool(self.deletes) or any(self.puts.sections())
