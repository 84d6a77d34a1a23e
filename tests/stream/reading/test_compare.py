"""Comparing graphs: whatever is planted is found, and nothing else."""

import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.actions import Action
from stream.errors import StoreUnreadable
from stream.events.types import CatalogItem, Interaction
from stream.reading.compare import KINDS, GraphComparison, compare_graphs, merge_join
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.store.store import Store
from testing.graph.deliveries import deliveries, interactions
from testing.histories import EFFORT, NOON_MS, apply_all, apply_events, build, event
from testing.oracle import Oracle

DEFAULTS = StreamSettings()

Puts = Mapping[bytes, bytes]


def compare(left: Path, right: Path, *, with_catalog: bool = False) -> GraphComparison:
    """Compare two stores, and check that the other way round says the same from the
    other side.
    """
    with open_graph(left, DEFAULTS) as one, open_graph(right, DEFAULTS) as other:
        there = compare_graphs(one, other, with_catalog=with_catalog)
        back = compare_graphs(other, one, with_catalog=with_catalog)
    assert (there.first is None) == (back.first is None)
    if there.first and back.first:
        assert (there.first.place, there.first.left) == (back.first.place, back.first.right)
    for kind, counts in there.counts.items():
        other_counts = back.counts[kind]
        assert (counts.differing, counts.missing) == (other_counts.differing, other_counts.extra)
    return there


@contextmanager
def folder() -> Iterator[Path]:
    """Yield a folder for stores.

    A function-scoped fixture would be shared by all examples.
    """
    with TemporaryDirectory() as path:
        yield Path(path)


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_merge_join_is_a_full_outer_join(left: set[int], right: set[int]) -> None:
    """Every key comes once, in order, with the sides that have it."""
    rows = merge_join(
        [(key, "l") for key in sorted(left)], [(key, "r") for key in sorted(right)], itemgetter(0)
    )

    expected = [
        ((key, "l") if key in left else None, (key, "r") if key in right else None)
        for key in sorted(left | right)
    ]
    assert list(rows) == expected


@given(deliveries(), st.integers(1, 3))
@settings(max_examples=20 * EFFORT)
def test_the_same_facts_are_equal(
    delivery: tuple[list[Interaction], list[list[Interaction]]], num_shards: int
) -> None:
    """Order, repeats, batches and the number of shards make no difference."""
    events, batches = delivery
    with folder() as root:
        build(root / "plain", [events], DEFAULTS, 1)
        build(root / "other", batches, DEFAULTS, num_shards)
        if not events:
            Store.create_or_open(root / "other", DEFAULTS, num_shards).close()
        assert compare(root / "plain", root / "other").is_equal


@given(st.lists(interactions, max_size=10), interactions, st.integers(1, 2))
@settings(max_examples=30 * EFFORT)
def test_one_more_event_is_found_where_the_oracle_says(
    events: list[Interaction], extra: Interaction, num_shards: int
) -> None:
    """An event that changes the facts is a difference, and the first one is the
    oracle's first.
    """
    before, after = Oracle.of(events), Oracle.of([*events, extra])
    with folder() as root:
        build(root / "without", [events], DEFAULTS, num_shards)
        build(root / "with", [[*events, extra]], DEFAULTS, 1)
        found = compare(root / "without", root / "with")

    assert found.is_equal == (before == after)
    if found.first:
        changed = [line for line in after.dump(NOON_MS) if line not in before.dump(NOON_MS)]
        kind = changed[0]["kind"] if changed else "session"
        named = changed[0] if changed else {"session": extra.session_id}
        assert found.first.kind == kind
        assert {name: named[name] for name in found.first.key} == dict(found.first.key)


def _row_plants(kind: str, records: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[str, Puts]]:
    """Yield records in which the last fact is a millisecond later, or another action,
    or is not there.
    """
    for key, value in records:
        head, stamp = value[:-8], int.from_bytes(value[-8:], "little")
        if kind == "edge" and stamp % 8 == Action.VIEW:
            continue  # a view makes no edge
        other = stamp ^ (int(Action.CLICK) ^ int(Action.PURCHASE))
        for changed in (
            stamp + 8,
            other if stamp % 8 in (Action.CLICK, Action.PURCHASE) else stamp + 16,
        ):
            yield kind, {key: head + changed.to_bytes(8, "little")}
        if kind == "edge":
            yield kind, {key: value[: -codec.ROW_BYTES]}


def _plants(root: Path) -> list[tuple[str, Puts]]:
    """Return what can be wrong with one record of a store, and with one record too
    many.
    """
    with open_graph(root, DEFAULTS) as graph:
        (shard,) = graph._shards
        plants = [*_row_plants("edge", shard.entries(codec.BY_QUERY))]
        plants += _row_plants("session", shard.entries(codec.SESSION))
        queries, items = dict(shard.query_names()), dict(shard.item_names())
        known = {
            pair
            for edges in graph.edges()
            for pair in zip(edges.query.tolist(), edges.item.tolist(), strict=True)
        }
    for item in list(items)[:1]:
        row = struct.pack("<QQQ", 0, item, NOON_MS * 8 + Action.VIEW)
        new = codec.pack_session("new", (), row)
        plants.append(("session", {codec.session_key(text_key("new")): new}))
    for query, item in (
        (query, item) for query in queries for item in items if (query, item) not in known
    ):
        row = struct.pack("<QQQ", item, 1, NOON_MS * 8 + Action.CLICK)
        plants.append(
            (
                "edge",
                {codec.run_keys(codec.BY_QUERY, np.array([query], dtype=np.uint64), 999)[0]: row},
            )
        )
    return plants


@given(st.lists(interactions, min_size=1, max_size=12), st.data())
@settings(max_examples=60 * EFFORT)
def test_any_single_planted_difference_is_found(
    events: list[Interaction], data: st.DataObject
) -> None:
    """One changed, missing or extra record is one difference of its kind, whichever
    record it is.
    """
    with folder() as root:
        build(root / "sound", [events], DEFAULTS, 1)
        build(root / "damaged", [events], DEFAULTS, 1)
        kind, puts = data.draw(st.sampled_from(_plants(root / "sound")))
        with Store.create_or_open(root / "damaged", DEFAULTS) as store:
            key, value = next(iter(puts.items()))
            assume(store.shard(0)._database.get([key]) != [value])
            store.shard(0).write(ShardWrite.of(puts))
        found = compare(root / "damaged", root / "sound")

    assert not found.is_equal
    counts = found.counts[kind]
    assert counts.differing + counts.missing + counts.extra == 1
    others = [found.counts[name] for name in found.counts if name not in (kind, "hyperedge")]
    assert all(other.differing == other.missing == other.extra == 0 for other in others)


def test_values_of_both_sides_are_told(tmp_path: Path) -> None:
    """An operator sees what is there and what should be, by name."""
    build(tmp_path / "left", [[event("s-1", "tv", "a"), event("s-1", "tv", "b")]], DEFAULTS, 1)
    build(tmp_path / "right", [[event("s-1", "tv", "a"), event("s-1", "", "b")]], DEFAULTS, 1)

    found = compare(tmp_path / "left", tmp_path / "right")

    assert found.first
    assert (found.first.kind, dict(found.first.key)) == ("edge", {"query": "tv", "item": "b"})
    assert found.first.left is not None
    assert found.first.left["actions"] == {"click": 1}
    assert found.first.right is None
    assert [found.counts[kind].extra for kind in ("edge", "hyperedge", "session")] == [1, 0, 0]
    assert found.counts["session"].differing == 1
    assert found.counts["hyperedge"].differing == 0


def test_the_first_difference_is_that_of_the_dump(tmp_path: Path) -> None:
    """Canonical order is that of texts, not of the keys that are stored."""
    names = [f"query {number}" for number in range(20)]
    build(tmp_path / "left", [[event("s-0", "other")]], DEFAULTS, 1)
    build(
        tmp_path / "right",
        [[event("s-0", "other"), *(event(f"s {name}", name) for name in names)]],
        DEFAULTS,
        1,
    )

    found = compare(tmp_path / "left", tmp_path / "right")

    assert found.first
    assert found.first.key["query"] == min(names)
    assert found.counts["edge"].missing == len(names)


def test_catalogues_are_compared_when_asked_for(tmp_path: Path) -> None:
    """A title counts; an item that was deleted is as good as one that
    was never there.
    """
    for name, items in {
        "left": [CatalogItem(item_id="a", title="A"), CatalogItem(item_id="gone", deleted=True)],
        "right": [CatalogItem(item_id="a", title="Another")],
    }.items():
        with Store.create_or_open(tmp_path / name, DEFAULTS) as store:
            apply_all(store, [event()])
            apply_events(store.shard(0), [], items, {})

    found = compare(tmp_path / "left", tmp_path / "right", with_catalog=True)

    assert compare(tmp_path / "left", tmp_path / "right").is_equal
    assert found.first
    assert (found.first.kind, dict(found.first.key)) == ("item", {"item": "a"})
    assert tuple(found.counts) == KINDS


def test_a_time_that_one_side_does_not_say_is_no_difference(tmp_path: Path) -> None:
    """Kafka gives its record's time to a state without one, a file does
    not; two times that are said differ.
    """
    for name, ts_ms in {"kafka": NOON_MS, "file": 0, "later": NOON_MS + 1}.items():
        with Store.create_or_open(tmp_path / name, DEFAULTS) as store:
            apply_events(store.shard(0), [], [CatalogItem(item_id="a", ts_ms=ts_ms)], {})

    assert compare(tmp_path / "kafka", tmp_path / "file", with_catalog=True).is_equal
    assert not compare(tmp_path / "kafka", tmp_path / "later", with_catalog=True).is_equal


def test_a_name_that_is_missing_is_damage(tmp_path: Path) -> None:
    """What cannot be named is reported as damage of the store that has it."""
    build(tmp_path / "sound", [[event()]], DEFAULTS, 1)
    build(tmp_path / "damaged", [[event()]], DEFAULTS, 1)
    with Store.create_or_open(tmp_path / "damaged", DEFAULTS) as store:
        row = struct.pack("<QQQ", 2, 3, NOON_MS * 8 + Action.CLICK)
        store.shard(0).write(ShardWrite.of({codec.key_prefix(codec.BY_QUERY, 1) + bytes(8): row}))

    with pytest.raises(StoreUnreadable, match=r"damaged.*names are missing"):
        compare(tmp_path / "damaged", tmp_path / "sound")
