"""Change capture: the rows and keys that Debezium and Kafka Connect write."""

from collections.abc import Callable, Mapping
from typing import Any

from stream.events import fields
from stream.events.types import Rejected


class DeletedByKey(Rejected):
    """A deletion that does not say of which item: only its record's key can.

    Attributes:
        row: what it does say.
    """

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(
            "missing_field",
            "the deletion has no item_id, and its record no key that names the item; let the "
            "table's replica identity be full, or write its key",
        )
        self.row = row


_STATES = ("c", "r", "u")  # created, read in a snapshot, updated
_INSERTED = ("c", "r")
_DELETED = "d"
_METADATA = "__"  # what the names of fields that Debezium adds to a row begin with
_OF_JSON = ("{", "[", '"')
_KEY_FIELDS = ("item_id", "id")
_SHOWN_NAMES = 5  # of a key's fields: enough to know it


NameFields = Callable[[dict[str, Any]], dict[str, Any]]
"""Returns the fields of a row by the names that Freshet gives them."""


def unnamed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as it is, for its fields have the names that Freshet gives them."""
    return row


def row_of(line: dict[str, Any], named: NameFields = unnamed) -> dict[str, Any]:
    """Return the fields of the item that a record of change capture holds, a deletion
    included.

    A bare item is returned as it is, but for the names of its fields.

    Args:
        line: the record.
        named: names the fields of a row of the table.

    Raises:
        DeletedByKey: it is a deletion, and only its record's key names the item.
    """
    found = payload_of(line)
    row = _changed_row(found, named) if _is_change(found) else _unwrapped_row(found, named)
    if row.get("item_id") is None and fields.truth(row, "deleted", default=False):
        raise DeletedByKey(row)
    return row


def payload_of(line: dict[str, Any]) -> dict[str, Any]:
    """Return what Connect wrote with its schema beside it; anything else as it is."""
    found = _payload(line, "the value")
    return found if isinstance(found, dict) else fields.mapping({"payload": found}, "payload")


def inserted(line: dict[str, Any]) -> dict[str, Any]:
    """Return the row that a record of change capture adds to a table of events or
    erasures, which are never changed; anything else as it is.
    """
    found = payload_of(line)
    if not _is_change(found):
        return found
    operation = fields.string(found, "op", required=True)
    if operation not in _INSERTED:
        raise Rejected(
            "unknown_type",
            f"op {fields.shown(operation)} of a change is neither c nor r, which alone tell what "
            "happened; filter it out",
        )
    return fields.mapping(found, "after")


def _is_change(found: Mapping[str, Any]) -> bool:
    """Return whether fields are those of Debezium's envelope."""
    return "op" in found and bool(found.keys() & {"before", "after"})


def says_deleted(row: Mapping[str, Any]) -> bool:
    """Return whether a row, or a change of one, says itself that it is a deletion."""
    return (
        _DELETED in (row.get("op"), row.get("__op"))
        or fields.truth(row, "deleted", default=False)
        or fields.truth(row, "__deleted", default=False)
    )


def item_id_of_key(key: bytes, named: NameFields = unnamed) -> str:
    """Return the id of the item that a deletion's key names: the key itself, or what
    JSON in it says.

    Args:
        key: of the record.
        named: names the fields of a row of the table, of which the key has some.
    """
    fields.reject_framed(key)
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise Rejected("malformed", "the key is not UTF-8") from None
    if text.startswith("Struct{"):
        raise Rejected(
            "malformed",
            f"the key {fields.shown(text)} is a Connect struct as text; set key.converter to "
            "org.apache.kafka.connect.json.JsonConverter",
        )
    if not text.lstrip().startswith(_OF_JSON):
        return text
    try:
        found = fields.json_value(key)
    except Rejected:
        return text
    found = _payload(found, "the key")
    return _id_of(named(found) if isinstance(found, dict) else found)


def _id_of(found: Any) -> str:
    if not isinstance(found, dict):
        return fields.identifier({"the key": found}, "the key", required=True)
    for name in _KEY_FIELDS:
        if found.get(name) is not None:
            return fields.identifier({name: _id_in(found[name])}, name)
    names = ", ".join(map(fields.shown, [*found][:_SHOWN_NAMES]))
    raise Rejected(
        "missing_field", f"the key is JSON with the fields {names}; it needs item_id or id"
    )


def _id_in(value: Any) -> Any:
    """Return an id out of what MongoDB's connector writes, JSON in a text; else as it
    is.
    """
    return fields.json_in(value, marks=('"', '{"$')) if isinstance(value, str) else value


def _payload(found: Any, name: str) -> Any:
    """Return what Connect wrote with its schema beside it; anything else as it is."""
    if not isinstance(found, dict) or found.keys() != {"schema", "payload"}:
        return found
    if found["payload"] is None:
        raise Rejected(
            "missing_field", f"the payload of {name} is null; a deletion is a record without value"
        )
    return found["payload"]


def _changed_row(change: Mapping[str, Any], named: NameFields) -> dict[str, Any]:
    """Return the row of an envelope: its state after the change, or its deletion."""
    operation = fields.string(change, "op", required=True)
    source = fields.mapping(change, "source")
    changed_ms = source.get("ts_ms") or change.get("ts_ms")
    if operation == _DELETED:
        before = named(fields.mapping(change, "before"))
        return {"item_id": before.get("item_id"), "deleted": True, "ts_ms": changed_ms}
    if operation not in _STATES:
        raise Rejected(
            "unknown_type",
            f"op {fields.shown(operation)} of a change is not one of c, r, u and d; filter it out",
        )
    row = named(fields.mapping(change, "after"))
    return row if fields.time(row, "ts_ms", default=0) else row | {"ts_ms": changed_ms}


def _unwrapped_row(row: dict[str, Any], named: NameFields) -> dict[str, Any]:
    """Return a row without what Debezium added to it, which is taken over.

    What it adds may be set to have names without the mark; of those the operation of a
    deletion counts, for the row would be listed again.
    """
    added = {name: value for name, value in row.items() if name.startswith(_METADATA)}
    if row.get("op") == _DELETED:
        row = {name: value for name, value in row.items() if name != "op"}
        added["__op"] = _DELETED
    if not added:
        return named(row)
    bare = named({name: value for name, value in row.items() if name not in added})
    if not fields.time(bare, "ts_ms", default=0):
        bare["ts_ms"] = added.get("__source_ts_ms") or added.get("__ts_ms")
    if fields.truth(added, "__deleted", default=False) or added.get("__op") == _DELETED:
        bare["deleted"] = True
    return bare
