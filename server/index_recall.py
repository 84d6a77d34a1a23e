"""How much of what it should find the index finds of real queries, off the path of
requests.
"""

import logging
import math
import time
from collections import deque
from threading import Event, Thread

import numpy as np

from server.live import LiveGeneration
from server.metrics.index import IndexMetrics
from server.settings import ServerSettings
from stream.dtypes import Float32s, Int64s

logger = logging.getLogger(__name__)

# Items that a query should find: a first page of results, as the recall of a
# generation is measured (`model.publishing.index.recall`).
_K = 10
# Items whose cosines differ by less may stand in for each other: ten float32 steps
# near 1. Twice as much could hide a miss among near duplicates.
_EQUAL_SCORES = 1e-6
# Items of a block of the scan: 1 MB at 128 dimensions. Python runs nothing else while
# a block is gathered, some .2 ms; twice as many hold up requests for twice that.
_BLOCK_ITEMS = 2048
# Queries that the recall is a mean of: 2,000 places, within .003 at .98. Twice as many
# tell of a change in twice the time.
_WINDOW = 200
# Queries before it is told at all: within .01. Twice as many are told of after twice
# as long.
_LEAST_QUERIES = 20
# Seconds from one query to the next, however small the index: an hour sees 3,600 of
# them. Twice as long: half of that.
_LEAST_PAUSE_SECONDS = 1.0


class RecallSampler:
    """Asks some of the real queries again, of the index and of an exact scan.

    One at a time, in a thread of its own that spends at most `server.recall_cpu_share`
    of a core; queries that come meanwhile are not looked at.

    Args:
        settings: the server's settings.
        metrics: where the recall is told.
    """

    def __init__(self, settings: ServerSettings, metrics: IndexMetrics) -> None:
        self._share = settings.recall_cpu_share
        self._grace_seconds = settings.grace_seconds
        self._metrics = metrics
        self._found: deque[float] = deque(maxlen=_WINDOW)
        self._generation_id = ""
        self._question: tuple[LiveGeneration, Float32s] | None = None
        self._is_busy = False
        self._asked, self._stop = Event(), Event()
        self._thread: Thread | None = None

    def offer(self, live: LiveGeneration, vector: Float32s) -> None:
        """Take a query to ask again, unless one is taken; costs a request next to
        nothing.

        Args:
            live: what it was asked of.
            vector: ``float32 [dim]``, what was searched for.
        """
        if self._thread is not None and not self._is_busy:
            self._is_busy, self._question = True, (live, vector)
            self._asked.set()

    def start(self) -> None:
        """Begin to ask, in a thread of its own; never where the share is 0."""
        if self._share:
            self._thread = Thread(target=self._run, name="index-recall", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End asking; a scan that runs gets `grace_seconds` to finish."""
        self._stop.set()
        self._asked.set()
        if self._thread is not None:
            self._thread.join(self._grace_seconds)

    def measure(self, live: LiveGeneration, vector: Float32s) -> float:
        """Ask a query of the index and of a scan, and tell the recall so far.

        Returns:
            Seconds of CPU that this took.
        """
        started = time.thread_time()
        if live.generation.id != self._generation_id:
            self._generation_id = live.generation.id
            self._found.clear()
            self._metrics.searches(certified_recall(live))
        self._found.append(index_recall(live, vector))
        enough = len(self._found) >= _LEAST_QUERIES
        self._metrics.sampled(float(np.mean(self._found)) if enough else math.nan)
        return time.thread_time() - started

    def _run(self) -> None:
        while not self._stop.is_set():
            self._asked.wait()
            self._asked.clear()
            seconds = self._measure_taken()
            self._stop.wait(max(_LEAST_PAUSE_SECONDS, seconds / self._share))
            self._is_busy = False

    def _measure_taken(self) -> float:
        """Measure what was taken, and keep nothing of its generation, which may be live
        no longer before the next query comes.
        """
        question, self._question = self._question, None
        try:
            return 0.0 if question is None else self.measure(*question)
        except Exception:
            logger.exception("index recall of a query could not be measured")
            return 0.0


def certified_recall(live: LiveGeneration) -> float:
    """Return the recall that the gate judged a generation by; NaN: it does not say."""
    return dict(live.generation.manifest.evaluation).get("index_recall_10", math.nan)


def index_recall(live: LiveGeneration, vector: Float32s) -> float:
    """Return the share of the exact ten nearest items that the index finds; 1 where it
    is empty.

    Args:
        live: the generation.
        vector: ``float32 [dim]``, a unit vector.
    """
    k = min(_K, len(live.index))
    if not k:
        return 1.0
    items, rows = live.generation.item_vectors, live.generation.index_items
    ids, _ = live.index.search(vector, k)
    found = items[rows[ids]] @ vector
    least = _least_of_best(items, rows, vector, k)
    return int((found >= least - _EQUAL_SCORES).sum()) / k


def _least_of_best(items: Float32s, rows: Int64s, vector: Float32s, k: int) -> float:
    """Return the cosine of the last of the `k` nearest rows."""
    best = np.zeros(0, dtype=np.float32)
    for start in range(0, len(rows), _BLOCK_ITEMS):
        scores = items[rows[start : start + _BLOCK_ITEMS]] @ vector
        best = np.concatenate([best, scores])
        best = np.partition(best, max(0, len(best) - k))[-k:]
    return float(best.min())
