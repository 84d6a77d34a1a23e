"""Tests of Protobuf messages of a registered schema."""

import json
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.text_format import Parse
from hypothesis import given
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from stream.events.types import Rejected
from stream.registry.avro import SchemaUnusable
from stream.registry.protobuf import (
    descriptor_of,
    messages_of_descriptor,
    messages_of_text,
    protobuf_reader,
)

_SHOP = Parse(
    """
    name: "shop.proto" package: "shop" syntax: "proto3"
    dependency: "google/protobuf/timestamp.proto" dependency: "other.proto"
    message_type { name: "Other" nested_type { name: "Inner" } }
    message_type {
      name: "Seen"
      field { name: "at" number: 1 type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" }
      field { name: "user_id" number: 2 type: TYPE_INT64 }
      field { name: "available" number: 3 type: TYPE_BOOL }
      field { name: "place" number: 4 type: TYPE_MESSAGE type_name: ".shop.Place" }
    }
    """,
    FileDescriptorProto(),
)
_OTHER = Parse(
    'name: "x" package: "shop" syntax: "proto3" message_type { name: "Place" '
    'field { name: "name" number: 1 type: TYPE_STRING } }',
    FileDescriptorProto(),
)
_AT = timestamp_pb2.Timestamp(seconds=1_700_000_000).SerializeToString()
_SEEN = b"\x0a" + bytes([len(_AT)]) + _AT + b"\x10\x07" + b"\x22\x04\x0a\x02hi"


def test_a_descriptor_is_told_from_a_text() -> None:
    """Registries give one or the other."""
    packed = b64encode(_SHOP.SerializeToString()).decode()

    assert descriptor_of(packed) == _SHOP
    assert descriptor_of('syntax = "proto3";') is None


def test_messages_are_named_by_their_places() -> None:
    """Of a descriptor as of the text that it is of."""
    text = (Path(pb.__file__).parent / "events_v1.proto").read_text(encoding="utf-8")
    of_text = messages_of_text(text)
    descriptor = FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(descriptor)
    of_descriptor = messages_of_descriptor(descriptor)

    for number, message in enumerate(descriptor.message_type):
        assert of_text((number,)) == of_descriptor((number,)) == f"freshet.events.v1.{message.name}"
    for places in ((len(descriptor.message_type),), (-1,), (0, 99)):
        assert of_text(places) == of_descriptor(places) == ""
    assert messages_of_descriptor(_SHOP)((0, 0)) == "shop.Other.Inner"


def test_a_text_is_read_past_what_only_looks_like_a_message() -> None:
    """Comments, texts, enums, options and fields."""
    text = """
    syntax = "proto3"; // message A {
    /* message B { */ option x = "message C {"; package a.b ;
    enum E { message = 0; } service S { rpc R (M) returns (M) { } }
    message M { message Inner { } oneof o { string message = 1; } enum E { Z = 0; } message I2 {} }
    extend M { } message N { }
    }}}
    """
    find = messages_of_text(text)

    assert [find(places) for places in ((0,), (1,), (2,), (0, 0), (0, 1), (0, 2))] == [
        *("a.b.M", "a.b.N", ""),
        *("a.b.M.Inner", "a.b.M.I2", ""),
    ]


@given(st.text(alphabet="message{};/*\"' ab", max_size=60))
def test_any_text_has_messages_or_none(text: str) -> None:
    """It never raises."""
    assert isinstance(messages_of_text(text)((0,)), str)


def test_foreign_messages_become_json() -> None:
    """By the names of their schema, with what it refers to and what compilers bring."""
    read = protobuf_reader(_SHOP, {"other.proto": _OTHER}, "shop.Seen")

    assert json.loads(read(_SEEN)) == {
        "at": "2023-11-14T22:13:20Z",
        "user_id": "7",
        "available": False,
        "place": {"name": "hi"},
    }


def test_schemas_that_do_not_fit_together() -> None:
    """What is missing is named."""
    with pytest.raises(SchemaUnusable, match=r"other\.proto is imported"):
        protobuf_reader(_SHOP, {}, "shop.Seen")
    with pytest.raises(SchemaUnusable, match="does not fit together"):
        protobuf_reader(_SHOP, {"other.proto": FileDescriptorProto()}, "shop.Seen")


_READ = protobuf_reader(_SHOP, {"other.proto": _OTHER}, "shop.Seen")


@given(st.integers(0, len(_SEEN)), st.binary(max_size=9))
def test_damaged_messages_are_read_or_rejected(place: int, inserted: bytes) -> None:
    """Nothing else is raised, whatever the bytes are."""
    with suppress(Rejected):
        assert isinstance(json.loads(_READ(_SEEN[:place] + inserted + _SEEN[place:])), dict)
