"""User Behavior Insights 1.3 events."""

from collections.abc import Mapping
from typing import Any

from stream.actions import Action
from stream.events import fields
from stream.events.format import IGNORED, Content, json_format
from stream.events.limits import Limits
from stream.events.types import Rejected

_ACTIONS = {**fields.ACTIONS, "click-through": Action.CLICK, "watch": Action.VIEW}


def _read(event: dict[str, Any], limits: Limits) -> Content:
    kind = fields.string(event, "action_name", required=True)
    attributes = fields.mapping(event, "event_attributes")
    item_id = _object_id(fields.mapping(attributes, "object"))
    action = _ACTIONS.get(kind.replace("_", "-"))
    if kind == "impression" or (action is None and not item_id):
        return IGNORED
    if action is None:
        fields.reject_action(kind)
    query = _query(event, attributes)
    if action == Action.CLICK and not query and fields.string(event, "query_id"):
        raise Rejected("missing_field", "a click with a query_id must carry the text in user_query")
    interaction = limits.interaction(
        ts_ms=fields.time(event, "timestamp"),
        session_id=fields.string(event, "session_id") or fields.string(event, "client_id"),
        user_id=fields.string(event, "user_id"),
        query=query,
        item_id=item_id,
        action=action,
    )
    return Content((interaction,))


def _object_id(item: Mapping[str, Any]) -> str:
    value = item.get("object_id")
    if isinstance(value, int) and not isinstance(value, bool) and not fields.is_huge(value):
        return str(value)
    return fields.string(item, "object_id")


def _query(event: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    query = fields.string(event, "user_query") or fields.string(attributes, "user_query")
    if not query and fields.string(event, "message_type").upper() == "QUERY":
        query = fields.string(event, "message")
    return query


UBI = json_format(name="ubi", keys=("action_name",), read=_read)
