"""The fresh lane of a replay: a generation, and over it what has changed since."""

import time
from collections.abc import Callable

import numpy as np

from model.artifact.generation import Generation
from model.evaluation.asked import AskedClicks
from model.evaluation.cancellation import never, refuse_if_cancelled
from model.evaluation.log_changes import LogChanges
from model.evaluation.replayed import query_vectors
from model.fresh.result import RoundResult
from model.fresh.state import FreshState
from model.ranking import edge_ranks
from protos.text import text_key
from stream.dtypes import Float32s, Float64s, Int64s

DELAY_MS = 2_000
"""How long after a click answers show it: more than half of them take over Kafka. Twice
as much would hide a click from the next one of a hurried session.
"""

_MAX_ROUNDS = 60
"""Rounds that go on with what one left over: a minute's worth, a round a second. Twice
as many would go on where nothing is won.
"""


class LaneView:
    """What a server answers from: a generation, and over it the newest vectors.

    Args:
        live: the generation.
    """

    def __init__(self, live: Generation) -> None:
        shown = np.flatnonzero(live.item_shown)
        self.query_vectors: dict[int, Float32s] = {}
        self._rows = {live.item_ids[item]: row for row, item in enumerate(shown.tolist())}
        self._vectors = np.array(live.item_vectors[shown], dtype=np.float32)

    @property
    def item_vectors(self) -> Float32s:
        """``float32 [num_items, dim]``, of all shown items."""
        return self._vectors

    def row_of(self, item_id: str) -> int:
        """Return an item's row in `item_vectors`; -1: it is in no answer."""
        return self._rows.get(item_id, -1)

    def take(self, result: RoundResult) -> None:
        """Put the vectors of a round over the older ones."""
        self.query_vectors.update(
            zip(map(text_key, result.query_texts), result.query_vectors, strict=True)
        )
        added: list[Float32s] = []
        for item_id, is_shown, vector in zip(
            result.item_ids, result.item_shown.tolist(), result.item_vectors, strict=True
        ):
            if not is_shown:
                continue
            row = self._rows.setdefault(item_id, len(self._vectors) + len(added))
            if row < len(self._vectors):
                self._vectors[row] = vector
            else:
                added.append(vector)
        if added:
            self._vectors = np.concatenate([self._vectors, np.array(added, dtype=np.float32)])


class ReplayedLane:
    """Follows a log from a generation on.

    Args:
        live: the generation.
        changes: of the log.
        since_ms: the time before which the generation has everything.
        min_sessions: distinct sessions below which an edge does not count.
        is_cancelled: called between rounds; True ends the replay.

    Attributes:
        rounds: how often something was recomputed.
        seconds: how long that took.
    """

    def __init__(
        self,
        live: Generation,
        changes: LogChanges,
        *,
        since_ms: int,
        min_sessions: int = 1,
        is_cancelled: Callable[[], bool] = never,
    ) -> None:
        self.rounds = 0
        self.seconds = 0.0
        self._live = live
        self._changes = changes
        self._encoder = live.text_encoder()
        self._state = FreshState(live, min_sessions=min_sessions)
        self._view = LaneView(live)
        self._since_ms = since_ms
        self._is_cancelled = is_cancelled

    def ranks(self, clicks: AskedClicks, place: Int64s) -> Float64s:
        """Return the rank of each click's item among all shown ones, ``float64
        [len(place)]``, by what had happened until shortly before the click.

        Infinity where nothing has shown the item yet.

        Args:
            clicks: the predicted clicks.
            place: which of them, in order of time.

        Raises:
            TrainingCancelled: `is_cancelled` returned True.
        """
        ranks = np.full(len(place), np.inf)
        times = clicks.ms[place]
        for at_ms in np.unique(times).tolist():
            refuse_if_cancelled(self._is_cancelled)
            self._advance(at_ms - DELAY_MS)
            here = np.flatnonzero(times == at_ms)
            ranks[here] = self._ranks_now(clicks, place[here])
        return ranks

    def _advance(self, until_ms: int) -> None:
        """Take in what happened before a time."""
        if until_ms <= self._since_ms:
            return
        changes = self._changes.between(self._since_ms, until_ms)
        self._since_ms = until_ms
        if changes is None:
            return
        began = time.monotonic()
        result = self._state.apply([changes])
        self._view.take(result)
        self.rounds += 1
        for _ in range(_MAX_ROUNDS):
            if not result.carried:
                break
            result = self._state.apply([])
            self._view.take(result)
            self.rounds += 1
        self.seconds += time.monotonic() - began

    def _ranks_now(self, clicks: AskedClicks, place: Int64s) -> Float64s:
        whole, view = clicks.whole, self._view
        row = np.array(
            [view.row_of(whole.item_ids[item]) for item in clicks.item[place].tolist()],
            dtype=np.int64,
        )
        queries, query = np.unique(clicks.query[place], return_inverse=True)
        known, nothing = row >= 0, np.zeros(0, dtype=np.int64)
        ranks = np.full(len(place), np.inf)
        ranks[known] = edge_ranks(
            query_vectors(
                self._live, whole, queries, encoder=self._encoder, newer=view.query_vectors
            ),
            view.item_vectors,
            (query[known], row[known]),
            (nothing, nothing),
        )
        return ranks
