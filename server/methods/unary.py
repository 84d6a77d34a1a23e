"""Answers the calls of one method over gRPC, from a request's bytes to the answer's."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import grpc

from server.calls.context import Aborted, MethodContext
from server.calls.door import Door
from server.calls.failure import Failure
from server.calls.grpc_call import DirectCall
from server.methods.plain import PlainRequests

logger = logging.getLogger(__name__)

_INTERNAL: Final = Failure(
    code=grpc.StatusCode.INTERNAL,
    message="internal error; see the server's log",
    reason="INTERNAL",
)


class UnaryMethod:
    """Answers the calls of one method of one message for one.

    Args:
        door: where they are let in.
        function: takes a request and a `MethodContext`, returns a message or its bytes.
        read: makes a request of bytes, or raises that they are none.
        plain: reads some of them at a fraction of the cost; None: none.
        size_of: how many calls a request counts as; None: as one.
    """

    def __init__(
        self,
        door: Door,
        function: Callable[[Any, MethodContext], Any],
        read: Callable[[bytes], Any],
        *,
        plain: PlainRequests | None = None,
        size_of: Callable[[Any], int] | None = None,
    ) -> None:
        self._door = door
        self._function = function
        self._read = read
        self._plain = plain
        self._size_of = size_of

    def let_in(self, call: DirectCall) -> None:
        """Let a call in, or end it with a status; in gRPC's thread."""
        self._door.take(call, self._come)

    def _come(self, call: DirectCall, message: bytes) -> None:
        plain = self._plain
        request = None if plain is None else plain(message)
        if plain is None or request is None:
            self._door.queue(call, partial(self._answer_message, call, message))
        elif plain.is_short(request):
            self._door.answer_or_queue(call, partial(self._answer, call, request))
        else:
            self._door.queue(call, partial(self._answer, call, request))

    def _answer_message(self, call: DirectCall, message: bytes) -> None:
        try:
            request = self._read(message)
        except Exception as error:  # noqa: BLE001  # whatever a parser raises, the bytes are the client's
            self._door.refuse_malformed(call, error)
            return
        if self._size_of is not None:
            self._door.charge(call, self._size_of(request))
        self._answer(call, request)

    def _answer(self, call: DirectCall, request: Any) -> None:
        try:
            response = self._function(request, MethodContext(call))
            is_ready = isinstance(response, bytes)
            call.answer(response if is_ready else response.SerializeToString())
        except Aborted:
            return
        except Exception:  # none that a method knows of: it has a status for those
            logger.exception("answer_failed method=%s", call.method)
            call.refuse(_INTERNAL)
