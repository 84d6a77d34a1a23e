"""Change capture: what Debezium and Kafka Connect write deletes and replaces items."""

import json
from typing import Any

import pytest

from stream.events.types import CatalogItem, Erasure
from testing.records import CLICK, NEUTRAL, TS_MS, UBI, events_of, rejection_of

TOPIC = "freshet.catalog"
ROW = {"item_id": "A", "title": "T"}
STATE = CatalogItem(item_id="A", title="T")
TIMED = CatalogItem(item_id="A", title="T", ts_ms=TS_MS)
GONE = CatalogItem(item_id="A", deleted=True)
TIMED_GONE = CatalogItem(item_id="A", deleted=True, ts_ms=TS_MS)
ERASED = Erasure(kind="user", id="7", ts_ms=TS_MS)
SOURCE = {"connector": "postgresql", "table": "items", "ts_ms": TS_MS}


def change(op: str, **more: Any) -> dict[str, Any]:
    """Return an envelope of Debezium."""
    return {"before": None, "after": None, "op": op, "source": SOURCE, "ts_ms": TS_MS + 5, **more}


@pytest.mark.parametrize(
    ("value", "item"),
    [
        # a row as the state after the change, with what Debezium adds to it
        ({**ROW, "__deleted": "true"}, CatalogItem(item_id="A", title="T", deleted=True)),
        ({**ROW, "__deleted": True}, CatalogItem(item_id="A", title="T", deleted=True)),
        ({**ROW, "__op": "d"}, CatalogItem(item_id="A", title="T", deleted=True)),
        ({**ROW, "__deleted": "false", "__op": "u", "__table": "items"}, STATE),
        ({**ROW, "__deleted": None}, STATE),
        ({**ROW, "__deleted": False, "__source_ts_ms": TS_MS, "__ts_ms": TS_MS + 5}, TIMED),
        ({**ROW, "__ts_ms": TS_MS}, TIMED),
        ({**ROW, "__ts_ms": TS_MS + 5, "ts_ms": TS_MS}, TIMED),
        ({**ROW, "__source_ts_ms": 0, "__ts_ms": TS_MS}, TIMED),
        ({"item_id": "A", "deleted": True, "__deleted": "false"}, GONE),
        # the envelope
        (change("c", after=ROW), TIMED),
        (change("r", after=ROW), TIMED),
        (change("u", before={"item_id": "A", "title": "old"}, after=ROW), TIMED),
        (change("u", after={**ROW, "ts_ms": TS_MS}, ts_ms=TS_MS + 9), TIMED),
        (change("u", after=ROW, source=None, ts_ms=TS_MS), TIMED),
        (change("u", after=ROW, source={"ts_ms": 0}, ts_ms=TS_MS), TIMED),
        (change("u", after=ROW, source=None, ts_ms=None), STATE),
        (change("d", before={"item_id": "A"}), TIMED_GONE),
        (change("d", before={**ROW, "ts_ms": 1}), TIMED_GONE),
        # MongoDB's states are JSON in a text
        (change("c", after=json.dumps(ROW)), TIMED),
        (change("d", before=json.dumps(ROW)), TIMED_GONE),
        # unwrapped with an empty prefix
        ({**ROW, "op": "d"}, CatalogItem(item_id="A", title="T", deleted=True)),
        # a row may have a column of this name
        (
            {**ROW, "op": "x"},
            CatalogItem(item_id="A", title="T", text="x", attributes={"op": "x"}),
        ),
    ],
)
@pytest.mark.parametrize("with_schema", [False, True])
def test_values(value: dict[str, Any], item: CatalogItem, *, with_schema: bool) -> None:
    """Each is the item, or its deletion, with the time of the change where the row has
    none; Connect's schema beside it makes no difference.
    """
    wrapped = {"schema": {"type": "struct"}, "payload": value}

    assert events_of(wrapped if with_schema else value, source=TOPIC) == [item]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (change("t"), "unknown_type", "op 't'"),
        (change("m"), "unknown_type", "op 'm'"),
        (change("u"), "missing_field", "item_id"),
        (change("d"), "missing_field", "item_id"),
        (change("d", before={"sku": "A"}), "missing_field", "item_id"),
        (change("u", after=[1]), "wrong_type", "after"),
        (change("u", after="A"), "wrong_type", "after"),
        ({"__deleted": "true", "sku": "A"}, "missing_field", "key"),
        (
            change("u", after={"item_id": "A", "ts_ms": TS_MS // 1000}),
            "absurd_timestamp",
            "seconds",
        ),
        ({**change("u", after=ROW), "op": None}, "missing_field", "op"),
        ({**ROW, "__deleted": "perhaps"}, "wrong_type", "__deleted"),
        ({"schema": None, "payload": None}, "missing_field", "payload"),
        ({"schema": None, "payload": "A"}, "wrong_type", "payload"),
    ],
)
def test_rejected_values(value: dict[str, Any], reason: str, detail: str) -> None:
    """What names no item, or is no change of one, is refused by name."""
    found, said = rejection_of(value, source=TOPIC)

    assert (found, detail in said) == (reason, True)


@pytest.mark.parametrize(
    "value",
    [
        change("d"),
        change("d", before={"sku": "A"}),
        {"item_id": None, "__deleted": "true", "__source_ts_ms": TS_MS},
        {"op": "d", "ts_ms": TS_MS},
    ],
)
def test_a_deletion_without_a_row_is_of_its_key(value: dict[str, Any]) -> None:
    """By default Postgres tells the key alone of what was deleted."""
    key = b'{"schema": {}, "payload": {"item_id": "A"}}'
    wrapped = {"schema": {"type": "struct"}, "payload": value}
    headers = (("ce_specversion", "1.0"), ("ce_type", "io.debezium.DataChange"))

    assert events_of(value, source=TOPIC, key=key) == [TIMED_GONE]
    assert events_of(wrapped, source=TOPIC, key=key) == [TIMED_GONE]
    assert events_of(value, source=TOPIC, key=key, headers=headers) == [TIMED_GONE]


ROWS = [
    (NEUTRAL, "freshet.clicks", CLICK),
    (UBI, "freshet.clicks", CLICK),
    ({"erase": "user", "id": 7, "ts_ms": TS_MS}, "freshet.erasures", ERASED),
]


@pytest.mark.parametrize(("row", "source", "event"), ROWS)
def test_rows_that_are_added_to_a_table_of_events(
    row: dict[str, Any], source: str, event: Any
) -> None:
    """Connect's schema beside them, or Debezium's envelope around them, makes no
    difference.
    """
    for op in ("c", "r"):
        for captured in (change(op, after=row), change(op, after=json.dumps(row))):
            assert events_of(captured, source=source) == [event]
            wrapped = {"schema": {"type": "struct"}, "payload": captured}
            assert events_of(wrapped, source=source) == [event]
    assert events_of({"schema": None, "payload": row}, source=source) == [event]
    with_operation = {**row, "op": "d"}
    assert events_of(with_operation, source=source) == [event]


def test_rows_of_events_in_debezium_s_cloud_events() -> None:
    """The operation is an attribute of the envelope there."""
    cloud = {"specversion": "1.0", "type": "io.debezium.DataChange", "iodebeziumop": "c"}

    assert events_of({**cloud, "data": {"before": None, "after": NEUTRAL}}) == [CLICK]
    assert events_of({**cloud, "data": {"schema": {}, "payload": change("c", after=UBI)}}) == [
        CLICK
    ]


@pytest.mark.parametrize(("row", "source", "event"), ROWS)
@pytest.mark.parametrize("op", ["u", "d", "t", None])
def test_what_happened_is_never_changed(
    row: dict[str, Any], source: str, event: Any, op: str | None
) -> None:
    """A row that is changed or deleted is no event, and no erasure."""
    reason, detail = rejection_of(change("c", before=row, after=row) | {"op": op}, source=source)

    assert (reason, "op" in detail) == ("unknown_type" if op else "missing_field", True)
    assert event is not None


def test_a_payload_in_a_string() -> None:
    """An outbox table holds JSON as text, with the schema of one."""
    wrapped = {"schema": {"type": "string"}, "payload": json.dumps(ROW)}

    assert events_of(wrapped, source=TOPIC) == [STATE]


def test_a_deletion_whose_key_names_nothing() -> None:
    """Its reason is the key's."""
    reason, detail = rejection_of(change("d"), source=TOPIC, key=b'{"sku": "A"}')

    assert (reason, "'sku'" in detail) == ("missing_field", True)


@pytest.mark.parametrize(
    ("key", "item_id"),
    [
        (b"A", "A"),
        (b'{"id": "\\"A\\""}', "A"),
        (b'{"id": "{\\"$oid\\": \\"5f\\"}"}', "5f"),
        (b'{"id": "\\"A"}', '"A'),
        (b"4711", "4711"),
        (b'"A"', "A"),
        (b'{"item_id": "A"}', "A"),
        (b' {"id": "A"}', "A"),
        (b'{"id": 4711}', "4711"),
        (b'{"id": 12.0, "item_id": "A"}', "A"),
        (b'{"tenant": 1, "id": "A"}', "A"),
        (b'{"schema": {"type": "string"}, "payload": "A"}', "A"),
        (b'{"schema": {"type": "int64"}, "payload": 4711}', "4711"),
        (b'{"schema": {}, "payload": {"id": "A"}}', "A"),
        (b"{6F9619FF-8B86}", "{6F9619FF-8B86}"),
        (b'"A', '"A'),
        (b"[A]", "[A]"),
    ],
)
def test_keys_of_deletions(key: bytes, item_id: str) -> None:
    """A key is an item's id, or JSON that names it; what only begins like JSON is an
    id.
    """
    deleted = CatalogItem(item_id=item_id, deleted=True)

    assert events_of(None, source=TOPIC, key=key) == [deleted]


@pytest.mark.parametrize(
    ("key", "reason", "detail"),
    [
        (b'{"sku": "A", "shop": 1}', "missing_field", "'sku', 'shop'"),
        (b'{"id": null}', "missing_field", "item_id or id"),
        (b'{"id": ""}', "missing_field", "key"),
        (b'{"id": {"x": 1}}', "wrong_type", "id"),
        (b'{"id": 1.5}', "wrong_type", "id"),
        (b'["A"]', "wrong_type", "the key"),
        (b'{"schema": {}, "payload": null}', "missing_field", "payload"),
        (b"Struct{id=A}", "malformed", "key.converter"),
        (b"\xff", "malformed", "UTF-8"),
        (b"\0\0\0\0\7\2A", "unknown_encoding", "schema id 7"),
        (json.dumps({"id": "\ud83d"}).encode(), "malformed", "surrogate"),
    ],
)
def test_rejected_keys_of_deletions(key: bytes, reason: str, detail: str) -> None:
    """JSON that names no item never passes for an id, which would delete nothing."""
    found, said = rejection_of(None, source=TOPIC, key=key)

    assert (found, detail in said) == (reason, True)
