"""Neutral lines: Freshet's own JSON of an interaction."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NoReturn

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events import fields, native
from stream.events.format import Content, content_of_products, json_format
from stream.events.limits import Limits
from stream.events.raw_columns import (
    RawColumns,
    RawTexts,
    Rows,
    columns_of_bytes,
    parse_all,
    whole_times,
)
from stream.events.types import Interaction, Rejected

_SEARCH_CLICK = "search-click"
_SEARCH_CLICKS = frozenset({_SEARCH_CLICK, _SEARCH_CLICK.replace("-", "_")})
_ACTION_NUMBERS: Mapping[str, int] = {"": 0} | {
    spelling: int(action)
    for name, action in fields.ACTIONS.items()
    for spelling in (name, name.replace("-", "_"))
}
_FIELDS: Mapping[str, bool] = {
    "ts_ms": True,
    "type": True,
    "item_id": True,
    "session_id": False,
    "user_id": False,
    "query": False,
}
"""The fields of a neutral line, and whether each must be there."""

# What other platforms call them, in small letters without what is between words.
_LIKELY_NAMES: Mapping[str, Sequence[str]] = {
    "ts_ms": ("tsms", "timestamp", "time", "eventtime", "ts", "datetime"),
    "type": ("event", "eventtype", "eventname", "action", "actionname", "behavior", "behaviour"),
    "item_id": ("itemid", "productid", "sku", "objectid", "contentid"),
    "session_id": ("sessionid", "session", "sid", "visitid"),
    "user_id": ("userid", "user", "customerid", "visitorid", "clientid", "uid"),
    "query": ("searchterm", "searchquery", "keyword", "q"),
}
_LIKELY_CHARS = 20  # more than any of these has with something between its words
_BETWEEN_WORDS = str.maketrans("", "", "_- ")

_SHOWN_KEYS = 5  # of an object of no known form: enough to know what sent it
_SHOWN_CHARS = 40  # of each of them: longer than any name


Nothing = Annotated[int, msgspec.Meta(gt=0, lt=0)]
"""The type of a field that makes a line one of another form: no number is both."""

ActionName = Literal[
    "view", "click", "add-to-cart", "add_to_cart", "purchase", "search-click", "search_click"
]
"""The actions of neutral lines, as the decoder tells them apart."""

UNREADABLE = (ValueError, RecursionError)
"""What the decoder raises on what does not have the form it is for."""


class _Line(msgspec.Struct, gc=False):
    """The form of nearly every line, read without a detour.

    Whatever does not fit it, or has one of the last two keys, which CloudEvents and UBI
    have, is read again, field by field. It holds texts and numbers alone, so that it
    can be part of no cycle.
    """

    ts_ms: int
    type: ActionName
    item_id: str
    session_id: str | None = None
    user_id: str | None = None
    query: str | None = None
    data: Nothing | msgspec.UnsetType = msgspec.UNSET
    action_name: Nothing | msgspec.UnsetType = msgspec.UNSET


class _NumberedLine(msgspec.Struct, gc=False):
    """The same form, of a platform whose ids are numbers."""

    ts_ms: int
    type: ActionName
    item_id: str | int
    session_id: str | int | None = None
    user_id: str | int | None = None
    query: str | None = None
    data: Nothing | msgspec.UnsetType = msgspec.UNSET
    action_name: Nothing | msgspec.UnsetType = msgspec.UNSET

    def as_line(self) -> _Line:
        """Return the line with its ids as texts."""
        return _Line(
            ts_ms=self.ts_ms,
            type=self.type,
            item_id=str(self.item_id),
            session_id=None if self.session_id is None else str(self.session_id),
            user_id=None if self.user_id is None else str(self.user_id),
            query=self.query,
        )


_NUMBERED_DECODER = msgspec.json.Decoder(_NumberedLine)
_LINE_DECODER = msgspec.json.Decoder(_Line)


def plain_content(value: bytes, limits: Limits) -> Content | None:
    """Return what a plain neutral line holds; None: the bytes are not one.

    Plain are the lines that `read_columns` reads, so that a line is of one form
    whether it is read by itself or among others.
    """
    try:
        line = _LINE_DECODER.decode(value)
    except UNREADABLE:
        try:
            line = _NUMBERED_DECODER.decode(value).as_line()
        except UNREADABLE:
            return None
    if not line.item_id or not (line.session_id or line.user_id):
        return None
    interaction = limits.interaction(
        ts_ms=line.ts_ms,
        session_id=line.session_id or "",
        user_id=line.user_id or "",
        query=line.query or "",
        item_id=line.item_id,
        action=fields.action(line.type),
        needs_query=line.type in _SEARCH_CLICKS,
    )
    return Content((interaction,))


def read_line(line: Mapping[str, Any], limits: Limits) -> Content:
    """Return what a neutral line's fields hold: an interaction with its item, or with
    each of its items.
    """
    items = None if line.get("item_id") not in (None, "") else fields.listing(line, "items")
    if items is None:
        return Content((_interaction(line, limits),))
    items = [{"item_id": each} if isinstance(each, str | int | float) else each for each in items]

    def read(item: Mapping[str, Any]) -> Interaction:
        item_id = fields.identifier(item, "item_id", required=True)
        return _interaction({**line, "item_id": item_id}, limits)

    return content_of_products(items, "items", read)


def _interaction(line: Mapping[str, Any], limits: Limits) -> Interaction:
    if _missing(line):
        reject_foreign(line, limits)
    kind = fields.string(line, "type", required=True)
    return limits.interaction(
        ts_ms=fields.time(line, "ts_ms"),
        session_id=fields.identifier(line, "session_id"),
        user_id=fields.identifier(line, "user_id"),
        query=fields.text(line, "query"),
        item_id=fields.identifier(line, "item_id", required=True),
        action=fields.action(kind),
        needs_query=kind.strip().lower() in _SEARCH_CLICKS,
    )


def names_action(line: Mapping[str, Any]) -> bool:
    """Return whether a line has a type of neutral lines."""
    kind = line.get("type")
    return isinstance(kind, str) and kind.strip().lower() in _ACTION_NUMBERS.keys() - {""}


def reject_foreign(line: Mapping[str, Any], _limits: Limits) -> NoReturn:
    """Reject an object that is no event of a form that is read, with the fields that it
    lacks and the first of those that no event has.
    """
    foreign = [name for name in line if name not in _FIELDS]
    detail = f"no event of a form that is read: without {', '.join(_missing(line))}"
    if foreign:
        named = ", ".join(repr(name[:_SHOWN_CHARS]) for name in foreign[:_SHOWN_KEYS])
        detail += f", and with the fields {named}, which are none of its own; {_advice(line)}"
    raise Rejected("missing_field" if line.keys() & _FIELDS.keys() else "unknown_type", detail)


def _missing(line: Mapping[str, Any]) -> list[str]:
    """Return what a neutral line needs and this one lacks."""
    missing = [name for name, is_needed in _FIELDS.items() if is_needed and line.get(name) is None]
    has_actor = any(line.get(name) not in (None, "") for name in ("session_id", "user_id"))
    return missing if has_actor else [*missing, "session_id or user_id"]


def _advice(line: Mapping[str, Any]) -> str:
    if "erase" in line:
        return "an erasure goes to the erasures topic, or is done by freshet erase"
    if "item_id" in line and line.keys() & {"title", "attributes", "available"}:
        return "a catalogue item goes to the catalogue topic, or into a file of --catalog"
    names = {
        name.lower().translate(_BETWEEN_WORDS): name
        for name in line
        if name not in _FIELDS and len(name) <= _LIKELY_CHARS
    }
    renamed = [
        f"{names[found[0]]!r} to {field}"
        for field, likely in _LIKELY_NAMES.items()
        if line.get(field) is None and (found := [name for name in likely if name in names])
    ]
    advice = "rename what is misnamed" + (f", perhaps {', '.join(renamed)}" if renamed else "")
    return f"{advice}; or leave them, and say in [stream.mapping.event] which is what"


def read_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read plain lines; the rows returned beside them are of no such form."""
    lines, good_rows, bad_rows = parse_all(_LINE_DECODER.decode, values, rows, UNREADABLE)
    if bad_rows:
        decode = _NUMBERED_DECODER.decode
        numbered, numbered_rows, bad_rows = parse_all(decode, values, bad_rows, UNREADABLE)
        lines += [line.as_line() for line in numbered]
        good_rows = [*good_rows, *numbered_rows]
    queries = [line.query or "" for line in lines]
    columns = RawColumns(
        ts_ms=whole_times([line.ts_ms for line in lines]),
        session=RawTexts([line.session_id or "" for line in lines]),
        user=RawTexts([line.user_id or "" for line in lines]),
        query=RawTexts(queries),
        item=RawTexts([line.item_id for line in lines]),
        action=action_numbers([line.type for line in lines], queries),
        row=np.array(good_rows, dtype=np.int32),
    )
    return columns, bad_rows


def read_natively(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read plain lines by `freshet_native`; the rows returned beside them may be plain,
    too.
    """
    return columns_of_bytes(native.read_neutral(values, rows, _NATIVE_ACTIONS))


_NATIVE_ACTIONS = tuple(
    (name, number, name in _SEARCH_CLICKS) for name, number in _ACTION_NUMBERS.items() if name
)


def action_numbers(kinds: Sequence[str], queries: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of each event's action; 0: it has none, or lacks a query.

    Args:
        kinds: names of actions, as `ActionName` has them, "": none.
        queries: of the same events, "": none.
    """
    found = map(_ACTION_NUMBERS.__getitem__, kinds)
    numbers = np.fromiter(found, dtype=np.int64, count=len(kinds))
    if not _SEARCH_CLICKS.isdisjoint(kinds):
        pairs = zip(kinds, queries, strict=True)
        lacking = [kind in _SEARCH_CLICKS and not query for kind, query in pairs]
        numbers[np.array(lacking, dtype=np.bool_)] = 0
    return numbers


NEUTRAL = json_format(name="neutral", keys=("ts_ms",), read=read_line)
