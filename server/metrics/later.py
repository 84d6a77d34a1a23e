"""Counting that calls put off, so that it is done for many of them at once.

What a call runs through is in no cache of the processor when it comes: counting it then
costs ten times what it does right after another one was counted.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

# Calls that are counted at once: half a millisecond, in which nothing else runs. Twice
# as many: twice that, and a call's share is as small as it gets.
_CALLS: Final = 32
# What may wait where no call ends: some things of each of so many. Twice as much: twice
# the memory, some 10 kB.
_MOST_WAITING: Final = 8 * _CALLS


class Later(Collector):
    """What is to be counted; any number of threads may share one.

    Whoever reads the metrics finds all of it counted, if they were registered after it.

    Args:
        registry: of the metrics.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._waiting: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._num_calls = 0
        self._lock = Lock()
        registry.register(self)

    def put(self, count: Callable[..., object], *arguments: Any) -> None:
        """Have something counted: `count` is called with the arguments, in whichever
        thread that is. They should be small: they are kept until then.
        """
        self._waiting.append((count, arguments))
        if len(self._waiting) >= _MOST_WAITING:
            self.do()

    def call_ended(self) -> None:
        """Count what waits, if enough calls have ended."""
        self._num_calls += 1  # two threads may lose one, which is counted with the next
        if self._num_calls >= _CALLS:
            self.do()

    def do(self) -> None:
        """Count what waits."""
        with self._lock:
            self._num_calls = 0
            for _ in range(len(self._waiting)):
                count, arguments = self._waiting.popleft()
                try:
                    count(*arguments)
                except Exception:
                    # Whatever is wrong with one, the others must be counted.
                    logger.exception("not_counted")

    def collect(self) -> Iterable[Metric]:
        """Count what waits; it has no metric of its own."""
        self.do()
        return ()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: it has no metric of its own."""
        return ()
