"""Neutral lines: Freshet's own JSON of an interaction."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.events import fields
from stream.events.format import Content, json_format
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, RawTexts, Rows, parse_all
from stream.events.types import Interaction

_SEARCH_CLICK = "search-click"
_SEARCH_CLICKS = frozenset({_SEARCH_CLICK, _SEARCH_CLICK.replace("-", "_")})
_ACTION_NUMBERS: Mapping[str, int] = {
    spelling: int(action)
    for name, action in fields.ACTIONS.items()
    for spelling in (name, name.replace("-", "_"))
}
_TIME_BITS = 63  # of a 64-bit integer with a sign


class _Line(msgspec.Struct):
    """The form of nearly every line, read without a detour.

    Whatever does not fit it, or has one of the last two keys, which CloudEvents and UBI
    have, is read again, field by field.
    """

    ts_ms: int
    type: str
    item_id: str
    session_id: str | None = None
    user_id: str | None = None
    query: str | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    action_name: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_LINE_DECODER = msgspec.json.Decoder(_Line)


def plain_content(value: bytes, limits: Limits) -> Content | None:
    """Return what a plain neutral line holds; None: the bytes are not one."""
    try:
        line = _LINE_DECODER.decode(value)
    except (ValueError, RecursionError):
        return None
    if line.data is not msgspec.UNSET or line.action_name is not msgspec.UNSET:
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


def interaction_of(line: Mapping[str, Any], limits: Limits) -> Interaction:
    """Return the interaction of a neutral line's fields."""
    kind = fields.string(line, "type", required=True)
    return limits.interaction(
        ts_ms=fields.integer(line, "ts_ms"),
        session_id=fields.string(line, "session_id"),
        user_id=fields.string(line, "user_id"),
        query=fields.string(line, "query"),
        item_id=fields.string(line, "item_id", required=True),
        action=fields.action(kind),
        needs_query=kind in _SEARCH_CLICKS,
    )


def read_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read plain lines; the rows returned beside them are of no such form."""
    errors = (ValueError, RecursionError)
    lines, good_rows, bad_rows = parse_all(_LINE_DECODER.decode, values, rows, errors)
    columns = RawColumns(
        ts_ms=_times([line.ts_ms for line in lines]),
        session=RawTexts([line.session_id or "" for line in lines]),
        user=RawTexts([line.user_id or "" for line in lines]),
        query=RawTexts([line.query or "" for line in lines]),
        item=RawTexts([line.item_id for line in lines]),
        action=np.array([_action_number(line) for line in lines], dtype=np.int64),
        row=np.array(good_rows, dtype=np.int32),
    )
    return columns, bad_rows


def _action_number(line: _Line) -> int:
    """Return the number of a plain line's action; 0: the line is not plainly good."""
    is_plain = (
        line.data is msgspec.UNSET
        and line.action_name is msgspec.UNSET
        and (bool(line.query) or line.type not in _SEARCH_CLICKS)
    )
    return _ACTION_NUMBERS.get(line.type, 0) if is_plain else 0


def _times(listed: Sequence[int]) -> NDArray[np.int64]:
    try:
        return np.array(listed, dtype=np.int64)
    except OverflowError:
        fitting = [time if time.bit_length() <= _TIME_BITS else 0 for time in listed]
        return np.array(fitting, dtype=np.int64)


def _read(line: dict[str, Any], limits: Limits) -> Content:
    return Content((interaction_of(line, limits),))


NEUTRAL = json_format(name="neutral", keys=("ts_ms", "type"), read=_read)
