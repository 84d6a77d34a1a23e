"""Tests of records in frames, as the serializers of Confluent's registry make them."""

import json
import time
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.text_format import Parse

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.errors import RegistryUnavailable, SettingsInvalid
from stream.events.decoder import Decoder
from stream.events.fast_path import ColumnDecoder
from stream.events.types import CatalogItem
from stream.registry.open import open_registry
from stream.registry.schemas import Schemas
from stream.settings import StreamSettings
from testing.records import (
    CLICK,
    CLOUD,
    EVENT,
    NEUTRAL,
    NOW_MS,
    TS_MS,
    batch,
    event,
    read_framed,
    record,
    records,
    refusal_of_framed,
)
from testing.stand_ins.schema_registry import SchemaRegistry
from tests.stream.registry.conftest import LINE, Framing

ROW = {
    "type": "record",
    "name": "Value",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "name", "type": ["null", "string"], "default": None},
    ],
}
CHANGE = {
    "type": "record",
    "name": "Envelope",
    "fields": [
        {"name": "before", "type": ["null", ROW]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "op", "type": "string"},
        {"name": "ts_ms", "type": ["null", "long"]},
    ],
}
"""An envelope of Debezium, as its Avro converter registers it."""
KEY = {"type": "record", "name": "Key", "fields": [{"name": "id", "type": "long"}]}
ITEMS = {"item": {"item_id": "id", "title": "name"}}


def test_every_kind_of_schema_is_read(framing: Framing, settings: StreamSettings) -> None:
    """Freshet's own messages in Protobuf, whichever of the schema it is, and neutral
    lines in Avro and in JSON.
    """
    (single,) = framing.protobuf(pb.Event.FromString(event()))
    (batched,) = framing.protobuf(batch())
    (avro,) = framing.avro(LINE, NEUTRAL)

    assert read_framed(single, settings).events == [CLICK]
    assert [each.item_id for each in read_framed(batched, settings).events] == ["i1", "i2", "i2"]  # type: ignore[union-attr]
    assert read_framed(avro, settings).events == [CLICK]
    assert read_framed(framing.json(NEUTRAL), settings).events == [CLICK]


def test_the_schema_says_more_than_the_topic(framing: Framing, settings: StreamSettings) -> None:
    """As the content-type of a message does."""
    (item,) = framing.protobuf(pb.CatalogItem(item_id="i1", title="T"))
    assert read_framed(item, settings).events == [CatalogItem(item_id="i1", title="T")]


def test_framed_json_is_what_its_content_type_says(
    framing: Framing, settings: StreamSettings
) -> None:
    """Such as a CloudEvent."""
    envelope = {"specversion": "1.0", "type": "freshet.search_click", "data": NEUTRAL}
    assert read_framed(framing.json(envelope), settings, content_type=CLOUD).events == [CLICK]


def test_foreign_messages_are_mapped(framing: Framing, registry: SchemaRegistry) -> None:
    """As any JSON is: those of a schema that the registry gives as its descriptor."""
    schema = {"type": "record", "name": "Seen", "fields": [{"name": "sku", "type": "int"}]}
    (avro,) = framing.avro(schema, {"sku": 7})
    mapping = {"event": {"item_id": "sku", "user_id": {"value": "u"}, "time": {"value": TS_MS}}}
    mapping["event"]["action"] = {"value": "view"}
    settings = StreamSettings(schema_registry_url=registry.url, mapping=mapping)
    (found,) = read_framed(avro, settings).events
    assert found == replace(
        CLICK, session_id="", user_id="u", query="", item_id="7", action=Action.VIEW
    )

    from google.protobuf.struct_pb2 import Struct  # a message of somebody else's

    message = Struct()
    message.update({"sku": "i1"})
    (framed,) = framing.protobuf(message)
    mapping["event"]["item_id"] = "sku"
    (found,) = read_framed(framed, replace(settings, mapping=mapping)).events
    assert found.item_id == "i1"  # type: ignore[union-attr]


def test_change_capture_in_avro(framing: Framing, registry: SchemaRegistry) -> None:
    """States, deletions by a row, by a key, and by a record without a value."""
    settings = StreamSettings(schema_registry_url=registry.url, mapping=ITEMS)
    row, bare = {"id": 5, "name": "Shoe"}, {"id": 5, "name": None}
    changes = [
        {"before": None, "after": row, "op": "c", "ts_ms": TS_MS},
        {"before": bare, "after": None, "op": "d", "ts_ms": TS_MS},
        {"before": None, "after": None, "op": "d", "ts_ms": TS_MS},
    ]
    created, deleted, keyed = framing.avro(CHANGE, *changes)
    unwrapped, (key,) = framing.avro(ROW, row), framing.avro(KEY, {"id": 5})
    topic = {"source": "freshet.catalog", "key": key}
    shoe = CatalogItem(item_id="5", title="Shoe", ts_ms=TS_MS)
    gone = CatalogItem(item_id="5", deleted=True, ts_ms=TS_MS)

    assert read_framed(created, settings, **topic).events == [shoe]
    assert read_framed(deleted, settings, **topic).events == [gone]
    assert read_framed(keyed, settings, **topic).events == [gone]
    assert read_framed(unwrapped[0], settings, **topic).events == [replace(shoe, ts_ms=0)]
    assert read_framed(None, settings, **topic).events == [replace(gone, ts_ms=0)]


def test_what_is_wrong_is_named(
    framing: Framing, registry: SchemaRegistry, settings: StreamSettings
) -> None:
    """The schema, and why it or the message cannot be used."""
    xml = registry.register("a", "XML", "<x/>").to_bytes(4, "big")
    no_avro = registry.register("b", "AVRO", "{}").to_bytes(4, "big")
    reference = {"name": "o", "subject": "none", "version": 3}
    refers = registry.register("c", "AVRO", '"o"', [reference]).to_bytes(4, "big")
    text = 'syntax = "proto3"; package shop; message Seen { }'
    foreign = registry.register("d", "PROTOBUF", text).to_bytes(4, "big")
    (single,) = framing.protobuf(pb.Event.FromString(event()))

    assert refusal_of_framed(b"\0\0\0\3\xe7{}", settings) == (
        "unknown_schema",
        "schema 999 cannot be used: the registry has none: 'Schema not found'",
    )
    for value, words in (
        (b"\0" + xml + b"<", "it is XML, not Avro, JSON or Protobuf"),
        (b"\0" + no_avro + b"x", "it is no Avro schema"),
        (b"\0" + refers + b"x", "no version 3 of none, to which it refers"),
        (b"\0" + foreign + b"\0", "shop.Seen is none of Freshet's"),
        (b"\0" + foreign + b"\2\4", "it has no message at [2]"),
    ):
        reason, detail = refusal_of_framed(value, settings)
        assert reason == "unknown_schema"
        assert words in detail
    assert refusal_of_framed(single[:-3], settings)[0] == "malformed"
    assert refusal_of_framed(b"\0\0", settings)[0] == "malformed"


def test_a_text_in_the_place_of_a_descriptor_names_our_own_messages(
    framing: Framing, registry: SchemaRegistry, settings: StreamSettings
) -> None:
    """Some registries give nothing else."""
    text = "package freshet.events.v1; message Other { } message Event { string x = 1; }"
    schema_id = registry.register("t", "PROTOBUF", text).to_bytes(4, "big")
    assert read_framed(b"\0" + schema_id + b"\2\2" + event(), settings).events == [CLICK]


def test_what_was_registered_as_a_text_is_asked_for_as_its_descriptor(
    registry: SchemaRegistry, settings: StreamSettings
) -> None:
    """That of a message of somebody else's: where the registry cannot give it, again
    after a while, and our own are read all the same.
    """
    file = FileDescriptorProto(name="s", package="s", syntax="proto3")
    field = file.message_type.add(name="Row").field.add(name="item_id", number=1)
    field.type = field.TYPE_STRING
    schema_id = registry.register("s", "PROTOBUF", "package s; message Row { }")
    mapped = replace(settings, mapping={"item": {"item_id": "item_id"}})
    frames = open_registry(mapped)
    assert isinstance(frames, Schemas)
    framed = record(
        b"\0" + schema_id.to_bytes(4, "big") + b"\0\x0a\x02i1", "", source="freshet.catalog"
    )
    decoder = Decoder(mapped, frames)

    (refused,) = decoder.decode(framed, NOW_MS).rejections
    assert "gives no descriptor" in refused.detail
    registry.descriptors[schema_id] = b64encode(file.SerializeToString()).decode()
    assert decoder.decode(framed, NOW_MS).rejections
    assert registry.num_asked == 2
    frames._schemas[schema_id].forget_at = time.monotonic()
    assert decoder.decode(framed, NOW_MS).rejections
    assert decoder.decode(framed, NOW_MS).events == [CatalogItem(item_id="i1")]


def test_without_a_registry_frames_are_no_encoding() -> None:
    """And the detail says what to set."""
    reason, detail = refusal_of_framed(b"\0\0\0\0\1{}", StreamSettings())
    assert reason == "unknown_encoding"
    assert "stream.schema_registry_url" in detail


def test_frames_are_taken_away_by_the_thousand(
    framing: Framing, registry: SchemaRegistry, settings: StreamSettings
) -> None:
    """The fast path gives what one by one gives, with each rejection's own record; each
    schema is asked for once.
    """
    (single,), (batched,) = (
        framing.protobuf(pb.Event.FromString(event())),
        framing.protobuf(batch()),
    )
    (avro,) = framing.avro(LINE, NEUTRAL)
    bad = [b"\0\0\0\0\x63x", b"\0", single[:-2], b"", avro + b"x", single[:6] + single]
    values = [single, avro, *bad, batched, framing.json(NEUTRAL), event(), single]
    found = records([(EVENT if value == event() else "", value) for value in values])
    frames = open_registry(settings)
    before = registry.num_asked
    decoder, full = ColumnDecoder(settings, frames=frames), Decoder(settings, frames)

    for _ in range(2):
        decoded = decoder.decode(found, NOW_MS)
        expected = [full.decode(found.record(row), NOW_MS) for row in range(len(found))]
        rows = Counter(decoded.events.row.tolist())
        assert rows == +Counter({row: len(each.events) for row, each in enumerate(expected)})
        assert {each.record.offset for each in decoded.rejections} == {2, 3, 4, 5, 6, 7}
        assert sorted(decoded.rejections, key=repr) == sorted(
            (rejection for each in expected for rejection in each.rejections), key=repr
        )
    assert registry.num_asked - before == 4


def test_a_schema_that_is_not_there_is_asked_for_again_after_a_while(
    registry: SchemaRegistry, settings: StreamSettings
) -> None:
    """A copy of the registry may learn of it later."""
    frames = open_registry(settings)
    assert isinstance(frames, Schemas)
    decoder = Decoder(settings, frames)
    framed = record(b"\0\0\0\0\1" + json.dumps(dict(NEUTRAL)).encode())

    assert decoder.decode(framed, NOW_MS).rejections
    assert decoder.decode(framed, NOW_MS).rejections
    assert registry.num_asked == 1
    registry.register("late", "JSON", "{}")
    (until, _), after = frames._unusable[1], time.monotonic()
    assert after < until < after + 60
    frames._unusable[1] = (after, "")
    assert decoder.decode(framed, NOW_MS).events == [CLICK]


def test_a_registry_that_is_away_is_no_fault_of_records(
    framing: Framing, registry: SchemaRegistry, settings: StreamSettings
) -> None:
    """Nothing is rejected for it; what it was asked before is still read."""
    (known,), (new,) = framing.protobuf(pb.Event.FromString(event())), framing.avro(LINE, NEUTRAL)
    decoder = Decoder(settings, open_registry(settings))
    assert decoder.decode(record(known), NOW_MS).events == [CLICK]

    for status, words in (
        (500, "HTTP status 500"),
        (401, "password"),
        (404, "path"),
        (200, "no schema"),
    ):
        registry.status = status
        with pytest.raises(RegistryUnavailable, match=words):
            decoder.decode(record(new), NOW_MS)
    assert decoder.decode(record(known), NOW_MS).events == [CLICK]
    registry.status = 0
    assert decoder.decode(record(new), NOW_MS).events == [CLICK]


def test_nobody_at_the_address(free_port: Any) -> None:
    """The error says what was asked, and why there is no answer."""
    url = f"http://127.0.0.1:{free_port()}"
    settings = StreamSettings(schema_registry_url=url)
    with pytest.raises(RegistryUnavailable, match=rf"{url} does not answer.*refused"):
        read_framed(b"\0\0\0\0\1{}", settings)


def test_a_password_is_needed_where_the_registry_wants_one(
    framing: Framing, registry: SchemaRegistry, tmp_path: Any
) -> None:
    """From the settings, or from a file; a wrong one is named, and not shown."""
    framed = framing.json(NEUTRAL)
    registry.user = "reader:hush"
    path = tmp_path / "password"
    path.write_text("hush\n")
    named = {"schema_registry_url": registry.url, "schema_registry_username": "reader"}

    for password in (
        {"schema_registry_password": "hush"},
        {"schema_registry_password_file": str(path)},
    ):
        assert read_framed(framed, StreamSettings(**named, **password)).events == [CLICK]  # type: ignore[arg-type]
    wrong = StreamSettings(**named, schema_registry_password="guess")  # type: ignore[arg-type]
    with pytest.raises(RegistryUnavailable, match=r"HTTP status 401.*username") as caught:
        read_framed(framed, wrong)
    assert "guess" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema_registry_url": "registry:8081"}, "http://HOST:PORT"),
        ({"schema_registry_url": "http://u:p@registry"}, "no password in it"),
        ({"schema_registry_username": "u"}, "schema_registry_url is not"),
        ({"schema_registry_url": "http://r", "schema_registry_username": "u"}, "goes with"),
        ({"schema_registry_url": "http://r", "schema_registry_password": "p"}, "goes with"),
        ({"schema_registry_url": "http://r", "schema_registry_ca_location": "/ca"}, "not https://"),
    ],
)
def test_settings_that_do_not_fit(changes: dict[str, Any], words: str) -> None:
    """They refuse to start, and show no password."""
    with pytest.raises(SettingsInvalid, match=words) as caught:
        StreamSettings(**changes)
    assert "u:p" not in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Any) -> None:
    """Before anything is asked."""
    url, none = {"schema_registry_url": "https://localhost:1"}, str(tmp_path / "none")
    user = {**url, "schema_registry_username": "u", "schema_registry_password_file": none}
    with pytest.raises(SettingsInvalid, match=r"schema_registry_password_file: .*none"):
        open_registry(StreamSettings(**user))  # type: ignore[arg-type]
    with pytest.raises(SettingsInvalid, match=r"schema_registry_ca_location: .*none"):
        open_registry(StreamSettings(**url, schema_registry_ca_location=none))  # type: ignore[arg-type]


def test_schemas_may_refer_to_others(registry: SchemaRegistry, settings: StreamSettings) -> None:
    """In Avro by name, in Protobuf by what they import; those refer further."""
    named = {"type": "record", "name": "shop.Id", "fields": [{"name": "item_id", "type": "string"}]}
    registry.register("id", "AVRO", json.dumps(named))
    reference = {"name": "shop.Id", "subject": "id", "version": 1}
    outer = {
        "type": "record",
        "name": "shop.Row",
        "fields": [{"name": "id", "type": "shop.Id"}, {"name": "title", "type": "string"}],
    }
    schema_id = registry.register("row", "AVRO", json.dumps(outer), [reference])
    mapping = replace(settings, mapping={"item": {"item_id": "id.item_id"}})
    value = b"\0" + schema_id.to_bytes(4, "big") + b"\x04i1\x02T"
    found = read_framed(value, mapping, source="freshet.catalog")
    assert found.events == [CatalogItem(item_id="i1", title="T")]

    files = {
        "a.proto": 'name: "a" package: "s" syntax: "proto3" message_type { name: "A" field '
        '{ name: "item_id" number: 1 type: TYPE_STRING } }',
        "b.proto": 'name: "b" package: "s" syntax: "proto3" dependency: "a.proto" message_type '
        '{ name: "B" field { name: "a" number: 1 type: TYPE_MESSAGE type_name: ".s.A" } }',
        "c.proto": 'name: "c" package: "s" syntax: "proto3" dependency: "b.proto" message_type '
        '{ name: "C" field { name: "b" number: 1 type: TYPE_MESSAGE type_name: ".s.B" } }',
    }
    references: list[dict[str, object]] = []
    for name, text in files.items():
        packed = b64encode(Parse(text, FileDescriptorProto()).SerializeToString()).decode()
        schema_id = registry.register(name, "PROTOBUF", packed, references)
        references = [{"name": name, "subject": name, "version": 1}]
    mapping = replace(settings, mapping={"item": {"item_id": "b.a.item_id"}})
    value = b"\0" + schema_id.to_bytes(4, "big") + b"\0" + b"\x0a\x06\x0a\x04\x0a\x02i1"
    found = read_framed(value, mapping, source="freshet.catalog")
    assert [each.item_id for each in found.events] == ["i1"]  # type: ignore[union-attr]


def test_a_circle_of_references_ends(registry: SchemaRegistry, settings: StreamSettings) -> None:
    """Whatever somebody registered."""
    own = b64encode(b"").decode()
    to_b, to_a = ({"name": name, "subject": name, "version": 1} for name in ("b", "a"))
    schema_id = registry.register("a", "PROTOBUF", own, [to_b])
    registry.register("b", "PROTOBUF", own, [to_a])
    reason, detail = refusal_of_framed(b"\0" + schema_id.to_bytes(4, "big") + b"\0", settings)
    assert (reason, detail.endswith("it has no message at [0]")) == ("unknown_schema", True)
