"""Generations that are live no longer, until their last reader has left."""

from threading import Lock
from weakref import ReferenceType, ref

from server.live import LiveGeneration


class RetiredGenerations:
    """Gives the memory of generations back in the thread that asks for it, once nobody
    answers from them.

    Giving it back takes .15 ms a megabyte, and the last reader of a generation is a
    call: of a million items it would take 60 ms longer.

    Any number of threads may share one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._retired: list[tuple[ReferenceType[LiveGeneration], tuple[object, ...]]] = []

    def __len__(self) -> int:
        return len(self._retired)

    def add(self, live: LiveGeneration) -> None:
        """Take a generation that no further call will be answered from.

        Its readers hold `live`, which is small; what is large is held here, too.
        """
        large = live.generation, live.index, live.encoder, live.hits
        with self._lock:
            self._retired.append((ref(live), large))

    def let_go(self) -> None:
        """Give back the memory of those that nobody reads any more."""
        with self._lock:
            left = [each for each in self._retired if each[0]() is None]
            self._retired = [each for each in self._retired if each[0]() is not None]
        left.clear()  # outside the lock, which a swap may wait for
