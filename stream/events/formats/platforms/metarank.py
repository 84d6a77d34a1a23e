"""Events of Metarank: interactions, and the rankings that they name."""

from collections.abc import Mapping
from typing import Any

from stream.events import fields
from stream.events.format import Content, ignored, json_format
from stream.events.formats.neutral import reject_foreign
from stream.events.limits import Limits

_OF_NO_USE = frozenset({"item", "user"})  # what is known of one, and not what was done
_QUERY = "query"


def _read(event: dict[str, Any], limits: Limits) -> Content:
    kind = event.get("event")
    if kind == "interaction":
        return _read_interaction(event, limits)
    if kind == "ranking":
        return _read_ranking(event, limits)
    if isinstance(kind, str) and kind in _OF_NO_USE and kind in event:
        return ignored("other")
    return reject_foreign(event, limits)


def _read_interaction(event: Mapping[str, Any], limits: Limits) -> Content:
    kind = fields.string(event, "type", required=True).strip().lower().replace("_", "-")
    action = fields.ACTIONS.get(kind)
    if action is None:
        return ignored("other_action")
    query = _query(event)
    ranking = "" if query else fields.identifier(event, "ranking")
    interaction = limits.interaction(
        ts_ms=fields.time(event, "timestamp"),
        session_id=fields.identifier(event, "session"),
        user_id=fields.identifier(event, "user"),
        query=query,
        item_id=fields.identifier(event, "item", required=True),
        action=action,
        query_id=ranking if ranking.strip() else "",
        visitor_fields="session, user",
        item_field="item",
    )
    return Content((interaction,))


def _read_ranking(event: Mapping[str, Any], limits: Limits) -> Content:
    search = limits.search(
        query_id=fields.identifier(event, "id"),
        query=_query(event),
        user_ids=(fields.identifier(event, "user"),),
        ts_ms=fields.time(event, "timestamp"),
    )
    return Content((search,))


def _query(event: Mapping[str, Any]) -> str:
    """Return the text of the field that is called query, or ""."""
    for each in fields.listing(event, "fields") or ():
        if isinstance(each, dict) and each.get("name") == _QUERY:
            query = fields.text({_QUERY: each.get("value")}, _QUERY)
            return query if query.strip() else ""
    return ""


METARANK = json_format(name="metarank", keys=("event",), read=_read)
