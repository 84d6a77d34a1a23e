"""Which writes a shard still knows the touched nodes of.

The newest ones, within bounds.
"""

from collections import deque
from collections.abc import Iterable

# Writes; at one batch a second 18 hours between two snapshots. Twice as many: twice
# the notes to list at a shard's first write.
MAX_WRITES = 65_536
# Bytes of all notes in a shard; bounds what a busy shop's notes take on disk.
MAX_BYTES = 64 * 1024 * 1024


class DirtyLog:
    """The notes of what writes touched, by sequence and size.

    The newest one always stays.

    Args:
        notes: ``(sequence, bytes)`` of those that are stored, in ascending order.
    """

    def __init__(self, notes: Iterable[tuple[int, int]]) -> None:
        self._notes = deque(notes)
        self._num_bytes = sum(size for _, size in self._notes)

    def surplus(self, num_bytes: int) -> list[int]:
        """Return the sequences of the notes that go once one of so
        many bytes is added.
        """
        gone = []
        num_notes, total = len(self._notes) + 1, self._num_bytes + num_bytes
        for sequence, size in self._notes:
            if num_notes <= MAX_WRITES and total <= MAX_BYTES:
                break
            gone.append(sequence)
            num_notes, total = num_notes - 1, total - size
        return gone

    def add(self, sequence: int, num_bytes: int) -> None:
        """Add a note that was written, and drop those that went with it."""
        for _ in self.surplus(num_bytes):
            self._num_bytes -= self._notes.popleft()[1]
        self._notes.append((sequence, num_bytes))
        self._num_bytes += num_bytes
