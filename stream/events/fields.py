"""Typed readers of the fields of a message.

Each returns a value of its type, or raises `Rejected` with what is wrong.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import msgspec

from stream.actions import Action
from stream.events.types import Rejected

ACTIONS: Mapping[str, Action] = {action.label: action for action in Action} | {
    "search-click": Action.CLICK
}
"""Actions by the names that several formats give them, with ``-`` between words."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_OBJECT_DECODER = msgspec.json.Decoder()

_SHOWN_CHARS = 80  # of a text in a rejection: a line of a terminal; no record is quoted whole
_MAX_INTEGER_BITS = 64  # what columns and stored records hold; JSON knows no bound


def json_object(value: bytes) -> dict[str, Any]:
    """Return the JSON object that the bytes are."""
    try:
        found = _OBJECT_DECODER.decode(value)
    except RecursionError:
        raise Rejected("malformed", "the JSON is nested too deeply") from None
    except ValueError as error:
        raise Rejected("malformed", f"not JSON: {error}") from None
    if not isinstance(found, dict):
        reject_type("the JSON", "an object", found)
    return found


def string(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """Return a string; "" where it is absent or null and not required."""
    value = fields.get(name)
    if value is None:
        if required:
            raise Rejected("missing_field", f"{name} is absent")
        return ""
    if not isinstance(value, str):
        reject_type(name, "a string", value)
    return value


def integer(fields: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    """Return an integer of any size; where it is absent or null, the default.

    Without a default it is required.
    """
    value = fields.get(name)
    if value is None:
        if default is None:
            raise Rejected("missing_field", f"{name} is absent")
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        reject_type(name, "an integer", value)
    return value


def boolean(fields: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return true or false; the default where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        reject_type(name, "true or false", value)
    return value


def mapping(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object; an empty one where it is absent or null."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        reject_type(name, "an object", value)
    return value


def string_mapping(fields: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return an object of strings; null in it is ""."""
    found = mapping(fields, name)
    return {key: string(found, key) for key in found}


def time(fields: Mapping[str, Any], name: str) -> int:
    """Return a required time in UTC epoch milliseconds: a string is ISO 8601."""
    value = fields.get(name)
    return _iso_ms(name, value) if isinstance(value, str) else integer(fields, name)


def iso_time(fields: Mapping[str, Any], name: str) -> int:
    """Return a required ISO 8601 time in UTC epoch milliseconds.

    One without an offset is taken as UTC.
    """
    return _iso_ms(name, string(fields, name, required=True))


def action(name: str, actions: Mapping[str, Action] = ACTIONS) -> Action:
    """Return the action of a name, in which ``_`` is ``-``."""
    found = actions.get(name.replace("_", "-"))
    if found is None:
        reject_action(name)
    return found


def reject_action(name: str) -> NoReturn:
    """Reject an action that its format does not know."""
    raise Rejected("unknown_type", f"unknown action {shown(name)}")


def reject_type(name: str, wanted: str, value: object) -> NoReturn:
    """Reject a value of the wrong type."""
    raise Rejected("wrong_type", f"{name} must be {wanted}, not {shown(value)}")


def shown(value: object) -> str:
    """Return a value as a reader of the quarantine wants to see it.

    Short, whatever was sent.
    """
    if isinstance(value, str):
        return repr(value[:_SHOWN_CHARS])
    if is_huge(value) or isinstance(value, dict | list):
        return f"a huge {type(value).__name__}" if is_huge(value) else f"a {type(value).__name__}"
    return repr(value)


def is_huge(value: object) -> bool:
    """Return whether a value is an integer that nothing here can store."""
    return isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS


def _iso_ms(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("malformed", f"{name} is not an ISO 8601 time: {shown(text)}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND
