"""Wide sessions: the same graph, and a batch costs what it brings."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from protos.text import text_key
from stream.actions import Action
from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.events.types import Erasure, Interaction
from stream.graph.facts import FactColumns
from stream.reading.reader import open_graph
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.reader import ShardReader
from stream.shard.shard import Shard
from testing.graph.deliveries import deliveries
from testing.graph.folding import (
    EVERYTHING,
    FOLDING,
    FOREVER,
    Step,
    deliver_steps,
    edges_by_item,
    folding_deliveries,
)
from testing.histories import DAY_MS, EFFORT, NOON_MS, apply_events, build, dump, event, graph_hash
from testing.oracle import Oracle, assert_same_dump
from tests.stream.conftest import OpenStore


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sessions wide from four facts, or users, on."""
    monkeypatch.setattr(codec, "WIDE_ROWS", 3)


SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@given(deliveries())
@settings(max_examples=25 * EFFORT, suppress_health_check=SLOW)
def test_any_delivery_makes_the_graph_of_the_set(
    delivery: tuple[list[Interaction], list[list[Interaction]]],
) -> None:
    """Whenever sessions become wide, hash, dump and counts are of the definition."""
    events, batches = delivery
    with TemporaryDirectory() as folder:
        build(Path(folder), batches, FOREVER, 1)
        assert_same_dump(dump(Path(folder), FOREVER, NOON_MS), Oracle.of(events).dump(NOON_MS))
        if events:
            with open_graph(Path(folder), FOREVER) as graph:
                assert graph.graph_hash() == graph.recorded_hash()
                (state,) = graph.shard_states().values()
            hyperedges = Oracle.of(events).hyperedges()
            assert state.num_sessions == len({session for session, *_ in Oracle.of(events).facts})
            assert state.num_hyperedges == len(hyperedges)
            assert state.num_incidences == sum(len(one["items"]) for one in hyperedges)


@given(folding_deliveries())
@settings(max_examples=20 * EFFORT, suppress_health_check=SLOW)
def test_wide_sessions_are_folded(delivery: tuple[list[Interaction], list[Step]]) -> None:
    """Their edges stay, and nothing else of them."""
    events, steps = delivery
    with TemporaryDirectory() as folder:
        folded, kept = Path(folder, "folded"), Path(folder, "kept")
        deliver_steps(folded, [*steps, 0, EVERYTHING], FOLDING)
        deliver_steps(kept, [events], FOREVER)

        assert graph_hash(folded, FOLDING) == graph_hash(kept, FOREVER)
        with open_graph(folded, FOLDING) as graph, open_graph(kept, FOREVER) as plain:
            assert graph.graph_hash() == graph.recorded_hash()
            assert edges_by_item(graph) == edges_by_item(plain)
            for _, shard in graph.shards():
                check_entries(shard)


def check_entries(shard: ShardReader) -> None:
    """Check that entries of facts are of sessions that are wide, and of no other."""
    entries = dict(shard.entries(codec.SESSION))
    keys = [key for key, _ in shard.entries(codec.WIDE_FACT)]
    owners = {int.from_bytes(key[1:9], "big") for key in keys}
    wides = {
        int.from_bytes(key[1:9], "big")
        for key, value in entries.items()
        if codec.is_wide_session(value)
    }
    assert owners == wides


def crowd(count: int, session_id: str = "null") -> list[Interaction]:
    """Return facts of one session, each by another user."""
    return [
        event(session_id, f"q {number % 7}", f"i-{number}", NOON_MS + number, user_id=f"u-{number}")
        for number in range(count)
    ]


def test_all_of_a_wide_session_goes_with_its_erasure(open_store: OpenStore, tmp_path: Path) -> None:
    """By the session, one of its users, or item by item."""
    for asked in (
        [Erasure(kind="session", id="null", ts_ms=NOON_MS)],
        [Erasure(kind="user", id="u-5", ts_ms=NOON_MS)],
        [Erasure(kind="item", id=f"i-{number}", ts_ms=NOON_MS) for number in range(20)],
    ):
        shard = open_store(tmp_path / asked[0].kind).shard(0)
        apply_events(shard, crowd(20))
        apply_batch(shard, batch_of([], Texts(), erasures=asked), Texts())

        assert shard.state().num_facts == shard.state().num_sessions == 0
        assert not list(shard.entries(codec.SESSION))
        assert not list(shard.entries(codec.WIDE_FACT))


def test_an_erased_item_leaves_a_wide_session(open_store: OpenStore) -> None:
    """Its other facts, users and items are still there, and more can come."""
    shard = open_store().shard(0)
    apply_events(shard, crowd(6))
    asked = [Erasure(kind="item", id=f"i-{number}", ts_ms=NOON_MS) for number in range(5)]
    apply_batch(shard, batch_of([], Texts(), erasures=asked), Texts())
    (session,) = shard.get_sessions([text_key("null")]).values()

    assert (shard.state().num_facts, shard.state().num_hyperedges) == (1, 0)
    assert session.items == (text_key("i-5"),)
    assert len(session.user_keys) == 6
    apply_events(shard, [event("null", item_id="new")])
    assert (shard.state().num_hyperedges, shard.state().num_incidences) == (1, 2)
    check_entries(shard)


def test_a_wide_visit_that_is_bridged_goes_to_its_new_name(open_store: OpenStore) -> None:
    """Nothing is left under the old one, and it stays wide."""
    shard = open_store().shard(0)
    visits = [
        event("", "tv", item, NOON_MS + start + number * 60_000, user_id="v-1")
        for start in (0, 5_400_000)
        for number, item in enumerate("abcde")
    ]
    bridge = [
        event("", "tv", "z", NOON_MS + minutes * 60_000, user_id="v-1") for minutes in (-9, 31, 61)
    ]
    apply_events(shard, visits)
    assert shard.state().num_sessions == 2
    apply_events(shard, bridge)

    assert (shard.state().num_sessions, shard.state().num_facts) == (1, 6)
    (session,) = shard.get_sessions([key_of_only_session(shard)]).values()
    assert session.session_id == f"cut:v-1@{NOON_MS - 9 * 60_000}"
    assert session.user_keys == (text_key("v-1"),)
    assert len(list(shard.entries(codec.seen_prefix(key_of_only_session(shard))))) == 1
    check_entries(shard)


def key_of_only_session(shard: ShardReader) -> int:
    """Return the key of a shard's only session."""
    ((key, _),) = shard.entries(codec.SESSION)
    return int.from_bytes(key[1:], "big")


def test_what_becomes_wide_is_told_once(open_store: OpenStore) -> None:
    """By its id, in the write after which it has too many facts and users."""
    shard = open_store().shard(0)

    assert apply_events(shard, crowd(1)).widened == ()
    assert apply_events(shard, [*crowd(4), event("s-2")]).widened == ("null",)
    assert apply_events(shard, crowd(9)).widened == ()


def test_late_and_known_events_of_a_wide_session(open_store: OpenStore) -> None:
    """What is known is a duplicate, what is not is refused, as of any session."""
    shard, texts = open_store().shard(0), Texts()
    apply_events(shard, crowd(9))
    old = [
        replace(crowd(9)[3]),
        event("null", "tv", "unknown", NOON_MS),
        event("null", "q 3", "i-3", NOON_MS - 1),
    ]
    batch = batch_of([event("null", "q 1", "i-1", NOON_MS + 9 * DAY_MS), *old], texts)
    batch.retention_ms = DAY_MS
    applied = apply_batch(shard, batch, texts)

    assert [one.record.offset for one in applied.refusals] == [2, 3]
    assert (applied.new_facts, applied.duplicates) == (0, 2)
    assert (shard.state().num_sessions, shard.state().num_facts) == (1, 9)


def test_a_fact_of_a_wide_session_moves_earlier(open_store: OpenStore) -> None:
    """Each fact is there once, at its earliest time."""
    shard = open_store().shard(0)
    apply_events(shard, crowd(9))
    early = [replace(one, ts_ms=one.ts_ms - 5) for one in crowd(9)]
    apply_events(shard, early[:4])

    assert (
        shard.state().facts
        == FactColumns.concatenate([facts_of(early[:4]), facts_of(crowd(9)[4:])]).digest()
    )


def facts_of(events: Sequence[Interaction]) -> FactColumns:
    """Return events as facts."""
    return FactColumns.of_events(batch_of(events, Texts()).events)


def test_a_small_batch_writes_what_it_brings(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that ten events write, and the entries that they read, do not grow with
    their session.
    """
    monkeypatch.setattr(codec, "WIDE_ROWS", 100)
    written: list[int] = []
    write = Shard.write

    def counted(self: Shard, records: ShardWrite) -> None:
        values = [value for _, part in records.puts.sections() for value in part]
        written.append(sum(len(value) for value in values))
        write(self, records)

    shard = open_store().shard(0)
    costs = {}
    for size in (1000, 8000):
        apply_events(shard, crowd(size))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Shard, "write", counted)
            patch.setattr(Shard, "whole_session", refuse)
            new = [event("null", "q 1", f"new {size} {number}") for number in range(10)]
            apply_events(shard, new)
        costs[size] = written.pop()

    assert costs[8000] < 1.1 * costs[1000]
    assert costs[8000] < 4000
    assert shard.state().num_facts == 8020


def refuse(*_: Any) -> None:
    """Stand in for reading all of a session."""
    raise AssertionError("the whole session is read")


def test_layout_is_pinned() -> None:
    """Entries are what docs/formats.md says."""
    facts = FactColumns(
        session=np.array([1], dtype=np.uint64),
        query=np.array([2], dtype=np.uint64),
        item=np.array([3], dtype=np.uint64),
        stamp=np.array([8 * 5 + int(Action.CLICK)], dtype=np.uint64),
    )
    (key,) = codec.wide_fact_keys(facts)
    entry = codec.pack_wide_session("ü", [7, 9])

    assert key == b"\x1b" + b"".join(n.to_bytes(8, "big") for n in (1, 2, 3, int(Action.CLICK)))
    assert codec.unpack_wide_facts([key], [facts.stamp.tobytes()]).equals(facts)
    assert entry == b"\x03\x00\x02\x00\x00\x00\x02" + "ü".encode() + b"".join(
        n.to_bytes(8, "little") for n in (7, 9)
    )
    assert codec.unpack_session(entry) == codec.StoredSession("ü", (), b"", (7, 9))
    with pytest.raises(ValueError, match="wide session"):
        codec.unpack_session(entry[:-1])
    with pytest.raises(ValueError, match="times"):
        codec.unpack_wide_facts([key, key], [facts.stamp.tobytes()])
