"""Erasing: the law that it makes the graph of the events that were never about what is
erased.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.actions import Action
from stream.changes.apply import ApplyResult, apply_batch
from stream.changes.erasure import erase, portions
from stream.changes.fold import fold_step
from stream.errors import StoreUnreadable, StoreWriteFailed
from stream.events.columns import NO_KEY, Texts, batch_of
from stream.events.types import CatalogItem, Erasure, Interaction, SourcePartition
from stream.graph.edges import edges_of
from stream.graph.facts import FactColumns, merge_facts
from stream.kafka.partitioner import shard_of
from stream.reading.reader import open_graph
from stream.reading.scan import session_chunks
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard import dirty_log as dirty
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import AuditEntry
from stream.shard.shard import Shard
from stream.store.store import Store
from testing.graph.deliveries import deliveries
from testing.graph.erasures import ASKED_MS, ERASABLE, erasures
from testing.graph.folding import FOLDING, Step, deliver_steps, edges_by_item, folding_deliveries
from testing.histories import DAY_MS, EFFORT, NOON_MS, dump, event, graph_hash
from testing.oracle import Oracle, assert_same_dump
from tests.stream.conftest import OpenStore

DEFAULTS = StreamSettings()


class Delivery(NamedTuple):
    """One write to all shards: some events, and some erasures before them."""

    events: Sequence[Interaction]
    erasures: Sequence[Erasure] = ()


@st.composite
def erasing_deliveries(draw: st.DrawFn) -> tuple[list[Interaction], list[Erasure], list[Delivery]]:
    """Return events, erasures, and one way to deliver them.

    Erasures come at any place, some twice.
    """
    events, batches = draw(deliveries())
    asked = draw(st.lists(erasures, min_size=1, max_size=3))
    places: dict[int, list[Erasure]] = defaultdict(list)
    for erasure in asked + draw(st.lists(st.sampled_from(asked), max_size=2)):
        places[draw(st.integers(0, len(batches) - 1))].append(erasure)
    return events, asked, [Delivery(batch, places[place]) for place, batch in enumerate(batches)]


def survivors(events: Sequence[Interaction], asked: Sequence[Erasure]) -> list[Interaction]:
    """Return the events as if what is erased had never been there."""
    erased = {kind: {erasure.id for erasure in asked if erasure.kind == kind} for kind in ERASABLE}
    sessions = erased["session"] | {
        each.session_id for each in events if each.user_id in erased["user"]
    }
    return [
        each
        for each in events
        if each.session_id not in sessions and each.item_id not in erased["item"]
    ]


def apply_to(
    shard: Shard,
    events: Sequence[Interaction] = (),
    asked: Sequence[Erasure] = (),
    items: Sequence[CatalogItem] = (),
    offset: int = 0,
) -> ApplyResult:
    """Apply events, erasures and catalogue items to a shard."""
    texts = Texts()
    batch = batch_of(
        events, texts, items=items, erasures=asked, positions={SourcePartition("file", 0): offset}
    )
    return apply_batch(shard, batch, texts)


def deliver(store: Store, delivery: Delivery) -> None:
    """Apply a delivery to all shards.

    Users and items are erased in every one, a session in its own.
    """
    for index in range(store.num_shards):
        own = [
            each for each in delivery.events if shard_of(each.session_id, store.num_shards) == index
        ]
        asked = [
            each
            for each in delivery.erasures
            if each.kind != "session" or shard_of(each.id, store.num_shards) == index
        ]
        if own or asked:
            apply_to(store.shard(index), own, asked)


def build(root: Path, batches: Sequence[Delivery], num_shards: int = 1) -> None:
    """Apply deliveries one after the other, closing the store after each."""
    for delivery in batches:
        with Store.create_or_open(root, DEFAULTS, num_shards) as store:
            deliver(store, delivery)


def contents(root: Path) -> dict[str, Any]:
    """Return hash, counts and names of a store, and check that all its records agree
    with each other.
    """
    with open_graph(root, DEFAULTS) as graph:
        graph.arrays()
        stats = asdict(graph.stats())
        states = graph.shard_states().values()
        assert sum(state.num_sessions for state in states) == stats["sessions"]
        assert sum(state.num_hyperedges for state in states) == stats["hyperedges"]
        assert sum(state.num_incidences for state in states) == stats["incidences"]
        for _, shard in graph.shards():
            check_runs(shard)
        names = {kind: list(graph.names(kind)) for kind in (codec.QUERY_NAME, codec.ITEM_NAME)}
        del stats["bytes_on_disk"], stats["watermark_ms"]
        return {"hash": graph.graph_hash(), "catalog": list(graph.catalog()), **stats, **names}  # type: ignore[dict-item]


def check_runs(shard: Any) -> None:
    """Check that the runs behind queries and items hold the facts of the sessions, and
    nothing else.
    """
    held = FactColumns.concatenate([chunk.facts for chunk in session_chunks([shard])])
    expected_of = {codec.BY_ITEM: held, codec.BY_QUERY: held.take(held.query != NO_KEY)}
    for kind, expected in expected_of.items():
        records = list(shard.entries(kind))
        unpack = codec.by_item if kind == codec.BY_ITEM else codec.by_query
        found = unpack([key for key, _ in records], [value for _, value in records])
        assert merge_facts(FactColumns.empty(), found).facts.equals(expected)
        assert all(value for _, value in records)


@given(erasing_deliveries(), st.integers(1, 3), st.integers(1, 6))
@settings(max_examples=30 * EFFORT)
def test_erasing_makes_the_graph_of_what_is_left(
    history: tuple[list[Interaction], list[Erasure], list[Delivery]], num_shards: int, bound: int
) -> None:
    """Whenever it is asked for, and however it is cut into writes, an erasure leaves
    the survivors' graph.
    """
    events, asked, batches = history
    left = survivors(events, asked)
    with TemporaryDirectory() as folder, facts_a_write(bound):
        build(Path(folder, "erased"), batches, num_shards)
        build(Path(folder, "plain"), [Delivery(left)])

        found = contents(Path(folder, "erased"))
        assert found == contents(Path(folder, "plain"))
        assert_same_dump(
            dump(Path(folder, "erased"), DEFAULTS, NOON_MS), Oracle.of(left).dump(NOON_MS)
        )

        build(Path(folder, "erased"), [Delivery(events), *batches, Delivery(events)], num_shards)
        assert contents(Path(folder, "erased")) == found


@contextmanager
def facts_a_write(bound: int) -> Iterator[None]:
    """Cut erasures into writes of so many facts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(portions, "FACTS_A_WRITE", bound)
        yield


@given(
    folding_deliveries(), st.lists(erasures, min_size=1, max_size=3), st.data(), st.integers(1, 6)
)
@settings(max_examples=40 * EFFORT)
def test_an_item_goes_from_folded_edges_too(
    delivery: tuple[list[Interaction], list[Step]],
    asked: list[Erasure],
    data: st.DataObject,
    bound: int,
) -> None:
    """Wherever the folding is, an item leaves nothing, the others keep theirs, and all
    records add up.
    """
    _, steps = delivery
    place = data.draw(st.integers(0, len(steps)))
    items = {erasure.id for erasure in asked if erasure.kind == "item"}
    with TemporaryDirectory() as folder, facts_a_write(bound):
        whole, root = Path(folder, "whole"), Path(folder, "erased")
        deliver_steps(whole, steps, FOLDING)
        deliver_steps(root, steps[:place], FOLDING)
        with Store.create_or_open(root, FOLDING) as store:
            apply_to(store.shard(0), asked=asked)
        deliver_steps(root, steps[place:], FOLDING)

        with open_graph(whole, FOLDING) as before, open_graph(root, FOLDING) as after:
            assert after.graph_hash() == after.recorded_hash()
            after.arrays()
            left = edges_by_item(after)
            assert not items & {item for _, item in left}
            assert {query for query, _ in left} <= {
                text for _, text in after.names(codec.QUERY_NAME)
            }
            if {erasure.kind for erasure in asked} == {"item"}:
                expected = {
                    pair: edge
                    for pair, edge in edges_by_item(before).items()
                    if pair[1] not in items
                }
                assert left == expected


@pytest.mark.parametrize("num_steps", range(9))
@pytest.mark.parametrize(
    "asked", [("item", "a"), ("session", "s-1"), ("user", "u-1")], ids=" ".join
)
def test_wherever_the_walk_stands_the_records_add_up(
    open_store: OpenStore, asked: tuple[Any, str], num_steps: int
) -> None:
    """What is folded in part is folded whole first.

    An item leaves the sums, an ended session stays.
    """
    store = open_store(settings=FOLDING)
    shard = store.shard(0)
    old = [
        event(f"s-{number}", query="tv", item_id=item, user_id="u-1")
        for number in (1, 2)
        for item in "ab"
    ]
    apply_to(shard, [*old, event("s-9", ts_ms=NOON_MS + 40 * DAY_MS, item_id="b")])
    for _ in range(num_steps):
        fold_step(shard, 1)
    apply_to(shard, asked=[ask(*asked)])
    store.close()

    with open_graph(store.root, FOLDING) as graph:
        assert graph.graph_hash() == graph.recorded_hash()
        edges = {pair[1]: edge[0] for pair, edge in edges_by_item(graph).items()}
        assert edges == ({"b": 3} if asked[0] == "item" else {"a": 2, "b": 3})


class Crash(Exception):
    """Stands for the end of the process."""


@contextmanager
def crash_after(num_writes: int) -> Iterator[None]:
    """Let so many writes through, then none."""
    write, left = Shard.write, [num_writes]

    def counted(self: Shard, *arguments: Any, **named: Any) -> None:
        if not left[0]:
            raise Crash
        left[0] -= 1
        write(self, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shard, "write", counted)
        yield


@given(erasing_deliveries(), st.integers(0, 5), st.integers(1, 3))
@settings(max_examples=30 * EFFORT)
def test_a_crash_between_the_writes_leaves_a_consistent_store_that_finishes(
    history: tuple[list[Interaction], list[Erasure], list[Delivery]], num_writes: int, bound: int
) -> None:
    """After each of its writes the records agree.

    The next batch, whatever it is, finishes what was begun.
    """
    events, asked, _ = history
    left = survivors(events, asked)
    with TemporaryDirectory() as folder, facts_a_write(bound):
        root = Path(folder, "erased")
        build(root, [Delivery(events)])
        with Store.create_or_open(root, DEFAULTS) as store:
            shard = store.shard(0)
            try:
                with crash_after(num_writes):
                    apply_to(shard, asked=asked)
            except Crash:
                pass
        contents(root)
        build(root, [Delivery([event("s-new", item_id="new", query="new")])])
        contents(root)
        build(root, [Delivery([], asked)])
        build(
            Path(folder, "plain"), [Delivery([*left, event("s-new", item_id="new", query="new")])]
        )

        assert contents(root) == contents(Path(folder, "plain"))
        with Store.create_or_open(root, DEFAULTS) as store:
            assert store.shard(0).erased.pending == {}
            assert audited_facts(store.shard(0)) == len(Oracle.of(events).facts) - len(
                Oracle.of(left).facts
            )


def audited_facts(shard: Shard) -> int:
    """Return how many facts the audit says were removed."""
    return sum(record.facts for record in erase.audit_entries(shard))


@given(erasing_deliveries())
@settings(max_examples=15 * EFFORT)
def test_nothing_of_an_erased_text_is_left_in_any_record(
    history: tuple[list[Interaction], list[Erasure], list[Delivery]],
) -> None:
    """No key and no value of the store has the bytes of an erased id, or of a query
    that only it asked.
    """
    events, asked, _ = history
    events = list(map(with_long_texts, events))
    asked = [replace(each, id=f"{each.kind} {each.id} to forget") for each in asked]
    left = survivors(events, asked)
    with TemporaryDirectory() as folder:
        build(Path(folder, "erased"), [Delivery(events), Delivery([], asked), Delivery(events)])

        gone = {each.id for each in asked}
        gone |= {each.session_id for each in events} - {each.session_id for each in left}
        gone |= {each.query for each in events} - {each.query for each in left}
        gone |= {each.user_id for each in events}
        with Store.create_or_open(Path(folder, "erased"), DEFAULTS) as store:
            everything = b"\n".join(key + value for key, value in store.shard(0).entries(b""))
        assert [text for text in gone if text and text.encode() in everything] == []


def with_long_texts(one: Interaction) -> Interaction:
    """Return an event whose texts are too long to be there by chance."""
    return replace(
        one,
        session_id=f"session {one.session_id} to forget",
        user_id=one.user_id and f"user {one.user_id} to forget",
        item_id=f"item {one.item_id} to forget",
        query=one.query and f"query {one.query} to forget",
    )


def ask(kind: Any, text: str) -> Erasure:
    """Return an erasure."""
    return Erasure(kind=kind, id=text, ts_ms=ASKED_MS)


@pytest.fixture
def shard(open_store: OpenStore) -> Shard:
    """A shard with three sessions of two users."""
    found = open_store().shard(0)
    apply_to(
        found,
        [
            event("s-1", item_id="a", user_id="u-1"),
            event("s-1", item_id="b", query="only u-1 asks"),
            event("s-2", item_id="a", user_id="u-1"),
            event("s-3", item_id="a", user_id="u-2"),
            event("s-3", item_id="c", query="", action=Action.VIEW),
        ],
        items=[CatalogItem(item_id="a", title="A"), CatalogItem(item_id="z", title="Z")],
    )
    return found


@pytest.mark.parametrize(
    ("kind", "text", "facts", "sessions"),
    [
        ("user", "u-1", 3, 2),
        ("session", "s-3", 2, 1),
        ("item", "a", 3, 1),
        ("item", "z", 0, 0),
        ("user", "nobody", 0, 0),
        ("session", "never", 0, 0),
        ("item", "never", 0, 0),
    ],
)
def test_the_audit_says_what_was_done(
    shard: Shard, kind: Any, text: str, facts: int, sessions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record an erasure, whether the shard knew of it or not, and however often it
    is asked for.
    """
    monkeypatch.setattr("stream.clock.time.time_ns", lambda: 7_000_000)
    applied = apply_to(shard, asked=[ask(kind, text), ask(kind, text)])
    again = apply_to(shard, asked=[ask(kind, text)])

    assert (applied.erased_facts, again.erased_facts) == (facts, 0)
    assert list(erase.audit_entries(shard)) == [
        AuditEntry("erased", kind, text_key(text), ASKED_MS, 7, facts, sessions)
    ]


def test_what_is_erased_is_dropped_and_counted(shard: Shard) -> None:
    """Later events of what is erased, and catalogue items, are dropped, not
    quarantined.
    """
    apply_to(shard, asked=[ask("user", "u-1"), ask("item", "c")])
    applied = apply_to(
        shard,
        [
            event("s-1"),
            event("s-9", user_id="u-1"),
            event("s-3", item_id="c"),
            event("s-3", item_id="d"),
        ],
        items=[CatalogItem(item_id="c"), CatalogItem(item_id="d")],
    )

    assert (applied.dropped, applied.new_facts, applied.duplicates, applied.refusals) == (
        3,
        1,
        0,
        (),
    )
    assert sorted(item.item_id for _, item in shard.catalog()) == ["a", "d", "z"]


def test_a_session_is_erased_once_an_erased_user_is_seen_in_it(shard: Shard) -> None:
    """It goes with what it had before, stays away, and is counted to the user."""
    apply_to(shard, [event("s-8", item_id="d")], [ask("user", "u-1")])
    applied = apply_to(shard, [event("s-8", item_id="e", user_id="u-1"), event("s-8", item_id="f")])

    assert (applied.erased_facts, applied.dropped, applied.new_facts) == (1, 2, 0)
    assert [
        (record.kind, record.facts, record.sessions) for record in erase.audit_entries(shard)
    ] == [
        ("user", 3, 2),
        ("user", 1, 1),
    ]
    assert apply_to(shard, [event("s-8")]).dropped == 1


@pytest.mark.parametrize("is_item_first", [True, False])
def test_a_user_seen_with_an_erased_item_only_takes_the_session_along(
    open_store: OpenStore, *, is_item_first: bool
) -> None:
    """The session of a user is erased though all that the user did in it is gone with
    an item already.
    """
    shard = open_store().shard(0)
    steps: list[Callable[[], object]] = [
        lambda: apply_to(shard, [event("s-1", item_id="a", user_id="u-1")]),
        lambda: apply_to(shard, asked=[ask("item", "a")]),
    ]
    for step in reversed(steps) if is_item_first else steps:
        step()
    apply_to(shard, [event("s-1", item_id="b")])
    applied = apply_to(shard, asked=[ask("user", "u-1")])

    assert applied.erased_facts == 1
    assert list(shard.entries(codec.SESSION)) == list(shard.entries(codec.USER)) == []
    assert list(shard.entries(codec.ERASED + codec.SEEN)) == []


def test_what_was_touched_is_dirty(shard: Shard) -> None:
    """A refresher sees the queries and items of what went, and an item that only the
    catalogue had.
    """
    before = shard.state().sequence
    apply_to(shard, asked=[ask("session", "s-1"), ask("item", "z")])

    touched = shard.dirty_since(before)
    assert touched is not None
    assert touched[0].tolist() == sorted([text_key("tv"), text_key("only u-1 asks")])
    assert touched[1].tolist() == sorted([text_key("a"), text_key("b"), text_key("z")])


def test_erasing_moves_the_window_of_what_is_dirty(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes of erasures push old records out, as every write does."""
    monkeypatch.setattr(dirty, "MAX_WRITES", 2)
    for session in ("s-1", "s-2", "s-3"):
        erase.erase(shard, [ask("session", session)], 0)

    assert [codec.unpack_sequence(key) for key, _ in shard.entries(codec.DIRTY)] == [3, 4]


def test_a_name_comes_back_with_a_new_fact(shard: Shard) -> None:
    """A name that went with its last fact is stored again when somebody else asks."""
    apply_to(shard, asked=[ask("user", "u-1")])
    assert shard.get_names(codec.QUERY_NAME, [text_key("only u-1 asks")]) == {}
    apply_to(shard, [event("s-5", query="only u-1 asks", item_id="b")])

    assert list(shard.get_names(codec.QUERY_NAME, [text_key("only u-1 asks")]).values()) == [
        "only u-1 asks"
    ]
    assert list(shard.get_names(codec.ITEM_NAME, [text_key("b")]).values()) == ["b"]


def test_a_query_that_was_only_viewed_keeps_its_name(shard: Shard) -> None:
    """A fact that makes no edge needs the text as much as one that does."""
    apply_to(shard, [event("s-3", query="only u-1 asks", item_id="b", action=Action.VIEW)])
    apply_to(shard, asked=[ask("user", "u-1")])

    assert list(shard.get_names(codec.QUERY_NAME, [text_key("only u-1 asks")])) == [
        text_key("only u-1 asks")
    ]


def test_lifting_lets_events_count_again(shard: Shard) -> None:
    """A user that is lifted comes back with the sessions erased for that user, not with
    those asked for.
    """
    events = [event("s-1", user_id="u-1"), event("s-2", user_id="u-1")]
    apply_to(shard, asked=[ask("user", "u-1"), ask("session", "s-2")])
    assert apply_to(shard, events).dropped == 2
    assert erase.lift(shard, "user", "u-1", 9)
    applied = apply_to(shard, events)

    assert (applied.dropped, applied.new_facts) == (1, 1)
    assert not erase.lift(shard, "user", "u-1", 9)
    assert list(erase.audit_entries(shard))[-1] == AuditEntry(
        "lifted", "user", text_key("u-1"), ASKED_MS, 9, 0, 0
    )
    assert apply_to(shard, asked=[ask("user", "u-1")]).erased_facts == 1


def test_a_session_asked_for_itself_outlives_the_lifting_of_its_user(shard: Shard) -> None:
    """An erasure of a session that a user's erasure took already is one of its own."""
    apply_to(shard, asked=[ask("user", "u-1")])
    apply_to(shard, asked=[ask("session", "s-1")])
    erase.lift(shard, "user", "u-1", 9)

    assert apply_to(shard, [event("s-1")]).dropped == 1
    assert apply_to(shard, [event("s-2")]).dropped == 0


def test_a_visitor_without_sessions_is_forgotten(open_store: OpenStore) -> None:
    """What is cut into sessions for a user goes with the user, and when the user was
    there.
    """
    shard = open_store().shard(0)
    apply_to(shard, [event("", user_id="u-1"), event("", user_id="u-2", item_id="b")])
    applied = apply_to(shard, [event("", user_id="u-1", ts_ms=NOON_MS + 1)], [ask("user", "u-1")])

    assert (applied.erased_facts, applied.dropped) == (1, 1)
    assert [key for key, _ in shard.entries(codec.WINDOWS)] == [codec.windows_key(text_key("u-2"))]


def test_markers_are_there_after_reopening(open_store: OpenStore) -> None:
    """What is erased is loaded with the shard."""
    store = open_store()
    apply_to(store.shard(0), [event()], [ask("item", "a")])
    store.close()

    assert apply_to(open_store().shard(0), [event()]).dropped == 1


def test_a_large_session_is_cut(shard: Shard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of more facts than a write takes goes item by item."""
    apply_to(shard, [event("large", item_id=f"i-{number}", user_id="u-1") for number in range(10)])
    monkeypatch.setattr(portions, "FACTS_A_WRITE", 3)
    before = shard.state().sequence
    erase.erase(shard, [ask("session", "large")], 0)

    assert shard.state().sequence == before + 4
    assert [(record.facts, record.sessions) for record in erase.audit_entries(shard)] == [(10, 1)]


def test_a_disk_that_refuses_leaves_the_shard_as_it_was(
    shard: Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails marks nothing."""

    def refuse(*_: object, **__: object) -> None:
        raise StoreWriteFailed("full")

    with monkeypatch.context() as patch:
        patch.setattr(Shard, "write", refuse)
        with pytest.raises(StoreWriteFailed):
            apply_to(shard, asked=[ask("user", "u-1")])

    assert shard.erased.is_empty
    assert apply_to(shard, asked=[ask("user", "u-1")]).erased_facts == 3


@pytest.mark.parametrize("kind", [codec.BY_ITEM, codec.SESSION], ids=["run", "session"])
def test_a_damaged_record_stops_the_erasure(shard: Shard, kind: bytes) -> None:
    """Damage is an error that names the store."""
    shard.write(ShardWrite.of({key: b"\x09nonsense" for key, _ in shard.entries(kind)}))

    with pytest.raises(StoreUnreadable, match="shard-0000"):
        apply_to(shard, asked=[ask("item", "a")])


def test_edges_of_an_item_are_gone(shard: Shard) -> None:
    """Both sides of an edge forget it."""
    apply_to(shard, asked=[ask("item", "a")])

    assert len(edges_of(shard.facts_of_item(text_key("a")))) == 0
    tv = np.array([text_key("tv")], dtype=np.uint64)
    assert text_key("a") not in shard.facts_of_queries(tv).item
    assert np.array_equal(shard.facts_of_item(text_key("c")).session, [text_key("s-3")])


def test_hashes_of_shards_add_up(open_store: OpenStore) -> None:
    """The sums that every write keeps are those of a full scan."""
    store = open_store(num_shards=2)
    deliver(
        store, Delivery([event(f"s-{number}", user_id=f"u-{number % 3}") for number in range(9)])
    )
    deliver(store, Delivery([], [ask("user", "u-1"), ask("session", "s-3")]))
    store.close()

    with open_graph(store.root, DEFAULTS) as graph:
        assert graph.graph_hash() == graph.recorded_hash() == graph_hash(store.root, DEFAULTS)
        assert graph.stats().facts == 5


def test_records_are_laid_out_as_the_page_says() -> None:
    """Markers and audit entries are stored for good: their bytes never change."""
    tombstone = codec.ErasureTombstone(
        "item", 0x0102, 3, is_finished=True, cause=4, facts=5, sessions=6
    )
    record = AuditEntry("lifted", "session", 7, 8, 9, 10, 11)
    key, value = codec.tombstone_key("item", 0x0102), codec.pack_tombstone(tombstone)

    assert key.hex() == "15030000000000000102"
    assert value.hex() == "0101" + "".join(f"{number:016x}" for number in (3, 4, 5, 6))
    assert codec.unpack_tombstone(key, value) == tombstone
    assert codec.seen_key(1, 2).hex() == "150400000000000000010000000000000002"
    assert codec.audit_key(1, 2).hex() == "16000000000000000100000002"
    packed = codec.pack_audit(record)
    assert packed.hex() == "010102" + "".join(f"{number:016x}" for number in (7, 8, 9, 10, 11))
    assert codec.unpack_audit(packed) == record


def test_an_erasure_without_a_time_was_asked_for_when_it_is_carried_out(
    open_store: OpenStore,
) -> None:
    """A clock that is wrong keeps nobody's data; the audit has a time all the same."""
    shard = open_store().shard(0)
    apply_to(shard, [event("s-1")])
    erase.erase(shard, [Erasure(kind="session", id="s-1", ts_ms=0)], NOON_MS)

    assert list(erase.audit_entries(shard)) == [
        AuditEntry("erased", "session", text_key("s-1"), NOON_MS, NOON_MS, 1, 1)
    ]
