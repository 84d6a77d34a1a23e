"""A source whose records' traces are followed until they are applied."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stream.clock import now_ms
from stream.events.types import RecordBatch, SourcePartition
from stream.signals.lag import Lag
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.traces.context import TraceContext, context_of
from stream.traces.journal import Journal, Traced
from stream.traces.limiter import TraceLimiter
from stream.traces.tracer import Fan, Stage, Tracer

# Records of a partition that are followed and not applied. Twice as many: no harm.
_MOST_WAITING = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    context: TraceContext
    offset: int
    record_ms: int
    consumed_ms: int


class TracedSource:
    """Topics as they are, with spans of the records that carry a trace.

    Args:
        source: where records come from.
        tracer: records the spans.
        journal: tells the refresher of them.
        limiter: which of them are followed.
        clock_ms: UTC epoch milliseconds.
    """

    shards_by_partition = True

    def __init__(
        self,
        source: KafkaSource,
        tracer: Tracer,
        journal: Journal,
        limiter: TraceLimiter,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._source = source
        self._tracer = tracer
        self._journal = journal
        self._limiter = limiter
        self._clock_ms = clock_ms
        self._followed: dict[SourcePartition, deque[_Followed]] = {}
        self._rebalances = 0

    @property
    def rebalances(self) -> int:
        """As the source says."""
        return self._source.rebalances

    def start(self, store: Store) -> None:
        """Start reading at the positions of a store."""
        self._source.start(store)

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:
        """Return the next records; what carries a trace is followed from now on."""
        found = self._source.poll(max_wait_seconds)
        if self._source.rebalances != self._rebalances:
            self._rebalances = self._source.rebalances
            self._followed.clear()  # whoever applies those records reads them again
        for batch in found:
            self._follow(batch)
        return found

    def idle(self, seconds: float) -> None:
        """Wait so long without returning records."""
        self._source.idle(seconds)

    @property
    def exhausted(self) -> bool:
        """As the source says."""
        return self._source.exhausted

    def lag(self) -> Lag:
        """Return what was not applied yet."""
        return self._source.lag()

    def reflected_ms(
        self, once_applied: Mapping[SourcePartition, int] | None = None
    ) -> Mapping[int, int]:
        """Return what the source says."""
        return self._source.reflected_ms(once_applied)

    @property
    def clock_offset_ms(self) -> int:
        """As the source says."""
        return self._source.clock_offset_ms

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Record that everything before these positions is applied."""
        self._source.applied(positions)
        if self._followed:
            self._take(positions)

    def close(self) -> None:
        """Close the connections."""
        self._source.close()

    def _follow(self, batch: RecordBatch) -> None:
        now = self._clock_ms()
        for row, headers in enumerate(batch.raw_headers):
            context = context_of(headers)
            if context is None or not self._limiter.lets_through():
                continue
            followed = self._followed.setdefault(batch.position, deque(maxlen=_MOST_WAITING))
            followed.append(
                _Followed(
                    context=context,
                    offset=batch.offsets[row],
                    record_ms=batch.times_ms[row] if batch.times_ms else now,
                    consumed_ms=now,
                )
            )

    def _take(self, positions: Mapping[SourcePartition, int]) -> None:
        done: list[tuple[SourcePartition, _Followed]] = []
        for position, next_offset in positions.items():
            followed = self._followed.get(position, deque())
            while followed and followed[0].offset < next_offset:
                done.append((position, followed.popleft()))
            if not followed:
                self._followed.pop(position, None)
        if not done:
            return
        now = self._clock_ms()
        begin = min(each.consumed_ms for _, each in done)
        members = [each.context for _, each in done]
        link = self._tracer.fan(Fan.BATCH, members, begin, now)
        for position, each in done:
            where: dict[str, str | int] = {
                "messaging.system": "kafka",
                "messaging.destination.name": position.source,
                "messaging.destination.partition.id": str(position.partition),
                "messaging.kafka.offset": each.offset,
            }
            consumed = each.consumed_ms
            self._tracer.stage(Stage.CONSUME, each.context, each.record_ms, consumed, None, where)
            self._tracer.stage(Stage.APPLY, each.context, consumed, now, link, where)
        self._journal.add(
            [
                Traced(traceparent=each.context.header, record_ms=each.record_ms, since_ms=now)
                for _, each in done
            ]
        )
