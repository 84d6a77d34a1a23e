"""A registry over HTTP, and what frames messages by it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.message import Message

from stream.settings import StreamSettings
from testing.stand_ins.schema_registry import SchemaRegistry, schema_registry

LINE = {
    "type": "record",
    "name": "Line",
    "fields": [
        {"name": "ts_ms", "type": "long"},
        {"name": "type", "type": "string"},
        {"name": "session_id", "type": ["null", "string"]},
        {"name": "user_id", "type": "string"},
        {"name": "query", "type": "string"},
        {"name": "item_id", "type": "string"},
    ],
}
"""A schema of Avro: neutral lines."""
_CONTEXT = SerializationContext("events", MessageField.VALUE)


class Framing:
    """Frames messages, and registers their schemas.

    Args:
        url: of the registry.
    """

    def __init__(self, url: str) -> None:
        self._client = SchemaRegistryClient({"url": url})

    def close(self) -> None:
        """Let the registry go."""
        self._client.close()

    def protobuf(self, *messages: Message) -> list[bytes]:
        """Return messages of one type, in Protobuf."""
        options = {"use.deprecated.format": False}
        serialize = ProtobufSerializer(type(messages[0]), self._client, options)
        return [bytes(serialize(message, _CONTEXT) or b"") for message in messages]

    def avro(self, schema: Any, *values: Any) -> list[bytes]:
        """Return values of one schema, in Avro."""
        serialize = AvroSerializer(self._client, json.dumps(schema))
        return [bytes(serialize(value, _CONTEXT) or b"") for value in values]

    def json(self, value: Mapping[str, Any] | bytes) -> bytes:
        """Return JSON, framed as the serializer of JSON Schema does, which only would
        check it before.
        """
        schema = Schema('{"type": "object"}', schema_type="JSON")
        schema_id = self._client.register_schema("events-json", schema)
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        return b"\0" + schema_id.to_bytes(4, "big") + content


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    """A registry of this test's own."""
    with schema_registry() as started:
        yield started


@pytest.fixture
def framing(registry: SchemaRegistry) -> Iterator[Framing]:
    """Confluent's own serializers, of that registry."""
    with closing(Framing(registry.url)) as opened:
        yield opened


@pytest.fixture
def settings(registry: SchemaRegistry) -> StreamSettings:
    """Settings that name it."""
    return StreamSettings(schema_registry_url=registry.url)
