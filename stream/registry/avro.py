"""Avro messages to JSON, by fastavro."""

import json
import struct
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import fastavro
import msgspec
from fastavro.schema import SchemaParseException, UnknownType

from stream.events.types import Rejected

ReadPayload = Callable[[bytes], bytes]
"""Returns the JSON that a message is."""


# What fastavro's readers raise on bytes that are none: whatever they stumble over.
_STUMBLES = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


class SchemaUnusable(Exception):
    """A schema of the registry cannot be read, whatever is written by it."""


def avro_reader(text: str, named: Mapping[str, str]) -> ReadPayload:
    """Return what reads the messages of an Avro schema.

    Times become ISO 8601, numbers with a decimal type and bytes texts, bytes in Base64.

    Args:
        text: the schema, as JSON.
        named: schemas that it refers to, by their names, in the order in which each
            needs only those before it.

    Raises:
        SchemaUnusable: it is none, or one whose messages could be huge.
    """
    try:
        known: dict[str, Any] = {}
        for each in named.values():
            fastavro.parse_schema(json.loads(each), named_schemas=known)
        schema = fastavro.parse_schema(json.loads(text), named_schemas=known)
    except (ValueError, TypeError, KeyError, SchemaParseException, UnknownType) as error:
        raise SchemaUnusable(f"it is no Avro schema ({error})") from None
    _check_arrays(schema, known)

    def read(payload: bytes) -> bytes:
        stream = BytesIO(payload)
        try:
            found = msgspec.json.encode(fastavro.schemaless_reader(stream, schema, None))
        except _STUMBLES as error:
            raise Rejected(
                "malformed", f"not an Avro message of its schema ({type(error).__name__})"
            ) from None
        left = len(payload) - stream.tell()
        if left:
            raise Rejected("malformed", f"behind the Avro message {left} bytes are left")
        return found

    return read


def _check_arrays(schema: Any, known: Mapping[str, Any]) -> None:
    """Refuse arrays of what takes no byte: one of ten bytes has any number of them."""
    for each in _walk(schema):
        is_array = isinstance(each, dict) and each.get("type") == "array"
        if is_array and _takes_nothing(each["items"], known, frozenset()):
            raise SchemaUnusable("it has an array of what takes no byte, such as null")


def _walk(schema: Any) -> list[Any]:
    """Return a schema and all that are within it."""
    found, waiting = [], [schema]
    while waiting:
        each = waiting.pop()
        found.append(each)
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += [each[name] for name in ("type", "items", "values") if name in each]
            waiting += [field["type"] for field in each.get("fields", ())]
    return found


def _takes_nothing(schema: Any, known: Mapping[str, Any], seen: frozenset[str]) -> bool:
    if isinstance(schema, str):
        if schema in seen or schema not in known:
            return schema == "null"
        return _takes_nothing(known[schema], known, seen | {schema})
    if not isinstance(schema, dict):
        return False  # a union has a byte for which one it is
    if schema.get("type") in ("record", "error"):
        return all(_takes_nothing(field["type"], known, seen) for field in schema["fields"])
    if schema.get("type") == "fixed":
        return not schema["size"]
    return schema.get("type") == "null"
