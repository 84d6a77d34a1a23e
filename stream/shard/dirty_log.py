"""The dirty keys of a shard's newest writes: which of them are still stored."""

from collections import deque
from collections.abc import Iterable

# Writes; at one batch a second 18 hours between two snapshots. Twice as many: twice
# the entries to list at a shard's first write.
MAX_WRITES = 65_536
# Bytes of all entries in a shard; bounds what a busy shop's entries take on disk.
MAX_BYTES = 64 * 1024 * 1024


class DirtyLog:
    """The stored entries of dirty keys, one a write, by sequence and size.

    The newest one is always kept.

    Args:
        entries: ``(sequence, bytes)`` of those that are stored, in ascending order.
    """

    def __init__(self, entries: Iterable[tuple[int, int]]) -> None:
        self._entries = deque(entries)
        self._num_bytes = sum(size for _, size in self._entries)

    def evicted_by(self, num_bytes: int) -> list[int]:
        """Return the sequences of the entries that one of so many bytes evicts."""
        evicted = []
        num_entries, total = len(self._entries) + 1, self._num_bytes + num_bytes
        for sequence, size in self._entries:
            if num_entries <= MAX_WRITES and total <= MAX_BYTES:
                break
            evicted.append(sequence)
            num_entries, total = num_entries - 1, total - size
        return evicted

    def add(self, sequence: int, num_bytes: int) -> None:
        """Add an entry that was written, and drop those that it evicted."""
        for _ in self.evicted_by(num_bytes):
            self._num_bytes -= self._entries.popleft()[1]
        self._entries.append((sequence, num_bytes))
        self._num_bytes += num_bytes
