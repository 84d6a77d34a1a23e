"""User Behavior Insights 1.x: actions, the searches that they name, bulk exports."""

from collections.abc import Mapping
from typing import Any

from stream.actions import Action
from stream.events import fields
from stream.events.format import Content, ignored, json_format
from stream.events.formats.neutral import reject_foreign
from stream.events.limits import Limits
from stream.events.types import Rejected

_ACTIONS = {**fields.ACTIONS, "click-through": Action.CLICK, "watch": Action.VIEW}

# What names a property of items, or a part of a page, where it names an object's field.
# UBI leaves it free; these are what its collector and its demonstration shops write.
_NOT_ITEM_FIELDS = frozenset(
    {
        "banner",
        "brand",
        "button",
        "category",
        "color",
        "colour",
        "facet",
        "filter",
        "location",
        "menu",
        "price",
        "size",
        "sort",
        "suggestion",
        "supplier",
        "type",
    }
)

_SEARCH_KEYS = (
    "user_query",
    "query_response_id",
    "query_response_hit_ids",
    "query_response_objects_ids",
)
_BULK_KEYS = ("index", "create")
_INDEX_LINE_KEYS = frozenset({"_index", "_id", "_type", "routing"})


_IMPRESSION = ignored("impression")
_OTHER_ACTION = ignored("other_action")
_NO_ITEM = ignored("no_item")
_INDEX_LINE = ignored("index_line")


def _read_action(event: dict[str, Any], limits: Limits) -> Content:
    kind = fields.string(event, "action_name", required=True).strip().lower()
    if kind == "impression":
        return _IMPRESSION
    action = _ACTIONS.get(kind.replace("_", "-"))
    if action is None:
        return _OTHER_ACTION
    ts_ms = fields.time(event, "timestamp")
    attributes = fields.mapping(event, "event_attributes")
    item = fields.mapping(attributes, "object")
    item_id = fields.identifier(item, "object_id")
    if not item_id.strip() or str(item.get("object_id_field")).lower() in _NOT_ITEM_FIELDS:
        return _NO_ITEM
    query = _query(event, attributes)
    query_id = "" if query else fields.identifier(event, "query_id")
    session_id = fields.identifier(event, "session_id")
    session_id = session_id if session_id.strip() else ""
    user_id, alias_id = fields.visitor(
        session_id, fields.identifier(event, "user_id"), fields.identifier(event, "client_id")
    )
    interaction = limits.interaction(
        ts_ms=ts_ms,
        session_id=session_id,
        user_id=user_id,
        query=query,
        item_id=item_id,
        action=action,
        query_id=query_id if query_id.strip() else "",
        alias_id=alias_id,
    )
    return Content((interaction,))


def _read_search(record: dict[str, Any], limits: Limits) -> Content:
    search = limits.search(
        query_id=fields.identifier(record, "query_id"),
        query=fields.text(record, "user_query"),
        user_ids=(fields.identifier(record, "client_id"), fields.identifier(record, "user_id")),
        ts_ms=fields.time(record, "timestamp"),
    )
    return Content((search,))


def _read_index_line(line: dict[str, Any], limits: Limits) -> Content:
    (kind, *others) = line
    described = line[kind]
    if others or not isinstance(described, dict) or not described.keys() <= _INDEX_LINE_KEYS:
        reject_foreign(line, limits)
    return _INDEX_LINE


def _read_hit(hit: dict[str, Any], limits: Limits) -> Content:
    """Read the document of an index, as searches return and exports write it."""
    document = fields.mapping(hit, "_source")
    if "action_name" in document:
        return _read_action(document, limits)
    if any(key in document for key in _SEARCH_KEYS):
        return _read_search(document, limits)
    raise Rejected("unknown_type", "_source is neither an action nor a query of UBI")


def _query(event: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    query = fields.text(event, "user_query") or fields.text(attributes, "user_query")
    if not query and fields.string(event, "message_type").upper() == "QUERY":
        query = fields.string(event, "message")
    return query


UBI = json_format(name="ubi", keys=("action_name",), read=_read_action)
UBI_SEARCH = json_format(name="ubi search", keys=_SEARCH_KEYS, read=_read_search)
UBI_HIT = json_format(name="ubi hit", keys=("_source",), read=_read_hit)
INDEX_LINE = json_format(name="index line", keys=_BULK_KEYS, read=_read_index_line)
