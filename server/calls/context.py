"""What a method of the service asks of its call, whatever that came by."""

from typing import NoReturn

from server.calls.call import Call
from server.calls.failure import Failure, Metadata


class Aborted(Exception):
    """A method ended its call with a status."""


class MethodContext:
    """What a method asks of its call.

    Args:
        call: the call.

    Attributes:
        metadata: what the caller sent beside the message.
    """

    __slots__ = ("_call", "metadata")

    def __init__(self, call: Call) -> None:
        self._call = call
        self.metadata: Metadata = call.metadata

    def is_active(self) -> bool:
        """Whether somebody waits for the answer."""
        return self._call.is_active

    def fail(self, failure: Failure) -> NoReturn:
        """End the call with a failure.

        Raises:
            Aborted: always.
        """
        self._call.refuse(failure)
        raise Aborted
