"""Events of Metarank: which count, and how an interaction finds its query."""

from dataclasses import replace
from typing import Any

import pytest

from stream.actions import Action
from stream.events.types import Interaction, SearchRecord
from testing.records import TS_MS, events_of, outcome_of, rejection_of

CLICKED: dict[str, Any] = {
    "event": "interaction",
    "id": "e-1",
    "ranking": "r-1",
    "timestamp": str(TS_MS),
    "user": "u-1",
    "session": "s-1",
    "type": "click",
    "item": "i1",
    "fields": [{"name": "count", "value": 1}],
}
CLICK = Interaction(
    ts_ms=TS_MS,
    session_id="s-1",
    user_id="u-1",
    query="",
    item_id="i1",
    action=Action.CLICK,
    query_id="r-1",
)
RANKED = {
    "event": "ranking",
    "id": "r-1",
    "timestamp": TS_MS,
    "user": "u-1",
    "fields": [{"name": "source", "value": "search"}, {"name": "query", "value": "Red Mug!"}],
    "items": [{"id": "i1", "relevancy": 2.0}],
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {}),
        ({"type": "Add_To_Cart"}, {"action": Action.ADD_TO_CART}),
        ({"type": "purchase", "item": 7}, {"action": Action.PURCHASE, "item_id": "7"}),
        ({"timestamp": "2023-11-14T21:56:40Z"}, {}),
        ({"session": None}, {"session_id": ""}),
        ({"user": None}, {"user_id": ""}),
        ({"ranking": " "}, {"query_id": ""}),
        ({"ranking": None, "fields": None}, {"query_id": ""}),
        (
            {"fields": [{"name": "query", "value": "Red Mug!"}]},
            {"query": "red mug", "query_id": ""},
        ),
        ({"fields": [{"name": "query", "value": " "}, 5]}, {}),
    ],
)
def test_interactions(change: dict[str, Any], expected: dict[str, Any]) -> None:
    """Its own query counts, else that of the ranking that it names."""
    assert events_of({**CLICKED, **change}) == [replace(CLICK, **expected)]


def test_rankings_are_searches() -> None:
    """By the id that interactions name; one without a query is a page of a category."""
    search = SearchRecord(query_id="r-1", query="red mug", user_ids=("u-1",), ts_ms=TS_MS)

    assert events_of(RANKED) == [search]
    assert events_of({**RANKED, "user": None, "fields": []}) == [
        replace(search, query="", user_ids=())
    ]


@pytest.mark.parametrize(
    "event",
    [
        {**CLICKED, "type": "like"},
        {"event": "item", "id": "1", "item": "i1", "timestamp": TS_MS, "fields": []},
        {"event": "user", "id": "1", "user": "u1", "timestamp": TS_MS, "fields": []},
    ],
)
def test_what_is_of_no_use_is_ignored(event: dict[str, Any]) -> None:
    """Other actions, and what is known of items and users."""
    assert outcome_of(event) == ([], [], 1)


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"type": None}, "missing_field", "type is absent"),
        ({"type": 5}, "wrong_type", "type must be a string"),
        ({"item": None}, "missing_field", "item is absent"),
        ({"item": ["i1"]}, "wrong_type", "item must be"),
        ({"timestamp": None}, "missing_field", "timestamp is absent"),
        ({"timestamp": TS_MS // 1000}, "absurd_timestamp", "multiply by 1000"),
        ({"session": "", "user": None}, "missing_field", "none of session, user has a value"),
        ({"fields": "query"}, "wrong_type", "fields must be a list"),
        ({"fields": [{"name": "query", "value": {}}]}, "wrong_type", "query must be"),
        ({"event": "sold"}, "missing_field", "no event of a form that is read"),
        ({"event": ["interaction"]}, "missing_field", "no event of a form that is read"),
        ({"event": "ranking", "id": None}, "missing_field", "query_id is absent"),
    ],
)
def test_what_cannot_be_used(change: dict[str, Any], reason: str, words: str) -> None:
    """It is quarantined with its reason."""
    found, detail = rejection_of({**CLICKED, **change})

    assert found == reason
    assert words in detail
