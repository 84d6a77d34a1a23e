"""Protobuf messages of a registered schema: their names, and their JSON."""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence

import msgspec
from google.protobuf import (
    any_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from stream.events.types import Rejected
from stream.registry.avro import ReadPayload, SchemaUnusable

MessageAt = Callable[[Sequence[int]], str]
"""Returns the full name of the message at some places of a schema; "": none is."""

_WELL_KNOWN: Mapping[str, FileDescriptor] = {
    module.DESCRIPTOR.name: module.DESCRIPTOR
    for module in (
        any_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        struct_pb2,
        timestamp_pb2,
        wrappers_pb2,
    )
}
"""Files that no registry has, for every compiler brings them."""

_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[\w.]+|[{};]", re.DOTALL
)
_Messages = list[tuple[str, "_Messages"]]


def descriptor_of(text: str) -> FileDescriptorProto | None:
    """Return the descriptor of a schema that is given in Base64; None: it is a text."""
    try:
        return FileDescriptorProto.FromString(b64decode(text, validate=True))
    except (NotBase64, ValueError, DecodeError):
        return None


def messages_of_descriptor(file: FileDescriptorProto) -> MessageAt:
    """Return what finds the messages of a descriptor."""

    def listed(messages: Sequence[DescriptorProto]) -> _Messages:
        return [(each.name, listed(each.nested_type)) for each in messages]

    return _finder(file.package, listed(file.message_type))


def messages_of_text(text: str) -> MessageAt:
    """Return what finds the messages of a schema's text.

    Registries that do not give descriptors give that: it names Freshet's own messages,
    and what they are is known.
    """
    package = ""
    top: _Messages = []
    open_blocks: list[_Messages | None] = [top]
    before = ("", "")
    for token in _TOKEN.findall(text):
        if token.startswith(("//", "/*", '"', "'")):
            continue
        inside = open_blocks[-1]
        if token == "{":  # noqa: S105  # no password
            opened: _Messages | None = None
            if before[0] == "message" and inside is not None:
                opened = []
                inside.append((before[1], opened))
            open_blocks.append(opened)
        elif token == "}":  # noqa: S105  # no password
            open_blocks = open_blocks[:-1] or [top]
        elif token == ";" and before[0] == "package":  # noqa: S105  # no password
            package = before[1]
        before = (before[1], token)
    return _finder(package, top)


def _finder(package: str, messages: _Messages) -> MessageAt:
    def find(indexes: Sequence[int]) -> str:
        names, inside = [package] if package else [], messages
        for index in indexes:
            if not 0 <= index < len(inside):
                return ""
            name, inside = inside[index]
            names.append(name)
        return ".".join(names)

    return find


def protobuf_reader(
    file: FileDescriptorProto, needed: Mapping[str, FileDescriptorProto], message: str
) -> ReadPayload:
    """Return what reads the messages of a type to JSON, by the names of the schema.

    Fields that are not set have their default, as everywhere in Protobuf; whole numbers
    of 64 bits are texts, as in its JSON.

    Args:
        file: the schema.
        needed: what it refers to, by the names under which it imports it.
        message: the full name of the message.

    Raises:
        SchemaUnusable: it does not fit together.
    """
    pool = DescriptorPool()
    try:
        _add(pool, file, needed, set())
        descriptor: Descriptor = pool.FindMessageTypeByName(message)
    except (TypeError, KeyError) as error:
        raise SchemaUnusable(f"its Protobuf schema does not fit together ({error})") from None
    parse = GetMessageClass(descriptor).FromString

    def read(payload: bytes) -> bytes:
        try:
            found = MessageToDict(
                parse(payload),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
                descriptor_pool=pool,
            )
        except (DecodeError, ValueError, TypeError, RecursionError) as error:
            raise Rejected("malformed", f"not a {message}: {error}") from None
        return msgspec.json.encode(found)

    return read


def _add(
    pool: DescriptorPool,
    file: FileDescriptorProto,
    needed: Mapping[str, FileDescriptorProto],
    added: set[str],
) -> None:
    for name in file.dependency:
        if name in added:
            continue
        added.add(name)
        if name in needed:
            each = FileDescriptorProto()
            each.CopyFrom(needed[name])
            each.name = name
            _add(pool, each, needed, added)
        elif name in _WELL_KNOWN:
            each = FileDescriptorProto()
            _WELL_KNOWN[name].CopyToProto(each)
            _add(pool, each, needed, added)
        else:
            raise KeyError(f"{name} is imported, and the registry does not refer to it")
    pool.Add(file)
