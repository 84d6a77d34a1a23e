"""Takes the frames of a schema registry away, with what was asked of it once."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from protos import events_v1_pb2 as pb
from stream.events.fields import shown
from stream.events.formats.protobuf import content_type_of
from stream.events.types import RecordBatch, Rejected
from stream.registry.avro import ReadPayload, SchemaUnusable, avro_reader
from stream.registry.client import (
    NoDescriptor,
    RegisteredSchema,
    RegistryClient,
    SchemaUnknown,
)
from stream.registry.frames import ID_BYTES, MAGIC, message_indexes, schema_id_of
from stream.registry.protobuf import (
    MessageAt,
    descriptor_of,
    messages_of_descriptor,
    messages_of_text,
    protobuf_reader,
)

_OWN_MESSAGES: Mapping[str, str] = {
    message.DESCRIPTOR.full_name: content_type_of(message)
    for message in (pb.Event, pb.EventBatch, pb.CatalogItem, pb.Erasure)
}
# Seconds for which a schema that cannot be used is not asked for again: a registry with
# copies may know a new one a moment later. Twice as many quarantine twice as much then.
_FORGET_SECONDS = 30.0
# Schemas that cannot be used, and ways to frame: garbage must not fill memory.
_MAX_KNOWN = 1000
# Schemas that refer to each other; more is a circle, or a mistake. Chosen by hand.
_MAX_REFERENCES = 100


_UNSEEN = "unseen"  # in the place of a content-type; none is so


@dataclass(frozen=True, slots=True)
class _Payload:
    """How what is in a frame is read.

    Attributes:
        content_type: what it is then; None: what the record says.
        read: returns its JSON; None: it is read as it is.
    """

    content_type: str | None
    read: ReadPayload | None = None


@dataclass(slots=True)
class _Schema:
    """A schema of the registry.

    Attributes:
        payload: of its messages; None: a frame says which message of it.
        message_at: names its messages.
        file: its descriptor; None: the registry gives a text.
        forget_at: when it may be asked for again, by the monotonic clock, where that is
            a text that does not do.
        needed: the descriptors that it refers to, by the names of their files.
        payloads: of its messages, by their places, as far as they were read.
    """

    payload: _Payload | None = None
    message_at: MessageAt | None = None
    file: FileDescriptorProto | None = None
    forget_at: float = 0.0
    needed: Mapping[str, FileDescriptorProto] = field(default_factory=dict)
    payloads: dict[tuple[int, ...], _Payload] = field(default_factory=dict)


class Schemas:
    """Takes frames away; each schema is asked for once.

    Args:
        client: asks the registry.
    """

    def __init__(self, client: RegistryClient) -> None:
        self._client = client
        self._schemas: dict[int, _Schema] = {}
        self._unusable: dict[int, tuple[float, str]] = {}
        self._plain: dict[bytes, str | None] = {}

    def unframed(self, value: bytes) -> tuple[str | None, bytes]:
        """Return what is in a frame: its content-type, None for that of the record, and
        its bytes.

        Raises:
            Rejected: the frame is cut short, its schema is not known or cannot be read,
                or the message is none of it.
            RegistryUnavailable: the registry does not answer.
        """
        payload, start = self._payload(value)
        if payload.read is not None:
            return payload.content_type, payload.read(value[start:])
        if len(self._plain) >= _MAX_KNOWN:
            self._plain.clear()
        self._plain[value[:start]] = payload.content_type
        return payload.content_type, value[start:]

    def unframed_batch(self, batch: RecordBatch) -> RecordBatch:
        """Return records without frames; what cannot be read stays in its own.

        Raises:
            RegistryUnavailable: the registry does not answer.
        """
        framed = [row for row, value in enumerate(batch.values) if value and value[:1] == MAGIC]
        if not framed:
            return batch
        values, content_types = [*batch.values], [*batch.content_types]
        # Nearly all are of one message, which the first bytes say.
        for length in sorted({len(prefix) for prefix in self._plain}):
            framed = self._cut(framed, length, values, content_types)
        for row in framed:
            try:
                content_type, value = self.unframed(values[row] or b"")
            except Rejected:
                continue
            if value.startswith(MAGIC):  # a frame in a frame, which is taken away once
                continue
            values[row] = value
            if content_type is not None:
                content_types[row] = content_type
        return replace(batch, values=values, content_types=content_types)

    def _cut(
        self, rows: Sequence[int], length: int, values: list[bytes | None], types: list[str]
    ) -> list[int]:
        """Take away frames of a length that were seen; return the rows of others."""
        others: list[int] = []
        for row in rows:
            value = values[row] or b""
            content_type = self._plain.get(value[:length], _UNSEEN)
            if content_type is _UNSEEN or value[length : length + 1] == MAGIC:
                others.append(row)
                continue
            values[row] = value[length:]
            if content_type is not None:
                types[row] = content_type
        return others

    def _payload(self, value: bytes) -> tuple[_Payload, int]:
        """Return how the message in a frame is read, and where it begins."""
        schema_id = schema_id_of(value)
        schema = self._schemas.get(schema_id) or self._asked(schema_id)
        if schema.payload is not None:
            return schema.payload, ID_BYTES
        indexes, start = message_indexes(value)
        payload = schema.payloads.get(indexes)
        if payload is None:
            try:
                payload = _payload_of_message(schema, indexes)
            except SchemaUnusable as unusable:
                if schema.file is None and time.monotonic() > schema.forget_at:
                    del self._schemas[schema_id]  # the registry may give a descriptor by now
                raise self._refused(schema_id, str(unusable)) from None
            if len(schema.payloads) < _MAX_KNOWN:
                schema.payloads[indexes] = payload
        return payload, start

    def _asked(self, schema_id: int) -> _Schema:
        until, why = self._unusable.get(schema_id, (0.0, ""))
        if time.monotonic() < until:
            raise self._refused(schema_id, why)
        try:
            schema = self._read(
                _described(
                    self._client.schema(schema_id),
                    partial(self._client.schema, schema_id, described=True),
                )
            )
        except SchemaUnknown as unknown:
            why = f"the registry has none: {shown(str(unknown))}"
        except SchemaUnusable as unusable:
            why = str(unusable)
        else:
            self._schemas[schema_id] = schema
            return schema
        if len(self._unusable) >= _MAX_KNOWN:
            self._unusable.clear()
        self._unusable[schema_id] = (time.monotonic() + _FORGET_SECONDS, why)
        raise self._refused(schema_id, why)

    def _refused(self, schema_id: int, why: str) -> Rejected:
        return Rejected("unknown_schema", f"schema {schema_id} cannot be used: {why}")

    def _read(self, found: RegisteredSchema) -> _Schema:
        if found.kind == "JSON":
            return _Schema(_Payload(None))
        needed: dict[str, RegisteredSchema] = {}
        self._add_references(found, needed)
        if found.kind == "AVRO":
            texts = {name: each.text for name, each in needed.items()}
            return _Schema(_Payload("", avro_reader(found.text, texts)))
        if found.kind != "PROTOBUF":
            raise SchemaUnusable(f"it is {found.kind}, not Avro, JSON or Protobuf")
        file = descriptor_of(found.text)
        if file is None:
            forget_at = time.monotonic() + _FORGET_SECONDS
            return _Schema(message_at=messages_of_text(found.text), forget_at=forget_at)
        files = {name: descriptor_of(each.text) for name, each in needed.items()}
        return _Schema(
            message_at=messages_of_descriptor(file),
            file=file,
            needed={name: each for name, each in files.items() if each is not None},
        )

    def _add_references(self, found: RegisteredSchema, needed: dict[str, RegisteredSchema]) -> None:
        """Add what a schema refers to, each behind what it needs itself."""
        for reference in found.references:
            if reference.name in needed:
                continue
            if len(needed) >= _MAX_REFERENCES:
                raise SchemaUnusable(f"it refers to more than {_MAX_REFERENCES} others")
            try:
                other = _described(
                    self._client.referenced(reference),
                    partial(self._client.referenced, reference, described=True),
                )
            except SchemaUnknown:
                raise SchemaUnusable(
                    f"the registry has no version {reference.version} of {reference.subject}, to "
                    "which it refers"
                ) from None
            needed[reference.name] = other  # seen, so that a circle ends
            self._add_references(other, needed)
            needed[reference.name] = needed.pop(reference.name)


def _described(found: RegisteredSchema, ask: Callable[[], RegisteredSchema]) -> RegisteredSchema:
    """Return a schema, of Protobuf as its descriptor where the registry gives that."""
    if found.kind != "PROTOBUF" or descriptor_of(found.text) is not None:
        return found
    try:
        return ask()
    except NoDescriptor:
        return found


def _payload_of_message(schema: _Schema, indexes: Sequence[int]) -> _Payload:
    assert schema.message_at is not None  # noqa: S101  # it is Protobuf
    message = schema.message_at(indexes)
    if not message:
        raise SchemaUnusable(f"it has no message at {list(indexes)}")
    if message in _OWN_MESSAGES:
        return _Payload(_OWN_MESSAGES[message])
    if schema.file is None:
        raise SchemaUnusable(
            f"its message {message} is none of Freshet's, and the registry gives no descriptor of "
            "it (format=serialized)"
        )
    return _Payload("", protobuf_reader(schema.file, schema.needed, message))
