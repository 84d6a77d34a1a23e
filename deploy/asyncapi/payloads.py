"""JSON Schemas of what Freshet's own forms of JSON hold."""

from typing import Any

from stream.actions import Action
from stream.reasons import REASONS

_ID = {"type": ["string", "integer"]}
_TIME = {
    "type": ["integer", "string"],
    "description": "Milliseconds since 1970 UTC, or ISO 8601.",
}
_ACTIONS = [action.label for action in Action] + ["search_click"]

PAYLOADS: dict[str, Any] = {
    "event": {
        "title": "A neutral line",
        "description": "Freshet's own form; others are read, too. A session or a user is needed.",
        "type": "object",
        "properties": {
            "ts_ms": _TIME,
            "type": {"type": "string", "description": f"One of {', '.join(_ACTIONS)}."},
            "session_id": _ID,
            "user_id": _ID,
            "query": {"type": ["string", "null"]},
            "item_id": _ID,
            "items": {"type": "array", "description": "Instead of item_id: one event with each."},
        },
        "examples": [
            {
                "ts_ms": 1700000000000,
                "type": "search_click",
                "session_id": "s-1",
                "user_id": "u-7",
                "query": "Red shoes",
                "item_id": "sku-12",
            }
        ],
    },
    "item": {
        "title": "A state of an item",
        "description": "It replaces the older state whole; fields of other names are attributes.",
        "type": "object",
        "properties": {
            "item_id": _ID,
            "title": {"type": "string"},
            "text": {"type": "string"},
            "attributes": {"type": "object"},
            "available": {"type": ["boolean", "string", "number"]},
            "deleted": {"type": ["boolean", "string"]},
            "ts_ms": _TIME,
        },
        "examples": [{"item_id": "sku-12", "title": "Red shoes", "ts_ms": 1700000000000}],
    },
    "erasure": {
        "title": "An erasure",
        "description": "Also a list of them.",
        "type": ["object", "array"],
        "properties": {
            "erase": {"type": "string", "enum": ["user", "session", "item"]},
            "id": _ID,
            "ts_ms": _TIME,
        },
        "examples": [{"erase": "user", "id": "u-7", "ts_ms": 1700000000000}],
    },
    "cloud_event": {
        "title": "A CloudEvent 1.0",
        "type": "object",
        "required": ["specversion", "type"],
        "properties": {
            "specversion": {"const": "1.0"},
            "type": {"type": "string", "description": "freshet.view, freshet.catalog, ..."},
            "time": {"type": "string"},
            "data": {"type": "object"},
            "data_base64": {"type": "string"},
        },
    },
}
"""By the names that messages refer to. They say what is meant, and are narrower than
what is read: docs/formats.md has all of that.
"""

QUARANTINE_HEADERS: dict[str, Any] = {
    "type": "object",
    "required": ["reason", "detail", "source-topic", "source-partition", "source-offset", "at-ms"],
    "properties": {
        "reason": {
            "type": "string",
            "enum": [*REASONS, "replayed"],
            "description": "; ".join(f"{name}: {meaning}" for name, meaning in REASONS.items()),
        },
        "detail": {"type": "string"},
        "source-topic": {"type": "string"},
        "source-partition": {"type": "string"},
        "source-offset": {"type": "string"},
        "source-time-ms": {"type": "string"},
        "at-ms": {"type": "string"},
        "content-type": {"type": "string"},
        "source-value": {"type": "string", "description": "null: the record had no value."},
        "source-value-bytes": {"type": "string", "description": "Of a value that was cut."},
        "source-key-bytes": {"type": "string", "description": "Of a key that was cut."},
        "source-headers": {
            "type": "string",
            "description": "How many headers the record had, where some were left out.",
        },
        **{
            f"__connect.errors.{name}": {
                "type": "string",
                "description": f"As Kafka Connect: {what}.",
            }
            for name, what in (
                ("topic", "where the record was read"),
                ("partition", "its partition"),
                ("offset", "its offset"),
                ("connector.name", "the consumer group"),
                ("stage", "the step that failed"),
                ("exception.class.name", "the reason"),
                ("exception.message", "the detail"),
            )
        },
    },
}
"""The headers of a rejected record."""
