"""Where the fields of events and items are, as the settings say it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from stream.errors import SettingsInvalid
from stream.mapping.actions import IGNORE, MappedAction, actions_of, check_action
from stream.mapping.sources import FieldSource, source_of
from stream.mapping.tables import check_keys, choice_of, table_of

TIME_UNITS: Mapping[str, Fraction] = MappingProxyType(
    {"ms": Fraction(1), "s": Fraction(1000), "us": Fraction(1, 1000), "ns": Fraction(1, 1_000_000)}
)
"""Units of numbers that are times, each with how many milliseconds it has."""

_REJECT = "reject"
_OTHER_ACTIONS = (_REJECT, IGNORE)
# Where a neutral line has them.
_TIME = FieldSource((("ts_ms",),))
_TYPE = FieldSource((("type",),))
_SESSION_ID = FieldSource((("session_id",),))
_USER_ID = FieldSource((("user_id",),))
_QUERY = FieldSource((("query",),))
_ITEM_ID = FieldSource((("item_id",),))


@dataclass(frozen=True, kw_only=True)
class EventMapping:
    """Where the fields of an event are; by default where a neutral line has them.

    Attributes:
        time: when it happened; a number in `time_unit`, or ISO 8601.
        time_unit: one of `TIME_UNITS`.
        action: the name of what was done.
        actions: what each name means, in small letters; empty: the names are those of
            neutral lines.
        other_actions: what becomes of another name: ``reject`` or ``ignore``.
        session_id: the visit; where there is none, the visitor must be known.
        user_id: who is logged in.
        device_id: what the visitor is known by otherwise, such as a cookie.
        query: as typed.
        item_id: of the item, within an entry of `items` where there are any.
        items: a list of what the event is with; None: it is with one item.
    """

    time: FieldSource = _TIME
    time_unit: str = "ms"
    action: FieldSource = _TYPE
    actions: Mapping[str, MappedAction] = field(default_factory=dict)
    other_actions: str = _REJECT
    session_id: FieldSource = _SESSION_ID
    user_id: FieldSource = _USER_ID
    device_id: FieldSource | None = None
    query: FieldSource = _QUERY
    item_id: FieldSource = _ITEM_ID
    items: FieldSource | None = None


@dataclass(frozen=True, kw_only=True)
class ItemMapping:
    """Where the fields of a catalogue item are; None: where they are by themselves.

    Attributes:
        time: the event time of the state; a number in `time_unit`, or ISO 8601.
        time_unit: one of `TIME_UNITS`.
        item_id: the item, also in a record's key.
        title: its title.
        text: what else describes it.
        available: whether it is to be shown.
        deleted: whether it is to be forgotten.
        attributes: an object or a list of attributes.
        named_attributes: attributes by their names; with these or `attributes`, fields
            that are mapped to nothing are none.
    """

    time: FieldSource | None = None
    time_unit: str = "ms"
    item_id: FieldSource | None = None
    title: FieldSource | None = None
    text: FieldSource | None = None
    available: FieldSource | None = None
    deleted: FieldSource | None = None
    attributes: FieldSource | None = None
    named_attributes: Mapping[str, FieldSource] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mappings:
    """What ``[stream.mapping]`` says; None: nothing of events, or of items."""

    event: EventMapping | None = None
    item: ItemMapping | None = None


def mappings_of(table: Mapping[str, object]) -> Mappings:
    """Return the mappings that a table of the settings says.

    Raises:
        SettingsInvalid: a key is unknown, or a value is none that can be; the message
            names it, and what can be.
    """
    check_keys("stream.mapping", table, ("event", "item"))
    event, item = (
        table_of(f"stream.mapping.{name}", table.get(name)) for name in ("event", "item")
    )
    return Mappings(
        event=None if event is None else _event_mapping("stream.mapping.event", event),
        item=None if item is None else _item_mapping("stream.mapping.item", item),
    )


def _event_mapping(place: str, table: Mapping[str, object]) -> EventMapping:
    known = [each.name for each in fields_of(EventMapping)]
    check_keys(place, table, known)
    given: dict[str, Any] = {
        name: source_of(f"{place}.{name}", value)
        for name, value in table.items()
        if name not in ("time_unit", "actions", "other_actions")
    }
    given["time_unit"] = choice_of(f"{place}.time_unit", table.get("time_unit", "ms"), TIME_UNITS)
    other = table.get("other_actions", _REJECT)
    given["other_actions"] = choice_of(f"{place}.other_actions", other, _OTHER_ACTIONS)
    given["actions"] = actions_of(f"{place}.actions", table.get("actions"))
    mapping = EventMapping(**given)
    if mapping.action.constant is not None:
        check_action(f"{place}.action", mapping.actions, mapping.action.constant)
    return mapping


def _item_mapping(place: str, table: Mapping[str, object]) -> ItemMapping:
    known = [each.name for each in fields_of(ItemMapping) if each.name != "named_attributes"]
    check_keys(place, table, known)
    given: dict[str, Any] = {
        name: source_of(f"{place}.{name}", value)
        for name, value in table.items()
        if name not in ("time_unit", "attributes")
    }
    if "item_id" in given and given["item_id"].constant is not None:
        raise SettingsInvalid(f"{place}.item_id is a constant, so that all items would be one")
    given["time_unit"] = choice_of(f"{place}.time_unit", table.get("time_unit", "ms"), TIME_UNITS)
    attributes = table.get("attributes")
    if isinstance(attributes, Mapping):
        listed = table_of(f"{place}.attributes", attributes) or {}
        given["named_attributes"] = {
            name: source_of(f"{place}.attributes.{name}", value) for name, value in listed.items()
        }
    elif attributes is not None:
        given["attributes"] = source_of(f"{place}.attributes", attributes)
    return ItemMapping(**given)
