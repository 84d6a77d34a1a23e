"""The live generation of all workers: given to all of them, or to none."""

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Protocol

from server.errors import WorkerFailed
from server.live import LiveGeneration
from server.overlay.view import LiveView
from server.workers.channel import ChannelClosed, QuestionFailed
from server.workers.given import question_of

logger = logging.getLogger(__name__)

# Seconds that a worker may take to open a generation and to make it live: a tenth of a
# second for a million items. Twice as many: one that hangs delays a swap by so much.
_TAKE_SECONDS = 30.0

State = Mapping[str, str]
"""Which generation a worker has live, and which waits in it to be."""


class Askable(Protocol):
    """A worker that can be asked."""

    def ask(
        self,
        operation: str,
        message: Mapping[str, object] | None = None,
        *,
        seconds: float,
        descriptors: Sequence[int] = (),
    ) -> dict[str, str]:
        """See `server.workers.channel.Asking.ask`."""


class SharedViews:
    """Gives generations to workers, as `server.views.LiveViews` holds them for one
    process.

    Any number of threads may share one.

    Args:
        fresher_than: as `LiveViews.fresher_than`.
    """

    def __init__(self, fresher_than: Callable[[str, Sequence[str]], str]) -> None:
        self.fresher_than = fresher_than
        self._lock = RLock()
        self._workers: dict[int, Askable] = {}
        self._live: LiveView | None = None
        self._pending: LiveGeneration | None = None

    @property
    def live(self) -> LiveView | None:
        """What all workers answer from; None: no generation is live yet."""
        return self._live

    @property
    def pending_id(self) -> str:
        """The generation that all workers have and that is not live in all of them;
        empty: none is.
        """
        pending = self._pending
        return "" if pending is None else pending.generation.id

    def offer(self, new: LiveGeneration) -> None:
        """Give a generation to all workers that live, unless one of them cannot take
        it.

        Raises:
            WorkerFailed: one of them cannot; nothing has changed in any.
        """
        with self._lock:
            question, descriptors = question_of(new)
            try:
                taken = [
                    worker
                    for number, worker in self._workers.items()
                    if self._prepared(number, worker, question, descriptors)
                ]
            except WorkerFailed:
                _close(new)
                raise
            if self._pending is not None:
                _close(self._pending)
            self._pending = new
            self._settle(self._each(taken, "offer"))

    def withdraw(self) -> None:
        """Give up what waits to go live."""
        with self._lock:
            pending, self._pending = self._pending, None
            if pending is not None:
                self._each(list(self._workers.values()), "withdraw")
                _close(pending)

    def joined_by(self, number: int, worker: Askable) -> None:
        """Give a worker that has begun what the others have.

        Raises:
            ChannelClosed: it is gone.
            QuestionFailed: it cannot take it.
        """
        with self._lock:
            for live in (self._live.live if self._live else None, self._pending):
                if live is not None:
                    question, descriptors = question_of(live)
                    worker.ask("prepare", question, seconds=_TAKE_SECONDS, descriptors=descriptors)
                    worker.ask("offer", seconds=_TAKE_SECONDS)
            self._workers[number] = worker

    def left_by(self, number: int) -> None:
        """Forget a worker that is gone."""
        with self._lock:
            self._workers.pop(number, None)

    def heard(self, states: Sequence[State]) -> None:
        """Take what all workers that live say they have."""
        with self._lock:
            self._settle(states)

    def close(self) -> None:
        """Close the files of what was given."""
        with self._lock:
            for live in (self._live.live if self._live else None, self._pending):
                if live is not None:
                    _close(live)
            self._live = self._pending = None

    def _prepared(
        self, number: int, worker: Askable, question: Mapping[str, object], files: Sequence[int]
    ) -> bool:
        """Have a worker open a generation; return False if it is gone."""
        try:
            worker.ask("prepare", question, seconds=_TAKE_SECONDS, descriptors=files)
        except ChannelClosed as error:
            logger.warning("worker_not_asked worker=%d why=%s", number, error)
            return False
        except QuestionFailed as error:
            self._each(list(self._workers.values()), "drop")
            raise WorkerFailed(f"worker {number} could not take the generation: {error}") from error
        return True

    def _each(self, workers: Sequence[Askable], operation: str) -> list[State]:
        """Ask each worker the same; one that is gone or fails begins anew by itself."""
        states: list[State] = []
        for worker in workers:
            try:
                states.append(worker.ask(operation, seconds=_TAKE_SECONDS))
            except (ChannelClosed, QuestionFailed) as error:
                logger.warning("worker_not_asked operation=%s why=%s", operation, error)
        return states

    def _settle(self, states: Sequence[State]) -> None:
        """Make what is pending live once it is so in all workers."""
        pending = self._pending
        if pending is None or not all(state["live"] == pending.generation.id for state in states):
            return
        if self._live is not None:
            _close(self._live.live)
        self._live, self._pending = LiveView.bare(pending), None


def _close(live: LiveGeneration) -> None:
    if live.files is not None:
        live.files.close()
