"""Tests of traces: which are followed, and how far."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.traces.context import TraceContext, context_of, parse
from stream.traces.follower import TraceFollower
from stream.traces.journal import ENDING, MOST_AGE_MS, Journal, JournalReader, Traced
from stream.traces.limiter import TraceLimiter
from stream.traces.tracer import Fan, Stage
from testing.stand_ins.tracer import RememberingTracer

_TRACE, _SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
_FAR_MS = 4_000_000_000_000  # later than any reader begins


def _traced(number: int, record_ms: int, since_ms: int = _FAR_MS) -> Traced:
    header = f"00-{number:032x}-{_SPAN}-01"
    return Traced(traceparent=header, record_ms=record_ms, since_ms=since_ms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"00-{_TRACE}-{_SPAN}-00",  # not recorded
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"ff-{_TRACE}-{_SPAN}-01",
        f"00-{_TRACE.upper()}-{_SPAN}-01",
        f"00-{_TRACE}-{_SPAN}-01-more",
        f"00-{_TRACE}-{_SPAN}",
        f"01-{_TRACE}-{_SPAN}-01-{'x' * 100}",
    ],
)
def test_what_is_no_trace_is_none(text: str) -> None:
    """As the W3C has it: wrong ids, versions and lengths, and what is not sampled."""
    assert parse(text) is None


def test_a_trace_is_read_and_written() -> None:
    """Later versions may say more; of two headers none counts."""
    context = TraceContext(_TRACE, _SPAN)
    raw = context.header.encode()

    assert parse(context.header) == context
    assert parse(f"01-{_TRACE}-{_SPAN}-03-more") == context
    assert context_of([("a", b"b"), ("Traceparent", raw)]) == context
    assert context_of([("traceparent", raw), ("traceparent", raw)]) is None
    assert context_of([("traceparent", None)]) is None
    assert context_of(None) is None


@given(st.text(), st.binary())
def test_no_header_breaks_the_reader(name: str, value: bytes) -> None:
    """Whatever producers write."""
    assert context_of([(name, value)]) is None
    assert context_of([("traceparent", value)]) is None


def test_the_limiter_bounds_the_rate() -> None:
    """A burst gets a second's worth, and then the rate."""
    now = [0.0]
    limiter = TraceLimiter(5.0, monotonic=lambda: now[0])
    burst = sum(limiter.lets_through() for _ in range(100))
    passed = 0
    for _ in range(1000):
        now[0] += 0.01
        passed += limiter.lets_through()

    assert burst == 5
    assert 49 <= passed <= 51


def test_a_journal_tells_each_record_once(tmp_path: Path) -> None:
    """Of all files of a folder; what is damaged or foreign is passed over."""
    reader = JournalReader(tmp_path / "traces")
    assert reader.new() == []
    clock = [_FAR_MS]
    one = Journal(tmp_path / "traces" / f"one{ENDING}", lambda: clock[0])
    two = Journal(tmp_path / "traces" / f"two{ENDING}", lambda: clock[0])
    one.add([_traced(1, 10)])
    two.add([_traced(2, 20)])
    (tmp_path / "traces" / f"three{ENDING}").write_bytes(b"{")
    first = reader.new()
    one.add([_traced(3, 30)])

    assert {each.record_ms for each in first} == {10, 20}
    assert [each.record_ms for each in reader.new()] == [30]
    assert reader.new() == []


def test_a_journal_is_bounded_and_forgets(tmp_path: Path) -> None:
    """In number, and in time."""
    path, clock = tmp_path / f"one{ENDING}", [_FAR_MS]
    journal = Journal(path, lambda: clock[0])
    journal.add([_traced(number, number) for number in range(1, 1000)])
    assert len(JournalReader(path).new()) == 256
    clock[0] += MOST_AGE_MS + 1
    journal.add([_traced(7, 7, since_ms=clock[0])])

    assert [each.record_ms for each in JournalReader(path).new()] == [7]


def test_a_journal_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """It costs traces, and no events."""
    (tmp_path / "traces").write_text("a file where the folder should be")

    Journal(tmp_path / "traces" / f"one{ENDING}").add([_traced(1, 10)])


def test_a_record_passes_when_all_of_its_time_does(tmp_path: Path) -> None:
    """Not before, once, and on to the next stage's journal."""
    clock = [_FAR_MS + 5]
    told = Journal(tmp_path / f"stream{ENDING}", lambda: clock[0])
    after = tmp_path / f"overlay{ENDING}"
    tracer = RememberingTracer()
    follower = TraceFollower(
        JournalReader(tmp_path / f"stream{ENDING}"),
        tracer,
        Stage.PUBLISH,
        Fan.ROUND,
        Journal(after, lambda: clock[0]),
        clock_ms=lambda: clock[0],
    )
    told.add([_traced(1, 100), _traced(2, 200)])
    next_stage = JournalReader(after)
    passed = [len(follower.reached(reflected)) for reflected in (0, 99, 100, 150, 500, 900)]

    assert passed == [0, 0, 1, 0, 1, 0]
    assert [
        (step.stage, step.parent.trace_id, step.begin_ms, step.end_ms) for step in tracer.steps
    ] == [
        (Stage.PUBLISH, f"{1:032x}", _FAR_MS, clock[0]),
        (Stage.PUBLISH, f"{2:032x}", _FAR_MS, clock[0]),
    ]
    assert tracer.fans == [(Fan.ROUND, 1), (Fan.ROUND, 1)]
    assert [each.record_ms for each in next_stage.new()] == [100, 200]


def test_what_never_passes_is_given_up(tmp_path: Path) -> None:
    """After ten minutes nobody waits for it."""
    clock, tracer = [_FAR_MS], RememberingTracer()
    Journal(tmp_path / f"a{ENDING}", lambda: clock[0]).add([_traced(1, 100)])
    reader = JournalReader(tmp_path / f"a{ENDING}")
    follower = TraceFollower(reader, tracer, Stage.SERVE, Fan.SWAP, clock_ms=lambda: clock[0])
    follower.reached(0)
    clock[0] += MOST_AGE_MS + 1
    follower.reached(0)

    assert list(follower.reached(1000)) == []
    assert tracer.steps == []
