"""The declarative mapping of foreign JSON: where the fields of events and items are."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NoReturn

from stream.actions import Action
from stream.errors import SettingsInvalid

SEARCH_CLICK = "search-click"
"""The click that must have a query."""

IGNORE = "ignore"
"""What an action is mapped to that is in order and of no use."""

TIME_UNITS: Mapping[str, Fraction] = MappingProxyType(
    {"ms": Fraction(1), "s": Fraction(1000), "us": Fraction(1, 1000), "ns": Fraction(1, 1_000_000)}
)
"""Units of numbers that are times, each with how many milliseconds it has."""

_ACTIONS: Mapping[str, Action] = {action.label: action for action in Action} | {
    SEARCH_CLICK: Action.CLICK
}
_REJECT = "reject"
_OTHER_ACTIONS = (_REJECT, IGNORE)
_CONSTANT = "value"  # the one key of a table that is a constant
# A segment of a path: what is between two dots, or in quotation marks, in which a
# backslash takes the next sign as it is.
_SEGMENT = re.compile(r'"((?:[^"\\]|\\.)+)"|([^."\s][^."]*)')
_ESCAPED = re.compile(r"\\(.)")

FieldPath = tuple[str, ...]
"""The names of fields, each within the one before it; of a list, the place in it."""


@dataclass(frozen=True, slots=True)
class FieldSource:
    """Where the value of a field comes from.

    Attributes:
        paths: the first one at which there is something counts.
        constant: the value of every record; None: it is at a path.
        label: the paths for people, as a rejection names them.
    """

    paths: tuple[FieldPath, ...] = ()
    constant: Any = None
    label: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        label = " or ".join(map(".".join, self.paths)) if self.paths else "a constant"
        object.__setattr__(self, "label", label)  # made once: each record asks for it


@dataclass(frozen=True, slots=True)
class MappedAction:
    """What a name of the platform means.

    Attributes:
        action: None: a record of it is in order and of no use.
        needs_query: it must have a query.
    """

    action: Action | None
    needs_query: bool = False


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
    _check_keys("stream.mapping", table, ("event", "item"))
    event, item = (_table(f"stream.mapping.{name}", table.get(name)) for name in ("event", "item"))
    return Mappings(
        event=None if event is None else _event_mapping("stream.mapping.event", event),
        item=None if item is None else _item_mapping("stream.mapping.item", item),
    )


def _event_mapping(place: str, table: Mapping[str, object]) -> EventMapping:
    known = [each.name for each in fields_of(EventMapping)]
    _check_keys(place, table, known)
    given: dict[str, Any] = {
        name: _source(f"{place}.{name}", value)
        for name, value in table.items()
        if name not in ("time_unit", "actions", "other_actions")
    }
    given["time_unit"] = _choice(f"{place}.time_unit", table.get("time_unit", "ms"), TIME_UNITS)
    other = table.get("other_actions", _REJECT)
    given["other_actions"] = _choice(f"{place}.other_actions", other, _OTHER_ACTIONS)
    given["actions"] = _actions(f"{place}.actions", table.get("actions"))
    mapping = EventMapping(**given)
    constant = mapping.action.constant
    if constant is not None:
        names = mapping.actions or _ACTIONS
        _choice(f"{place}.action", _action_name(constant, own=bool(mapping.actions)), names)
    return mapping


def _item_mapping(place: str, table: Mapping[str, object]) -> ItemMapping:
    known = [each.name for each in fields_of(ItemMapping) if each.name != "named_attributes"]
    _check_keys(place, table, known)
    given: dict[str, Any] = {
        name: _source(f"{place}.{name}", value)
        for name, value in table.items()
        if name not in ("time_unit", "attributes")
    }
    if "item_id" in given and given["item_id"].constant is not None:
        raise SettingsInvalid(f"{place}.item_id is a constant, so that all items would be one")
    given["time_unit"] = _choice(f"{place}.time_unit", table.get("time_unit", "ms"), TIME_UNITS)
    attributes = table.get("attributes")
    if isinstance(attributes, Mapping):
        listed = _table(f"{place}.attributes", attributes) or {}
        given["named_attributes"] = {
            name: _source(f"{place}.attributes.{name}", value) for name, value in listed.items()
        }
    elif attributes is not None:
        given["attributes"] = _source(f"{place}.attributes", attributes)
    return ItemMapping(**given)


def mapped_action(mapping: EventMapping, name: str) -> MappedAction | None:
    """Return what a name of an action means; None: the mapping does not say."""
    if mapping.actions:
        return mapping.actions.get(_action_name(name, own=True))
    known = _action_name(name, own=False)
    action = _ACTIONS.get(known)
    return None if action is None else MappedAction(action, needs_query=known == SEARCH_CLICK)


def _action_name(name: object, *, own: bool) -> str:
    """Return a name as it is compared; ours have ``-`` between words."""
    text = str(name).strip().lower()
    return text if own else text.replace("_", "-")


def _actions(place: str, value: object) -> dict[str, MappedAction]:
    table = _table(place, value)
    found: dict[str, MappedAction] = {}
    for name, meaning in (table or {}).items():
        ours = _action_name(meaning, own=False)
        _choice(f"{place}.{name}", ours, (*_ACTIONS, IGNORE))
        own = _action_name(name, own=True)
        if own in found:
            raise SettingsInvalid(f"{place} has {name!r} twice: capitals make no difference")
        found[own] = MappedAction(_ACTIONS.get(ours), needs_query=ours == SEARCH_CLICK)
    return found


def _source(place: str, value: object) -> FieldSource:
    """Return where a field comes from: a path, a list of paths, or a constant."""
    if isinstance(value, str):
        return FieldSource((_path(place, value),))
    if isinstance(value, Mapping):
        if value.keys() != {_CONSTANT} or not isinstance(value[_CONSTANT], str | int | float):
            raise SettingsInvalid(
                f"{place} is a table, which must be a constant, written {{ {_CONSTANT} = "
                '"..." }; a path is a text, such as "product.sku"'
            )
        return FieldSource(constant=value[_CONSTANT])
    if isinstance(value, Sequence) and value and all(isinstance(each, str) for each in value):
        return FieldSource(tuple(_path(place, each) for each in value))
    raise SettingsInvalid(
        f'{place} is {value!r}; it must be a path, such as "product.sku", a list of paths, of '
        f'which the first with a value counts, or a constant, {{ {_CONSTANT} = "..." }}'
    )


def _path(place: str, text: str) -> FieldPath:
    segments: list[str] = []
    end = 0
    while match := _SEGMENT.match(text, end):
        quoted, plain = match.groups()
        segments.append(plain.rstrip() if quoted is None else _ESCAPED.sub(r"\1", quoted))
        end = match.end()
        if end == len(text):
            return tuple(segments)
        if text[end] != ".":
            break
        end += 1
    raise SettingsInvalid(
        f"{place} is {text!r}, which is no path; write names with dots between them, and a name "
        "that has a dot in quotation marks, as in 'cart.\"item.id\"'"
    )


def _table(place: str, value: object) -> Mapping[str, object] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise SettingsInvalid(f"{place} must be a table, written [{place}], not {value!r}")
    if not value:
        raise SettingsInvalid(f"{place} is empty; say which field is what, or leave it out")
    return value


def _choice(place: str, value: object, known: Iterable[str]) -> str:
    listed = [*known]
    if value not in listed:
        raise SettingsInvalid(f"{place} is {value!r}; it must be one of {', '.join(listed)}")
    return str(value)


def _check_keys(place: str, table: Mapping[str, object], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            _reject_key(place, key, known)


def _reject_key(place: str, key: str, known: Sequence[str]) -> NoReturn:
    near = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean {near[0]}? " if near else ""
    raise SettingsInvalid(f"{place} has the unknown key {key!r}; {advice}Known: {', '.join(known)}")
