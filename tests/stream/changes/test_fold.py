"""Folding what is past the fold age.

No edge and no hash tells whether or when it was done.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.actions import Action
from stream.changes.apply import apply_batch
from stream.changes.fold import WALKS_PER_FOLD_AGE, fold_step
from stream.errors import StoreUnreadable, StoreWriteFailed
from stream.events.columns import Texts, batch_of
from stream.events.types import Interaction, SourcePartition
from stream.graph.decay import Decayed
from stream.graph.facts import Digest
from stream.graph.folded import FoldedEdge, FoldedFacts
from stream.kafka.partitioner import shard_of
from stream.reading.compare import compare_graphs
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.rocksdb import Database
from stream.store.store import Store
from testing.graph.folding import (
    EVERYTHING,
    FOLD_AGE_MS,
    FOLDING,
    FOREVER,
    RETENTION_MS,
    Step,
    deliver_steps,
    edges_by_item,
    fold_all,
    folding_deliveries,
)
from testing.histories import (
    DAY_MS,
    EFFORT,
    NOON_MS,
    apply_all,
    apply_events,
    dump,
    event,
    graph_hash,
)
from testing.oracle import Oracle, assert_same_dump
from tests.stream.conftest import OpenStore


def edges_of(path: Path) -> list[dict[str, Any]]:
    """Return the edges of the dump."""
    return [line for line in dump(path, FOLDING, NOON_MS) if line["kind"] == "edge"]


def state_of(root: Path) -> codec.ShardState:
    """Return the state of a store's only shard."""
    with open_graph(root, FOLDING) as graph:
        return graph.shard_states()[0]


@given(folding_deliveries(), st.integers(1, 2))
@settings(max_examples=60 * EFFORT)
def test_edges_are_those_of_all_facts_whenever_they_are_folded(
    delivery: tuple[list[Interaction], list[Step]], num_shards: int
) -> None:
    """In any order inside the bound, whenever what is folded.

    Edges, hash and all readers agree.
    """
    events, steps = delivery
    oracle = Oracle.of(events)
    with TemporaryDirectory() as folder:
        folded, kept = Path(folder, "folded"), Path(folder, "kept")
        deliver_steps(folded, steps, FOLDING, num_shards)
        deliver_steps(kept, [events], FOREVER)
        expected = {
            (line["query"], line["item"]): (line["sessions"], line["first_ms"], line["last_ms"])
            for line in oracle.edges(NOON_MS)
        }

        assert_same_dump(edges_of(folded), oracle.edges(NOON_MS))
        assert graph_hash(folded, FOLDING) == graph_hash(kept, FOREVER)
        with open_graph(folded, FOLDING) as graph, open_graph(kept, FOREVER) as other:
            assert graph.recorded_hash() == graph.graph_hash()
            assert edges_by_item(graph) == expected
            assert compare_graphs(graph, other).is_equal
            assert compare_graphs(other, graph).is_equal
            arrays, plain = graph.arrays(NOON_MS), other.arrays(NOON_MS)
            assert graph.stats().edges == len(expected)
        for name in ("edge_query", "edge_item", "edge_sessions", "edge_first_ms", "edge_last_ms"):
            assert getattr(arrays, name).tolist() == getattr(plain, name).tolist()
        assert arrays.edge_weight.tolist() == pytest.approx(plain.edge_weight.tolist(), rel=1e-6)


@given(folding_deliveries())
@settings(max_examples=30 * EFFORT)
def test_what_is_held_is_what_ended_inside_the_fold_age(
    delivery: tuple[list[Interaction], list[Step]],
) -> None:
    """After a whole walk what is held is what sessions made that ended no longer ago
    than the fold age.
    """
    events, steps = delivery
    with TemporaryDirectory() as folder:
        root = Path(folder)
        deliver_steps(root, [*steps, 0, EVERYTHING], FOLDING)
        ended = {session: 0 for session, *_ in Oracle.of(events).facts}
        for (session, *_), ts_ms in Oracle.of(events).facts.items():
            ended[session] = max(ended[session], ts_ms)
        bound_ms = max(one.ts_ms for one in events) - FOLD_AGE_MS
        held = Oracle.of([one for one in events if ended[one.session_id] >= bound_ms])
        lines = [line for line in dump(root, FOLDING, NOON_MS) if line["kind"] == "hyperedge"]

        assert lines == held.hyperedges()
        state = state_of(root)
        assert state.num_facts == len(held.facts)
        assert state.num_sessions == len({session for session, *_ in held.facts})
        assert state.num_hyperedges == len(lines)
        assert state.num_incidences == sum(len(line["items"]) for line in lines)
        with open_graph(root, FOLDING) as graph:
            stats = graph.stats()
        assert (stats.facts, stats.sessions) == (state.num_facts, state.num_sessions)
        with Store.create_or_open(root, FOLDING) as store:
            rows = [len(value) for _, value in store.shard(0).entries(codec.BY_ITEM)]
            runs = [codec.unpack_users(value) for _, value in store.shard(0).entries(codec.USER)]
            users = {session for _, sessions in runs for session in sessions.tolist()}
        assert sum(rows) == codec.ROW_BYTES * len(held.facts)
        assert users == {
            text_key(one.session_id)
            for one in events
            if one.user_id and ended[one.session_id] >= bound_ms
        }


def old_and_new(store: Store, sessions: int = 200) -> list[Interaction]:
    """Apply sessions of the same edges, all but one of them past the fold age at the
    end.
    """
    events = [
        event(f"s-{n}", f"q {n % 3}", f"i-{item}", NOON_MS + n, user_id=f"u-{n}")
        for n in range(sessions)
        for item in range(2)
    ]
    apply_all(store, events)
    apply_all(store, [event("new", "q 0", "i-0", NOON_MS + 2 * FOLD_AGE_MS)])
    return [*events, event("new", "q 0", "i-0", NOON_MS + 2 * FOLD_AGE_MS)]


def test_sizes_shrink(open_store: OpenStore) -> None:
    """Two hundred sessions over six edges become six folded edges, found from both
    ends.
    """
    store = open_store(settings=FOLDING)
    events = old_and_new(store)
    shard = store.shard(0)
    fold_all(shard)
    counts = {
        kind: sum(1 for _ in shard.entries(kind))
        for kind in (
            codec.SESSION,
            codec.USER,
            codec.BY_QUERY,
            codec.BY_ITEM,
            codec.FOLDED,
            codec.FOLDED_BY_ITEM,
        )
    }

    assert counts == {
        codec.SESSION: 1,
        codec.USER: 0,
        codec.BY_QUERY: 1,
        codec.BY_ITEM: 1,
        codec.FOLDED: 6,
        codec.FOLDED_BY_ITEM: 6,
    }
    assert_same_dump(edges_of(store.root), Oracle.of(events).edges(NOON_MS))


def test_edges_are_folded_again_and_again(open_store: OpenStore) -> None:
    """What a walk folds is added to what earlier ones folded.

    What is held is what the fold age keeps.
    """
    store = open_store(settings=FOLDING)
    shard = store.shard(0)
    events = [
        event(f"s-{day}-{n}", "tv", f"i-{item}", NOON_MS + day * DAY_MS, action)
        for day in range(40)
        for n in range(2)
        for item in range(2)
        for action in (Action.CLICK, Action.PURCHASE)
    ]
    for day in range(40):
        apply_all(store, events[8 * day : 8 * day + 8])
        fold_all(shard)

        assert shard.state().num_facts == 8 * min(day + 1, 11)
        assert sum(len(value) for _, value in shard.entries(codec.BY_QUERY)) == 192 * min(
            day + 1, 11
        )
    assert_same_dump(edges_of(store.root), Oracle.of(events).edges(NOON_MS))


def test_the_bound_is_exact(open_store: OpenStore) -> None:
    """A session that ended at the bound is held with all its facts, one that ended just
    before is not.
    """
    store = open_store(settings=FOLDING)
    bound_ms = NOON_MS + FOLD_AGE_MS
    events = [
        event("held", "tv", "a", bound_ms - 3 * DAY_MS),
        event("held", "", "b", bound_ms, Action.VIEW),
        event("folded", "tv", "a", bound_ms - 1),
        event("new", "tv", "a", bound_ms + FOLD_AGE_MS),
    ]
    apply_all(store, events)
    shard = store.shard(0)
    fold_all(shard)
    applied = apply_events(
        shard, [event("late", ts_ms=bound_ms - 1), event("in time", ts_ms=bound_ms)]
    )

    assert [one.record.offset for one in applied.refusals] == [0]
    assert sorted(
        shard.get_sessions([text_key(name) for name in ("held", "folded", "new")])
    ) == sorted([text_key("held"), text_key("new")])
    assert shard.state().num_facts == 4
    assert_same_dump(
        edges_of(store.root),
        Oracle.of([*events, event("in time", ts_ms=bound_ms)]).edges(NOON_MS),
    )
    assert sum(len(value) for _, value in shard.entries(codec.BY_QUERY)) == 3 * codec.ROW_BYTES


def test_a_step_reads_no_more_than_it_may(open_store: OpenStore) -> None:
    """A walk over many records is many short steps, and then nothing is due until the
    bound has moved.
    """
    store = open_store(settings=FOLDING)
    old_and_new(store)
    shard = store.shard(0)
    num_runs = sum(1 for _ in shard.entries(codec.USER))
    steps = []
    while read := fold_step(shard, 10):
        steps.append(read)

    assert sum(steps) == 2 * 401 + 201 + num_runs
    assert max(steps) <= 10 + 200
    assert len(steps) > 20
    apply_all(
        store,
        [event("new", "q 0", "i-0", NOON_MS + 2 * FOLD_AGE_MS + FOLD_AGE_MS // WALKS_PER_FOLD_AGE)],
    )
    assert fold_step(shard, 10) > 0


def test_without_a_fold_age_nothing_is_folded(open_store: OpenStore) -> None:
    """By default facts are kept for ever, however old they are."""
    store = open_store()
    events = old_and_new(store)

    assert fold_step(store.shard(0), EVERYTHING) == 0
    assert store.shard(0).state().num_facts == len(events)
    assert apply_events(store.shard(0), [event(ts_ms=NOON_MS - 900 * DAY_MS)]).refusals == ()


@pytest.mark.parametrize("max_records", [1, EVERYTHING])
@pytest.mark.parametrize("later", [FOLDING, FOREVER], ids=["same fold age", "fold age taken away"])
def test_a_repeat_of_a_folded_fact_is_too_late(
    open_store: OpenStore, max_records: int, later: StreamSettings
) -> None:
    """What was folded is refused, not counted twice, also once the fold age was taken
    away.
    """
    store = open_store(settings=FOLDING)
    events = old_and_new(store)
    fold_all(store.shard(0), max_records)
    store.close()
    shard = open_store(settings=later).shard(0)
    applied = apply_events(shard, [events[0], events[-1]])

    assert [(one.reason, one.record.offset) for one in applied.refusals] == [("too_late", 0)]
    assert (applied.new_facts, applied.duplicates) == (0, 1)
    assert_same_dump(edges_of(store.root), Oracle.of(events).edges(NOON_MS))


@pytest.mark.parametrize("retention_ms", [None, RETENTION_MS], ids=["history", "live"])
def test_events_before_the_fold_bound_are_too_late_whether_or_not_anything_was_folded(
    open_store: OpenStore, retention_ms: int | None
) -> None:
    """The later bound counts: the fold age for history too, the partition's retention
    for what is live.
    """
    shard = open_store(settings=FOLDING).shard(0)
    apply_events(
        shard,
        [event(ts_ms=NOON_MS), event("known", ts_ms=NOON_MS)],
        [],
        {SourcePartition("memory", 0): 1},
    )
    texts = Texts()
    ages_ms = [FOLD_AGE_MS + 1, FOLD_AGE_MS, RETENTION_MS + 1, RETENTION_MS]
    late = [event(f"{age_ms} ms old", ts_ms=NOON_MS - age_ms) for age_ms in ages_ms]
    batch = replace(
        batch_of([*late, event("known", ts_ms=NOON_MS)], texts), retention_ms=retention_ms
    )
    applied = apply_batch(shard, batch, texts)

    refused = [(one.record.offset, "horizon" in one.detail) for one in applied.refusals]
    assert refused == ([(0, True)] if retention_ms is None else [(0, True), (1, False), (2, False)])
    assert applied.duplicates == 1


@pytest.mark.parametrize("num_steps", [0, 1, 5, 40, 1000])
def test_a_session_that_comes_back_begins_anew_however_far_the_walk_is(
    open_store: OpenStore, num_steps: int
) -> None:
    """A session id seen again after the fold age counts once more, the same whether it
    was folded before.
    """
    store = open_store(settings=FOLDING)
    old_and_new(store)
    shard = store.shard(0)
    for _ in range(num_steps):
        fold_step(shard, 3)
    back = event("s-0", "q 0", "i-0", NOON_MS + 2 * FOLD_AGE_MS)
    applied = apply_events(shard, [back])
    fold_all(shard)

    assert applied.new_facts == 1
    (edge,) = [
        line for line in edges_of(store.root) if (line["query"], line["item"]) == ("q 0", "i-0")
    ]
    assert edge["sessions"] == len(range(0, 200, 3)) + 2
    assert shard.get_sessions([text_key("s-0")])[text_key("s-0")].user_keys == ()
    with open_graph(store.root, FOLDING) as graph:
        assert graph.graph_hash() == graph.recorded_hash()
        assert edges_by_item(graph)["q 0", "i-0"][0] == edge["sessions"]


def test_a_failed_write_folds_nothing(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk refuses, the step is as if it had not been, and is done when it is
    asked for again.
    """
    store = open_store(settings=FOLDING)
    events = old_and_new(store)
    shard = store.shard(0)

    def refuse(*_arguments: object) -> None:
        raise StoreWriteFailed("full")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", refuse)
        with pytest.raises(StoreWriteFailed):
            fold_all(shard)
    assert shard.state().folded.count == 0
    fold_all(shard)
    assert shard.state().folded.count == len(events) - 1
    assert_same_dump(edges_of(store.root), Oracle.of(events).edges(NOON_MS))


def test_a_lost_folded_edge_is_damage(open_store: OpenStore) -> None:
    """The hash of a graph that lost what was folded is never printed."""
    store = open_store(settings=FOLDING)
    old_and_new(store)
    fold_all(store.shard(0))
    (first, *_) = [key for key, _ in store.shard(0).entries(codec.FOLDED)]
    store.shard(0).write(ShardWrite.of({}, [first]))

    with (
        open_graph(store.root, FOLDING) as graph,
        pytest.raises(StoreUnreadable, match="do not add up"),
    ):
        graph.graph_hash()


def test_a_missing_session_that_was_not_folded_is_a_difference(
    open_store: OpenStore, tmp_path: Path
) -> None:
    """Comparing lets a session be absent where it was folded, and nowhere else."""
    folded, kept = open_store(settings=FOLDING), open_store(tmp_path / "kept", settings=FOREVER)
    events = old_and_new(folded)
    fold_all(folded.shard(0))
    for missing, expected in ((events[0], True), (events[-1], False)):
        apply_all(kept, events)
        store = open_store(tmp_path / missing.session_id, settings=FOREVER)
        apply_all(store, [one for one in events if one != missing])
        with open_graph(folded.root, FOLDING) as graph, open_graph(kept.root, FOREVER) as whole:
            assert compare_graphs(graph, whole).is_equal
        with open_graph(folded.root, FOLDING) as graph, open_graph(store.root, FOREVER) as lacking:
            found = compare_graphs(graph, lacking)
        assert not found.is_equal
        assert (found.counts["session"].extra == 0) == expected


def test_shards_have_their_own_bounds(open_store: OpenStore) -> None:
    """A shard folds by its own watermark; readers add up what both have folded."""
    store = open_store(num_shards=2, settings=FOLDING)
    old = [event(f"s-{n}", ts_ms=NOON_MS + n) for n in range(40)]
    new = [event(f"n-{n}", ts_ms=NOON_MS + 3 * FOLD_AGE_MS) for n in range(40)]
    apply_all(store, old)
    apply_all(store, [one for one in new if shard_of(one.session_id, 2) == 0])
    for index in range(2):
        fold_all(store.shard(index))

    assert [store.shard(index).state().folded_before_ms is None for index in range(2)] == [
        False,
        True,
    ]
    apply_all(store, new)
    fold_all(store.shard(1))
    assert_same_dump(edges_of(store.root), Oracle.of([*old, *new]).edges(NOON_MS))


FOLDED = FoldedEdge(
    sessions=2,
    first_ms=NOON_MS,
    last_ms=NOON_MS + 1,
    actions={4: FoldedFacts(1, Decayed(5, 1)), 2: FoldedFacts(2, Decayed(3 << 16, 7))},
    digest=Digest(3, 5, 2**64 - 1),
)
STATE = codec.ShardState(
    7, NOON_MS, Digest(9, 1, 2), Digest(4, 3, 4), 3, 2, 6, NOON_MS - 5, Digest(5, 6, 7)
)


def test_layouts_are_pinned() -> None:
    """The bytes of folded edges and of a state that knows what was folded stay what
    they are.
    """
    assert codec.pack_folded(FOLDED).hex() == (
        "01000000020000018bcfe568000000018bcfe568010000000000000005ffffffffffffffff02"
        "020000000200000009000103" + "040000000100000001000105"
    )
    assert codec.unpack_folded(codec.pack_folded(FOLDED)).digest == FOLDED.digest
    assert codec.pack_state(STATE).hex() == (
        "0100000000000000070000018bcfe56800"
        "000000000000000900000000000000010000000000000002"
        "000000000000000400000000000000030000000000000004"
        "000000000000000300000000000000020000000000000006"
        "0000018bcfe567fb000000000000000500000000000000060000000000000007"
    )
    assert codec.unpack_state(codec.pack_state(STATE)) == STATE
    assert codec.unpack_state(codec.pack_state(codec.ShardState())) == codec.ShardState()


def test_folded_edges_pack_and_unpack() -> None:
    """A folded edge comes back as it was, and adding in any order packs to the same
    bytes.
    """
    with TemporaryDirectory() as folder, Store.create_or_open(Path(folder), FOLDING) as store:
        events = old_and_new(store)
        fold_all(store.shard(0))
        parts = [codec.unpack_folded(value) for _, value in store.shard(0).entries(codec.FOLDED)]
    first, second, third, *_ = parts

    assert sum(part.digest.count for part in parts) == len(events) - 1
    assert codec.unpack_folded(codec.pack_folded(first)) == first
    assert codec.pack_folded(first.plus(second).plus(third)) == codec.pack_folded(
        third.plus(second.plus(first))
    )
