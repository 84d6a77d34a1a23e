"""CloudEvents 1.0, structured: an envelope around any other JSON of Freshet's own."""

from collections.abc import Mapping
from typing import Any

from stream.events import fields
from stream.events.format import Content, json_format
from stream.events.formats.catalog import item_of
from stream.events.formats.erasure import erasure_of
from stream.events.formats.neutral import interaction_of
from stream.events.limits import Limits
from stream.events.types import Rejected

_PREFIX = "freshet."


def _read(envelope: dict[str, Any], limits: Limits) -> Content:
    if envelope.get("specversion") != "1.0":
        version = fields.shown(envelope.get("specversion"))
        raise Rejected("unknown_type", f"CloudEvents version {version}, not 1.0")
    kind = fields.string(envelope, "type", required=True)
    if not kind.startswith(_PREFIX):
        raise Rejected(
            "unknown_type", f"CloudEvents type {fields.shown(kind)} does not begin with 'freshet.'"
        )
    data = envelope.get("data")
    if not isinstance(data, dict):
        fields.reject_type("data", "an object", data)
    if kind == "freshet.catalog":
        return Content((item_of(_with_state_time(data, envelope), limits),))
    if kind == "freshet.erasure":
        return Content((erasure_of(_with_any_time(data, envelope), limits),))
    if kind != "freshet.event":
        data = data | {"type": kind.removeprefix(_PREFIX)}
    return Content((interaction_of(_with_time(data, envelope), limits),))


def _with_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's data with its time: its own, else the envelope's."""
    if data.get("ts_ms") is not None:
        return data
    return data | {"ts_ms": fields.iso_time(envelope, "time")}


def _with_any_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return an erasure's data with its time, which nobody has to say."""
    return data if data.get("ts_ms") is not None else data | {"ts_ms": envelope.get("time")}


def _with_state_time(data: dict[str, Any], envelope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a catalogue item's data with its time: its own, else the envelope's.

    Neither has to say one.
    """
    if not fields.string(envelope, "time") or fields.integer(data, "ts_ms", default=0):
        return data
    return data | {"ts_ms": fields.iso_time(envelope, "time")}


CLOUD_EVENTS = json_format(
    name="cloudevents",
    content_types=("application/cloudevents+json",),
    keys=("specversion",),
    read=_read,
)
