"""Catalogue items in JSON."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from stream.events import fields
from stream.events.format import Content, ReadObject
from stream.events.formats.change_capture import NameFields, row_of, unnamed
from stream.events.limits import Limits
from stream.events.types import CatalogItem, Rejected
from stream.reasons import Repair

JSON_ITEM = "application/json; messageType=freshet.events.v1.CatalogItem"
"""The content-type of JSON that is a catalogue item whatever its keys."""

_Scalar = str | int | float
_Named = tuple[str, _Scalar]

_KNOWN_FIELDS = {"item_id", "title", "text", "attributes", "available", "deleted", "ts_ms"}
_OF_STATES = _KNOWN_FIELDS - {"item_id", "ts_ms"}
# Names of fields in small letters and without what is between words, as events of any
# platform have them: who it was, and what was done or when.
_OF_VISITORS = frozenset(
    {
        "anonymousid",
        "clientid",
        "customerid",
        "deviceid",
        "distinctid",
        "sessionid",
        "userid",
        "userpseudoid",
        "visitorid",
    }
)
_OF_DEEDS = frozenset(
    {
        "action",
        "actionname",
        "behavior",
        "behaviour",
        "event",
        "eventname",
        "eventtime",
        "eventtimestamp",
        "eventtype",
        "query",
        "searchquery",
        "searchterm",
        "time",
        "timestamp",
        "userquery",
    }
)
_OF_ACTIONS = {"ts_ms", "type"}
# What a table of items calls a title or a text; its rows may have the id of a seller.
_OF_ITEMS = _OF_STATES | {"name", "description"}
_BETWEEN_WORDS = str.maketrans("", "", "_- ")
_SEPARATOR = ", "
_SHOWN_FIELDS = 5  # of an item without an id: enough to know what sent it
_SHOWN_CHARS = 40  # of each of their names: longer than any
# How lists of attributes name one, and its value, as commerce platforms export them.
_PAIR_NAMES = ("name", "key", "code", "attribute_code")
_PAIR_VALUES = ("value", "values")
# What beside a text in an object says in which language it is.
_OF_LANGUAGES = frozenset({"lang", "language", "locale", "@language"})
# Lists and objects within each other, of an attribute such as size.shoe.eu.label. What
# is deeper is a document, not an attribute.
_MAX_DEPTH = 5
_QUANTITY = re.compile(r"[+-]?\d{1,15}(\.\d{0,15})?", re.ASCII)
_SCHEMA_ORG = (
    "https://schema.org/",
    "http://schema.org/",
    "https://www.schema.org/",
    "http://www.schema.org/",
    "schema:",
)
_AVAILABILITY: Mapping[str, bool] = {
    "available": True,
    "instock": True,
    "onlineonly": True,
    "instoreonly": True,
    "limitedavailability": True,
    "preorder": True,
    "presale": True,
    "backorder": True,
    "madetoorder": True,
    "availablefororder": True,
    "outofstock": False,
    "temporarilyoutofstock": False,
    "notinstock": False,
    "soldout": False,
    "reserved": False,
    "unavailable": False,
    "temporarilyunavailable": False,
    "notavailable": False,
    "discontinued": False,
}
"""Availabilities of schema.org and of the product data of Google and Facebook, without
what is between words.
"""


def item_reader(named: NameFields = unnamed) -> ReadObject:
    """Return what reads the catalogue item of a line's fields, or of a record of change
    capture.

    Strings beyond the known fields join the text; with numbers and booleans they are
    attributes too. What cannot be used is left out, and said.

    Args:
        named: names the fields of a row.
    """

    def read(line: dict[str, Any], limits: Limits) -> Content:
        return _content_of_row(row_of(line, named), limits)

    return read


read_item = item_reader()
"""Reads an item whose fields have the names that Freshet gives them."""


def _content_of_row(row: dict[str, Any], limits: Limits) -> Content:
    _reject_event(row)
    if row.get("item_id") is None:
        _reject_nameless(row)
    repairs: list[Repair] = []
    extras = _leaves(
        {name: value for name, value in row.items() if name not in _KNOWN_FIELDS}, repairs
    )
    words = [text for _, text in extras if isinstance(text, str)]
    texts = [_text_of(row.get("text"), repairs), *words]
    item = CatalogItem(
        item_id=fields.identifier(row, "item_id", required=True),
        title=_text_of(row.get("title"), repairs),
        text="\n".join(text for text in texts if text.strip()),
        attributes=_joined(extras) | _joined(_attributes(row.get("attributes"), repairs)),
        available=_is_available(row, repairs),
        deleted=fields.truth(row, "deleted", default=False),
        ts_ms=fields.time(row, "ts_ms", default=0),
    )
    return Content((limits.item(item, repairs),), repairs=repairs)


def _reject_nameless(row: Mapping[str, Any]) -> NoReturn:
    names = ", ".join(repr(name[:_SHOWN_CHARS]) for name in [*row][:_SHOWN_FIELDS])
    raise Rejected(
        "missing_field",
        f"item_id is absent; the fields are {names or 'none'}: rename the one that names the item",
    )


def _reject_event(row: Mapping[str, Any]) -> None:
    """Reject what is an event and says nothing of an item, so that no catalogue gets
    the ids of sessions and users in the place of texts.
    """
    if row.keys() & _OF_STATES:
        return
    names = {name.lower().translate(_BETWEEN_WORDS): name for name in row}
    visitors, deeds = names.keys() & _OF_VISITORS, names.keys() & _OF_DEEDS
    deeds |= {"type"} if row.keys() >= _OF_ACTIONS else set()
    if "session_id" in row or (visitors and deeds and not row.keys() & _OF_ITEMS):
        said = ", ".join(repr(names[name][:_SHOWN_CHARS]) for name in sorted(visitors | deeds))
        raise Rejected(
            "unknown_type",
            f"it has {said} and no title, text, attributes, available or deleted, so it is an "
            "event; publish it to the topic of clicks or sessions, or give its file with "
            "--source; where it is an item, name its title",
        )


def _attributes(found: object, repairs: list[Repair]) -> list[_Named]:
    """Return attributes: an object's, those of each object in a list, or either as JSON
    in a text, which a column of JSON becomes through change capture.
    """
    if isinstance(found, str):
        found = fields.json_in(found)
    if not isinstance(found, list):
        return _leaves(found, repairs)
    leaves: list[_Named] = []
    for each in found:
        pair = _pair(each)
        leaves += _leaves(each if pair is None else dict([pair]), repairs)
    return leaves


def _leaves(found: object, repairs: list[Repair]) -> list[_Named]:
    """Return the values in an object, each with its name: the members of a list have
    its name, and the fields of an object their own behind its name and a dot.
    """
    if fields.is_nothing(found):
        return []
    if not isinstance(found, dict):
        repairs.append("dropped")
        return []
    leaves: list[_Named] = []
    for name, value in found.items():
        _add_leaves(leaves, fields.mended(name), value, _MAX_DEPTH, repairs)
    return leaves


def _add_leaves(
    leaves: list[_Named], name: str, value: object, depth: int, repairs: list[Repair]
) -> None:
    value = fields.bare(value)
    if not isinstance(value, dict | list):
        scalar = _scalar(value)
        leaves += [] if scalar is None else [(name, scalar)]
    elif not depth:
        repairs.append("dropped")
    elif isinstance(value, list):
        for each in value:
            pair = _pair(each)
            inside = each if pair is None else dict([pair])
            _add_leaves(leaves, name, inside, depth - 1, repairs)
    else:
        for inner, each in value.items():
            _add_leaves(leaves, f"{name}.{fields.mended(inner)}", each, depth - 1, repairs)


def _pair(found: object) -> tuple[str, object] | None:
    """Return the name and the value of an attribute that an object in a list gives by
    itself, as in ``{"name": "color", "value": "red"}``; None: it is no such object.
    """
    if not isinstance(found, dict):
        return None
    names = [found[name] for name in _PAIR_NAMES if isinstance(found.get(name), str)]
    values = [found[name] for name in _PAIR_VALUES if name in found]
    return (names[0], values[0]) if names and values else None


def _joined(leaves: Sequence[_Named]) -> dict[str, str]:
    """Return attributes, each with all its values."""
    texts: dict[str, list[str]] = {}
    for name, value in leaves:
        texts.setdefault(name, []).append(_text(value))
    return {name: _SEPARATOR.join(values) for name, values in texts.items()}


def _text_of(value: object, repairs: list[Repair]) -> str:
    """Return a title or a text: a string, a number, or all of those in a list or an
    object, such as one of languages, each once.
    """
    texts: list[str] = []
    _add_texts(texts, value, _MAX_DEPTH, repairs)
    return " ".join(dict.fromkeys(texts)) if isinstance(value, dict) else " ".join(texts)


def _add_texts(texts: list[str], value: object, depth: int, repairs: list[Repair]) -> None:
    value = fields.bare(value)
    if isinstance(value, dict | list) and depth:
        inside = (
            value
            if isinstance(value, list)
            else [each for name, each in value.items() if name not in _OF_LANGUAGES]
        )
        for each in inside:
            _add_texts(texts, each, depth - 1, repairs)
        return
    scalar = _scalar(value)
    if scalar is None or isinstance(scalar, bool):
        repairs += [] if value is None else ["dropped"]
    else:
        texts.append(_text(scalar))


def _scalar(value: object) -> _Scalar | None:
    """Return a string, mended, a number, true or false; None: it is none of them."""
    if isinstance(value, str):
        return fields.mended(value)
    return value if isinstance(value, int | float) else None


def _text(scalar: _Scalar) -> str:
    return scalar if isinstance(scalar, str) else fields.number_text(scalar)


def _is_available(row: Mapping[str, Any], repairs: list[Repair]) -> bool:
    """Return whether an item is available; it is unless it says otherwise."""
    value = fields.bare(row.get("available"))
    if fields.is_nothing(value):  # an attribute of feeds: what it does not say is not lost
        value, repairs = fields.bare(row.get("availability")), []
    found = fields.as_truth(value)
    if found is None and isinstance(value, str):
        found = _availability(value)
    elif found is None and isinstance(value, int | float):
        found = value > 0
    if found is None and not fields.is_nothing(value):
        repairs.append("dropped")
    return found is not False


def _availability(text: str) -> bool | None:
    name = text.strip().lower()
    if _QUANTITY.fullmatch(name):
        return float(name) > 0
    for prefix in _SCHEMA_ORG:
        name = name.removeprefix(prefix)
    return _AVAILABILITY.get("".join(filter(str.isalnum, name)))
