"""Tests of following the traces of a source's records."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from stream.events.types import RawHeaders, RecordBatch, SourcePartition
from stream.sources.topics.source import KafkaSource
from stream.sources.traced import TracedSource
from stream.traces.journal import Journal, JournalReader
from stream.traces.limiter import TraceLimiter
from stream.traces.tracer import Fan, Stage
from testing.stand_ins.tracer import RememberingTracer

_PLACE = SourcePartition("clicks", 3)
_NOW_MS = 4_000_000_000_000


class _Source:
    """A source that returns what a test gives it."""

    rebalances = 0
    batches: Sequence[RecordBatch] = ()

    def poll(self, _: float) -> Sequence[RecordBatch]:
        return self.batches

    def applied(self, _: Mapping[SourcePartition, int]) -> None:
        pass


def _header(number: int) -> RawHeaders:
    return [("traceparent", f"00-{number:032x}-{1:016x}-01".encode())]


def _batch(headers: Mapping[int, RawHeaders], offsets: range) -> RecordBatch:
    return RecordBatch(
        position=_PLACE,
        offsets=list(offsets),
        next_offsets=[offset + 1 for offset in offsets],
        content_types=["application/json"] * len(offsets),
        keys=[None] * len(offsets),
        values=[b"{}"] * len(offsets),
        times_ms=[_NOW_MS - 100] * len(offsets),
        raw_headers=[headers.get(offset) for offset in offsets],
    )


def _traced(
    source: _Source, tracer: RememberingTracer, path: Path, rate: float = 100.0
) -> TracedSource:
    return TracedSource(
        cast("KafkaSource", source),
        tracer,
        Journal(path, lambda: _NOW_MS),
        TraceLimiter(rate, monotonic=lambda: 0.0),
        clock_ms=lambda: _NOW_MS,
    )


def test_a_record_is_through_once_its_position_is_applied(tmp_path: Path) -> None:
    """Not with those before it; what came without a trace is nowhere."""
    source, tracer, path = _Source(), RememberingTracer(), tmp_path / "a.json"
    traced = _traced(source, tracer, path)
    source.batches = [_batch({5: _header(5), 8: _header(8)}, range(4, 10))]
    traced.poll(0.0)
    traced.applied({_PLACE: 5})
    before = list(tracer.steps)
    traced.applied({_PLACE: 6})
    traced.applied({_PLACE: 10})

    assert before == []
    assert [(step.stage, step.attributes["messaging.kafka.offset"]) for step in tracer.steps] == [
        *((Stage.CONSUME, 5), (Stage.APPLY, 5)),
        *((Stage.CONSUME, 8), (Stage.APPLY, 8)),
    ]
    assert tracer.fans == [(Fan.BATCH, 1), (Fan.BATCH, 1)]
    assert {each.record_ms for each in JournalReader(path).new()} == {_NOW_MS - 100}


def test_records_of_lost_partitions_are_not_said_to_be_applied(tmp_path: Path) -> None:
    """Whoever has them now reads them again."""
    source, tracer, path = _Source(), RememberingTracer(), tmp_path / "a.json"
    traced = _traced(source, tracer, path)
    source.batches = [_batch({5: _header(5)}, range(5, 6))]
    traced.poll(0.0)
    source.rebalances, source.batches = 1, []
    traced.poll(0.0)
    traced.applied({_PLACE: 6})

    assert tracer.steps == []
    assert not path.exists()


def test_a_flood_of_traces_is_bounded(tmp_path: Path) -> None:
    """Each second a few are followed; the others are records like any."""
    source, tracer = _Source(), RememberingTracer()
    traced = _traced(source, tracer, tmp_path / "a.json", rate=3.0)
    source.batches = [_batch({n: _header(n + 1) for n in range(1000)}, range(1000))]
    found = traced.poll(0.0)
    traced.applied({_PLACE: 1000})

    assert len(found[0]) == 1000
    assert tracer.fans == [(Fan.BATCH, 3)]
