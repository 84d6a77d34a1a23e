"""Takes followed records through one stage: until something vouches for all that had
come by their time.
"""

from collections.abc import Callable, Sequence
from threading import Lock

from stream.clock import now_ms
from stream.traces.context import TraceContext
from stream.traces.journal import MOST_AGE_MS, Journal, JournalReader, Traced
from stream.traces.tracer import Attributes, Fan, Stage, Tracer

# Records that wait at a stage. Twice as many: twice the memory of some hundred kB.
_MOST_WAITING = 1024


class TraceFollower:
    """One stage of the records that a journal tells of.

    Args:
        reader: of the journal of the stage before.
        tracer: records the spans.
        stage: this stage.
        fan: what takes many records through it at once.
        journal: where this stage tells of them; None: nobody reads on.
        clock_ms: UTC epoch milliseconds.
    """

    def __init__(  # what a stage is
        self,
        reader: JournalReader,
        tracer: Tracer,
        stage: Stage,
        fan: Fan,
        journal: Journal | None = None,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._reader = reader
        self._tracer = tracer
        self._stage = stage
        self._fan = fan
        self._journal = journal
        self._clock_ms = clock_ms
        self._waiting: list[Traced] = []
        self._lock = Lock()

    def reached(self, reflected_ms: int, attributes: Attributes | None = None) -> Sequence[Traced]:
        """Record that everything that had reached the broker by a time, in its time, is
        through; return the followed records of it, as the next stage wants them.
        """
        with self._lock:
            self._waiting += self._reader.new()
            if not self._waiting:
                return ()
            now = self._clock_ms()
            done = [each for each in self._waiting if each.record_ms <= reflected_ms]
            self._waiting = [
                each
                for each in self._waiting
                if each.record_ms > reflected_ms and each.since_ms > now - MOST_AGE_MS
            ][-_MOST_WAITING:]
        return self._take(done, now, attributes) if done else ()

    def _take(
        self, done: Sequence[Traced], now: int, attributes: Attributes | None
    ) -> Sequence[Traced]:
        contexts = {each: each.context for each in done}
        members: list[TraceContext] = [each for each in contexts.values() if each is not None]
        begin = min(each.since_ms for each in done)
        link = self._tracer.fan(self._fan, members, begin, now, attributes)
        for traced, context in contexts.items():
            if context is not None:
                self._tracer.stage(self._stage, context, traced.since_ms, now, link, attributes)
        through = [
            Traced(traceparent=each.traceparent, record_ms=each.record_ms, since_ms=now)
            for each in done
        ]
        if self._journal is not None:
            self._journal.add(through)
        return through
