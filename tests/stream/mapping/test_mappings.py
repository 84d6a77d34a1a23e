"""Tests of what `[stream.mapping]` may say."""

from typing import Any

import pytest

from stream.actions import Action
from stream.errors import SettingsInvalid
from stream.mapping.actions import MappedAction, action_of
from stream.mapping.mappings import EventMapping, Mappings, mappings_of
from stream.mapping.sources import FieldSource
from stream.settings import StreamSettings


def test_nothing_is_mapped_by_itself() -> None:
    """An empty table maps neither events nor items."""
    assert mappings_of({}) == Mappings()
    assert mappings_of(StreamSettings().mapping) == Mappings()


def test_what_is_not_mapped_is_where_a_neutral_line_has_it() -> None:
    """A mapping names only what is elsewhere."""
    found = mappings_of({"event": {"item_id": "product.sku"}}).event

    assert found == EventMapping(item_id=FieldSource((("product", "sku"),)))
    assert found.time.paths == (("ts_ms",),)


@pytest.mark.parametrize(
    ("written", "paths"),
    [
        ("sku", (("sku",),)),
        ("cart.lines.0.sku", (("cart", "lines", "0", "sku"),)),
        ('cart."item.id"', (("cart", "item.id"),)),
        ('"a \\"b\\"".c', (('a "b"', "c"),)),
        ("shown name", (("shown name",),)),
        (["user.id", "email"], (("user", "id"), ("email",))),
    ],
)
def test_paths(written: object, paths: object) -> None:
    """Names with dots between them, in quotation marks where they have one."""
    found = mappings_of({"event": {"item_id": written}}).event
    assert found is not None
    assert found.item_id.paths == paths


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"evnt": {"time": "t"}}, ["stream.mapping", "'evnt'", "did you mean event?"]),
        ({"event": "time"}, ["stream.mapping.event must be a table", "[stream.mapping.event]"]),
        ({"event": {}}, ["stream.mapping.event is empty"]),
        ({"event": {"tme": "t"}}, ["stream.mapping.event", "'tme'", "did you mean time?"]),
        ({"event": {"time": ""}}, ["stream.mapping.event.time", "no path"]),
        ({"event": {"time": "a..b"}}, ["stream.mapping.event.time", "'a..b'"]),
        ({"event": {"time": "a."}}, ["stream.mapping.event.time", "'a.'"]),
        ({"event": {"time": ".a"}}, ["stream.mapping.event.time", "'.a'"]),
        ({"event": {"time": 'a"b"'}}, ["stream.mapping.event.time"]),
        ({"event": {"time": '"a'}}, ["stream.mapping.event.time"]),
        ({"event": {"time": 5}}, ["stream.mapping.event.time is 5", "a path"]),
        ({"event": {"time": True}}, ["stream.mapping.event.time is True"]),
        ({"event": {"time": []}}, ["stream.mapping.event.time is []"]),
        ({"event": {"time": ["a", 1]}}, ["stream.mapping.event.time"]),
        ({"event": {"action": {"const": "click"}}}, ["stream.mapping.event.action", "{ value"]),
        ({"event": {"action": {"value": ["x"]}}}, ["stream.mapping.event.action", "{ value"]),
        ({"event": {"action": {"value": "buy"}}}, ["stream.mapping.event.action", "purchase"]),
        ({"event": {"time_unit": "m"}}, ["stream.mapping.event.time_unit is 'm'", "ms, s, us, ns"]),
        ({"event": {"time_unit": ["s"]}}, ["stream.mapping.event.time_unit"]),
        ({"event": {"other_actions": "drop"}}, ["other_actions", "reject, ignore"]),
        ({"event": {"actions": {}}}, ["stream.mapping.event.actions is empty"]),
        ({"event": {"actions": {"x": "buy"}}}, ["event.actions.x is 'buy'", "ignore"]),
        ({"event": {"actions": {"x": 4}}}, ["event.actions.x is '4'"]),
        ({"event": {"actions": {"A": "view", "a": "click"}}}, ["'a' twice"]),
        ({"item": {"item_id": {"value": "i"}}}, ["stream.mapping.item.item_id is a constant"]),
        ({"item": {"attributes": {"size": 5}}}, ["stream.mapping.item.attributes.size is 5"]),
        ({"item": {"attributes": {}}}, ["stream.mapping.item.attributes is empty"]),
        ({"item": {"named_attributes": {}}}, ["'named_attributes'"]),
    ],
)
def test_a_mistake_is_named(table: dict[str, Any], words: list[str]) -> None:
    """Where it is, and what can be; nothing starts with it."""
    with pytest.raises(SettingsInvalid) as caught:
        StreamSettings(mapping=table)

    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_without_a_table_actions_have_the_names_of_neutral_lines() -> None:
    """In any capitals, and with _ for -."""
    mapping = EventMapping()

    assert action_of(mapping.actions, " Add_To_Cart ") == MappedAction(Action.ADD_TO_CART)
    assert action_of(mapping.actions, "search_click") == MappedAction(
        Action.CLICK, needs_query=True
    )
    assert action_of(mapping.actions, "buy") is None


def test_a_table_of_actions_is_all_that_counts() -> None:
    """Names that Freshet has by itself mean nothing beside it."""
    table = {"Buy_now": "purchase", "hover": "ignore", "found": "search_click"}
    mapping = mappings_of({"event": {"actions": table}}).event
    assert mapping is not None

    assert action_of(mapping.actions, "BUY_NOW") == MappedAction(Action.PURCHASE)
    assert action_of(mapping.actions, "hover") == MappedAction(None)
    assert action_of(mapping.actions, "found") == MappedAction(Action.CLICK, needs_query=True)
    assert action_of(mapping.actions, "buy-now") is None
    assert action_of(mapping.actions, "click") is None
