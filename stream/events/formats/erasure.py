"""Erasures in JSON."""

from collections.abc import Mapping
from typing import Any, Literal

from stream.events import fields
from stream.events.format import Content
from stream.events.formats.change_capture import inserted
from stream.events.limits import Limits
from stream.events.types import Erasure, Rejected

JSON_ERASURE = "application/json; messageType=freshet.events.v1.Erasure"
"""The content-type of JSON that is an erasure whatever its keys."""

_KINDS: Mapping[str, Literal["user", "session", "item"]] = {
    "user": "user",
    "session": "session",
    "item": "item",
}


def erasure_of(line: Mapping[str, Any], limits: Limits) -> Erasure:
    """Return the erasure of a line's fields, or of a row that was added to a table."""
    line = inserted(dict(line))
    kind = fields.string(line, "erase", required=True).strip().lower()
    if kind not in _KINDS:
        raise Rejected("unknown_type", f"erase is {fields.shown(kind)}, not user, session or item")
    erased_id = limits.erased_id(kind, fields.identifier(line, "id", required=True))
    return Erasure(kind=_KINDS[kind], id=erased_id, ts_ms=_asked_ms(line, limits))


def _asked_ms(line: Mapping[str, Any], limits: Limits) -> int:
    """Return when it was asked for, or 0.

    An erasure is never refused for its time: a clock that is wrong must not keep
    somebody's data.
    """
    try:
        return limits.asked_time(fields.time(line, "ts_ms"))
    except Rejected:
        return 0


def read_erasure(line: dict[str, Any], limits: Limits) -> Content:
    """Return a line's erasure as what a record held."""
    return Content((erasure_of(line, limits),))
