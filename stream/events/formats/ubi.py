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
    item_id = fields.identifier(fields.mapping(attributes, "object"), "object_id")
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
        session_id=fields.identifier(event, "session_id") or fields.identifier(event, "client_id"),
        user_id=fields.identifier(event, "user_id"),
        query=query,
        item_id=item_id,
        action=action,
    )
    return Content((interaction,))


def _query(event: Mapping[str, Any], attributes: Mapping[str, Any]) -> str:
    query = fields.text(event, "user_query") or fields.text(attributes, "user_query")
    if not query and fields.string(event, "message_type").upper() == "QUERY":
        query = fields.string(event, "message")
    return query


UBI = json_format(name="ubi", keys=("action_name",), read=_read)
