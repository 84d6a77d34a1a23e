"""Merging, digests and hyperedges by the rules alone, against definitions in plain
Python.
"""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions import Action
from stream.events.columns import NO_KEY, Texts, columns_of
from stream.events.types import Interaction
from stream.graph.facts import (
    Digest,
    FactColumns,
    hyperedge_rows,
    hyperedge_sizes,
    merge_facts,
)
from stream.graph.keysets import distinct, run_starts
from testing.graph.fact_rows import FactKey, columns, earliest, rows_of

LAST_MS = 2**60

few_keys = st.tuples(
    st.sampled_from([1, 2**64 - 1]),
    st.sampled_from([NO_KEY, 1, 2]),
    st.integers(1, 3),
    st.sampled_from(Action),
)
fact_maps = st.dictionaries(few_keys, st.integers(1, 5), max_size=10)
any_rows = st.tuples(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from(Action),
    st.integers(0, LAST_MS),
)


def columns_of_map(facts: dict[FactKey, int]) -> FactColumns:
    """Return facts as columns, in ascending order."""
    return columns((*key, facts[key]) for key in sorted(facts))


@given(st.integers(0, LAST_MS), st.sampled_from(Action))
def test_stamps_round_trip(ts_ms: int, action: Action) -> None:
    """A stamp is the time times eight plus the action, and gives both back."""
    facts = columns([(1, 2, 3, action, ts_ms)])

    assert facts.stamp.tolist() == [ts_ms * 8 + action]
    assert (facts.ts_ms.tolist(), facts.action.tolist()) == ([ts_ms], [action])


@given(fact_maps, st.lists(st.tuples(few_keys, st.integers(1, 5)), max_size=12))
def test_merging_is_the_union_at_earliest_times(
    stored: dict[FactKey, int], seen: list[tuple[FactKey, int]]
) -> None:
    """What is new, what moved and what it was before are told apart, in any order and
    with repeats.
    """
    merge = merge_facts(columns_of_map(stored), columns((*key, ts_ms) for key, ts_ms in seen))
    union = earliest(
        [*((*key, at) for key, at in stored.items()), *((*key, at) for key, at in seen)]
    )
    moved = [key for key in sorted(union) if stored.get(key, 0) > union[key]]

    assert rows_of(merge.facts) == rows_of(columns_of_map(union))
    assert merge.is_new.tolist() == [key not in stored for key in sorted(union)]
    assert merge.is_moved.tolist() == [key in moved for key in sorted(union)]
    assert rows_of(merge.replaced) == [(*key, stored[key]) for key in moved]


@given(st.lists(fact_maps, max_size=4))
def test_merging_twice_changes_nothing(parts: list[dict[FactKey, int]]) -> None:
    """What was merged already is neither new nor moved."""
    seen = FactColumns.concatenate([columns_of_map(part) for part in parts])
    merged = merge_facts(FactColumns.empty(), seen).facts
    again = merge_facts(merged, seen)

    assert again.facts.equals(merged)
    assert not (again.is_new | again.is_moved).any()
    assert len(again.replaced) == 0


@given(st.lists(any_rows, max_size=10), st.randoms(use_true_random=False), st.integers(0, 10))
def test_digests_add_up_in_any_order(
    rows: list[tuple[int, int, int, int, int]], draw: Random, cut: int
) -> None:
    """The digest of a set is the sum of its parts', in any order, and a part can be
    taken away again.
    """
    shuffled = draw.sample(rows, len(rows))
    whole = columns(rows).digest()
    head, tail = columns(shuffled[:cut]).digest(), columns(shuffled[cut:]).digest()

    assert head + tail == tail + head == whole
    assert whole - tail == head
    assert whole.count == len(rows)


@given(any_rows, any_rows)
def test_digests_tell_single_changes_apart(
    left: tuple[int, int, int, int, int], right: tuple[int, int, int, int, int]
) -> None:
    """Two facts that differ in any one part have different digests."""
    for place in range(5):
        changed = tuple(right[at] if at == place else left[at] for at in range(5))
        assert (columns([left]).digest() == columns([changed]).digest()) == (left == changed)  # type: ignore[list-item]


def test_digest_of_swapped_parts_is_another() -> None:
    """The place of a key counts.

    A query and an item that change places are another fact.
    """
    assert columns([(1, 2, 3, 2, 9)]).digest() != columns([(1, 3, 2, 2, 9)]).digest()
    assert columns([(1, 2, 3, 2, 9)]).digest() != columns([(2, 1, 3, 2, 9)]).digest()


def test_digest_of_nothing_is_zero() -> None:
    """It can be added without a trace."""
    assert FactColumns.empty().digest() == Digest() == Digest(0, 0, 0)


def test_digest_is_pinned() -> None:
    """Stored sums are compared with it: it stays what it was."""
    facts = columns([(1, 2, 3, 2, 1_700_000_000_000), (5, 0, 7, 1, 0)])

    assert facts.digest() == Digest(2, 0x5C4603C68AC7884E, 0x20789E0334FA07DF)


@pytest.mark.parametrize(
    ("query", "action", "makes_edge"),
    [
        (1, Action.CLICK, True),
        (1, Action.ADD_TO_CART, True),
        (1, Action.PURCHASE, True),
        (1, Action.VIEW, False),
        (NO_KEY, Action.PURCHASE, False),
    ],
)
def test_facts_that_make_edges(query: int, action: Action, makes_edge: bool) -> None:
    """Every action but a view, if it came out of a search."""
    assert columns([(1, query, 2, action, 5)]).makes_edge.tolist() == [makes_edge]


def test_events_become_facts() -> None:
    """Keys, stamps and the key for no query are those of the columns."""
    event = Interaction(
        ts_ms=9, session_id="s", user_id="u", query="", item_id="i", action=Action.VIEW
    )
    texts = Texts()
    facts = FactColumns.of_events(columns_of([event], texts))

    assert (facts.query.tolist(), facts.stamp.tolist()) == ([NO_KEY], [9 * 8 + 1])
    assert texts.sessions[int(facts.session[0])] == "s"
    assert texts.items[int(facts.item[0])] == "i"


@given(st.lists(st.integers(0, 3) | st.just(2**64 - 1), max_size=12))
def test_distinct_keys(keys: list[int]) -> None:
    """Each key once, ascending, the largest too."""
    assert distinct(np.array(keys, dtype=np.uint64)).tolist() == sorted(set(keys))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12).map(sorted))
def test_starts_of_runs(rows: list[tuple[int, int]]) -> None:
    """A row starts a run where any column differs from the row before."""
    table = np.array(rows, dtype=np.int64).reshape(-1, 2)

    assert run_starts(table[:, 0], table[:, 1]).tolist() == [
        place == 0 or row != rows[place - 1] for place, row in enumerate(rows)
    ]


def kept_by_definition(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return the hyperedges of rows of (session, item, time) as (session, time, item),
    by the definition.
    """
    kept = []
    for session in sorted({session for session, _, _ in rows}):
        times: dict[int, int] = {}
        for _, item, ts_ms in (row for row in rows if row[0] == session):
            times[item] = min(ts_ms, times.get(item, ts_ms))
        members = sorted((ts_ms, -item) for item, ts_ms in times.items())[:50]
        kept += [(session, ts_ms, -item) for ts_ms, item in members if len(times) > 1]
    return kept


def kept_rows(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Return what `hyperedge_rows` keeps as (session, time, item).

    Item ids descend as keys ascend.
    """
    table = np.array(rows, dtype=np.int64).reshape(-1, 3)
    members = table[hyperedge_rows(table[:, 0], table[:, 1], table[:, 2], -table[:, 1])]
    return [(session, ts_ms, item) for session, item, ts_ms in members.tolist()]


item_rows = st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 3))


@given(st.lists(item_rows, max_size=15))
def test_hyperedges_are_those_of_the_definition(rows: list[tuple[int, int, int]]) -> None:
    """Distinct items at their earliest times, ties by item id, none
    of a single item.
    """
    assert kept_rows(rows) == kept_by_definition(rows)


@pytest.mark.parametrize("num_items", [1, 2, 49, 50, 51, 70])
@pytest.mark.parametrize("num_times", [1, 3, 100], ids=["all at once", "some ties", "no ties"])
def test_hyperedges_are_bounded(num_items: int, num_times: int) -> None:
    """At the bound of fifty the earliest are kept, ties by the item's id and not by its
    key.
    """
    rows = [
        (session, item, item * 31 % num_times)
        for session in (1, 2)
        for item in range(1, num_items + 1)
    ]
    rows += [(1, item, 200) for item in range(1, num_items + 1)]

    assert kept_rows(rows) == kept_by_definition(rows)
    assert len(kept_rows(rows)) == 2 * (min(num_items, 50) if num_items > 1 else 0)


@given(st.lists(item_rows, max_size=15), st.sampled_from([1, 49, 50, 51, 60]))
def test_hyperedge_sizes_count_the_members(
    rows: list[tuple[int, int, int]], num_items: int
) -> None:
    """The sizes are those of the hyperedges, and 0 for sessions without one."""
    rows = [*rows, *((9, item, 5) for item in range(1, num_items + 1))]
    sessions, sizes = hyperedge_sizes(
        columns((session, 1, item, 2, ts_ms) for session, item, ts_ms in rows)
    )
    kept = [session for session, _, _ in kept_by_definition(rows)]

    assert sessions.tolist() == sorted({session for session, _, _ in rows})
    assert sizes.tolist() == [kept.count(session) for session in sessions.tolist()]


def test_nothing_has_no_hyperedges() -> None:
    """Columns of length 0 are fine everywhere."""
    none = FactColumns.empty()

    assert [part.tolist() for part in hyperedge_sizes(none)] == [[], []]
    assert kept_rows([]) == []
    assert len(merge_facts(none, none).facts) == 0
