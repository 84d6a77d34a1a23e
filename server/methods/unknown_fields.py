"""Refuses requests with fields that this server does not know: to pass over a newer
filter would be to answer another question.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from server.errors import QueryRefused


def check_fields(request: Message) -> None:
    """Check that all fields of a request, and of the messages in it, are known.

    Raises:
        QueryRefused: one is not; the message has its number and where it is.
    """
    for place, message in _messages(request, request.DESCRIPTOR.name):
        # Its published types lack that it can be iterated over.
        fields: Any = UnknownFieldSet(message)
        unknown = sorted({field.field_number for field in fields})
        if unknown:
            numbers = ", ".join(map(str, unknown))
            one = len(unknown) == 1
            raise QueryRefused(
                f"{'field' if one else 'fields'} {numbers} of {place} "
                f"{'is' if one else 'are'} not known to this server, so the answer would be to "
                f"another question; leave {'it' if one else 'them'} out, or update the server"
            )


def _messages(message: Message, place: str) -> Iterator[tuple[str, Message]]:
    """Yield a message and all that are set in it, each with its place."""
    yield place, message
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        inner = f"{place}.{field.name}"
        if isinstance(value, Message):
            yield from _messages(value, inner)
        else:
            for number, each in enumerate(value):
                yield from _messages(each, f"{inner}[{number}]")
