"""Applying batches: the law that any delivery of a set of events makes the same graph,
crashes included.
"""

import json
import math
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from protos.text import text_key
from stream.actions import Action
from stream.changes.acceptance import lateness
from stream.changes.apply import ApplyResult, apply_batch
from stream.changes.encoding import encode
from stream.changes.lookup import look_up
from stream.changes.plan import merge
from stream.errors import StoreUnreadable
from stream.events.columns import Texts, batch_of, no_events
from stream.events.types import CatalogItem, Interaction, Rejection, SourcePartition
from stream.kafka.partitioner import shard_of
from stream.reading.incremental import GraphCache
from stream.reading.reader import GraphReader, open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard
from testing.graph.deliveries import deliveries
from testing.histories import (
    EFFORT,
    NOON_MS,
    apply_all,
    apply_events,
    build,
    dump,
    event,
    graph_hash,
)
from testing.laws.stores import MemoryShards
from testing.oracle import HALF_LIFE_SECONDS, Oracle, assert_same_dump, newest_states
from tests.stream.conftest import OpenStore, StartPython

DAY_MS = 86_400_000
DEFAULTS = StreamSettings()


@given(deliveries(), st.integers(1, 3))
@settings(max_examples=50 * EFFORT)
def test_any_delivery_makes_the_graph_of_the_set(
    delivery: tuple[list[Interaction], list[list[Interaction]]], num_shards: int
) -> None:
    """Order, repeats, batches, reopening and the number of shards leave no trace in
    dump and hash.
    """
    events, batches = delivery
    with TemporaryDirectory() as folder:
        build(Path(folder, "delivered"), batches, DEFAULTS, num_shards)
        build(Path(folder, "plain"), [events], DEFAULTS, 1)

        assert_same_dump(
            dump(Path(folder, "delivered"), DEFAULTS, NOON_MS), Oracle.of(events).dump(NOON_MS)
        )
        assert graph_hash(Path(folder, "delivered"), DEFAULTS) == graph_hash(
            Path(folder, "plain"), DEFAULTS
        )


@given(deliveries(), st.sampled_from([946_684_800_000, NOON_MS, 4_000_000_000_000]))
@settings(max_examples=20 * EFFORT)
def test_weights_hold_at_any_time(
    delivery: tuple[list[Interaction], list[list[Interaction]]], at_ms: int
) -> None:
    """Decades before or after the events, weights are the formula's, or the nearest
    float to it.
    """
    events, batches = delivery
    with TemporaryDirectory() as folder:
        build(Path(folder, "store"), batches, DEFAULTS, 1)

        for record in dump(Path(folder, "store"), DEFAULTS, at_ms):
            if record["kind"] == "edge":
                expected = exact_log2_weight(events, record["query"], record["item"], at_ms)
                assert math.log2(record["weight"]) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def exact_log2_weight(events: Sequence[Interaction], query: str, item: str, at_ms: int) -> float:
    """Return log2 of an edge's weight, from its weight at a time nearby.

    Far away floats overflow.
    """
    near = next(
        edge
        for edge in Oracle.of(events).edges(NOON_MS)
        if (edge["query"], edge["item"]) == (query, item)
    )
    return math.log2(near["weight"]) - (at_ms - NOON_MS) / (HALF_LIFE_SECONDS * 1000)


def test_moving_the_last_fact_earlier_finds_the_last_among_the_others(
    open_store: OpenStore,
) -> None:
    """When an edge's latest fact turns out to be earlier, ``last_ms`` falls back to
    another session's.
    """
    store = open_store()
    events = [
        event("s-1", ts_ms=NOON_MS + 9),
        event("s-2", ts_ms=NOON_MS + 5),
        event("s-1", ts_ms=NOON_MS + 1),
    ]
    for one in events:
        apply_all(store, [one])

    edge = dump(store.root, DEFAULTS)[0]
    assert (edge["first_ms"], edge["last_ms"], edge["sessions"]) == (NOON_MS + 1, NOON_MS + 5, 2)


def test_last_falls_back_to_a_session_changed_in_the_same_batch(open_store: OpenStore) -> None:
    """The search for the latest fact sees this batch's own changes, not what they
    replace.
    """
    store = open_store()
    apply_all(store, [event("s-1", ts_ms=NOON_MS + 9), event("s-2", ts_ms=NOON_MS + 9)])
    apply_all(
        store,
        [
            event("s-1", ts_ms=NOON_MS + 1),
            event("s-2", ts_ms=NOON_MS + 3),
            event("s-3", ts_ms=NOON_MS),
        ],
    )

    edge = dump(store.root, DEFAULTS)[0]
    assert (edge["first_ms"], edge["last_ms"]) == (NOON_MS, NOON_MS + 3)


def test_reversed_history_with_repeats_agrees_with_the_batch_build(open_store: OpenStore) -> None:
    """Events that arrive newest first, one at a time, move every fact and still make
    the same graph.
    """
    events = [
        event(f"s-{number % 3}", item_id=f"i-{number % 2}", ts_ms=NOON_MS + number * DAY_MS)
        for number in range(30)
    ]
    store = open_store()
    for one in reversed(events):
        apply_all(store, [one])

    assert_same_dump(dump(store.root, DEFAULTS, NOON_MS), Oracle.of(events).dump(NOON_MS))


def test_what_a_batch_reports(open_store: OpenStore) -> None:
    """New facts, repeats, sequence and watermark are those of the batch and of the
    shard.
    """
    shard = open_store().shard(0)
    apply_events(shard, [event(ts_ms=NOON_MS + 7)])
    applied = apply_events(shard, [event(), event(item_id="b"), event(item_id="b")])

    assert (applied.new_facts, applied.duplicates, applied.refusals) == (1, 2, ())
    assert (applied.sequence, applied.watermark_ms) == (2, NOON_MS + 7)


def test_positions_are_kept_with_the_facts(open_store: OpenStore, tmp_path: Path) -> None:
    """The next offsets of a batch are there after reopening.

    Other sources keep theirs.
    """
    clicks, views = SourcePartition("freshet.clicks", 0), SourcePartition("freshet.sessions", 0)
    store = open_store()
    apply_events(store.shard(0), [event()], [], {clicks: 5, views: 7})
    apply_events(store.shard(0), [], [], {clicks: 6})
    store.close()

    assert open_store().shard(0).positions() == {clicks: 6, views: 7}


def test_empty_batch_moves_positions_only(open_store: OpenStore) -> None:
    """A batch whose records were all rejected still moves on, without a watermark of
    its own.
    """
    shard = open_store().shard(0)
    applied = apply_events(shard, [], [], {SourcePartition("freshet.clicks", 0): 3})

    assert (applied.sequence, applied.watermark_ms, applied.new_facts) == (1, None, 0)


def test_an_older_state_does_not_bring_back_what_was_deleted(open_store: OpenStore) -> None:
    """In a later batch or in the same one, and it is told; a newer one does."""
    shard = open_store().shard(0)
    gone = CatalogItem(item_id="a", deleted=True, ts_ms=NOON_MS)
    old = CatalogItem(item_id="a", title="A", ts_ms=NOON_MS - 1)

    together = apply_events(shard, [], [gone, old])
    later = apply_events(shard, [], [old])
    deleted = [item.deleted for _, item in shard.catalog()]
    back = apply_events(shard, [], [CatalogItem(item_id="a", title="A", ts_ms=NOON_MS + 1)])

    assert together.older == later.older == [("a", True)]
    assert (deleted, back.older) == ([True], [])
    assert [item.deleted for _, item in shard.catalog()] == [False]


def test_newest_state_of_an_item_wins(open_store: OpenStore) -> None:
    """Catalogue items replace each other whole, in the order of application, within a
    batch and across.
    """
    shard = open_store().shard(0)
    old = CatalogItem(item_id="a", title="old", attributes={"colour": "red"})
    apply_events(
        shard, [], [old, CatalogItem(item_id="a", title="newer"), CatalogItem(item_id="b")]
    )
    apply_events(shard, [], [CatalogItem(item_id="b", deleted=True)])

    assert {item.item_id: item for _, item in shard.catalog()} == {
        "a": CatalogItem(item_id="a", title="newer"),
        "b": CatalogItem(item_id="b", deleted=True),
    }


catalog_states = st.builds(
    CatalogItem,
    item_id=st.sampled_from(["a", "b"]),
    title=st.sampled_from(["", "A", "another"]),
    deleted=st.booleans(),
    ts_ms=st.sampled_from([NOON_MS, NOON_MS + 1, NOON_MS + 2]),
)


@given(
    st.lists(st.tuples(catalog_states, st.integers(0, 2), st.integers(0, 2)), max_size=12).flatmap(
        st.permutations
    )
)
@settings(max_examples=100 * EFFORT)
def test_any_delivery_keeps_the_newest_states(
    arriving: Sequence[tuple[CatalogItem, int, int]],
) -> None:
    """Of states with times, order, batches and shards leave no trace."""
    memory = MemoryShards(Path("memory"), 3)
    shards = [memory.open(index) for index in range(3)]
    for number in range(3):  # the batches, each over all shards
        for index, shard in enumerate(shards):
            apply_events(
                shard, [], [item for item, at, of in arriving if (at, of) == (index, number)]
            )
    readers = memory.readers()
    graph = GraphReader(
        Path("memory"), [one.path for one in readers], DEFAULTS, 1.0, shards=readers
    )

    found = {item.item_id: item for _, item in graph.catalog()}
    assert found == newest_states(item for item, _, _ in arriving)
    catalog = GraphCache().read(readers).catalog
    assert {item.item_id: item for item in catalog.values()} == found


def test_a_state_that_is_not_newer_changes_nothing(open_store: OpenStore) -> None:
    """An older state is neither written nor noted as a change; positions move on."""
    shard = open_store().shard(0)
    newer = CatalogItem(item_id="a", title="newer", ts_ms=NOON_MS + 1)
    apply_events(shard, [], [newer])
    sequence = shard.state().sequence
    older = CatalogItem(item_id="a", title="older", ts_ms=NOON_MS)
    applied = apply_events(
        shard, [], [older, CatalogItem(item_id="a"), newer], {SourcePartition("catalog", 0): 3}
    )

    assert applied.older == [("a", False), ("a", False)]
    assert [item for _, item in shard.catalog()] == [newer]
    assert [keys.tolist() for keys in shard.dirty_since(sequence) or ()] == [[], []]
    assert shard.positions() == {SourcePartition("catalog", 0): 3}


def test_a_deleted_item_stays_deleted(open_store: OpenStore) -> None:
    """A deletion is kept with its time: what was said before it does not list the item
    again, in a later batch or after reopening.
    """
    gone = CatalogItem(item_id="a", deleted=True, ts_ms=NOON_MS + 1)
    store = open_store()
    apply_events(store.shard(0), [], [gone])
    store.close()
    shard = open_store().shard(0)
    apply_events(shard, [], [CatalogItem(item_id="a", title="A", ts_ms=NOON_MS)])

    assert [item for _, item in shard.catalog()] == [gone]


@pytest.mark.parametrize(
    ("kind", "text"), [(codec.QUERY_NAME, "tv"), (codec.ITEM_NAME, "a")], ids=["query", "item"]
)
def test_name_that_shares_a_key_is_refused(open_store: OpenStore, kind: bytes, text: str) -> None:
    """A text whose 64-bit key another text holds is refused.

    The rest of the batch is applied.
    """
    shard = open_store().shard(0)
    shard.write(
        ShardWrite.of({codec.name_key(kind, text_key(text)): codec.pack_name("somebody else")})
    )
    applied = apply_events(
        shard, [event(), event(query="radio", item_id="b")], [CatalogItem(item_id="c")]
    )

    assert [(refusal.record.offset, refusal.reason) for refusal in applied.refusals] == [
        (0, "key_collision")
    ]
    assert applied.new_facts == 1


def test_session_that_shares_a_key_is_refused(open_store: OpenStore) -> None:
    """A session id whose key another session holds is refused, and the other session is
    untouched.
    """
    shard = open_store().shard(0)
    other = codec.pack_session("somebody else", (), b"\0" * codec.ROW_BYTES)
    shard.write(ShardWrite.of({codec.session_key(text_key("s-1")): other}))
    applied = apply_events(shard, [event("s-1"), event("s-2")])

    assert [refusal.record.offset for refusal in applied.refusals] == [0]
    assert shard.get_sessions([text_key("s-1")])[text_key("s-1")].session_id == "somebody else"


def test_catalogue_item_that_shares_a_key_is_refused(open_store: OpenStore) -> None:
    """A catalogue item whose key another item holds is refused by its place among the
    items.
    """
    shard = open_store().shard(0)
    shard.write(
        ShardWrite.of(
            {codec.name_key(codec.ITEM_NAME, text_key("b")): codec.pack_name("somebody else")}
        )
    )
    applied = apply_events(shard, [], [CatalogItem(item_id="a"), CatalogItem(item_id="b")])

    assert [refusal.record.offset for refusal in applied.refusals] == [1]


def test_refusals_are_handed_over_before_the_write(open_store: OpenStore) -> None:
    """What the handler raises stops the write.

    A refusal that cannot be put away is not passed over.
    """
    shard = open_store().shard(0)
    shard.write(
        ShardWrite.of(
            {codec.name_key(codec.ITEM_NAME, text_key("a")): codec.pack_name("somebody else")}
        )
    )

    def fail(refusals: Sequence[Rejection]) -> None:
        raise OSError(f"{len(refusals)} refusals cannot be put away")

    with pytest.raises(OSError, match="1 refusals"):
        apply_events(
            shard, [event(), event(item_id="b")], [], {SourcePartition("x", 0): 2}, on_refused=fail
        )
    assert shard.positions() == {}
    assert shard.state().sequence == 0


def test_planning_changes_nothing(open_store: OpenStore) -> None:
    """A batch that is looked up, merged and encoded leaves the shard as it was; its
    records are the same each time.
    """
    shard, texts = open_store().shard(0), Texts()
    apply_events(shard, [event(), event(item_id="b", user_id="u-1")])
    batch = batch_of(
        [event(item_id="c"), event("", user_id="u-1", ts_ms=NOON_MS - 1)],
        texts,
        items=[CatalogItem(item_id="d")],
        positions={SourcePartition("x", 0): 2},
    )
    before = list(shard.entries(b""))
    late = lateness(batch, shard.progress(), None, 0)
    first, second = (
        encode(merge(look_up(shard, batch, late, no_events(), texts)), texts) for _ in range(2)
    )

    assert list(shard.entries(b"")) == before
    assert list(first.puts.sections()) == list(second.puts.sections())
    assert first.deletes == second.deletes == []
    assert first.dirty is not None
    assert first.dirty.items.tolist() == sorted(map(text_key, ["a", "c", "d"]))


def test_damaged_record_stops_the_batch(open_store: OpenStore) -> None:
    """A stored record that does not unpack is an error that names the store, not a
    wrong graph.
    """
    shard = open_store().shard(0)
    shard.write(ShardWrite.of({codec.session_key(text_key("s-1")): b"\x09nonsense"}))

    with pytest.raises(StoreUnreadable, match="shard-0000"):
        apply_events(shard, [event("s-1")])


def apply_live(
    shard: Shard,
    events: Sequence[Interaction],
    partition: int = 0,
    retention_ms: int | None = DAY_MS,
) -> ApplyResult:
    """Apply what was read of one partition as it came, with a bound on how late it may
    be.
    """
    position, texts = SourcePartition("freshet.clicks", partition), Texts()
    batch = batch_of(events, texts, positions={position: len(events)}, source=position)
    batch.retention_ms = retention_ms
    return apply_batch(shard, batch, texts)


def test_unknown_event_that_is_too_late_is_refused(open_store: OpenStore) -> None:
    """It is refused with its record.

    What is exactly at the bound is not, nor is the rest of the batch.
    """
    shard = open_store().shard(0)
    apply_live(shard, [event(ts_ms=NOON_MS)])
    late, at_bound = event("s-2", ts_ms=NOON_MS - DAY_MS - 1), event("s-3", ts_ms=NOON_MS - DAY_MS)
    applied = apply_live(shard, [at_bound, late, event("s-4")])

    assert [(refusal.reason, refusal.record.offset) for refusal in applied.refusals] == [
        ("too_late", 1)
    ]
    assert f"over {DAY_MS} ms older" in applied.refusals[0].detail
    assert applied.refusals[0].record.position == SourcePartition("freshet.clicks", 0)
    assert (applied.new_facts, applied.duplicates) == (2, 0)
    assert shard.state().num_sessions == 3


@pytest.mark.parametrize("known_before_ms", [0, 5], ids=["at its time", "at an earlier time"])
def test_late_event_that_is_known_is_a_duplicate(
    open_store: OpenStore, known_before_ms: int
) -> None:
    """A late repeat changes nothing, so that a source can be read again."""
    shard = open_store().shard(0)
    old_ms = NOON_MS - 9 * DAY_MS
    apply_live(shard, [event(ts_ms=old_ms - known_before_ms)])
    apply_live(shard, [event("s-2", ts_ms=NOON_MS)])
    before = shard.state().facts
    applied = apply_live(shard, [event(ts_ms=old_ms)])

    assert (applied.new_facts, applied.duplicates, applied.refusals) == (0, 1, ())
    assert shard.state().facts == before


def test_late_event_that_would_move_a_fact_is_refused(open_store: OpenStore) -> None:
    """A known fact does not move to a time that is out of bounds.

    A repeat in the same batch is no cover.
    """
    shard = open_store().shard(0)
    apply_live(shard, [event(ts_ms=NOON_MS)])
    before = shard.state().facts
    applied = apply_live(shard, [event(ts_ms=NOON_MS), event(ts_ms=NOON_MS - 2 * DAY_MS)])

    assert [(refusal.reason, refusal.record.offset) for refusal in applied.refusals] == [
        ("too_late", 1)
    ]
    assert applied.duplicates == 1
    assert shard.state().facts == before


def test_nothing_is_late_in_history(open_store: OpenStore) -> None:
    """Without a bound an event of any age is applied, and an old one leaves the
    watermark where it was.
    """
    shard = open_store().shard(0)
    apply_live(shard, [event(ts_ms=NOON_MS)])
    applied = apply_live(shard, [event("s-2", ts_ms=NOON_MS - 4000 * DAY_MS)], retention_ms=None)

    assert (applied.new_facts, applied.refusals, applied.watermark_ms) == (1, (), NOON_MS)


def test_late_is_against_the_own_partition(open_store: OpenStore) -> None:
    """Another partition of the shard may be far ahead, as when one topic is read before
    the other.
    """
    shard = open_store().shard(0)
    apply_live(shard, [event(ts_ms=NOON_MS)], partition=0)
    applied = apply_live(shard, [event("s-2", ts_ms=NOON_MS - 9 * DAY_MS)], partition=1)
    later = apply_live(shard, [event("s-3", ts_ms=NOON_MS - 9 * DAY_MS)], partition=0)

    assert applied.refusals == ()
    assert [refusal.reason for refusal in later.refusals] == ["too_late"]
    assert {position.partition: at.watermark_ms for position, at in shard.progress().items()} == {
        0: NOON_MS,
        1: NOON_MS - 9 * DAY_MS,
    }


def test_watermark_of_a_partition_outlives_the_process(open_store: OpenStore) -> None:
    """What is too late does not depend on when the worker was started."""
    store = open_store()
    apply_live(store.shard(0), [event(ts_ms=NOON_MS)])
    apply_live(store.shard(0), [])
    store.close()
    applied = apply_live(open_store().shard(0), [event("s-2", ts_ms=NOON_MS - 2 * DAY_MS)])

    assert [refusal.reason for refusal in applied.refusals] == ["too_late"]


@given(deliveries())
@settings(max_examples=50 * EFFORT)
def test_order_inside_the_bound_leaves_no_trace(
    delivery: tuple[list[Interaction], list[list[Interaction]]],
) -> None:
    """Where no event is later than the bound, nothing is refused and the graph is that
    of the set.
    """
    events, batches = delivery
    times = [one.ts_ms for one in events] or [0]
    shard, plain = memory_shard(), memory_shard()
    apply_live(plain, events, retention_ms=None)

    for batch in batches:
        assert apply_live(shard, batch, retention_ms=max(times) - min(times)).refusals == ()
    assert shard.state().facts == plain.state().facts


def memory_shard() -> Shard:
    """Return a new shard in memory."""
    return MemoryShards(Path("memory"), 1).open(0)


@pytest.mark.parametrize("num_shards", [1, 2, 3, 12, 97])
def test_shards_are_kafkas_partitions(num_shards: int) -> None:
    """A session's shard is the partition that Kafka's default partitioner gives its id
    as a key.
    """
    draw = random.Random(7)
    ids = ["".join(draw.choices("abc-09é漢", k=length)) for length in range(40) for _ in range(5)]

    assert [shard_of(text, num_shards) for text in ids] == [
        (murmur2(text.encode()) & 0x7FFFFFFF) % num_shards for text in ids
    ]


@pytest.mark.parametrize(
    ("session_id", "shard"), [("s-1", 1), ("session 42", 2), ("é漢字", 0), ("", 0)]
)
def test_shards_never_change(session_id: str, shard: int) -> None:
    """The shard of a session is stored data: it stays what it was."""
    assert shard_of(session_id, 3) == shard


WRITER = """
import json, sys
from pathlib import Path
from stream.errors import StoreStalled
from stream.events.types import Interaction, SourcePartition
from stream.actions import Action
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import apply_events

root, path, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
rows = [json.loads(line) for line in path.read_text().splitlines()]
events = [
    Interaction(
        ts_ms=ts_ms,
        session_id=session,
        user_id="",
        query=query,
        item_id=item,
        action=Action(action),
    )
    for ts_ms, session, query, item, action in rows
]
position = SourcePartition("events", 0)
with Store.create_or_open(root, StreamSettings(memtable_bytes=65536)) as store:
    shard = store.shard(0)
    start = shard.positions().get(position, 0)
    low = start
    while low < len(events):
        high = min(low + size, len(events))
        try:
            apply_events(shard, events[low:high], [], {position: high})
        except StoreStalled:
            continue
        print(high, flush=True)
        low = high
"""


def make_events(count: int, seed: int) -> list[Interaction]:
    """Return events in which sessions, queries and items repeat."""
    draw = random.Random(seed)
    return [
        event(
            session_id=f"s-{draw.randrange(count // 4)}",
            query=draw.choice(["", "tv", "radio", "red shoes"]),
            item_id=f"i-{draw.randrange(40)}",
            ts_ms=NOON_MS + draw.randrange(90 * DAY_MS),
            action=draw.choice(list(Action)),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_writer_resumes_to_the_same_graph(
    tmp_path: Path, start_python: StartPython, seed: int
) -> None:
    """A writer killed again and again, and resumed from its own positions, ends as the
    batch build.
    """
    events = make_events(3000, seed)
    rows = [[e.ts_ms, e.session_id, e.query, e.item_id, int(e.action)] for e in events]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)))
    root, draw = tmp_path / "store", random.Random(seed)

    for _ in range(4):
        process = start_python(WRITER, root, tmp_path / "events.jsonl", 7)
        assert process.stdout is not None
        for _ in range(draw.randrange(1, 60)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = start_python(WRITER, root, tmp_path / "events.jsonl", 500)
    _, stderr = last.communicate(timeout=60)

    assert last.returncode == 0, stderr
    build(tmp_path / "plain", [events], DEFAULTS, 1)
    assert graph_hash(root, DEFAULTS) == graph_hash(tmp_path / "plain", DEFAULTS)
    assert_same_dump(dump(root, DEFAULTS, NOON_MS), Oracle.of(events).dump(NOON_MS))
    with open_graph(root, DEFAULTS) as graph:
        assert graph.positions() == {0: {SourcePartition("events", 0): len(events)}}


def test_a_session_id_that_everybody_sends_is_only_a_large_session(open_store: OpenStore) -> None:
    """More users than 16 bits can count are kept, each to be found by, also when they
    come bit by bit.
    """
    one = open_store().shard(0)
    num_users = 70_000
    crowd = [event("unknown", "tv", "a", user_id=f"u-{number}") for number in range(num_users)]
    for start in (0, num_users // 2):
        apply_events(one, crowd[start : start + num_users // 2 + 1])
    (session,) = one.get_sessions([text_key("unknown")]).values()

    assert session.user_keys == tuple(
        sorted(text_key(f"u-{number}") for number in range(num_users))
    )
    assert one.sessions_of_user(text_key("u-0")).tolist() == [text_key("unknown")]
    assert one.sessions_of_user(text_key("u-69999")).tolist() == [text_key("unknown")]
