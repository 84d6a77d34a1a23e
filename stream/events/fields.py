"""Typed readers of the fields of a message.

Each returns a value of its type, or raises `Rejected` with what is wrong.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NoReturn, TypeGuard

import msgspec

from stream.actions import Action
from stream.events.types import Rejected

ACTIONS: Mapping[str, Action] = {action.label: action for action in Action} | {
    "search-click": Action.CLICK
}
"""Actions by the names that several formats give them, with ``-`` between words."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_NO_TIME = timedelta()
_OBJECT_DECODER = msgspec.json.Decoder()

_SHOWN_CHARS = 80  # of a text in a rejection: a line of a terminal; no record is quoted whole
_MAX_INTEGER_BITS = 64  # what columns and stored records hold; JSON knows no bound
# The bits of a float's whole numbers: of a larger one the last digits may be another's.
_MAX_EXACT = 2.0**53
# A magic byte and a number of four: the frame of Confluent's schema registry.
_CONFLUENT_BYTES = 5
# A magic byte, one for the compression and a UUID: the frame of AWS Glue's.
_GLUE_BYTES = 18
_TRUTHS: Mapping[str, bool] = {
    "true": True,
    "false": False,
    "t": True,
    "f": False,
    "yes": True,
    "no": False,
    "y": True,
    "n": False,
    "1": True,
    "0": False,
}

# Types that BSON has and JSON has not, as MongoDB's Extended JSON writes them.
_EXTENDED_NUMBERS = frozenset({"$numberDecimal", "$numberDouble", "$numberInt", "$numberLong"})
_EXTENDED = _EXTENDED_NUMBERS | {"$date", "$oid", "$uuid"}
_OF_NUMBERS = (*"-0123456789NI",)  # NaN and Infinity too

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# What strict JSON has not and many write: half a surrogate pair, numbers that are none,
# or none that a float can be, and control characters in texts.
_LOOSE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|NaN|Infinity|[eE]\+?\d{3}|[\0-\x1f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_WHOLE_NUMBER = re.compile(r"([+-]?\d{1,30})(?:\.\d*)?", re.ASCII)
_WITH_EXPONENT = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?E[+-]?\d{1,2}", re.ASCII)
_SECOND_60 = re.compile(r"(\d{4}-?\d\d-?\d\d[T ]\d\d:?\d\d:?)60(?!\d)(.*)", re.ASCII)
_UTC = re.compile(r" ?(?:UTC|GMT|Z)$")
_MINUS = "\u2212"  # which ISO 8601 prefers before an offset
_BEFORE_OFFSET = re.compile(r"(?<=\d) (?=[+-]\d\d:?\d*$)", re.ASCII)
# The name of a zone behind a time that has its offset, as RFC 9557 and Java write it.
_ZONE = re.compile(r"(Z|[+-]\d\d(?::?\d\d)?)\[[^\[\]]*\]$", re.ASCII)
# The hour 24 of a day is the first of the next.
_END_OF_DAY = re.compile(
    r"(?<=\d)([T ])24(?=(?::?00(?::?00(?:[.,]0+)?)?)?(?:Z|[+-]\d\d(?::?\d\d)?)?$)", re.ASCII
)


def json_object(value: bytes) -> dict[str, Any]:
    """Return the JSON object that the bytes are, also where they are a string with its
    JSON, as something that encodes twice writes it.
    """
    found = json_value(value)
    inside = json_in(found) if isinstance(found, str) else found
    if not isinstance(inside, dict):
        reject_type("the JSON", "an object", found)
    return inside


def json_value(value: bytes) -> Any:
    """Return the JSON that the bytes are.

    A byte order mark before it is no part of it. Half a surrogate pair, which no text
    may have, stays in it: whoever reads a field decides. ``NaN``, ``Infinity`` and
    numbers beyond a float are null. Control characters in texts are read as they are.
    """
    try:
        return _OBJECT_DECODER.decode(value)
    except RecursionError:
        raise Rejected("malformed", "the JSON is nested too deeply") from None
    except ValueError as error:
        if value.startswith(_BYTE_ORDER_MARK):
            return json_value(value.lstrip(_BYTE_ORDER_MARK))
        reject_framed(value)
        reject_empty(value)
        if _LOOSE.search(value.strip()):
            return _loose_json(value)
        raise Rejected("malformed", f"not JSON: {error}") from None


def reject_empty(value: bytes) -> None:
    """Reject no bytes at all, which are not the same as no value."""
    if not value:
        raise Rejected("malformed", "the value is empty; a deletion is a record without a value")


def reject_framed(value: bytes) -> None:
    """Reject bytes that a schema registry's serializer framed.

    Neither JSON nor protobuf begins so.
    """
    if value[:1] == b"\x00" and len(value) > _CONFLUENT_BYTES:
        number = int.from_bytes(value[1:_CONFLUENT_BYTES], "big")
        found = f"0 and the schema id {number}, as Confluent's schema registry"
    elif value[:2] in (b"\x03\x00", b"\x03\x05") and len(value) > _GLUE_BYTES:
        found = f"3 and the schema version {value[2:_GLUE_BYTES].hex()}, as AWS Glue's registry"
    else:
        return
    raise Rejected(
        "unknown_encoding",
        f"the bytes begin with {found} frames them; set stream.schema_registry_url, which reads "
        "Confluent's, or publish JSON or protobuf by a serializer without a registry",
    )


def json_in(text: str, *, marks: tuple[str, ...] = ("{", "[")) -> Any:
    """Return the JSON that a text is, where it begins with one of some marks; else, or
    where it is none, the text.
    """
    if not text.lstrip().startswith(marks):
        return text
    try:
        return json_value(text.encode("utf-8", "surrogatepass"))
    except Rejected:
        return text


def bare(value: Any) -> Any:
    """Return what MongoDB's Extended JSON says of one value, such as ``{"$oid": ID}``;
    anything else as it is.
    """
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((kind, said),) = value.items()
    if kind == "$date" and isinstance(said, dict):  # in milliseconds, as a $numberLong
        return said.get("$numberLong", value)
    if kind in _EXTENDED_NUMBERS and isinstance(said, str):
        return json_in(said, marks=_OF_NUMBERS)
    return said if kind in _EXTENDED else value


def _loose_json(value: bytes) -> Any:
    try:
        text = value.decode("utf-8", "surrogatepass")
        return json.loads(text, strict=False, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise Rejected("malformed", "the JSON is nested too deeply") from None
    except ValueError as error:
        raise Rejected("malformed", f"not JSON: {error}") from None


def _no_number(_text: str) -> None:
    """``NaN`` and infinities are null, as absent."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def string(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """Return a string; "" where it is absent or null and not required.

    Half a surrogate pair in it becomes U+FFFD.
    """
    value = fields.get(name)
    if value is None:
        if required:
            raise Rejected("missing_field", f"{name} is absent")
        return ""
    if not isinstance(value, str):
        reject_type(name, "a string", value)
    return mended(value)


def text(fields: Mapping[str, Any], name: str) -> str:
    """Return a string, or a number as `number_text`; "" where it is absent or null."""
    value = bare(fields.get(name))
    return number_text(value) if is_number(value) else string({name: value}, name)


def identifier(fields: Mapping[str, Any], name: str, *, required: bool = False) -> str:
    """Return an id: a string, or a whole number as its decimal text.

    "" where it is absent or null and not required. Half a surrogate pair is rejected:
    two ids that differ in it would become one.
    """
    value = bare(fields.get(name))
    if isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            raise Rejected("malformed", f"{name} has half a surrogate pair: {shown(value)}")
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= _MAX_EXACT:
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None:
        reject_type(name, "a string or a whole number", value)
    return string({name: value}, name, required=required)


def visitor(session_id: str, user_id: str, device_id: str) -> tuple[str, str]:
    """Return what a visitor is known by, and another id of the same visitor, "" for
    none.

    A device, such as a browser's cookie, is there whoever is logged in. So it is what
    visits are cut by where there is no session.
    """
    ids = (user_id, device_id) if session_id.strip() else (device_id, user_id)
    first, *others = [text for text in dict.fromkeys(ids) if text.strip()] or [""]
    return first, others[0] if others else ""


def device_visit(device_id: str, user_id: str, visit: str) -> tuple[str, str, str]:
    """Return the session of a visit that is counted by device, and the visitor as
    `visitor` does, "" for none.

    Such a visit is a number that says when it began: it is an id only of its device, or
    of its user where no device is said.
    """
    whose = device_id if device_id.strip() else user_id
    session_id = f"{whose}.{visit}" if visit.strip() and whose.strip() else ""
    return session_id, *visitor(session_id, user_id, device_id)


def mended(text: str) -> str:
    """Return a text in which half a surrogate pair is U+FFFD; a whole one is its
    character.
    """
    if text.isascii() or not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a JSON value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_text(value: float) -> str:
    """Return a number, or true or false, as JSON writes it, whatever its size; a whole
    one without a fraction: `10.0` is what others write as `10`.
    """
    if isinstance(value, int):
        return str(value).lower()
    if value.is_integer() and abs(value) <= _MAX_EXACT:
        return str(int(value))
    return msgspec.json.encode(value).decode()


def truth(fields: Mapping[str, Any], name: str, *, default: bool) -> bool:
    """Return true or false, also where it is a text or a number that says so.

    The default where it is absent, null or blank.
    """
    value = fields.get(name)
    if is_nothing(value):
        return default
    found = as_truth(value)
    if found is None:
        reject_type(name, "true or false", value)
    return found


def as_truth(value: object) -> bool | None:
    """Return what a JSON value says of true or false; None: neither."""
    if isinstance(value, bool):
        return value
    if is_number(value):
        return bool(value) if value in (0, 1) else None
    return _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None


def is_nothing(value: object) -> bool:
    """Return whether a value says nothing: it is null, or a blank text."""
    return value is None or (isinstance(value, str) and not value.strip())


def mapping(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object, also where it is a string with its JSON; an empty one where it
    is absent, null or an empty list, which is how PHP writes it.
    """
    value = fields.get(name)
    found = json_in(value) if isinstance(value, str) else value
    if found is None or found == []:
        return {}
    if not isinstance(found, dict):
        reject_type(name, "an object", value)
    return found


def listing(fields: Mapping[str, Any], name: str) -> list[Any] | None:
    """Return a list, also where it is a string with its JSON; None where it is absent
    or null.
    """
    value = fields.get(name)
    found = json_in(value) if isinstance(value, str) else value
    if found is not None and not isinstance(found, list):
        reject_type(name, "a list", value)
    return found


def time(fields: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    """Return a time in UTC epoch milliseconds: a number of them, of which a fraction is
    dropped, also as text, or ISO 8601.

    Where it is absent, null or blank, the default; without a default it is required.
    An ISO time without an offset is UTC, and second 60 is the next minute's first.
    """
    value = bare(fields.get(name))
    if is_nothing(value):
        if default is None:
            raise Rejected("missing_field", f"{name} is absent")
        return default
    if isinstance(value, str):
        return _time_of_text(name, value.strip())
    if not is_number(value):
        reject_type(name, "a time in milliseconds or ISO 8601", value)
    return math.floor(value)


def _time_of_text(name: str, text: str) -> int:
    number = _WHOLE_NUMBER.fullmatch(text)
    if number is not None:
        return int(number[1])
    if _WITH_EXPONENT.fullmatch(text.upper()):
        return math.floor(Decimal(text))
    iso = _UTC.sub("Z", _ZONE.sub(r"\1", text.upper().replace(_MINUS, "-")))
    iso = _BEFORE_OFFSET.sub("", iso)
    iso, num_days = _END_OF_DAY.subn(r"\g<1>00", iso)
    second_60 = _SECOND_60.fullmatch(iso)
    try:
        moment = datetime.fromisoformat(f"{second_60[1]}59{second_60[2]}" if second_60 else iso)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - _EPOCH + num_days * _DAY + (_SECOND if second_60 else _NO_TIME)
        return since // _MILLISECOND
    except ValueError:
        raise Rejected(
            "malformed", f"{name} is not a time in milliseconds or ISO 8601: {shown(text)}"
        ) from None


def action(name: str, actions: Mapping[str, Action] = ACTIONS) -> Action:
    """Return the action of a name, in any capitals, and with ``_`` for ``-``."""
    found = actions.get(name.strip().lower().replace("_", "-"))
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
