"""Counts what is asked, in bounded memory: space-saving (Metwally et al., ICDT 2005)
over the last minutes.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

# Seconds that one summary counts before the next begins; counts reach back one to two
# of them. A hub's neighbours are recomputed within seconds to minutes: twice as long,
# and what was asked an hour of a sale ago still comes first.
_SUMMARY_SECONDS = 150.0
# Queries that are counted at once: one at a time, each finds nothing of this in a cache
# of the processor. Twice as many cost as much each.
_AT_ONCE = 32


class Summary:
    """The most frequent of a stream of texts; each count is at most too high, by the
    smallest of all.

    Args:
        capacity: most texts that are counted at a time.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: dict[str, int] = {}
        self._by_count: dict[int, dict[str, None]] = {}
        self._least = 0

    def add(self, text: str) -> None:
        """Count a text once, in place of one of the rarest where there is no room."""
        count = self._counts.get(text)
        if count is None:
            count = 0
            if len(self._counts) >= self._capacity:
                count = self._least
                rarest = next(iter(self._by_count[count]))
                del self._counts[rarest]
                self._remove(rarest, count)
        else:
            self._remove(text, count)
        self._counts[text] = count + 1
        self._by_count.setdefault(count + 1, {})[text] = None
        # The least count rises by one at a time: a text of it is counted once more.
        self._least = min(self._least, count + 1) if self._least in self._by_count else count + 1

    def counts(self) -> dict[str, int]:
        """Return the count of each text that is counted."""
        return dict(self._counts)

    def _remove(self, text: str, count: int) -> None:
        texts = self._by_count[count]
        del texts[text]
        if not texts:
            del self._by_count[count]


class AskedQueries:
    """What was asked most in the last minutes; any number of threads may share one.

    Args:
        capacity: most queries that are counted at a time.
        monotonic: seconds on a clock that never goes back.
    """

    window_seconds = 2 * _SUMMARY_SECONDS
    """How long counts reach back at most."""

    def __init__(self, capacity: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._monotonic = monotonic
        self._lock = Lock()
        self._new: deque[tuple[float, str]] = deque()
        self._now = Summary(capacity)
        self._before = Summary(capacity)
        self._began = monotonic()

    def add(self, query: str) -> None:
        """Count a query that was asked."""
        self._new.append((self._monotonic(), query))
        if len(self._new) >= _AT_ONCE:
            with self._lock:
                self._take()

    def most(self, limit: int | None = None) -> list[tuple[str, int]]:
        """Return queries with their counts, most asked first.

        Args:
            limit: at most so many; None: all that are counted.
        """
        with self._lock:
            self._take()
            self._turn(self._monotonic())
            counts, before = self._now.counts(), self._before.counts()
        for query, count in before.items():
            counts[query] = counts.get(query, 0) + count
        return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]

    def _take(self) -> None:
        """Count what was asked and is not counted yet, each as of its time."""
        for _ in range(len(self._new)):
            at, query = self._new.popleft()
            self._turn(at)
            self._now.add(query)

    def _turn(self, at: float) -> None:
        """Begin a new summary where the last is full of time."""
        passed = at - self._began
        if passed < _SUMMARY_SECONDS:
            return
        self._before = self._now if passed < 2 * _SUMMARY_SECONDS else Summary(self._capacity)
        self._now = Summary(self._capacity)
        self._began += passed


class AskedEverywhere:
    """What this server and those that share its address were asked most.

    Args:
        own: what this one was.
        most: returns what all were, as `AskedQueries.most`.
    """

    window_seconds = AskedQueries.window_seconds
    """As of each of them."""

    def __init__(
        self, own: AskedQueries, most: Callable[[int | None], list[tuple[str, int]]]
    ) -> None:
        self.add = own.add
        self.most = most
