"""Sessions cut by inactivity.

Whatever the delivery, those that sorting all events and cutting once gives.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.actions import Action
from stream.changes.apply import apply_batch
from stream.errors import StoreMismatch, StoreUnreadable
from stream.events.columns import Texts, batch_of
from stream.events.types import Interaction, SourcePartition
from stream.graph.sessions import SessionWindows, cut_session_id
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import Database
from stream.shard.shard import Shard
from stream.store.store import Store
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
from testing.oracle import Oracle, assert_same_dump, with_sessions
from tests.stream.conftest import OpenStore

GAP_MS = 1_800_000
MINUTE_MS = 60_000
DEFAULTS = StreamSettings()

# Neighbours are the gap apart, a millisecond more or less, or much closer, so that
# sessions often just touch.
TIMES_MS = sorted(
    NOON_MS + steps * GAP_MS + nudge_ms
    for steps in range(-3, 4)
    for nudge_ms in (-1, 0, 1, 2, GAP_MS // 2)
)


def visit(
    ts_ms: int,
    item_id: str = "a",
    *,
    query: str = "tv",
    user_id: str = "u-1",
    action: Action = Action.CLICK,
) -> Interaction:
    """Return one interaction without a session."""
    return event("", query, item_id, ts_ms, action, user_id)


visits = st.builds(
    visit,
    st.sampled_from(TIMES_MS),
    st.sampled_from("abc"),
    query=st.sampled_from(["", "tv", "red shoes"]),
    user_id=st.sampled_from(["u-1", "u-2", "é@7"]),
    action=st.sampled_from(Action),
)
in_sessions = st.builds(
    event,
    session_id=st.sampled_from(["s-1", "u-1"]),
    item_id=st.sampled_from("abc"),
    ts_ms=st.sampled_from(TIMES_MS),
    user_id=st.sampled_from(["", "u-1"]),
)


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Interaction], list[list[Interaction]]]:
    """Return events, most without a session, and one way to deliver them.

    Shuffled, repeated, in batches.
    """
    events = draw(st.lists(st.one_of(visits, visits, visits, in_sessions), min_size=1, max_size=25))
    again = draw(
        st.lists(st.tuples(st.sampled_from(events), st.sampled_from(TIMES_MS)), max_size=8)
    )
    events += [replace(one, ts_ms=ts_ms) for one, ts_ms in again]
    repeats = draw(st.lists(st.sampled_from(events), max_size=8))
    arriving = draw(st.permutations(events + repeats))
    cuts = sorted(draw(st.lists(st.integers(0, len(arriving)), max_size=8)))
    return events, [
        arriving[low:high] for low, high in zip([0, *cuts], [*cuts, len(arriving)], strict=True)
    ]


def assert_is_graph_of(
    root: Path, events: Sequence[Interaction], settings: StreamSettings = DEFAULTS
) -> None:
    """Compare a store with the batch build of events that were given sessions first,
    records and sums too.
    """
    named = with_sessions(events, settings.session_gap_ms)
    assert_same_dump(dump(root, settings, NOON_MS), Oracle.of(named).dump(NOON_MS))
    with TemporaryDirectory() as folder:
        build(Path(folder, "plain"), [named], settings, 1)
        assert graph_hash(root, settings) == graph_hash(Path(folder, "plain"), settings)
        assert contents(root) == contents(Path(folder, "plain"))


def users_of(shard: ShardReader) -> Iterator[tuple[int, int]]:
    """Yield which users were seen in which sessions that are there.

    Names of renamed ones may be kept.
    """
    for _, value in shard.entries(codec.USER):
        for user, session in zip(
            *(column.tolist() for column in codec.unpack_users(value)), strict=True
        ):
            if shard.get_sessions([session]):
                yield user, session


def contents(root: Path) -> dict[str, object]:
    """Return what the shards of a store hold of sessions, one way to write it for one
    set of facts.
    """
    with open_graph(root, DEFAULTS) as graph:
        states, shards = list(graph.shard_states().values()), graph._shards
        return {
            "sessions": sorted(
                record for shard in shards for record in shard.entries(codec.SESSION)
            ),
            "users": sorted(pair for shard in shards for pair in users_of(shard)),
            "by query": earliest_rows(shards, codec.BY_QUERY),
            "by item": earliest_rows(shards, codec.BY_ITEM),
            "num_sessions": sum(state.num_sessions for state in states),
            "num_hyperedges": sum(state.num_hyperedges for state in states),
            "num_incidences": sum(state.num_incidences for state in states),
        }


def earliest_rows(shards: Sequence[ShardReader], kind: bytes) -> dict[tuple[int, ...], int]:
    """Return the earliest time of each fact in an index."""
    unpack = codec.by_query if kind == codec.BY_QUERY else codec.by_item
    rows: dict[tuple[int, ...], int] = {}
    for key, value in (record for shard in shards for record in shard.entries(kind)):
        facts = unpack([key], [value])
        columns = facts.session, facts.query, facts.item, facts.action
        for *fact, ts_ms in zip(
            *(column.tolist() for column in columns), facts.ts_ms.tolist(), strict=True
        ):
            rows[tuple(fact)] = min(ts_ms, rows.get(tuple(fact), ts_ms))
    return rows


def windows(shard: Shard, user_id: str = "u-1") -> list[tuple[int, int]]:
    """Return the windows that are stored of a user, in minutes since noon."""
    found = shard.get_windows(np.array([text_key(user_id)], dtype=np.uint64))
    return [
        ((start_ms - NOON_MS) // MINUTE_MS, (end_ms - NOON_MS) // MINUTE_MS)
        for start_ms, end_ms in zip(found.start_ms.tolist(), found.end_ms.tolist(), strict=True)
    ]


def at(minutes: int, item_id: str = "a", user_id: str = "u-1") -> Interaction:
    """Return an event without a session, by minutes since noon."""
    return visit(NOON_MS + minutes * MINUTE_MS, item_id, user_id=user_id)


@given(deliveries(), st.integers(1, 2))
@settings(max_examples=80 * EFFORT)
def test_any_delivery_makes_the_graph_of_the_set(
    delivery: tuple[list[Interaction], list[list[Interaction]]], num_shards: int
) -> None:
    """Order, repeats, repeats at other times, batches and reopening leave no trace in
    sessions and graph.
    """
    events, batches = delivery
    with TemporaryDirectory() as folder:
        build(Path(folder, "store"), batches, DEFAULTS, num_shards)

        assert_is_graph_of(Path(folder, "store"), events)


@given(deliveries(), st.lists(st.booleans(), min_size=9, max_size=9))
@settings(max_examples=30 * EFFORT)
def test_crash_before_a_write_leaves_the_graph_of_the_batches_before(
    delivery: tuple[list[Interaction], list[list[Interaction]]], crashes: list[bool]
) -> None:
    """A batch that did not get as far as its write has changed nothing, and comes again
    whole.
    """
    _, batches = delivery
    with (
        TemporaryDirectory() as folder,
        Store.create_or_open(Path(folder, "store"), DEFAULTS) as store,
    ):
        applied: list[Interaction] = []
        for batch, crash in zip(batches, crashes, strict=False):
            if crash and batch:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(Database, "write", fail)
                    with pytest.raises(OSError, match="no power"):
                        apply_all(store, batch)
                assert_is_graph_of(store.root, applied)
            apply_all(store, batch)
            applied += batch
        assert_is_graph_of(store.root, applied)


def fail(*_: object) -> None:
    """Stand in for a write that the process does not live to make."""
    raise OSError("no power")


@given(st.data())
@settings(max_examples=100 * EFFORT)
def test_windows_do_not_depend_on_how_they_were_merged(data: st.DataObject) -> None:
    """Merging all moments at once, or some first and the others to that, gives the same
    windows, apart.
    """
    times = data.draw(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 60)), max_size=20))
    first = data.draw(st.lists(st.sampled_from(times), max_size=20)) if times else []
    merged = SessionWindows.concatenate([moments(first).merged(5), moments(times)]).merged(5)
    expected = moments(times).merged(5)

    assert rows_of(merged) == rows_of(expected) == sorted(rows_of(expected))
    for before, after in pairwise(rows_of(merged)):
        assert before[0] != after[0] or after[1] - before[2] > 5
    places = merged.index_of(moments(times).user, moments(times).start_ms).tolist()
    for (user, ts_ms), place in zip(times, places, strict=True):
        assert rows_of(merged)[place][0] == user
        assert rows_of(merged)[place][1] <= ts_ms <= rows_of(merged)[place][2]


def moments(times: Sequence[tuple[int, int]]) -> SessionWindows:
    """Return a window of no length for each (user, time)."""
    ts_ms = np.array([ts_ms for _, ts_ms in times], dtype=np.int64)
    return SessionWindows(np.array([user for user, _ in times], dtype=np.uint64), ts_ms, ts_ms)


def rows_of(found: SessionWindows) -> list[tuple[int, int, int]]:
    """Return windows as tuples."""
    return list(
        zip(found.user.tolist(), found.start_ms.tolist(), found.end_ms.tolist(), strict=True)
    )


def test_moment_between_hulls_or_of_another_user_is_inside_of_none() -> None:
    """A place is found by user and by both ends, which belong to the window."""
    known = SessionWindows(
        np.array([1, 1, 3], dtype=np.uint64),
        np.array([10, 30, 10], dtype=np.int64),
        np.array([20, 30, 20], dtype=np.int64),
    )
    user = np.array([1, 1, 1, 1, 1, 2, 3, 3, 0], dtype=np.uint64)
    ts_ms = np.array([9, 10, 20, 21, 30, 15, 9, 15, 15], dtype=np.int64)

    assert known.index_of(user, ts_ms).tolist() == [-1, 0, 0, -1, 1, -1, -1, 2, -1]
    assert SessionWindows.empty().index_of(user, ts_ms).tolist() == [-1] * 9


def test_gap_exactly_is_one_session_and_a_millisecond_more_is_two(open_store: OpenStore) -> None:
    """The gap is the longest inactivity inside a session."""
    store = open_store()
    apply_all(store, [visit(NOON_MS), visit(NOON_MS + GAP_MS, "b")])
    apply_all(store, [visit(NOON_MS + 2 * GAP_MS + 1, "c"), visit(NOON_MS + 3 * GAP_MS + 1, "d")])

    assert [
        (line["session"], line["items"]) for line in dump(store.root, DEFAULTS) if "session" in line
    ] == [
        (f"cut:u-1@{NOON_MS}", ["a", "b"]),
        (f"cut:u-1@{NOON_MS + 2 * GAP_MS + 1}", ["c", "d"]),
    ]


@pytest.mark.parametrize(
    ("before", "late", "expected"),
    [
        ([0, 40], [20], [(0, 40)]),
        ([0, 40, 80], [20, 60], [(0, 80)]),
        ([0, 40, 80, 120], [20, 100], [(0, 40), (80, 120)]),
        ([0, 20], [-30], [(-30, 20)]),
        ([0, 40], [-5, 25], [(-5, 40)]),
        ([0], [-10, -20, -60], [(-60, -60), (-20, 0)]),
        ([0, 20], [10], [(0, 20)]),
    ],
    ids=[
        "bridge",
        "bridge of three",
        "two bridges",
        "earlier",
        "earlier and bridge",
        "begins",
        "inside",
    ],
)
def test_late_event_renames_and_merges_sessions(
    open_store: OpenStore, before: list[int], late: list[int], expected: list[tuple[int, int]]
) -> None:
    """Sessions grow backwards and merge, and nothing is left under their old names."""
    store = open_store()
    events = [at(minutes, item) for minutes, item in zip(before, "abcd", strict=False)]
    apply_all(store, events)
    apply_all(store, [at(minutes, "x") for minutes in late])

    assert windows(store.shard(0)) == expected
    assert_is_graph_of(store.root, [*events, *(at(minutes, "x") for minutes in late)])


def test_repeat_that_is_no_new_fact_bridges_and_leaves_the_earliest_time(
    open_store: OpenStore,
) -> None:
    """One fact in two sessions becomes one when a repeat joins them, and the edge that
    loses is dirty.
    """
    shard = open_store().shard(0)
    apply_events(shard, [at(0), at(40)])
    applied = apply_events(shard, [at(20)])

    assert (applied.new_facts, applied.duplicates) == (0, 1)
    assert shard.state().facts.count == shard.state().num_sessions == 1
    touched = shard.dirty_since(applied.sequence - 1)
    assert touched is not None
    assert [column.tolist() for column in touched] == [[text_key("tv")], [text_key("a")]]


def test_repeat_that_is_no_new_fact_extends_its_session(open_store: OpenStore) -> None:
    """The times of repeats keep a session open, though they move no fact."""
    store = open_store()
    for minutes in (0, 25, 50):
        apply_all(store, [at(minutes)])
    apply_all(store, [at(75, "b")])

    assert windows(store.shard(0)) == [(0, 75)]
    assert dump(store.root, DEFAULTS)[-1]["items"] == ["a", "b"]


def test_renamed_facts_are_not_new(open_store: OpenStore) -> None:
    """What a batch reports as new is what was not known, under any name."""
    shard = open_store().shard(0)
    apply_events(shard, [at(0), at(1, "b"), at(2, "c")])
    applied = apply_events(shard, [at(-5, "d"), at(-5, "a")])

    assert (applied.new_facts, applied.duplicates) == (1, 1)


def test_visitors_do_not_meet(open_store: OpenStore) -> None:
    """Another user's events at the same times are other sessions, and so are those
    with a session id.
    """
    store = open_store()
    visits = [at(0), at(1, "b"), at(0, "a", "u-2"), at(1, "b", "u-2")]
    apply_all(store, [*visits, event("u-1"), event("u-1", item_id="b")])

    assert [line["session"] for line in dump(store.root, DEFAULTS) if "session" in line] == [
        f"cut:u-1@{NOON_MS}",
        f"cut:u-2@{NOON_MS}",
        "u-1",
    ]


def test_late_event_is_refused_unless_it_is_known(open_store: OpenStore) -> None:
    """An event over the retention bound begins, extends and bridges nothing.

    In a session it may be known.
    """
    shard = open_store().shard(0)
    known = [at(0), at(10, "b"), at(50, "c"), at(1000)]
    apply_events(shard, known, positions={SourcePartition("memory", 0): 4})
    late = [at(0), at(10, "b"), at(5), at(5, "b"), at(30), at(500), at(20, "b"), at(0, "a", "u-2")]
    texts = Texts()
    batch = batch_of([at(1001), *late], texts)
    batch.retention_ms = 60 * MINUTE_MS
    applied = apply_batch(shard, batch, texts)

    assert [(refusal.record.offset, refusal.reason) for refusal in applied.refusals] == [
        (offset, "too_late") for offset in (4, 5, 6, 7, 8)
    ]
    assert windows(shard) == [(0, 10), (50, 50), (1000, 1001)]
    assert windows(shard, "u-2") == []


def test_visitor_whose_session_shares_a_key_is_refused_whole(open_store: OpenStore) -> None:
    """Where a session of a user cannot be, its windows and sessions stay as they are.

    Others go on.
    """
    store = open_store()
    shard = store.shard(0)
    apply_all(store, [at(0), at(200)])
    taken = codec.session_key(text_key(cut_session_id("u-1", NOON_MS - 5 * MINUTE_MS)))
    shard.write(ShardWrite.of({taken: codec.pack_session("somebody else", (), b"")}))
    applied = apply_events(
        shard, [at(-5, "b"), at(201, "b"), at(1, "b", "u-2"), event("s-1", user_id="u-1")]
    )

    assert [(refusal.record.offset, refusal.reason) for refusal in applied.refusals] == [
        (0, "key_collision"),
        (1, "key_collision"),
    ]
    assert (windows(shard), windows(shard, "u-2")) == ([(0, 0), (200, 200)], [(1, 1)])
    shard.write(ShardWrite.of({}, [taken]))
    assert_is_graph_of(store.root, [at(0), at(200), at(1, "b", "u-2"), event("s-1", user_id="u-1")])


def test_damaged_hulls_stop_the_batch(open_store: OpenStore) -> None:
    """A user's record that does not unpack is an error that names the store, not
    other sessions.
    """
    shard = open_store().shard(0)
    for value in (b"\x01odd", b"\x09" + bytes(16)):
        shard.write(ShardWrite.of({codec.windows_key(text_key("u-1")): value}))
        with pytest.raises(StoreUnreadable, match="shard-0000"):
            apply_events(shard, [at(0)])


def test_store_made_with_another_gap_is_refused(open_store: OpenStore) -> None:
    """The gap is part of what a store was made with.

    Another one would cut the same events otherwise.
    """
    open_store(settings=StreamSettings(session_gap_seconds=60.0)).close()

    with pytest.raises(
        StoreMismatch, match=r"made with session_gap_seconds = 60\.0, but 1800\.0 is configured"
    ):
        open_store()


def test_shard_of_a_store_with_another_gap_is_refused(open_store: OpenStore) -> None:
    """A shard that was put into another store's folder says itself which gap it was cut
    with.
    """
    store = open_store()
    apply_all(store, [at(0)])
    store.close()
    manifest = store.root / "store.json"
    manifest.write_text(manifest.read_text().replace("1800.0", "60.0"))

    with pytest.raises(
        StoreMismatch, match=r"'session_gap_ms': 1800000}, but .*'session_gap_ms': 60000}"
    ):
        open_store(settings=StreamSettings(session_gap_seconds=60.0)).shard(0)


def test_store_that_does_not_say_its_gap_has_the_default(open_store: OpenStore) -> None:
    """A store and its shards from before there was a gap open with the default, and
    only with it.
    """
    store = open_store()
    apply_all(store, [at(0)])
    as_before = codec.pack_format(
        codec.ShardFormat(codec.FORMAT_VERSION, 0, 1, DEFAULTS.half_life_ms)
    )[:-8]
    store.shard(0).write(ShardWrite.of({codec.FORMAT_KEY: as_before}))
    store.close()
    manifest = json.loads((store.root / "store.json").read_text())
    del manifest["session_gap_seconds"]
    (store.root / "store.json").write_text(json.dumps(manifest))

    with open_graph(store.root, StreamSettings(session_gap_seconds=60.0)) as graph:
        assert graph.session_gap_ms == 1_800_000
    open_store().shard(0)
    with pytest.raises(StoreMismatch, match=r"session_gap_seconds = 1800\.0"):
        open_store(settings=StreamSettings(session_gap_seconds=60.0))


def test_gap_of_the_store_counts(open_store: OpenStore) -> None:
    """Sessions are cut at the store's gap, and readers can tell it."""
    short = StreamSettings(session_gap_seconds=60.0)
    store = open_store(settings=short)
    events = [at(0), at(1, "b"), at(3, "c")]
    apply_all(store, events)

    assert windows(store.shard(0)) == [(0, 1), (3, 3)]
    assert_is_graph_of(store.root, events, short)
    with open_graph(store.root, DEFAULTS) as graph:
        assert graph.session_gap_ms == 60_000
