"""The frame that the serializers of Confluent's schema registry put around a message.

A byte 0, the schema's id in four, and for Protobuf which message of the schema it is:
zigzag varints, how many there are and that many places, each within the message before
it; no place at all is the first message.

https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop
"""

from stream.events.types import Rejected

MAGIC = b"\0"
"""What a frame begins with, and neither JSON nor Protobuf does."""

ID_BYTES = 5
"""Bytes of the magic byte and the schema's id."""

# Messages within each other; protoc's own limit is about 30. Chosen by hand: twice as
# many would only let garbage be read for longer.
_MAX_INDEXES = 32
_VARINT_BYTES = 5  # of a place: 32 bits


def schema_id_of(value: bytes) -> int:
    """Return the id of the schema in a frame.

    Raises:
        Rejected: the frame is cut short.
    """
    if len(value) < ID_BYTES:
        raise Rejected(
            "malformed", f"a registry's frame has {ID_BYTES} bytes at least, this {len(value)}"
        )
    return int.from_bytes(value[1:ID_BYTES], "big")


def message_indexes(value: bytes) -> tuple[tuple[int, ...], int]:
    """Return which message a Protobuf frame says, and where the message begins.

    Raises:
        Rejected: the frame is cut short, or says no message.
    """
    number, place = _zigzag(value, ID_BYTES)
    if number == 0:
        return (0,), place
    if not 0 < number <= _MAX_INDEXES:
        raise Rejected("malformed", f"the registry's frame names a message by {number} places")
    indexes: list[int] = []
    for _ in range(number):
        index, place = _zigzag(value, place)
        indexes.append(index)
    return tuple(indexes), place


def _zigzag(value: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(value[place : place + _VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * shift)
        if not byte & 0x80:
            return (number >> 1) ^ -(number & 1), place + shift + 1
    raise Rejected("malformed", "the registry's frame is cut short within its message indexes")
