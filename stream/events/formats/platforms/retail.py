"""User events of Google's Retail API (Vertex AI Search for commerce)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from stream.actions import Action
from stream.events import fields
from stream.events.format import Content, content_of_products, ignored, json_format
from stream.events.limits import Limits
from stream.events.types import Interaction, Rejected

_ACTIONS: Mapping[str, Action] = {
    "detail-page-view": Action.VIEW,
    "add-to-cart": Action.ADD_TO_CART,
    "purchase-complete": Action.PURCHASE,
}
_OF_NO_USE = frozenset(
    {
        "search",
        "home-page-view",
        "category-page-view",
        "shopping-cart-page-view",
        "remove-from-cart",
        "promotion-offered",
        "promotion-not-offered",
    }
)


def _read(event: dict[str, Any], limits: Limits) -> Content:
    kind = fields.string(event, "eventType", required=True)
    if kind in _OF_NO_USE:
        return ignored("other_action")
    action = _ACTIONS.get(kind)
    if action is None:
        raise Rejected("unknown_type", f"unknown eventType {fields.shown(kind)}")
    products = fields.listing(event, "productDetails")
    if products is None:
        raise Rejected("missing_field", f"productDetails of {fields.shown(kind)} is absent")
    read = partial(_interaction, event, action, limits)
    return content_of_products(products, "productDetails", read)


def _interaction(
    event: Mapping[str, Any], action: Action, limits: Limits, detail: Mapping[str, Any]
) -> Interaction:
    session_id = fields.identifier(event, "sessionId")
    user_id, alias_id = fields.visitor(
        session_id,
        fields.identifier(fields.mapping(event, "userInfo"), "userId"),
        fields.identifier(event, "visitorId"),
    )
    return limits.interaction(
        ts_ms=fields.time(event, "eventTime"),
        session_id=session_id,
        user_id=user_id,
        alias_id=alias_id,
        query=fields.text(event, "searchQuery"),
        item_id=_product_id(fields.mapping(detail, "product")),
        action=action,
        visitor_fields="sessionId, userInfo.userId, visitorId",
        item_field="product.id",
    )


def _product_id(product: Mapping[str, Any]) -> str:
    """Return the id of a product, which is also the end of its full name."""
    if product.get("id") is None and product.get("name") is not None:
        return fields.identifier(product, "name").rpartition("/")[2]
    return fields.identifier(product, "id", required=True)


RETAIL = json_format(name="retail", keys=("visitorId", "productDetails"), read=_read)
