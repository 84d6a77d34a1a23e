"""Catalogue items in JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec

from stream.events import fields
from stream.events.format import Content
from stream.events.limits import Limits
from stream.events.types import CatalogItem

JSON_ITEM = "application/json; messageType=freshet.events.v1.CatalogItem"
"""The content-type of JSON that is a catalogue item whatever its keys."""

_KNOWN_FIELDS = {"item_id", "title", "text", "attributes", "available", "deleted", "ts_ms"}


def item_of(line: Mapping[str, Any], limits: Limits) -> CatalogItem:
    """Return the catalogue item of a line's fields.

    Strings beyond the known fields join the text; with numbers and booleans they are
    attributes too.
    """
    extras = _extra_attributes(line)
    texts = [
        fields.string(line, "text"),
        *(extras[name] for name in extras if isinstance(line[name], str)),
    ]
    return CatalogItem(
        item_id=limits.id("item_id", fields.string(line, "item_id", required=True)),
        title=limits.text("title", fields.string(line, "title")),
        text=limits.text("text", "\n".join(text for text in texts if text.strip())),
        attributes=limits.attributes(extras | fields.string_mapping(line, "attributes")),
        available=fields.boolean(line, "available", default=True),
        deleted=fields.boolean(line, "deleted", default=False),
        ts_ms=limits.state_time(fields.integer(line, "ts_ms", default=0)),
    )


def _extra_attributes(line: Mapping[str, Any]) -> dict[str, str]:
    """What a line says beyond the known fields.

    Lists, objects and null are left out.
    """
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in line.items()
        if name not in _KNOWN_FIELDS
        and isinstance(value, str | int | float)
        and not fields.is_huge(value)
    }


def read_item(line: dict[str, Any], limits: Limits) -> Content:
    """Return a line's item as what a record held."""
    return Content((item_of(line, limits),))
