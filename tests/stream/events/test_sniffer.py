"""JSON that nothing announces is told by its keys."""

from typing import Any

import pytest

from stream.events.format import Content, json_format
from stream.events.formats.catalog import JSON_ITEM
from stream.events.limits import Limits
from stream.events.sniffer import reader_by_keys
from stream.events.types import CatalogItem, Rejected
from testing.records import (
    CLICK,
    NEUTRAL,
    NOW_MS,
    SETTINGS,
    TS_MS,
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
    [({"c": 1}, "second"), ({"b": None}, "first"), ({"c": 1, "a": 2}, "first")],
)
def test_the_first_format_with_a_key_reads(found: dict[str, Any], name: str) -> None:
    """Any key of a format is enough, whatever its value, and the order of the formats
    counts, not that of the keys.
    """
    assert reader_by_keys([FIRST, SECOND])(found, LIMITS) == _named(name)


def test_json_of_no_known_form() -> None:
    """It is rejected with a few of its keys; `otherwise` reads it, if there is one."""
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


def test_a_line_with_a_time_is_an_event_where_nothing_announces_an_item() -> None:
    """Without an announcement the keys decide, and a time is an event's."""
    line = {"item_id": "i1", "title": "T", "ts_ms": TS_MS}

    assert rejection_of(line) == ("missing_field", "type is absent")


def test_an_announced_item_may_come_in_an_envelope() -> None:
    """A CloudEvent is read as one where an item is announced in JSON."""
    cloud = cloud_item({"item_id": "i1"}, time=None)
    item = CatalogItem(item_id="i1")

    assert events_of(cloud, JSON_ITEM) == [item]
    assert events_of(cloud, source="freshet.catalog") == [item]
