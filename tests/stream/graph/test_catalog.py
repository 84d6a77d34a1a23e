"""The newest state of a catalogue item: the same in whatever order states arrive."""

from collections.abc import Sequence
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events.types import CatalogItem
from stream.graph.catalog import is_older, newest, newest_over_shards
from testing.oracle import newest_states

OLD_MS, NEW_MS = 1_700_000_000_000, 1_700_000_000_001

times = st.sampled_from([OLD_MS, NEW_MS])
timed = st.builds(
    CatalogItem,
    item_id=st.just("a"),
    title=st.sampled_from(["", "A", "another"]),
    text=st.sampled_from(["", "x"]),
    attributes=st.sampled_from([{}, {"k": "v", "l": "w"}, {"l": "w", "k": "v"}]),
    available=st.booleans(),
    deleted=st.booleans(),
    ts_ms=times,
)
untimed = st.builds(CatalogItem, item_id=st.just("a"), title=st.sampled_from(["", "A", "B"]))
deletions = st.just(CatalogItem(item_id="a", deleted=True))


def state(title: str = "", ts_ms: int = 0, *, deleted: bool = False) -> CatalogItem:
    """Return one state of an item."""
    return CatalogItem(item_id="a", title=title, ts_ms=ts_ms, deleted=deleted)


@given(st.lists(st.one_of(timed, untimed), min_size=1, max_size=8).flatmap(st.permutations))
def test_the_newest_wins_in_any_order(arriving: Sequence[CatalogItem]) -> None:
    """Where one state has a time the order of arrival says nothing, to the order of
    attributes; where none has, the last one counts.
    """
    found = reduce(newest, arriving)

    assert found == newest_states(arriving)["a"]
    if found.ts_ms:
        again = reduce(newest, reversed(arriving))
        assert list(found.attributes) == list(again.attributes)


@given(st.lists(timed, min_size=1, max_size=6), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_shards_together_hold_the_newest(
    arriving: Sequence[CatalogItem], shards: Sequence[int]
) -> None:
    """It makes no difference which shard a state went to."""
    held: dict[int, CatalogItem] = {}
    for item, shard in zip(arriving, shards, strict=False):
        held[shard] = newest(held[shard], item) if shard in held else item

    assert newest_over_shards(held.values()) == reduce(newest, arriving)


@pytest.mark.parametrize(
    ("stored", "arriving", "is_taken"),
    [
        (state("A", OLD_MS), state("B", NEW_MS), True),
        (state("B", NEW_MS), state("A", OLD_MS), False),
        (state("A", OLD_MS), state("B"), False),
        (state("B"), state("A", OLD_MS), True),
        (state("B"), state("A"), True),
        (state("A", OLD_MS), state("", OLD_MS, deleted=True), True),
        (state("", OLD_MS, deleted=True), state("A", OLD_MS), False),
        (state("", OLD_MS, deleted=True), state("A", NEW_MS), True),
        (state("", NEW_MS, deleted=True), state("A", OLD_MS), False),
        (state("A", OLD_MS), state("A", OLD_MS), False),
    ],
    ids=[
        "newer",
        "older",
        "without a time after one with",
        "with a time after one without",
        "both without",
        "a deletion at the same time",
        "not over a deletion of its time",
        "listed again",
        "deleted since",
        "a repeat",
    ],
)
def test_which_of_two_states_counts(
    stored: CatalogItem, arriving: CatalogItem, is_taken: bool
) -> None:
    """Where the stored state counts it is that very object: nothing is written."""
    assert newest(stored, arriving) is (arriving if is_taken else stored)


@pytest.mark.parametrize(
    ("stored", "arriving", "is_missed"),
    [
        (state("A", NEW_MS), state("B", OLD_MS), True),
        (state("", NEW_MS, deleted=True), state("A", OLD_MS), True),
        (state("A", NEW_MS), state("B"), True),
        (state("A", NEW_MS), state("", OLD_MS, deleted=True), True),
        (state("A", NEW_MS), state("A", NEW_MS), False),
        (state("A", OLD_MS), state("B", NEW_MS), False),
        (state("A"), state("B"), False),
        (state("A", NEW_MS), state(deleted=True), False),
        (state("", NEW_MS, deleted=True), state("", OLD_MS, deleted=True), False),
    ],
)
def test_which_state_is_told_to_be_older(
    stored: CatalogItem, arriving: CatalogItem, is_missed: bool
) -> None:
    """One that changes nothing though it says something else: no repeat, nor a deletion
    of what is deleted.
    """
    assert is_older(stored, arriving) is is_missed
    assert not is_missed or newest(stored, arriving) is stored


def test_a_deletion_without_a_time_deletes_what_it_finds() -> None:
    """A Kafka record without a value has no time: nothing older than what it deleted
    comes back, what is published again does, and what is deleted stays as it is.
    """
    listed = state("A", NEW_MS)
    gone = newest(listed, state(deleted=True))

    assert gone == state("", OLD_MS, deleted=True)
    assert newest(gone, state("A", OLD_MS)) is gone
    assert newest(gone, listed) is listed
    assert newest(gone, state(deleted=True)) is gone


@given(st.lists(st.one_of(timed, untimed, deletions), min_size=1, max_size=8), st.integers(0, 7))
def test_a_log_may_be_read_again_from_any_place(log: Sequence[CatalogItem], start: int) -> None:
    """States with and without a time, deletions among them, give the same once more.

    What a deleted state says besides may be that of another deletion at its time.
    """
    found = reduce(newest, log)
    again = reduce(newest, log[start:], found)

    assert (again.ts_ms, again.deleted) == (found.ts_ms, found.deleted)
    assert again == found or found.deleted


def test_states_without_a_time_in_several_shards_are_the_first_shards() -> None:
    """Nothing tells which arrived last; one with a time in a later shard counts."""
    assert newest_over_shards([state("B"), state("C"), state("A")]) == state("B")
    assert newest_over_shards([state("B"), state("A", OLD_MS)]) == state("A", OLD_MS)
