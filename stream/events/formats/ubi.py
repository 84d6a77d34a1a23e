"""User Behavior Insights 1.x: actions, the searches that they name, bulk exports."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
import numpy as np

from stream.actions import Action
from stream.events import fields
from stream.events.format import Content, content_of_products, ignored, json_format
from stream.events.formats.neutral import UNREADABLE, Nothing, reject_foreign
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, RawTexts, Rows, parse_all, reading_whole, times_of
from stream.events.types import Interaction, Rejected

_ACTIONS = {**fields.ACTIONS, "click-through": Action.CLICK, "watch": Action.VIEW}
_PLAIN_ACTIONS: Mapping[str, int] = {
    spelling: int(action)
    for name, action in _ACTIONS.items()
    for spelling in (name, name.replace("-", "_"))
}

# What names a property of items, or a part of a page, where it names an object's field.
# UBI leaves it free; these are what its collector and its demonstration shops write.
_NOT_ITEMS = (
    "autocomplete",
    "banner",
    "brand",
    "button",
    "category",
    "color",
    "colour",
    "department",
    "facet",
    "filter",
    "keyword",
    "location",
    "menu",
    "price",
    "price_range",
    "query",
    "search_suggestion",
    "size",
    "sort",
    "suggestion",
    "supplier",
    "tag",
    "type",
)
_NOT_ITEM_FIELDS = frozenset(
    {*_NOT_ITEMS, *(f"{name}s" for name in _NOT_ITEMS), "categories", "queries"}
)
_OBJECT_FIELDS = ("object_id_field", "object_id_type")

_SEARCH_KEYS = (
    "user_query",
    "query_response_id",
    "query_response_hit_ids",
    "query_response_objects_ids",
)
_BULK_KEYS = ("index", "create")
_INDEX_LINE_KEYS = frozenset(
    {
        "_id",
        "_index",
        "_routing",
        "_type",
        "dynamic_templates",
        "if_primary_term",
        "if_seq_no",
        "list_executed_pipelines",
        "pipeline",
        "require_alias",
        "require_data_stream",
        "routing",
        "version",
        "version_type",
    }
)


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
    read = partial(_interaction, event, attributes, action, ts_ms, limits)
    items = attributes.get("object")
    if isinstance(items, list):
        named = [each for each in items if not isinstance(each, dict) or _is_item(each)]
        return content_of_products(named, "object", read)
    item = fields.mapping(attributes, "object")
    return Content((read(item),)) if _is_item(item) else _NO_ITEM


def _is_item(found: Mapping[str, Any]) -> bool:
    """Return whether an action's object is an item, and not a property or a part of a
    page.
    """
    named = {str(found.get(name)).lower() for name in _OBJECT_FIELDS}
    return not fields.is_nothing(found.get("object_id")) and not named & _NOT_ITEM_FIELDS


def _interaction(
    event: Mapping[str, Any],
    attributes: Mapping[str, Any],
    action: Action,
    ts_ms: int,
    limits: Limits,
    item: Mapping[str, Any],
) -> Interaction:
    query = _query(event, attributes)
    query_id = "" if query else fields.identifier(event, "query_id")
    session_id = fields.identifier(event, "session_id")
    session_id = session_id if session_id.strip() else ""
    user_id, alias_id = fields.visitor(
        session_id, fields.identifier(event, "user_id"), fields.identifier(event, "client_id")
    )
    return limits.interaction(
        ts_ms=ts_ms,
        session_id=session_id,
        user_id=user_id,
        query=query,
        item_id=fields.identifier(item, "object_id"),
        action=action,
        query_id=query_id if query_id.strip() else "",
        alias_id=alias_id,
        visitor_fields="session_id, user_id, client_id",
        item_field="object_id",
    )


def _read_search(record: dict[str, Any], limits: Limits) -> Content:
    search = limits.search(
        query_id=fields.identifier(record, "query_id"),
        query=fields.text(record, "user_query"),
        user_ids=(fields.identifier(record, "client_id"), fields.identifier(record, "user_id")),
        ts_ms=fields.time(record, "timestamp", default=0),
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
    """Return the first query that is not blank, or ""."""
    for said in (event, attributes):
        query = fields.text(said, "user_query")
        if query.strip():
            return query
    if str(event.get("message_type")).upper() != "QUERY":
        return ""
    query = fields.text(event, "message")
    return query if query.strip() else ""


class _Object(msgspec.Struct, gc=False):
    object_id: str | int
    object_id_field: str | None = None
    object_id_type: str | None = None


class _Attributes(msgspec.Struct, gc=False):
    object: _Object
    user_query: str | None = None


class _Action(msgspec.Struct, gc=False):
    """The form of nearly every action on an item, read without a detour.

    Whatever does not fit it, or has the last key, which CloudEvents have, is read
    again, field by field.
    """

    action_name: Literal[
        "view",
        "watch",
        "click",
        "click-through",
        "click_through",
        "search-click",
        "search_click",
        "add-to-cart",
        "add_to_cart",
        "purchase",
    ]
    timestamp: str | int
    event_attributes: _Attributes
    session_id: str | None = None
    client_id: str | None = None
    user_id: str | None = None
    query_id: str | None = None
    user_query: str | None = None
    message_type: str | None = None
    specversion: Nothing | msgspec.UnsetType = msgspec.UNSET


_ACTION_DECODER = msgspec.json.Decoder(_Action)


def read_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Read plain actions; the rows returned beside them are of no such form."""
    events, good_rows, bad_rows = parse_all(
        reading_whole(_ACTION_DECODER.decode), values, rows, UNREADABLE
    )
    queries = [each.user_query or each.event_attributes.user_query or "" for each in events]
    visitors = [_plain_visitor(each) for each in events]
    items = [each.event_attributes.object.object_id for each in events]
    columns = RawColumns(
        ts_ms=times_of([each.timestamp for each in events]),
        session=RawTexts([session_id for session_id, _, _ in visitors]),
        user=RawTexts([user_id for _, user_id, _ in visitors]),
        query=RawTexts(queries),
        item=RawTexts([str(item) for item in items]),
        action=np.array(
            [_action_number(*pair) for pair in zip(events, queries, strict=True)], dtype=np.int64
        ),
        row=np.array(good_rows, dtype=np.int32),
        query_id=[
            "" if query or not each.query_id or each.query_id.isspace() else each.query_id
            for each, query in zip(events, queries, strict=True)
        ],
        alias=[alias_id for _, _, alias_id in visitors],
    )
    return columns, bad_rows


def _plain_visitor(event: _Action) -> tuple[str, str, str]:
    """Return an event's session, its user, and another id of the user, "" for none."""
    session_id, client_id, user_id = event.session_id or "", event.client_id, event.user_id
    if session_id.isspace():
        session_id = ""
    if client_id and user_id:
        return session_id, *fields.visitor(session_id, user_id, client_id)
    only_id = client_id or user_id or ""
    return session_id, only_id, ""


def _action_number(event: _Action, query: str) -> int:
    """Return the number of an action; 0: it is not plainly good."""
    item = event.event_attributes.object
    field, kind = item.object_id_field, item.object_id_type
    is_item = (field is None or field.lower() not in _NOT_ITEM_FIELDS) and (
        kind is None or kind.lower() not in _NOT_ITEM_FIELDS
    )
    has_message = event.message_type is not None and event.message_type.upper() == "QUERY"
    if not is_item or (has_message and not query):
        return 0
    return _PLAIN_ACTIONS[event.action_name]


UBI = json_format(name="ubi", keys=("action_name",), read=_read_action)
UBI_SEARCH = json_format(name="ubi search", keys=_SEARCH_KEYS, read=_read_search)
UBI_HIT = json_format(name="ubi hit", keys=("_source",), read=_read_hit)
INDEX_LINE = json_format(name="index line", keys=_BULK_KEYS, read=_read_index_line)
