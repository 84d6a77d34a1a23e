"""JSON that nothing announces is told by its keys."""

import json
from typing import Any

import pytest

from stream.events.format import Content, json_format
from stream.events.formats.catalog import JSON_ITEM
from stream.events.formats.erasure import JSON_ERASURE
from stream.events.formats.neutral import read_columns
from stream.events.limits import Limits
from stream.events.sniffer import reader_by_keys
from stream.events.types import CatalogItem, Erasure, Rejected
from testing.records import (
    CLICK,
    CLOUD,
    NEUTRAL,
    NOW_MS,
    SETTINGS,
    TS_MS,
    UBI,
    cloud_item,
    events_of,
    rejection_of,
)

LIMITS = Limits.at(SETTINGS, NOW_MS)
FIRST = json_format(name="first", keys=("a", "b"), read=lambda found, _: _named("first"))
SECOND = json_format(name="second", keys=("b", "c"), read=lambda found, _: _named("second"))


def _named(name: str) -> Content:
    return Content([CatalogItem(item_id=name)])


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ({"c": 1}, "second"),
        ({"b": None}, "first"),
        ({"c": 1, "a": 2}, "first"),
        ({"a": None, "c": 1}, "second"),
        ({"a": None, "c": None}, "first"),
    ],
)
def test_the_first_format_with_a_key_reads(found: dict[str, Any], name: str) -> None:
    """Any key of a format is enough, and the order of the formats counts, not that of
    the keys. Tables of several forms write null for what a row has not, so a key with
    null counts where no other does.
    """
    assert reader_by_keys([FIRST, SECOND])(found, LIMITS) == _named(name)


def test_json_of_no_known_form() -> None:
    """It is rejected with a few of its fields; `otherwise` reads it, if there is
    one.
    """
    found = {name * 200: 1 for name in "uvwxyz"}

    with pytest.raises(Rejected) as rejected:
        reader_by_keys([FIRST])(found, LIMITS)

    assert rejected.value.reason == "unknown_type"
    assert "'uuu" in rejected.value.detail
    assert "'zzz" not in rejected.value.detail
    assert len(rejected.value.detail) < 600
    assert reader_by_keys([FIRST], otherwise=lambda found, _: _named("other"))(
        found, LIMITS
    ) == _named("other")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("data", None),
        ("erase", None),
        ("specversion", None),
        ("action_name", "missing_field"),
    ],
)
def test_plain_neutral_lines_come_first(key: str, reason: str | None) -> None:
    """A line with all that a neutral one needs is one, except where it names a UBI
    action.
    """
    line = {**NEUTRAL, key: "click"}

    if reason is None:
        assert events_of(line) == [CLICK]
    else:
        assert rejection_of(line) == (reason, "timestamp is absent")


@pytest.mark.parametrize("key", ["specversion", "_source", "user_query", "index", "properties"])
@pytest.mark.parametrize("session_id", ["s1", 5])
def test_a_line_is_of_one_form_alone_and_among_others(key: str, session_id: str | int) -> None:
    """Ids that are numbers make no difference, to either reader."""
    line = {**NEUTRAL, "session_id": session_id, key: "1"}
    columns, unread = read_columns([json.dumps(line).encode()], [0])

    assert [event.session_id for event in events_of(line)] == [str(session_id)]
    assert (columns.session.texts, unread) == ([str(session_id)], [])


def test_rows_of_a_table_of_several_forms() -> None:
    """Each has all columns, most of them null."""
    nothing = {"specversion": None, "action_name": None, "_source": None, "user_query": None}

    assert events_of({**nothing, **NEUTRAL}) == [CLICK]
    assert events_of({**nothing, **UBI, "ts_ms": None}) == [CLICK]
    assert events_of({**nothing, **_ITEM_LINE}, source="freshet.catalog") == [_ITEM]


_ITEM_LINE = {"item_id": "i1", "title": "T"}
_ITEM = CatalogItem(item_id="i1", title="T")
_ERASURE_LINE = {"erase": "user", "id": "u1", "ts_ms": TS_MS}
_ERASURE = Erasure(kind="user", id="u1", ts_ms=TS_MS)
_CLOUD_EVENT = {"specversion": "1.0", "type": "freshet.event", "data": dict(NEUTRAL)}
_CLOUD_ITEM = cloud_item(_ITEM_LINE, time=None)
_CLOUD_ERASURE = {"specversion": "1.0", "type": "freshet.erasure", "data": _ERASURE_LINE}
_EVENT_SOURCES = ["freshet.clicks", "freshet.sessions", "/logs/events.jsonl#0"]


@pytest.mark.parametrize("content_type", ["", "application/json", "application/json; charset=x"])
@pytest.mark.parametrize(
    ("sources", "line", "event"),
    [
        (_EVENT_SOURCES, NEUTRAL, CLICK),
        (_EVENT_SOURCES, UBI, CLICK),
        (_EVENT_SOURCES, _CLOUD_EVENT, CLICK),
        (["freshet.catalog"], _ITEM_LINE, _ITEM),
        (["freshet.catalog"], _CLOUD_ITEM, _ITEM),
        (["freshet.catalog"], {**_ITEM_LINE, "erase": "user"}, None),
        (["freshet.catalog"], {**NEUTRAL, "action_name": "click", "title": "T"}, None),
        (["freshet.erasures"], _ERASURE_LINE, _ERASURE),
        (["freshet.erasures"], _CLOUD_ERASURE, _ERASURE),
    ],
)
def test_a_source_decides_what_a_record_is(
    sources: list[str], line: dict[str, Any], event: Any, content_type: str
) -> None:
    """Keys tell the form of an event, never whether it is one: an item with the keys of
    an event is an item, if it has one of an item's own.
    """
    for source in sources:
        (found,) = events_of(line, content_type, source=source)
        assert found == event if event else type(found) is CatalogItem


@pytest.mark.parametrize(
    ("sources", "line", "reason", "detail"),
    [
        (_EVENT_SOURCES, _ITEM_LINE, "missing_field", "--catalog"),
        (_EVENT_SOURCES, {**_ITEM_LINE, "ts_ms": TS_MS}, "missing_field", "--catalog"),
        (_EVENT_SOURCES, _ERASURE_LINE, "missing_field", "freshet erase"),
        (_EVENT_SOURCES, _CLOUD_ITEM, "unknown_type", "freshet.catalog"),
        (_EVENT_SOURCES, _CLOUD_ERASURE, "unknown_type", "freshet.erasure"),
        (["freshet.catalog"], _ERASURE_LINE, "missing_field", "item_id"),
        (["freshet.catalog"], NEUTRAL, "unknown_type", "--source"),
        (["freshet.catalog"], _CLOUD_EVENT, "unknown_type", "freshet.event"),
        (["freshet.catalog"], _CLOUD_ERASURE, "unknown_type", "freshet.erasure"),
        (["freshet.erasures"], NEUTRAL, "missing_field", "erase"),
        (["freshet.erasures"], _ITEM_LINE, "missing_field", "erase"),
        (["freshet.erasures"], _CLOUD_EVENT, "unknown_type", "freshet.event"),
    ],
)
def test_a_record_of_another_kind_is_refused(
    sources: list[str], line: dict[str, Any], reason: str, detail: str
) -> None:
    """What a source does not hold is never taken for it, nor for what it looks like."""
    for source in sources:
        found, said = rejection_of(line, source=source)
        assert (found, detail in said) == (reason, True)


@pytest.mark.parametrize("source", [*_EVENT_SOURCES, "freshet.catalog", "freshet.erasures"])
def test_a_content_type_decides_before_the_source(source: str) -> None:
    """Whoever says what a record is may send it anywhere."""
    for line, content_type, event in (
        (NEUTRAL, "application/json; messageType=freshet.events.v1.Event", CLICK),
        (_ITEM_LINE, JSON_ITEM, _ITEM),
        (_CLOUD_ITEM, JSON_ITEM, _ITEM),
        (_ERASURE_LINE, JSON_ERASURE, _ERASURE),
        (_CLOUD_EVENT, CLOUD, CLICK),
        (_CLOUD_ITEM, CLOUD, _ITEM),
        (_CLOUD_ERASURE, CLOUD, _ERASURE),
    ):
        assert events_of(line, content_type, source=source) == [event]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ({"event": "click", "item_id": "i1"}, ["ts_ms", "type", "session_id", "'event'"]),
        ({**NEUTRAL, "item_id": None, "itemId": "i1"}, ["item_id", "'itemId'"]),
        ({"ts_ms": TS_MS, "type": "view", "item_id": "i1", "visit": 3}, ["session_id", "'visit'"]),
        ({"behavior": "pv", "time": 3, "user_id": "u", "item_id": "i"}, ["'behavior'", "'time'"]),
        (
            {"behavior": "pv", "time": 3, "user_id": "u", "item_id": "i"},
            [
                "rename what is misnamed, perhaps 'time' to ts_ms, 'behavior' to type; or leave",
                "and say in [stream.mapping.event] which is what",
            ],
        ),
        (
            {"tsMs": 3, "type": "click", "sessionId": "s", "productId": "i", "SearchTerm": "q"},
            ["'tsMs' to ts_ms, 'productId' to item_id, 'sessionId' to session_id, 'SearchTerm'"],
        ),
    ],
)
def test_misnamed_fields_are_named(line: dict[str, Any], named: list[str]) -> None:
    """The detail has what is missing and what is there instead."""
    _, detail = rejection_of(line)

    assert [name for name in named if name not in detail] == []
