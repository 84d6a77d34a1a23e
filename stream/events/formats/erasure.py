"""Erasures in JSON."""

from collections.abc import Mapping
from typing import Any, Literal

from stream.events import fields
from stream.events.format import Content, json_format
from stream.events.limits import Limits
from stream.events.types import Erasure, Rejected

_KINDS: Mapping[str, Literal["user", "session", "item"]] = {
    "user": "user",
    "session": "session",
    "item": "item",
}


def erasure_of(line: Mapping[str, Any], limits: Limits) -> Erasure:
    """Return the erasure of a line's fields."""
    kind = fields.string(line, "erase", required=True)
    if kind not in _KINDS:
        raise Rejected("unknown_type", f"erase is {fields.shown(kind)}, not user, session or item")
    ts_ms = limits.time(fields.integer(line, "ts_ms"))
    erased_id = limits.id("id", fields.string(line, "id", required=True))
    return Erasure(kind=_KINDS[kind], id=erased_id, ts_ms=ts_ms)


def _read(line: dict[str, Any], limits: Limits) -> Content:
    return Content((erasure_of(line, limits),))


ERASURE = json_format(name="erasure", keys=("erase",), read=_read)
