"""Track calls of Segment and RudderStack, by the names of their e-commerce events."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from stream.actions import Action
from stream.events import fields
from stream.events.format import Content, content_of_products, ignored, json_format
from stream.events.formats.neutral import reject_foreign
from stream.events.limits import Limits
from stream.events.types import Interaction

_ACTIONS: Mapping[str, Action] = {
    "product viewed": Action.VIEW,
    "viewed product": Action.VIEW,
    "product clicked": Action.CLICK,
    "clicked product": Action.CLICK,
    "product added": Action.ADD_TO_CART,
    "added product": Action.ADD_TO_CART,
    "order completed": Action.PURCHASE,
    "completed order": Action.PURCHASE,
}
"""By both versions of the events' names, in small letters and with spaces."""

_OTHER_CALLS = frozenset({"alias", "group", "identify", "page", "screen"})
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_TIMES = ("timestamp", "originalTimestamp")
_ITEM_IDS = ("product_id", "sku", "id")  # the last is that of the first version


def _read(call: dict[str, Any], limits: Limits) -> Content:
    kind = fields.string(call, "type").lower()
    if kind in _OTHER_CALLS:
        return ignored("other")
    if kind != "track":
        reject_foreign(call, limits)
    name = fields.string(call, "event", required=True)
    action = _ACTIONS.get(_BETWEEN_WORDS.sub(" ", name.strip().lower()))
    if action is None:
        return ignored("other_action")
    properties = fields.mapping(call, "properties")
    products = fields.listing(properties, "products")
    read = partial(_interaction, call, properties, action, limits)
    is_product = any(not fields.is_nothing(properties.get(name)) for name in _ITEM_IDS)
    if products is None or (not products and is_product):
        return Content((read(properties),))
    return content_of_products(products, "products", read)


def _interaction(
    call: Mapping[str, Any],
    properties: Mapping[str, Any],
    action: Action,
    limits: Limits,
    product: Mapping[str, Any],
) -> Interaction:
    session_id, user_id, alias_id = fields.device_visit(
        fields.identifier(call, "anonymousId"),
        fields.identifier(call, "userId"),
        fields.identifier(fields.mapping(call, "context"), "sessionId"),
    )
    return limits.interaction(
        ts_ms=fields.time(call, _first(call, _TIMES)),
        session_id=session_id,
        user_id=user_id,
        alias_id=alias_id,
        query=fields.text(properties, "query"),
        item_id=fields.identifier(product, _first(product, _ITEM_IDS), required=True),
        action=action,
        visitor_fields="anonymousId, userId",
        item_field=" or ".join(_ITEM_IDS),
    )


def _first(found: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Return the first of some names that has a value, or the first."""
    return next((name for name in names if not fields.is_nothing(found.get(name))), names[0])


SEGMENT = json_format(name="segment", keys=("messageId", "anonymousId", "properties"), read=_read)
