"""Events of Google Analytics 4, as its export to BigQuery has them."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from stream.actions import Action
from stream.events import fields
from stream.events.format import Content, content_of_products, ignored, json_format
from stream.events.limits import Limits
from stream.events.types import Interaction, Rejected

_ACTIONS: Mapping[str, Action] = {
    "view_item": Action.VIEW,
    "select_item": Action.CLICK,
    "add_to_cart": Action.ADD_TO_CART,
    "purchase": Action.PURCHASE,
}
_VALUES = ("string_value", "int_value", "float_value", "double_value")
_NOT_SET = "(not set)"  # what it writes where a site said nothing
_MICROSECONDS = 1000  # in a millisecond


def _read(event: dict[str, Any], limits: Limits) -> Content:
    action = _ACTIONS.get(fields.string(event, "event_name", required=True))
    if action is None:
        return ignored("other_action")
    items = fields.listing(event, "items")
    if items is None:
        return ignored("no_item")
    if all(fields.is_nothing(event.get(name)) for name in ("user_pseudo_id", "user_id")):
        return ignored("other")
    items = [each for each in items if not _is_not_set(each)]
    read = partial(_interaction, event, _parameters(event), action, limits)
    return content_of_products(items, "items", read)


def _is_not_set(item: object) -> bool:
    return isinstance(item, dict) and item.get("item_id") == _NOT_SET


def _interaction(
    event: Mapping[str, Any],
    parameters: Mapping[str, Any],
    action: Action,
    limits: Limits,
    item: Mapping[str, Any],
) -> Interaction:
    session_id, user_id, alias_id = fields.device_visit(
        fields.identifier(event, "user_pseudo_id"),
        fields.identifier(event, "user_id"),
        fields.identifier(parameters, "ga_session_id"),
    )
    return limits.interaction(
        ts_ms=_time_ms(event),
        session_id=session_id,
        user_id=user_id,
        alias_id=alias_id,
        query=fields.text(parameters, "search_term"),
        item_id=fields.identifier(item, "item_id", required=True),
        action=action,
        visitor_fields="user_pseudo_id, user_id",
    )


def _time_ms(event: Mapping[str, Any]) -> int:
    """Return when it happened; the export counts microseconds."""
    text = fields.identifier(event, "event_timestamp", required=True)
    try:
        return int(text) // _MICROSECONDS
    except ValueError:
        raise Rejected(
            "malformed", f"event_timestamp is not in microseconds: {fields.shown(text)}"
        ) from None


def _parameters(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event's parameters by name, which some flatten to an object."""
    if isinstance(event.get("event_params"), dict):
        return {name: _value_of(value) for name, value in event["event_params"].items()}
    listed = fields.listing(event, "event_params") or []
    return {
        fields.string(each, "key"): _value_of(each.get("value"))
        for each in listed
        if isinstance(each, dict)
    }


def _value_of(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return next((value[kind] for kind in _VALUES if value.get(kind) is not None), None)


GA4 = json_format(name="ga4", keys=("event_timestamp", "user_pseudo_id"), read=_read)
