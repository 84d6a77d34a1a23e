"""Reading snapshots again: what was read before and what is read now are the graph as a
whole read has it.
"""

import shutil
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.actions import Action
from stream.changes.apply import apply_batch
from stream.changes.erasure.erase import erase
from stream.changes.fold import fold_step
from stream.events.columns import ShardBatch, Texts, batch_of
from stream.events.types import CatalogItem, Erasure, Interaction, SourcePartition
from stream.graph.arrays import GraphArrays
from stream.graph.attributes import AttributeColumns
from stream.kafka.partitioner import shard_of
from stream.reading.incremental import GraphCache
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import dirty_log as dirty
from stream.shard.shard import Shard
from stream.store.store import Store
from testing.graph.deliveries import interactions
from testing.graph.erasures import erasures
from testing.histories import EFFORT, NOON_MS, apply_events, event
from tests.stream.conftest import OpenStore

DEFAULTS = StreamSettings()
FOLDING = replace(DEFAULTS, erasure_horizon_seconds=40 * 86_400.0)
REOPEN = "reopen"

titles = st.sampled_from(["", "A", "another"])
items = st.builds(
    CatalogItem,
    item_id=st.sampled_from(["a", "b", "z"]),
    title=titles,
    deleted=st.booleans(),
    ts_ms=st.sampled_from([0, NOON_MS, NOON_MS + 1]),
)
visits = st.builds(
    lambda minutes, item: event("", "tv", item, NOON_MS + minutes * 60_000, user_id="u-9"),
    st.integers(0, 200),
    st.sampled_from(["a", "b"]),
)
steps = st.one_of(
    st.just(REOPEN),
    st.tuples(
        st.lists(st.one_of(interactions, visits), max_size=6),
        st.lists(st.tuples(items, st.integers(0, 1)), max_size=3),
        st.one_of(st.just([]), st.just([]), st.lists(erasures, min_size=1, max_size=1)),
    ),
)

Listed = Sequence[tuple[CatalogItem, int]]
"""Catalogue items and the shard that each goes to, which may differ for one item."""

Step = str | tuple[Sequence[Interaction], Listed, Sequence[Erasure]]


@pytest.mark.parametrize("store_settings", [DEFAULTS, FOLDING], ids=["kept", "folded"])
@given(steps=st.lists(steps, min_size=1, max_size=8))
@settings(max_examples=30 * EFFORT)
def test_what_changed_is_all_that_must_be_read(
    store_settings: StreamSettings, steps: list[Step]
) -> None:
    """New, moved, erased, folded, cut.

    After each write, what is known and what is read is all there is.
    """
    with TemporaryDirectory() as folder:
        root, known = Path(folder) / "store", GraphCache()
        store = Store.create_or_open(root, store_settings, 2)
        for step in steps:
            if isinstance(step, str):
                store.close()
                store = Store.create_or_open(root, store_settings, 2)
            else:
                for index in range(2):
                    deliver(store.shard(index), index, *step)
            assert_read_again(root, known)
        store.close()


def deliver(
    shard: Shard,
    index: int,
    events: Sequence[Interaction],
    catalog: Listed,
    asked: Sequence[Erasure],
) -> None:
    """Apply one write's worth to a shard.

    Its sessions, its part of the catalogue and all erasures; then fold.
    """
    own = [each for each in events if shard_of(each.session_id or each.user_id, 2) == index]
    texts = Texts()
    listed = [item for item, shard in catalog if shard == index]
    batch = batch_of(
        own, texts, items=listed, erasures=asked, positions={SourcePartition("file", 0): 0}
    )
    apply_batch(shard, batch, texts)
    fold_step(shard, 1_000_000)


def assert_read_again(root: Path, known: GraphCache) -> None:
    """Check that reading on gives what reading all gives."""
    with open_graph(root, DEFAULTS) as graph:
        assert_same_arrays(graph.arrays(known=known), graph.arrays())


def assert_same_arrays(found: GraphArrays, expected: GraphArrays) -> None:
    """Check that two graphs are the same in every array."""
    for field in fields(GraphArrays):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(one, AttributeColumns):
            one, other = (
                [
                    each.tolist() if isinstance(each, np.ndarray) else each
                    for each in vars(columns).values()
                ]
                for columns in (one, other)
            )
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype, field.name
            assert np.array_equal(one, other), field.name
        else:
            assert one == other, field.name


def test_nothing_known_is_read_again(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New facts, moved ones, new names and catalogue items come without a look at any
    session.
    """
    store, known = open_store(), GraphCache()
    one = store.shard(0)
    apply_events(one, [event("s-1", "tv", "a", NOON_MS + 5), event("s-2", "tv", "b")])
    assert_read_again(store.root, known)
    assert known.read_in_full == 1

    for events, catalog in [
        ([event("s-1", "tv", "a", NOON_MS), event("s-3", "radio", "c")], []),
        ([], [CatalogItem(item_id="a", title="A"), CatalogItem(item_id="new", title="N")]),
        ([event("s-1", "", "new", NOON_MS + 9, Action.VIEW)], []),
        ([], []),
    ]:
        apply_events(one, events, catalog)
        with open_graph(store.root, DEFAULTS) as graph:
            expected = graph.arrays()
            with monkeypatch.context() as patch:
                patch.setattr("stream.reading.incremental.session_chunks", None)
                found = graph.arrays(known=known)
        assert known.read_in_full == 0
        assert_same_arrays(found, expected)


def test_a_name_without_a_fact_is_read(open_store: OpenStore) -> None:
    """What was asked in an event that came too late has a name, and no fact that would
    tell.
    """
    store, known = open_store(), GraphCache()
    one, position = store.shard(0), SourcePartition("topic", 0)
    apply_batch(one, *late_batch([event("s-1", "tv", "a", NOON_MS + 9_000)], position))
    assert_read_again(store.root, known)
    applied = apply_batch(one, *late_batch([event("s-2", "late", "l", NOON_MS)], position))
    assert [refusal.reason for refusal in applied.refusals] == ["too_late"]
    assert_read_again(store.root, known)
    assert known.read_in_full == 0


def late_batch(
    events: Sequence[Interaction], position: SourcePartition
) -> tuple[ShardBatch, Texts]:
    """Return a batch that has a retention bound of a second."""
    texts = Texts()
    return replace(
        batch_of(events, texts, positions={position: 0}, source=position), retention_ms=1000
    ), texts


def test_who_opened_it_anew_is_read_in_full(open_store: OpenStore) -> None:
    """Once, and then on from there."""
    known = GraphCache()
    for number in range(2):
        with open_store() as store:
            for item in "ab":
                apply_events(store.shard(0), [event(f"s-{number}", item_id=item)])
                assert_read_again(store.root, known)
                assert known.read_in_full == (item == "a")


def test_what_is_no_longer_noted_is_read_in_full(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More writes than notes are kept of."""
    monkeypatch.setattr(dirty, "MAX_WRITES", 2)
    store, known = open_store(), GraphCache()
    apply_events(store.shard(0), [event()])
    assert_read_again(store.root, known)
    for number in range(3):
        apply_events(store.shard(0), [event(item_id=f"i-{number}")])
    assert_read_again(store.root, known)
    assert known.read_in_full == 1


def test_an_older_copy_is_read_in_full(open_store: OpenStore, tmp_path: Path) -> None:
    """A shard that went back, to a checkpoint say, is not taken for
    what it was later.
    """
    store, known = open_store(), GraphCache()
    one = store.shard(0)
    apply_events(one, [event()], [CatalogItem(item_id="a", title="before")])
    store.close()
    shutil.copytree(store.root, tmp_path / "older")
    store = open_store()
    assert_read_again(store.root, known)
    store.close()
    for title in ("after", "after all"):
        with open_store(tmp_path / "older") as older:
            apply_events(older.shard(0), [], [CatalogItem(item_id="a", title=title)])
        assert_read_again(tmp_path / "older", known)
        assert_read_again(store.root, known)


def test_erasing_is_read_in_full(open_store: OpenStore) -> None:
    """What is gone is no longer known."""
    store, known = open_store(), GraphCache()
    apply_events(store.shard(0), [event("s-1"), event("s-2", item_id="b")])
    assert_read_again(store.root, known)
    erase(store.shard(0), [Erasure(kind="session", id="s-1", ts_ms=NOON_MS)], 0)
    assert_read_again(store.root, known)
    assert known.read_in_full == 1
