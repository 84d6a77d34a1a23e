"""JSON of any shape, by the mapping of the settings: which field is what."""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import partial
from typing import Any

from stream.events import fields
from stream.events.format import Content, ReadObject, content_of_products, ignored
from stream.events.formats.change_capture import NameFields
from stream.events.limits import Limits
from stream.events.types import Interaction, Rejected
from stream.mapping.actions import IGNORE, MappedAction, action_of
from stream.mapping.mappings import TIME_UNITS, EventMapping, ItemMapping
from stream.mapping.sources import FieldPath, FieldSource

# Digits of a time in a text before its point: nanoseconds have 19. More would only be
# a number to refuse, for much memory.
_MAX_TIME_DIGITS = 30
_ITEM_FIELDS = ("item_id", "title", "text", "available", "deleted")


def mapped_event_reader(mapping: EventMapping) -> ReadObject:
    """Return what reads an event whose fields are where a mapping says."""

    def read(found: dict[str, Any], limits: Limits) -> Content:
        meant = _action(mapping, found)
        if meant is None:
            return ignored("other_action")
        items = None if mapping.items is None else _listed(mapping.items, found)
        read_one = partial(_interaction, mapping, meant, limits, found)
        if items is None:
            return Content((read_one(found),))
        entries = [each if isinstance(each, dict) else {_ITSELF: each} for each in items]
        return content_of_products(entries, mapping.items.label if mapping.items else "", read_one)

    return read


_ITSELF = "item_id"  # where an entry of a list has the id that it is


def _action(mapping: EventMapping, found: Mapping[str, Any]) -> MappedAction | None:
    """Return what was done; None: it is of no use."""
    label = mapping.action.label
    value = fields.bare(value_at(mapping.action, found))
    name = fields.number_text(value) if isinstance(value, int | float) else value
    if fields.is_nothing(name):
        raise Rejected("missing_field", f"action ({label}) is absent or empty")
    meant = action_of(mapping.actions, fields.string({label: name}, label))
    if meant is None:
        if mapping.other_actions == IGNORE:
            return None
        raise Rejected(
            "unknown_type",
            f"unknown action {fields.shown(name)} ({label}); say what it means in "
            "stream.mapping.event.actions, or that others are to be ignored",
        )
    return meant if meant.action is not None else None


def _interaction(
    mapping: EventMapping,
    meant: MappedAction,
    limits: Limits,
    found: Mapping[str, Any],
    entry: Mapping[str, Any],
) -> Interaction:
    session_id = _id(mapping.session_id, found)
    user_id, alias_id = fields.visitor(
        session_id, _id(mapping.user_id, found), _id(mapping.device_id, found)
    )
    if not session_id.strip() and not user_id.strip():
        named = [("session_id", mapping.session_id), ("user_id", mapping.user_id)]
        named += [] if mapping.device_id is None else [("device_id", mapping.device_id)]
        listed = ", ".join(f"{name} ({source.label})" for name, source in named)
        raise Rejected("missing_field", f"none of {listed} has a value")
    item_id = _id(mapping.item_id, entry)
    if not item_id.strip() and entry is not found and entry.keys() == {_ITSELF}:
        item_id = fields.identifier(entry, _ITSELF)
    if not item_id.strip():
        raise Rejected("missing_field", f"item_id ({mapping.item_id.label}) is absent or empty")
    assert meant.action is not None  # noqa: S101  # what is of no use is not read
    return limits.interaction(
        ts_ms=_time(mapping.time, mapping.time_unit, found),
        session_id=session_id,
        user_id=user_id,
        alias_id=alias_id,
        query=_text(mapping.query, found),
        item_id=item_id,
        action=meant.action,
        needs_query=meant.needs_query,
    )


def item_namer(mapping: ItemMapping) -> NameFields:
    """Return what gives the fields of an item their names; what is mapped to nothing,
    or to where there is nothing, keeps its own.
    """
    mapped = {
        name: source for name in _ITEM_FIELDS if (source := getattr(mapping, name)) is not None
    }
    sources = [*mapped.values(), *mapping.named_attributes.values()]
    sources += [each for each in (mapping.time, mapping.attributes) if each is not None]
    used = {path[0] for source in sources for path in source.paths}
    says_attributes = bool(mapping.named_attributes) or mapping.attributes is not None
    kept = {*_ITEM_FIELDS, "ts_ms"} if says_attributes else None

    def named(row: dict[str, Any]) -> dict[str, Any]:
        others = {
            name: value
            for name, value in row.items()
            if name not in used and (kept is None or name in kept)
        }
        found = {name: value_at(source, row) for name, source in mapped.items()}
        if mapping.time is not None:
            found["ts_ms"] = _time(mapping.time, mapping.time_unit, row, is_required=False) or None
        if mapping.attributes is not None:
            found["attributes"] = value_at(mapping.attributes, row)
        elif mapping.named_attributes:
            found["attributes"] = {
                name: value_at(source, row) for name, source in mapping.named_attributes.items()
            }
        return others | {name: value for name, value in found.items() if value is not None}

    return named


def value_at(source: FieldSource, found: Mapping[str, Any]) -> Any:
    """Return what a field's source has of a record; None: nothing."""
    if source.constant is not None:
        return source.constant
    for path in source.paths:
        value = _at(path, found)
        if not fields.is_nothing(value):
            return value
    return None


def _at(path: FieldPath, found: Any) -> Any:
    """Return what is at a path, also within JSON that a string is; None: nothing."""
    for name in path:
        if isinstance(found, str):
            found = fields.json_in(found)
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found


def _id(source: FieldSource | None, found: Mapping[str, Any]) -> str:
    if source is None:
        return ""
    return fields.identifier({source.label: value_at(source, found)}, source.label)


def _text(source: FieldSource, found: Mapping[str, Any]) -> str:
    return fields.text({source.label: value_at(source, found)}, source.label)


def _listed(source: FieldSource, found: Mapping[str, Any]) -> list[Any] | None:
    return fields.listing({source.label: value_at(source, found)}, source.label)


def _time(
    source: FieldSource, unit: str, found: Mapping[str, Any], *, is_required: bool = True
) -> int:
    """Return a time in UTC epoch milliseconds; 0: there is none, and need not be."""
    label = f"time ({source.label})"
    value = fields.bare(value_at(source, found))
    if unit != "ms":
        factor = TIME_UNITS[unit]
        if isinstance(value, int) and not isinstance(value, bool):
            return value * factor.numerator // factor.denominator
        number = _number(value)
        if number is not None:
            return math.floor(number * factor)
    try:
        return fields.time({label: value}, label, default=None if is_required else 0)
    except Rejected as rejected:
        if unit == "ms" or rejected.reason != "malformed":
            raise
        detail = f"{label} is neither a number of {unit} nor ISO 8601: {fields.shown(value)}"
        raise Rejected("malformed", detail) from None


def _number(value: object) -> Fraction | None:
    """Return a number that a value is, or its text; None: it is none."""
    if fields.is_number(value):
        return Fraction(value)
    if not isinstance(value, str):
        return None
    try:
        found = Decimal(value.strip())
    except InvalidOperation:
        return None
    is_usable = found.is_finite() and abs(found.adjusted()) <= _MAX_TIME_DIGITS
    return Fraction(found) if is_usable else None
