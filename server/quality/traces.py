"""Follows records that carry a trace to the first answer that knows them."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from model.artifact.overlay.folder import OverlayFolder
from stream.clock import now_ms
from stream.traces.follower import TraceFollower
from stream.traces.journal import JournalReader, Traced
from stream.traces.tracer import Fan, Stage, Tracer

# Records that a server has and no answer has shown yet: of a minute without a call, at
# the five a second that are followed as shipped. Twice as many: no harm.
_MOST_UNANSWERED = 300


def traces_of(artifacts: Path, tracer: Tracer | None) -> "AnswerTraces | None":
    """Return what follows the records of an artifacts folder; None: nobody does."""
    return None if tracer is None else AnswerTraces(OverlayFolder.of(artifacts).traces_path, tracer)


class AnswerTraces:
    """The last two steps of records: into a server, and into an answer.

    Args:
        journal: where the refresher tells of records.
        tracer: records the spans.
        clock_ms: UTC epoch milliseconds.
    """

    def __init__(
        self, journal: Path, tracer: Tracer, *, clock_ms: Callable[[], int] = now_ms
    ) -> None:
        self._tracer = tracer
        self._clock_ms = clock_ms
        self._follower = TraceFollower(
            JournalReader(journal), tracer, Stage.SERVE, Fan.SWAP, clock_ms=clock_ms
        )
        self._lock = Lock()
        self._unanswered: list[Traced] = []

    def swapped(self, reflected_ms: int) -> None:
        """The live view has everything up to a broker time."""
        served = self._follower.reached(reflected_ms)
        if served:
            with self._lock:
                self._unanswered = [*self._unanswered, *served][-_MOST_UNANSWERED:]

    def answered(self, reflected_ms: int) -> None:
        """An answer has everything up to a broker time."""
        if not self._unanswered:  # as of most answers, without a lock
            return
        with self._lock:
            known = [each for each in self._unanswered if each.record_ms <= reflected_ms]
            self._unanswered = [each for each in self._unanswered if each.record_ms > reflected_ms]
        now = self._clock_ms()
        for traced in known:
            if (context := traced.context) is not None:
                self._tracer.stage(Stage.ANSWER, context, traced.since_ms, now)
