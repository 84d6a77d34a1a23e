"""Which events are late: a function of the logs and the bound, whatever the batches."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.changes.acceptance import NEVER_MS, lateness
from stream.changes.apply import ApplyResult, apply_batch
from stream.events.columns import ShardBatch, Texts, batch_of
from stream.events.types import (
    Erasure,
    Interaction,
    RecordBatch,
    Rejection,
    SourcePartition,
)
from stream.graph.facts import Digest
from stream.shard.codec import PartitionProgress
from stream.shard.shard import Shard
from testing.graph.deliveries import interactions
from testing.histories import DAY_MS, EFFORT, NOON_MS, event
from testing.laws.stores import MemoryShards
from testing.oracle import Oracle, with_sessions

CLICKS, VIEWS = SourcePartition("clicks", 0), SourcePartition("views", 0)
GAP_MS = 1_800_000  # stream.session_gap_seconds, by default


class Piece(NamedTuple):
    """Some records of one partition."""

    position: SourcePartition
    begin: int
    end: int


Logs = dict[SourcePartition, list[Interaction]]


@st.composite
def logs(draw: st.DrawFn) -> Logs:
    """Return two partitions of one shard; some visitors have no session ids."""
    loose = st.builds(
        lambda one, user, step: replace(
            one, session_id="", user_id=user, ts_ms=one.ts_ms + step * GAP_MS // 2
        ),
        interactions,
        st.sampled_from(["v-1", "v-2"]),
        st.integers(0, 4),
    )
    found = st.lists(st.one_of(interactions, loose), max_size=20)
    return {CLICKS: draw(found), VIEWS: draw(found)}


def reading_of(logs: Logs, draw: Random) -> list[list[Piece]]:
    """Return one way to read logs: batches of pieces, each partition in its order."""
    at = dict.fromkeys(logs, 0)
    batches: list[list[Piece]] = []
    while waiting := [position for position in logs if at[position] < len(logs[position])]:
        batch = []
        for position in draw.choices(waiting, k=draw.randint(1, 4)):
            begin = at[position]
            end = at[position] = min(begin + draw.randint(0, 6), len(logs[position]))
            if begin < end:
                batch.append(Piece(position, begin, end))
        batches.append(batch)
    return batches


def late_of(logs: Logs, retention_ms: int) -> set[tuple[SourcePartition, int]]:
    """Return where late events are, event by event, as docs/formats.md says it."""
    late = set()
    for position, log in logs.items():
        newest_ms = 0
        for offset, one in enumerate(log):
            if one.ts_ms < newest_ms - retention_ms:
                late.add((position, offset))
            newest_ms = max(newest_ms, one.ts_ms)
    return late


def joined(logs: Logs, pieces: Sequence[Piece], texts: Texts, retention_ms: int) -> ShardBatch:
    """Return pieces of logs as one batch."""
    listed = [one for piece in pieces for one in logs[piece.position][piece.begin : piece.end]]
    batch = batch_of(listed, texts)
    sizes = [piece.end - piece.begin for piece in pieces]
    batch.place = np.repeat(np.arange(len(pieces), dtype=np.int32), sizes)
    rows = [np.arange(size, dtype=np.int32) for size in sizes]
    batch.events = replace(batch.events, row=np.concatenate([np.empty(0, dtype=np.int32), *rows]))
    batch.batches = [
        RecordBatch(
            position=piece.position,
            offsets=range(piece.begin, piece.end),
            next_offsets=range(piece.begin + 1, piece.end + 1),
            content_types=[""] * (piece.end - piece.begin),
            keys=[None] * (piece.end - piece.begin),
            values=[b""] * (piece.end - piece.begin),
        )
        for piece in pieces
    ]
    batch.positions = {piece.position: piece.end for piece in pieces}
    batch.retention_ms = retention_ms
    return batch


def memory_shard() -> Shard:
    """Return a new shard in memory."""
    return MemoryShards(Path("memory"), 1).open(0)


def read(
    shard: Shard, logs: Logs, reading: Sequence[Sequence[Piece]], retention_ms: int
) -> Iterator[ApplyResult]:
    """Apply logs batch by batch."""
    for pieces in reading:
        texts = Texts()
        yield apply_batch(shard, joined(logs, pieces, texts, retention_ms), texts)


def digest_of(events: Sequence[Interaction]) -> Digest:
    """Return the fingerprint of the graph of events, none of which is late."""
    shard, texts = memory_shard(), Texts()
    apply_batch(shard, batch_of(events, texts), texts)
    return shard.state().facts


RETENTIONS = st.sampled_from([0, GAP_MS, 11 * DAY_MS, 11 * DAY_MS + 1, 30 * DAY_MS])


@given(st.randoms(use_true_random=False), logs(), RETENTIONS)
@settings(max_examples=60 * EFFORT, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_late_follows_from_the_logs(draw: Random, logs: Logs, retention_ms: int) -> None:
    """Two ways to read the same partitions make one graph: that of what is not late,
    event by event. All that is refused is late.
    """
    late = late_of(logs, retention_ms)
    accepted = [
        one
        for position, log in logs.items()
        for offset, one in enumerate(log)
        if (position, offset) not in late
    ]
    facts = Oracle.of(with_sessions(accepted, GAP_MS)).facts
    for _ in range(2):
        shard, reading = memory_shard(), reading_of(logs, draw)
        refused = {
            (one.record.position, one.record.offset)
            for applied in read(shard, logs, reading, retention_ms)
            for one in applied.refusals
        }

        assert shard.state().facts == digest_of(accepted)
        assert shard.state().num_facts == len(facts)
        assert refused <= late
        assert {p: at.watermark_ms for p, at in shard.progress().items()} == {
            position: max(one.ts_ms for one in log) for position, log in logs.items() if log
        }


@given(st.randoms(use_true_random=False), logs(), RETENTIONS)
@settings(max_examples=30 * EFFORT, suppress_health_check=[HealthCheck.too_slow])
def test_reading_again_from_anywhere_changes_nothing(
    draw: Random, logs: Logs, retention_ms: int
) -> None:
    """What was accepted is known, and what was late is still."""
    shard = memory_shard()
    for _ in read(shard, logs, reading_of(logs, draw), retention_ms):
        pass
    before = shard.state()
    for position, log in logs.items():
        begin = draw.randint(0, len(log))
        again = [[Piece(position, begin, len(log))]] if begin < len(log) else []
        for applied in read(shard, logs, again, retention_ms):
            assert applied.new_facts == 0
    assert shard.state()._replace(sequence=before.sequence) == before


def read_at_once(logs: Logs, retention_ms: int) -> tuple[Shard, ApplyResult]:
    """Apply all that is in some logs in one batch."""
    shard, texts = memory_shard(), Texts()
    pieces = [Piece(position, 0, len(log)) for position, log in logs.items()]
    return shard, apply_batch(shard, joined(logs, pieces, texts, retention_ms), texts)


def test_an_event_is_late_beside_one_before_it_in_its_own_batch() -> None:
    """A millisecond over the bound is late, the bound itself is not; another partition
    has its own bound.
    """
    late, at_bound = NOON_MS - DAY_MS - 1, NOON_MS - DAY_MS
    log = [event(), event("s-2", ts_ms=late), event("s-3", ts_ms=at_bound)]
    _, applied = read_at_once({CLICKS: log, VIEWS: [event("s-4", ts_ms=late)]}, DAY_MS)

    assert [(one.record.position, one.record.offset) for one in applied.refusals] == [(CLICKS, 1)]
    assert applied.new_facts == 3


def test_what_comes_later_makes_nothing_late() -> None:
    """An old event before a new one counts, also where both are in one batch."""
    _, applied = read_at_once({CLICKS: [event("s-2", ts_ms=NOON_MS - 9 * DAY_MS), event()]}, DAY_MS)

    assert (applied.refusals, applied.new_facts) == ((), 2)


def test_records_are_taken_in_the_order_of_their_log() -> None:
    """What is decoded one by one stands behind the others of its batch, and is not
    later for it.
    """
    texts = Texts()
    batch = batch_of([event(), event("s-2", ts_ms=NOON_MS - 2 * DAY_MS)], texts)
    batch.retention_ms = DAY_MS
    swapped = replace(batch, events=replace(batch.events, row=np.array([1, 0], dtype=np.int32)))

    assert lateness(batch, {}, None, 0).is_late.tolist() == [False, True]
    assert lateness(swapped, {}, None, 0).is_late.tolist() == [False, False]


def test_a_partition_goes_on_with_the_time_that_is_stored() -> None:
    """Stores that were written before hold it; without one nothing is late yet."""
    batch = batch_of([event(ts_ms=NOON_MS)], Texts(), source=CLICKS)
    batch.retention_ms = DAY_MS
    known = PartitionProgress(7, NOON_MS + DAY_MS + 1)

    assert lateness(batch, {CLICKS: known}, None, 0).is_late.tolist() == [True]
    assert lateness(batch, {VIEWS: known}, None, 0).is_late.tolist() == [False]
    assert lateness(batch, {CLICKS: PartitionProgress(7, None)}, None, 0).newest_ms == {
        CLICKS: NOON_MS
    }
    assert lateness(batch, {CLICKS: known}, None, 0).fold_bound_ms == NEVER_MS


@pytest.mark.parametrize("asked_first", [True, False])
def test_the_time_of_what_is_erased_counts(asked_first: bool) -> None:
    """Whichever comes first, an erased event says how far its partition is: the graph
    does not tell when the erasure came.
    """
    shard = memory_shard()
    asked = [Erasure(kind="user", id="u-1", ts_ms=NOON_MS)]
    log = [event("s-1", user_id="u-1"), event("s-2", ts_ms=NOON_MS - 2 * DAY_MS)]
    refusals: list[Rejection] = []
    for first, erasures in ((True, asked if asked_first else []), (False, [])):
        texts = Texts()
        begin = 0 if first else 1
        batch = joined({CLICKS: log}, [Piece(CLICKS, begin, begin + 1)], texts, DAY_MS)
        batch.erasures = list(erasures)
        refusals += apply_batch(shard, batch, texts).refusals
    if not asked_first:
        apply_batch(shard, batch_of([], Texts(), erasures=asked), Texts())

    assert [one.record.offset for one in refusals] == [1]
    assert shard.state().watermark_ms == NOON_MS
    assert shard.state().num_facts == 0


def test_a_late_event_of_an_erased_user_erases_nothing() -> None:
    """It would have been refused, had it come before the erasure; what it says is
    dropped, not kept in quarantine.
    """
    shard, texts = memory_shard(), Texts()
    asked = [Erasure(kind="user", id="u-1", ts_ms=NOON_MS)]
    late = event("s-1", user_id="u-1", ts_ms=NOON_MS - 2 * DAY_MS, item_id="b")
    batch = joined({CLICKS: [event("s-1"), late]}, [Piece(CLICKS, 0, 2)], texts, DAY_MS)
    batch.erasures = asked
    applied = apply_batch(shard, batch, texts)

    assert (applied.refusals, applied.dropped, applied.new_facts) == ((), 1, 1)
