"""Tests of Avro messages to JSON."""

import json
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events.types import Rejected
from stream.registry.avro import SchemaUnusable, avro_reader

_EVERYTHING = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "id", "type": ["null", "long"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {
            "name": "price",
            "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2},
        },
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "raw", "type": "bytes"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "share", "type": "double"},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "sizes", "type": {"type": "map", "values": ["null", "Row"]}},
    ],
}
_ROW: dict[str, Any] = {
    "id": 7,
    "at": datetime(2023, 11, 14, 21, 56, 40, tzinfo=UTC),
    "day": date(2023, 11, 14),
    "price": Decimal("12.50"),
    "key": UUID(int=1),
    "raw": b"\xff",
    "kind": "B",
    "share": float("nan"),
    "tags": ["x"],
    "sizes": {"eu": None},
}


def _written(schema: Any, value: Any) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def test_values_are_what_json_has_for_them() -> None:
    """Times as ISO 8601, decimals and unions as their values, NaN as nothing."""
    read = avro_reader(json.dumps(_EVERYTHING), {})

    assert json.loads(read(_written(_EVERYTHING, _ROW))) == {
        "id": 7,
        "at": "2023-11-14T21:56:40Z",
        "day": "2023-11-14",
        "price": "12.50",
        "key": str(UUID(int=1)),
        "raw": "/w==",
        "kind": "B",
        "share": None,
        "tags": ["x"],
        "sizes": {"eu": None},
    }


def test_a_schema_may_refer_to_others() -> None:
    """By the names that they have."""
    inner = {"type": "record", "name": "shop.Inner", "fields": [{"name": "x", "type": "int"}]}
    outer = {
        "type": "record",
        "name": "shop.Outer",
        "fields": [{"name": "inner", "type": "shop.Inner"}],
    }
    read = avro_reader(json.dumps(outer), {"shop.Inner": json.dumps(inner)})

    assert json.loads(read(b"\x04")) == {"inner": {"x": 2}}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "no Avro schema"),
        ('"shop.Missing"', "no Avro schema"),
        ("5", "no Avro schema"),
        ('{"type": "record"}', "no Avro schema"),
        ('{"type": "array", "items": "null"}', "takes no byte"),
        ('{"type": "array", "items": {"type": "record", "name": "E", "fields": []}}', "no byte"),
        (
            '[{"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}]',
            "takes no byte",
        ),
    ],
)
def test_schemas_that_cannot_be_read(schema: str, words: str) -> None:
    """Among them those of which a message of ten bytes could fill any memory."""
    with pytest.raises(SchemaUnusable, match=words):
        avro_reader(schema, {})


def test_what_is_left_or_missing_is_malformed() -> None:
    """A message is as long as its schema says."""
    read = avro_reader('"string"', {})

    assert read(b"\x02a") == b'"a"'
    for payload, words in ((b"\x02ab", "1 bytes are left"), (b"\x04a", "not an Avro message")):
        with pytest.raises(Rejected, match=words):
            read(payload)


_WHOLE = _written(_EVERYTHING, _ROW)
_READ = avro_reader(json.dumps(_EVERYTHING), {})


@given(st.integers(0, len(_WHOLE)), st.binary(max_size=9))
def test_damaged_messages_are_read_or_rejected(place: int, inserted: bytes) -> None:
    """Nothing else is raised, whatever the bytes are."""
    for payload in (_WHOLE[:place] + inserted, _WHOLE[:place] + inserted + _WHOLE[place:]):
        with suppress(Rejected):
            assert isinstance(json.loads(_READ(payload)), dict)
