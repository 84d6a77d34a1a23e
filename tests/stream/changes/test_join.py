"""Joining actions with the searches that they name: the law that the order of arrival
leaves no trace.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.actions import Action
from stream.changes import join
from stream.changes.apply import ApplyResult, apply_batch
from stream.changes.erasure import forget
from stream.changes.erasure.erase import lift
from stream.changes.erasure.forget import forget_step
from stream.clock import now_ms
from stream.errors import StoreUnreadable
from stream.events.columns import Texts, batch_of
from stream.events.types import Erasure, Interaction, SearchRecord, SourcePartition
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.query_ids import query_id_key
from stream.shard.shard import Shard
from testing.histories import DAY_MS, EFFORT, NOON_MS, event
from testing.laws.checks import graph_of
from testing.laws.stores import MemoryShards
from testing.oracle import Oracle, assert_same_dump, with_searches, with_sessions

DEFAULTS = StreamSettings()
JOIN_MS, GAP_MS = DEFAULTS.query_join_ms, DEFAULTS.session_gap_ms
SOURCE = SourcePartition("clicks", 0)

Entry = Interaction | SearchRecord | Erasure


def named(
    query_id: str = "q-1", item_id: str = "a", ts_ms: int = NOON_MS, session_id: str = "s-1"
) -> Interaction:
    """Return a click that names its search."""
    return replace(event(session_id, "", item_id, ts_ms), query_id=query_id)


def visited(ts_ms: int = NOON_MS, item_id: str = "a", alias_id: str = "") -> Interaction:
    """Return a click of a browser's visit that names its search."""
    return replace(
        named(ts_ms=ts_ms, item_id=item_id, session_id=""), user_id="c-1", alias_id=alias_id
    )


def search(
    query: str = "green tea", ts_ms: int = NOON_MS, user_ids: tuple[str, ...] = ("c-1",)
) -> SearchRecord:
    """Return what was searched for as q-1."""
    return SearchRecord(query_id="q-1", query=query, user_ids=user_ids, ts_ms=ts_ms)


def erasure(kind: str, erased_id: str) -> Erasure:
    """Return an erasure."""
    return Erasure(kind=kind, id=erased_id, ts_ms=NOON_MS)  # type: ignore[arg-type]


def apply_to(
    shard: Shard, entries: Sequence[Entry], retention_ms: int | None = None
) -> ApplyResult:
    """Apply what came to a shard in one write."""
    texts = Texts()
    batch = batch_of(
        [entry for entry in entries if isinstance(entry, Interaction)],
        texts,
        searches=[entry for entry in entries if isinstance(entry, SearchRecord)],
        erasures=[entry for entry in entries if isinstance(entry, Erasure)],
        positions={SOURCE: 0},
        source=SOURCE,
    )
    batch.retention_ms = retention_ms
    return apply_batch(shard, batch, texts)


def built(batches: Sequence[Sequence[Entry]]) -> MemoryShards:
    """Apply batches to a shard, closing and opening it after each."""
    shards = MemoryShards(Path("joined"), 1)
    for batch in batches:
        apply_to(shards.open(0), batch)
        shards.close(0)
    return shards


def dump_of(shards: MemoryShards) -> list[dict[str, object]]:
    """Return the dump of a graph, which must add up to what its writes kept."""
    graph = graph_of(shards.readers())
    assert graph.graph_hash() == graph.recorded_hash()
    return [json.loads(line) for line in graph.dump(NOON_MS)]


def edges_of(shards: MemoryShards) -> set[tuple[object, object]]:
    """Return the queries and items of all edges."""
    return {(one["query"], one["item"]) for one in dump_of(shards) if one["kind"] == "edge"}


def held_of(shards: MemoryShards) -> list[bytes]:
    """Return all entries of ids of searches."""
    (reader,) = shards.readers()
    return [value for _, value in reader.entries(codec.QUERY_ID)]


def expected(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Return the dump of a plain build of a set."""
    events = [entry for entry in entries if isinstance(entry, Interaction)]
    searches = [entry for entry in entries if isinstance(entry, SearchRecord)]
    joined = with_searches(with_sessions(events, GAP_MS), searches, JOIN_MS)
    return Oracle.of(joined).dump(NOON_MS)


def one_by_one(*entries: Entry) -> Iterator[list[list[Entry]]]:
    """Yield all orders of entries, each in a batch of its own."""
    for arriving in permutations(entries):
        yield [[entry] for entry in arriving]


def test_either_order_makes_the_same_graph() -> None:
    """A click gets the edge of its search, whichever comes first, in one write or in
    two, twice or once; its session has it at once.
    """
    click, other, text = named(), named(item_id="b"), search()
    first = built([[click, other]])

    assert [line["kind"] for line in dump_of(first)] == ["hyperedge"]
    for batches in one_by_one(click, text, other):
        shards = built([*batches, batches[0]])
        assert edges_of(shards) == {("green tea", "a"), ("green tea", "b")}
        assert dump_of(shards) == dump_of(built([[other, text, click]]))
        assert dump_of(shards) == expected([click, other, text])


def test_every_action_that_names_a_search_is_of_its_query() -> None:
    """A purchase makes the edge that it would make with the text in it; a view makes
    none.
    """
    facts = [replace(named(), action=action) for action in Action]

    shards = built([facts, [search()]])

    (edge,) = [line for line in dump_of(shards) if line["kind"] == "edge"]
    assert edge["actions"] == {"click": 1, "add-to-cart": 1, "purchase": 1}
    with_text = built([[replace(fact, query="green tea", query_id="") for fact in facts]])
    assert dump_of(shards) == dump_of(with_text)


def test_visits_are_cut_alike() -> None:
    """A click of a browser without sessions is joined in the visit that it is in, also
    if that has another name since.
    """
    later, earlier = visited(), visited(NOON_MS - 5, "b")
    for batches in one_by_one(later, earlier, search()):
        assert dump_of(built(batches)) == expected([later, earlier, search()])


@pytest.mark.parametrize(("after_ms", "is_joined"), [(JOIN_MS, True), (JOIN_MS + 1, False)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_bound(after_ms: int, sign: int, *, is_joined: bool) -> None:
    """A search and an action that are further apart than the bound have nothing to do
    with each other.
    """
    click, text = named(ts_ms=NOON_MS + sign * after_ms), search()
    together: list[list[Entry]] = [[click, text]]
    for batches in [*one_by_one(click, text), together]:
        assert bool(edges_of(built(batches))) == is_joined


def test_a_search_that_is_said_again_later_reaches_further() -> None:
    """The times of a text reach from its first record to its last, whichever came
    first.
    """
    click = named(ts_ms=NOON_MS + JOIN_MS + 5)
    for batches in one_by_one(click, search(), search(ts_ms=NOON_MS + 10)):
        assert edges_of(built(batches)) == {("green tea", "a")}


def test_an_id_with_two_texts() -> None:
    """An id that means two texts is of both."""
    for batches in one_by_one(named(), search(), search("black tea")):
        assert edges_of(built(batches)) == {("green tea", "a"), ("black tea", "a")}


def test_a_search_without_a_text_makes_no_edge() -> None:
    """It is known all the same: the action has found it."""
    shards = MemoryShards(Path("joined"), 1)
    shard = shards.open(0)
    found = apply_to(shard, [named(), search("")])

    assert (found.named, found.joined) == (1, 1)
    assert edges_of(shards) == set()


def test_what_is_counted() -> None:
    """Actions that name a search, and those that find it, each once."""
    shard = MemoryShards(Path("joined"), 1).open(0)
    counts = [
        (found.named, found.joined, found.overused)
        for found in (
            apply_to(shard, [named(), named(item_id="b"), event()]),
            apply_to(shard, [search()]),
            apply_to(shard, [search(), named(item_id="c")]),
        )
    ]
    assert counts == [(2, 0, 0), (0, 2, 0), (1, 1, 0)]


def test_an_id_that_is_used_for_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds so many texts and actions; what is not held is counted, and is joined
    with what is there.
    """
    monkeypatch.setattr(join, "MAX_TEXTS", 2)
    monkeypatch.setattr(join, "MAX_ACTIONS", 1)
    shards = MemoryShards(Path("joined"), 1)
    shard = shards.open(0)

    found = apply_to(shard, [*map(search, ("one", "two", "three")), named(), named(item_id="b")])

    assert (found.named, found.joined, found.overused) == (2, 2, 2)
    assert edges_of(shards) == {(query, item) for query in ("one", "two") for item in "ab"}


def test_late_actions_are_late() -> None:
    """An action that is refused is not held; one that was accepted gets its edge
    however late the search comes.
    """
    shards = MemoryShards(Path("joined"), 1)
    shard = shards.open(0)
    apply_to(shard, [named(), event("s-2", ts_ms=NOON_MS + 10_000)], retention_ms=1000)

    refused = apply_to(shard, [named(item_id="late")], retention_ms=1000)
    found = apply_to(shard, [search()], retention_ms=1000)

    assert ([one.reason for one in refused.refusals], refused.named) == (["too_late"], 0)
    assert (found.refusals, found.joined) == ((), 1)
    assert edges_of(shards) == {("green tea", "a"), ("tv", "a")}


def test_a_damaged_entry_is_said(tmp_path: Path) -> None:
    """It is named as damage of the store, not raised as something else."""
    shard = MemoryShards(tmp_path, 1).open(0)
    for value in (b"\x07" + bytes(12), b"\x01", b"\x01" + bytes(8) + b"\xc1"):
        shard.write(ShardWrite.of({query_id_key(text_key("q-1")): value}))
        with pytest.raises(StoreUnreadable):
            apply_to(shard, [named()])
        with pytest.raises(StoreUnreadable):
            apply_to(shard, [erasure("user", "c-1")])


# Erasing


def random_entries(draw: Random) -> list[Entry]:
    """Return entries of a small world."""
    entries: list[Entry] = []
    for _ in range(draw.randint(1, 12)):
        query_id, ts_ms = f"q-{draw.randint(1, 3)}", NOON_MS + draw.randint(0, 3) * DAY_MS
        # What an id is of belongs to one visitor.
        visitor = int(query_id[-1]) % 2
        if draw.random() < 0.4:
            query = f"text {draw.randint(1, 2)} {query_id}"
            entries.append(replace(search(query, ts_ms, (f"c-{visitor}",)), query_id=query_id))
        else:
            session = draw.choice(["", f"s-{visitor}"])
            entries.append(
                replace(
                    event(session, "", f"i-{draw.randint(1, 3)}", ts_ms, draw.choice([*Action])),
                    query_id=draw.choice([query_id, ""]),
                    user_id=f"c-{visitor}",
                    alias_id=draw.choice(["", f"m-{visitor}"]),
                )
            )
    return entries


def without(entries: Sequence[Entry], asked: Sequence[Erasure]) -> list[Entry]:
    """Return what is left if what is erased had never been there."""
    users = {one.id for one in asked if one.kind == "user"}
    sessions = {one.id for one in asked if one.kind == "session"}
    items = {one.id for one in asked if one.kind == "item"}
    events = [entry for entry in entries if isinstance(entry, Interaction)]
    users |= {one.user_id for one in events if one.alias_id in users and not one.session_id}
    sessions |= {
        one.session_id for one in events if one.session_id and {one.user_id, one.alias_id} & users
    }
    return [
        entry
        for entry in entries
        if not isinstance(entry, Erasure)
        and not (isinstance(entry, SearchRecord) and set(entry.user_ids) & users)
        and not (
            isinstance(entry, Interaction)
            and (entry.user_id in users or entry.session_id in sessions or entry.item_id in items)
        )
    ]


def cut_batches(entries: Sequence[Entry], draw: Random) -> Iterator[list[Entry]]:
    """Cut what arrives into batches."""
    left = list(entries)
    while left:
        size = draw.randint(1, 4)
        yield left[:size]
        left = left[size:]


@given(st.integers(0, 2**32))
@settings(max_examples=100 * EFFORT)
def test_any_order_makes_one_graph_with_erasures_too(seed: int) -> None:
    """Searches before, after and without their actions, repeats, visits, aliases and
    erasures in any order and any batches give the graph of the set.
    """
    draw = Random(seed)
    entries = random_entries(draw)
    erasable = [("user", f"{kind}-{n}") for kind in "cm" for n in (0, 1)]
    erasable += [("session", "s-0"), ("session", "s-1"), ("item", "i-1")]
    asked = [erasure(*draw.choice(erasable)) for _ in range(draw.choice([0, 0, 1, 2]))]
    arriving = [*entries, *draw.choices(entries, k=3), *asked]
    draw.shuffle(arriving)

    found = built(list(cut_batches(arriving, draw)))

    left = without(entries, asked)
    assert_same_dump(dump_of(found), expected(left))


@pytest.mark.parametrize(
    ("kind", "erased_id", "session_id"),
    [
        ("user", "c-1", "s-1"),
        ("user", "c-1", ""),
        ("user", "m-1", "s-1"),
        ("user", "m-1", ""),
        ("session", "s-1", "s-1"),
        ("item", "item-a", "s-1"),
        ("item", "item-a", ""),
    ],
)
def test_erasing_takes_what_is_held(kind: str, erased_id: str, session_id: str) -> None:
    """Texts and waiting actions of what is erased go from the disk, and no replay
    brings them back.
    """
    click = replace(visited(item_id="item-a", alias_id="m-1"), session_id=session_id)
    own: list[Entry] = [click, search(user_ids=("c-1", "m-1"))]
    orders: list[Entry] = [erasure(kind, erased_id)]

    for batches in ([own, orders], [own[:1], orders, own[1:]], [own, orders, own]):
        shards = built(batches)
        assert dump_of(shards) == []
        texts = b"".join(held_of(shards))
        assert b"s-1" not in texts
        assert b"item-a" not in texts
        assert (b"green tea" in texts) == (kind in {"session", "item"})


def test_lifting_an_alias_lifts_its_user() -> None:
    """Who was erased for an alias comes back with it."""
    shards = built([[visited(alias_id="m-1")], [erasure("user", "m-1")]])
    shard = shards.open(0)

    assert lift(shard, "user", "m-1", NOON_MS)
    shards.close(0)

    assert shard.erased.is_empty
    apply_to(shards.open(0), [visited(alias_id="m-1"), search()])
    assert edges_of(shards) == {("green tea", "a")}


def test_new_sessions_of_erased_users_read_nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what may be held is looked for."""
    shards = built([[replace(named(), user_id="c-1"), search()], [erasure("user", "c-1")]])
    shard = shards.open(0)
    monkeypatch.setattr(forget, "unpack_query_id", pytest.fail)

    found = apply_to(shard, [replace(named(session_id="s-new"), user_id="c-1")])

    assert found.dropped == 1


# Forgetting


def test_what_is_held_too_long_goes() -> None:
    """It goes after the bound and the retention, by the clock, and actions that never
    found their search are counted.
    """
    shards = MemoryShards(Path("joined"), 1)
    shard = shards.open(0)
    apply_to(shard, [search(), named(), replace(named(), query_id="q-2")])
    began_ms = now_ms()

    assert forget_step(shard, 100, began_ms + shard.query_keep_ms - 60_000) == 0
    assert len(held_of(shards)) == 2
    shards.close(0)
    shard = shards.open(0)
    steps = [forget_step(shard, 1, began_ms + shard.query_keep_ms + 60_000) for _ in range(3)]

    assert sum(steps) == 1
    assert held_of(shards) == []
    assert edges_of(shards) == {("green tea", "a")}


def test_the_walk_waits_between_two_rounds() -> None:
    """A round that found its end is followed by the next a part of the time later."""
    shards = MemoryShards(Path("joined"), 1)
    shard = shards.open(0)
    old_ms = now_ms() + 2 * shard.query_keep_ms
    assert forget_step(shard, 10, old_ms) == 0
    apply_to(shard, [named()])

    assert forget_step(shard, 10, old_ms + 1) == 0
    assert len(held_of(shards)) == 1
    assert forget_step(shard, 10, old_ms + shard.query_keep_ms // forget.WALKS_PER_KEEPING) == 1
    assert held_of(shards) == []
