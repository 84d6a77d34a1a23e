"""Sessions, edges and hyperedges by the rules alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import Action
from stream.facts import (
    NO_QUERY,
    EdgeState,
    FactKey,
    SessionState,
    add_edges,
    earliest,
    hyperedge,
    merge_edge,
    merge_session,
)

QUERY, ITEM = 11, 22
HALF_LIFE_MS = 86_400_000

fact_keys = st.tuples(st.sampled_from([NO_QUERY, 1, 2]), st.integers(1, 4), st.sampled_from([1, 2, 3, 4]))
fact_maps = st.dictionaries(fact_keys, st.integers(1, 5), max_size=8)


def clicked(ts_ms: int, action: Action = Action.CLICK) -> dict[FactKey, int]:
    """Return one fact on the edge (`QUERY`, `ITEM`)."""
    return {(QUERY, ITEM, int(action)): ts_ms}


def edge_of(*sessions: dict[FactKey, int]) -> EdgeState:
    """Return the edge (`QUERY`, `ITEM`) that sessions make."""
    changes = [merge_session(SessionState("s"), facts, []).edges[QUERY, ITEM] for facts in sessions]
    return merge_edge(None, changes, HALF_LIFE_MS, must_not_ask)


def must_not_ask() -> int:
    """Stand for a search of the edge's other facts where there must be none."""
    pytest.fail("the edge's other facts were searched without need")


def id_of(item_key: int) -> str:
    """Return an item id whose order is the reverse of the key's, so that the two cannot be confused."""
    return f"item-{9999 - item_key:04d}"


def test_new_fact_makes_an_edge() -> None:
    """A click with a query is one new fact and one change that joins the edge."""
    merge = merge_session(SessionState("s"), clicked(5), ["u"])

    assert merge.num_new_facts == 1
    assert merge.state == SessionState("s", ("u",), clicked(5))
    assert (merge.edges[QUERY, ITEM].added, merge.edges[QUERY, ITEM].joins) == ([(Action.CLICK, 5)], True)


@pytest.mark.parametrize(
    "fact", [(QUERY, ITEM, int(Action.VIEW)), (NO_QUERY, ITEM, int(Action.CLICK))], ids=["view", "no query"]
)
def test_facts_that_make_no_edge(fact: FactKey) -> None:
    """A view, and an action without a query, are kept as facts and touch no edge."""
    merge = merge_session(SessionState("s"), {fact: 5}, [])

    assert merge.num_new_facts == 1
    assert not merge.edges


@pytest.mark.parametrize("again_ms", [5, 6])
def test_repeat_changes_nothing(again_ms: int) -> None:
    """The same fact at the same time or later changes nothing."""
    merge = merge_session(SessionState("s", ("u",), clicked(5)), clicked(again_ms), ["u", ""])

    assert merge.state is None
    assert merge.num_new_facts == 0


def test_second_action_does_not_join_again() -> None:
    """A purchase after a click adds to the edge, but the session is counted once."""
    merge = merge_session(SessionState("s", (), clicked(5)), clicked(7, Action.PURCHASE), [])
    change = merge.edges[QUERY, ITEM]
    edge = merge_edge(edge_of(clicked(5)), [change], HALF_LIFE_MS, must_not_ask)

    assert not change.joins
    assert (edge.sessions, edge.last_ms) == (1, 7)
    assert {action: tally.num_facts for action, tally in edge.actions.items()} == {2: 1, 4: 1}


def test_fact_moved_earlier_is_not_new_and_moves_the_first() -> None:
    """An earlier time replaces the later one, as if the later had never been seen."""
    merge = merge_session(SessionState("s", (), clicked(9)), clicked(3), [])
    edge = merge_edge(edge_of(clicked(9)), [merge.edges[QUERY, ITEM]], HALF_LIFE_MS, lambda: 3)

    assert merge.num_new_facts == 0
    assert (edge.sessions, edge.first_ms, edge.last_ms) == (1, 3, 3)
    assert edge.actions[Action.CLICK].num_facts == 1


def test_last_is_searched_only_where_the_last_fact_moved() -> None:
    """A fact that was not the edge's latest moves earlier without a search of the others."""
    merge = merge_session(SessionState("s", (), clicked(5)), clicked(3), [])
    edge = merge_edge(edge_of(clicked(5), clicked(8)), [merge.edges[QUERY, ITEM]], HALF_LIFE_MS, must_not_ask)

    assert (edge.first_ms, edge.last_ms) == (3, 8)


@given(fact_maps, fact_maps)
def test_merging_is_the_union_at_earliest_times(stored: dict[FactKey, int], seen: dict[FactKey, int]) -> None:
    """A merged session holds every fact of both, at the smaller time."""
    merge = merge_session(SessionState("s", (), stored), seen, [])
    facts = stored if merge.state is None else merge.state.facts

    assert facts == earliest(stored, seen)
    assert merge.num_new_facts == len(set(seen) - set(stored))


@given(
    st.lists(
        st.dictionaries(st.sampled_from([2, 3, 4]), st.integers(1, 9), min_size=1), min_size=2, max_size=5
    )
)
def test_shares_of_an_edge_add_up(sessions: list[dict[int, int]]) -> None:
    """An edge split between two shards adds up to the edge of all its sessions."""
    facts = [{(QUERY, ITEM, action): ts_ms for action, ts_ms in seen.items()} for seen in sessions]
    whole, joined = edge_of(*facts), add_edges(edge_of(*facts[:1]), edge_of(*facts[1:]))

    assert (joined.sessions, joined.first_ms, joined.last_ms) == (
        whole.sessions,
        whole.first_ms,
        whole.last_ms,
    )
    assert list(joined.actions) == list(whole.actions)
    assert [tally.num_facts for tally in joined.actions.values()] == [
        tally.num_facts for tally in whole.actions.values()
    ]


def test_one_item_is_no_hyperedge() -> None:
    """A session of one item, by two actions, makes none."""
    assert hyperedge({(QUERY, ITEM, 2): 5, (NO_QUERY, ITEM, 1): 3}, id_of) == []


def test_hyperedge_counts_items_once_at_their_earliest_time() -> None:
    """Distinct items whatever the action and query, in order of earliest time."""
    facts = {(QUERY, 1, 2): 9, (NO_QUERY, 1, 1): 4, (QUERY, 2, 4): 6}

    assert hyperedge(facts, id_of) == [(4, 1), (6, 2)]


@pytest.mark.parametrize("num_items", [50, 51, 60])
def test_hyperedge_keeps_the_fifty_earliest(num_items: int) -> None:
    """Up to 50 items are kept, the earliest."""
    facts = {(NO_QUERY, key, 1): 1000 + key for key in range(1, num_items + 1)}

    assert hyperedge(facts, id_of) == [(1000 + key, key) for key in range(1, 51)]


def test_ties_at_the_bound_go_by_item_id() -> None:
    """Of items at the same time, those with the smallest ids as strings are kept, whatever their keys."""
    facts = {(NO_QUERY, key, 1): 1000 for key in range(1, 52)}

    assert hyperedge(facts, id_of) == [(1000, key) for key in range(51, 1, -1)]
