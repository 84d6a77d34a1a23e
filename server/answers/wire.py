"""Pieces of protobuf's encoding, for answers that are written without a message."""

from typing import Final

VARINT: Final = 0
"""Wire type of numbers and enums."""

FIXED64: Final = 1
"""Wire type of doubles."""

BYTES: Final = 2
"""Wire type of texts, bytes and messages, behind their length."""

FIXED32: Final = 5
"""Wire type of floats."""


def varint(number: int) -> bytes:
    """Return a number, not negative, as it is written."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def tag_of(message: type, field: str, wire_type: int) -> bytes:
    """Return what is written before a field of a message."""
    number = message.DESCRIPTOR.fields_by_name[field].number  # type: ignore[attr-defined]  # generated
    return varint(number << 3 | wire_type)
