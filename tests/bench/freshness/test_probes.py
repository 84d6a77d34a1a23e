"""Probes: of words and ids of their own, with what they need in the history."""

from itertools import chain

from bench.freshness.probes import (
    GONE_ITEM,
    KINDS,
    KNOWN_QUERY,
    NEW_ITEM_BY_OTHER_WORDS,
    NEW_ITEM_BY_QUERY,
    NEW_ITEM_BY_TITLE,
    NEW_QUERY,
    Change,
    Probe,
    ProbeMaker,
    clicked_of,
    interleaved,
)
from stream.events.types import CatalogItem, Interaction

_PLAIN = {"new", "known", "other"}
_MAKER = ProbeMaker(["blue mug", "red mug"], num_prepared=200, has_lane=True)


def _probe(kind: str, number: int) -> Probe:
    return _MAKER.probe(kind, number, now_ms=5)


def test_no_two_probes_share_a_query_or_a_session() -> None:
    """What is asked of one is asked of no other, and none continues another's
    session.
    """
    probes = [_probe(kind, number) for kind in KINDS for number in range(200)]
    queries = [question.query for probe in probes for question in probe.questions]
    made_up = {word for query in queries for word in query.split()[:2] if word not in _PLAIN}
    sessions = [
        event.session_id
        for event in chain.from_iterable(probe.events for probe in probes)
        if isinstance(event, Interaction)
    ]

    assert len(set(queries)) == len(queries) == 6 * 200
    assert len(made_up) == (1 + 1 + 2 + 2 + 1) * 200
    assert len(set(sessions)) == len(sessions) == 4 * 200


def test_the_history_has_what_probes_need() -> None:
    """A known query was clicked before, on a product that no shopper has; a product
    that goes was listed.
    """
    items, events = _MAKER.history(now_ms=3)
    clicked = {event["query"]: event["item_id"] for event in events}
    listed = {item["item_id"]: item["title"] for item in items}

    for number in range(200):
        (known,) = _probe("known_query", number).questions
        assert clicked[known.query] in listed
        (gone,) = _probe("gone_item", number).questions
        assert listed[gone.item_id] == gone.query
        assert _probe("new_query", number).questions[0].query not in clicked
        assert _probe("new_item", number).new_item_id not in listed


def test_each_kind_publishes_what_its_questions_ask_for() -> None:
    """By hand, the third of each; a click falls on what the answer had."""
    by_kind = {kind: _probe(kind, 3).clicking("p7") for kind in KINDS}
    click, record = by_kind["new_query"].events[0], by_kind["new_item"].events[0]

    assert isinstance(click, Interaction)
    assert isinstance(record, CatalogItem)
    assert by_kind["new_query"].questions[0].query == click.query
    assert by_kind["new_query"].questions[0].item_id == click.item_id == "p7"
    assert {event.item_id for event in by_kind["new_item"].events} == {record.item_id}
    assert by_kind["new_item"].questions[0].query == record.title
    assert [[question.figure for question in probe.questions] for probe in by_kind.values()] == [
        [NEW_QUERY],
        [KNOWN_QUERY],
        [NEW_ITEM_BY_TITLE, NEW_ITEM_BY_QUERY],
        [GONE_ITEM],
        [NEW_ITEM_BY_OTHER_WORDS],
    ]


def test_a_click_falls_on_what_no_other_probe_is_about() -> None:
    """The last item of the shop among the first, else the next one."""
    kept, gone = _MAKER.history(now_ms=3)[0][-1]["item_id"], _probe("gone_item", 3).questions[0]
    others = [kept, gone.item_id, _probe("new_item", 3).new_item_id]

    assert clicked_of(["p1", "p2", *others, "p3"], 5) == "p2"
    assert clicked_of([*others, "p3", "p4"], 3) == "p3"
    assert clicked_of(others, 2) == gone.item_id
    assert clicked_of(["p1", "p2"], 5) == "p2"


def test_what_the_catalogue_alone_brings_about_is_held_against_it() -> None:
    """A click is held against what is claimed of all."""
    probes = {kind: _probe(kind, 3) for kind in KINDS}

    assert {kind: [each.is_of_catalog for each in probes[kind].questions] for kind in KINDS} == {
        "new_query": [False],
        "known_query": [False],
        "new_item": [True, True],
        "gone_item": [True],
        "other_words": [False],
    }


def test_a_known_query_is_seen_by_the_lane_where_there_is_one() -> None:
    """Else only another generation changes its answer."""
    without = ProbeMaker(["blue mug"], num_prepared=2, has_lane=False)

    assert _probe("known_query", 1).questions[0].change is Change.FRESH_VECTOR
    assert without.probe("known_query", 1, now_ms=5).questions[0].change is Change.RISEN


def test_products_are_deleted_and_become_unavailable_in_turn() -> None:
    """Both must go from answers."""
    states = [_probe("gone_item", number).events[0] for number in range(4)]

    assert all(isinstance(state, CatalogItem) for state in states)
    assert [state.deleted for state in states if isinstance(state, CatalogItem)] == [
        *(True, False, True, False)
    ]
    assert [state.available for state in states if isinstance(state, CatalogItem)] == [
        *(True, False, True, False)
    ]


def test_kinds_are_spread_over_an_interval() -> None:
    """Two of each of two kinds: somewhere in the first and the second half of every two
    seconds.
    """
    found = list(interleaved(["a", "b"], first=7, count=2, every_seconds=2.0))

    assert [(int(due), kind, number) for due, kind, number in found] == [
        (0, "a", 7),
        (1, "b", 7),
        (2, "a", 8),
        (3, "b", 8),
    ]
    assert len({due % 1.0 for due, _, _ in found}) == 4
