"""Why a record is rejected or ignored, and what is mended of one that is used: the
machine-readable words, each with what it means.
"""

from collections.abc import Mapping
from typing import Literal

REASONS = {
    "unknown_encoding": "the content-type or the framing is not one that Freshet reads",
    "unknown_schema": "the schema registry has no such schema, or it cannot be read",
    "malformed": "the bytes do not parse as what the content-type announces",
    "unknown_type": "the type or action is not one that Freshet knows",
    "missing_field": "a required field is absent or empty",
    "wrong_type": "a field has a value of the wrong type",
    "empty_query": "a search action whose query is absent, or empty once normalised",
    "absurd_timestamp": "the event time is before the year 2000 or too far in the future",
    "oversized": "a field or the record is longer than allowed",
    "key_collision": "two different strings share a 64-bit key",
    "too_late": "the event is older than one before it allows, and not known yet",
}

Repair = Literal["cut", "dropped"]
"""What was done to a catalogue item, which is used all the same."""

REPAIRS: Mapping[Repair, str] = {
    "cut": "a title, a text or the value of an attribute was longer than allowed, and was cut",
    "dropped": "a field or an attribute of no usable form was left out",
}

IGNORED = {
    "impression": "something was shown",
    "other_action": "an action that makes no fact, such as a filter, a hover or a login",
    "no_item": "an action on nothing, or on something that is no item, such as a brand",
    "index_line": "the line before a document in a bulk export",
    "other": "anything else that is in order but not about an item",
}
"""Why a message that is in order is of no use."""
