"""A call as gRPC holds it, without a connection behind it."""

from collections.abc import Sequence
from typing import Any

import grpc
import pytest
from grpc import _server

from server.calls.failure import Failure
from server.calls.grpc_call import GrpcCall

TOO_LONG = Failure(
    code=grpc.StatusCode.DEADLINE_EXCEEDED, message="open for too long", reason="TOO_LONG"
)


class Event:
    """What gRPC got; counts what is sent."""

    def __init__(self) -> None:
        self.call = self
        self.batches: list[Sequence[Any]] = []

    def start_server_batch(self, operations: Sequence[Any], _then: object) -> None:
        """Take what is to be sent."""
        self.batches.append(operations)


@pytest.mark.parametrize("late", ["an answer", "a status", "another refusal"])
def test_a_call_that_was_refused_sends_no_second_status(late: str) -> None:
    """The thread that was at work on it comes too late, whatever it has to say: a
    second status would never leave, and the call with it.
    """
    event, state = Event(), _server._RPCState()  # type: ignore[no-untyped-call]
    call = GrpcCall(event, state, "Retrieve")

    call.refuse(TOO_LONG)
    if late == "an answer":
        call.answer(b"an answer")
    elif late == "a status":
        _server._status(event, state, b"an answer")
    else:
        call.refuse(TOO_LONG)

    assert len(event.batches) == 1
    assert not call.is_active
    assert call.code == "DEADLINE_EXCEEDED"


def test_an_answer_ends_its_call() -> None:
    """It is one batch, with the status; nothing more is sent, and nobody waits."""
    event, state = Event(), _server._RPCState()  # type: ignore[no-untyped-call]
    call = GrpcCall(event, state, "Retrieve")
    assert call.is_active

    call.answer(b"an answer")
    call.answer(b"another")
    call.refuse(TOO_LONG)

    assert len(event.batches) == 1
    assert not call.is_active
    assert call.code == "OK"
