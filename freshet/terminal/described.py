"""What a record was read as, in a line of a terminal."""

import json

from freshet.terminal.output import when
from stream.events.format import Event
from stream.events.types import CatalogItem, Erasure, Interaction, SearchRecord

_SHOWN_CHARS = 60  # of a text of an item: with the rest about a line of a terminal


def kind_of(event: Event) -> str:
    """Return what an event is called."""
    if isinstance(event, Interaction):
        return event.action.label
    if isinstance(event, CatalogItem):
        return "deletion" if event.deleted else "item"
    return "erasure" if isinstance(event, Erasure) else "search"


def described(event: Event) -> str:
    """Return an event's time and all that was read of it; not fit to print as it is:
    texts are foreign.
    """
    if isinstance(event, Interaction):
        named = {
            "session": event.session_id,
            "user": event.user_id,
            "alias": event.alias_id,
            "query": event.query,
            "query id": event.query_id,
            "item": event.item_id,
        }
        return f"{when(event.ts_ms)}  {_pairs(named)}"
    if isinstance(event, CatalogItem):
        time = when(event.ts_ms) if event.ts_ms else "no time"
        named = {"item": event.item_id, "title": event.title, "text": event.text}
        named |= {f"attribute {name}": value for name, value in event.attributes.items()}
        hidden = "" if event.available or event.deleted else "  not available"
        return f"{time}  {_pairs(named)}{hidden}"
    if isinstance(event, SearchRecord):
        named = {"query id": event.query_id, "query": event.query}
        named |= {f"user {number}": text for number, text in enumerate(event.user_ids, 1)}
        return f"{when(event.ts_ms)}  {_pairs(named)}"
    return _pairs({event.kind: event.id})


def _pairs(named: dict[str, str]) -> str:
    return "  ".join(f"{name}={_shown(value)}" for name, value in named.items() if value)


def _shown(text: str) -> str:
    """Return a text in quotation marks, cut to what fits a line."""
    cut = text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
    return json.dumps(cut, ensure_ascii=False)
