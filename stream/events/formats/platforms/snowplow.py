"""Enriched events of Snowplow in JSON, by the actions of its e-commerce plugin."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from stream.actions import Action
from stream.events import fields
from stream.events.format import Content, content_of_products, ignored, json_format
from stream.events.limits import Limits
from stream.events.types import Interaction

_ACTIONS: Mapping[str, Action] = {
    "product_view": Action.VIEW,
    "list_click": Action.CLICK,
    "add_to_cart": Action.ADD_TO_CART,
    "transaction": Action.PURCHASE,
}
_VENDOR = "com_snowplowanalytics_snowplow"
_ACTION = f"unstruct_event_{_VENDOR}_ecommerce_snowplow_ecommerce_action_1"
_PRODUCTS = f"contexts_{_VENDOR}_ecommerce_product_1"
_CLIENT_SESSION = f"contexts_{_VENDOR}_client_session_1"  # of telephones
_TIMES = ("derived_tstamp", "collector_tstamp")


def _read(event: dict[str, Any], limits: Limits) -> Content:
    kind = fields.string(fields.mapping(event, _ACTION), "type")
    action = _ACTIONS.get(kind)
    if action is None:
        return ignored("other_action")
    products = fields.listing(event, _PRODUCTS)
    if products is None:
        return ignored("no_item")
    read = partial(_interaction, event, action, limits)
    return content_of_products(products, _PRODUCTS, read)


def _interaction(
    event: Mapping[str, Any], action: Action, limits: Limits, product: Mapping[str, Any]
) -> Interaction:
    sessions = fields.listing(event, _CLIENT_SESSION) or []
    client = sessions[0] if sessions and isinstance(sessions[0], dict) else {}
    session_id = fields.identifier(event, "domain_sessionid") or fields.identifier(
        client, "sessionId"
    )
    device_id = fields.identifier(event, "domain_userid") or fields.identifier(client, "userId")
    user_id, alias_id = fields.visitor(session_id, fields.identifier(event, "user_id"), device_id)
    named = (name for name in _TIMES if not fields.is_nothing(event.get(name)))
    return limits.interaction(
        ts_ms=fields.time(event, next(named, _TIMES[0])),
        session_id=session_id,
        user_id=user_id,
        alias_id=alias_id,
        query="",
        item_id=fields.identifier(product, "id", required=True),
        action=action,
        visitor_fields="domain_sessionid, user_id, domain_userid",
        item_field="id of a product",
    )


SNOWPLOW = json_format(
    name="snowplow", keys=("collector_tstamp", "domain_userid", "event_vendor"), read=_read
)
