"""A call as gRPC holds it, without a connection behind it."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc import _server

from server.calls.failure import Failure
from server.calls.grpc_call import DirectCall, GrpcCall

TOO_LONG = Failure(
    code=grpc.StatusCode.DEADLINE_EXCEEDED, message="open for too long", reason="TOO_LONG"
)


class Event:
    """What gRPC got, and its call; keeps what is begun on it."""

    def __init__(self, deadline: float = math.inf) -> None:
        self.call = self
        self.call_details = SimpleNamespace(deadline=deadline)
        self.invocation_metadata = ()
        self.batches: list[Sequence[Any]] = []
        self.was_cancelled = False
        self._then: list[Callable[[Any], Any]] = []

    def start_server_batch(self, operations: Sequence[Any], then: Callable[[Any], Any]) -> None:
        """Take what is to be done."""
        self.batches.append(operations)
        self._then.append(then)

    def cancel(self) -> None:
        """End the call."""
        self.was_cancelled = True

    def end(self, number: int, **found: Any) -> Any:
        """End a batch, and return what gRPC's loop is told."""
        operation = SimpleNamespace(
            cancelled=lambda: found["is_cancelled"], message=lambda: found["message"]
        )
        return self._then[number](SimpleNamespace(batch_operations=[operation]))


@pytest.mark.parametrize("late", ["an answer", "another refusal"])
def test_a_call_that_was_refused_sends_no_second_status(late: str) -> None:
    """The thread that was at work on it comes too late, whatever it has to say: a
    second status would never leave, and the call with it.
    """
    event = Event()
    call = DirectCall(event, "Retrieve")

    call.refuse(TOO_LONG)
    if late == "an answer":
        call.answer(b"an answer")
    else:
        call.refuse(TOO_LONG)

    assert len(event.batches) == 1
    assert not call.is_active
    assert call.code == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("late", ["a status", "another refusal"])
def test_a_call_of_grpcs_own_sends_no_second_status(late: str) -> None:
    """Those of health, too."""
    event, state = Event(), _server._RPCState()  # type: ignore[no-untyped-call]
    call = GrpcCall(event, state, "Check")

    call.refuse(TOO_LONG)
    if late == "a status":
        _server._status(event, state, b"an answer")
    else:
        call.refuse(TOO_LONG)

    assert len(event.batches) == 1
    assert not call.is_active
    assert call.code == "DEADLINE_EXCEEDED"


def test_an_answer_ends_its_call() -> None:
    """It is one batch, with the status; nothing more is sent, and nobody waits."""
    event = Event()
    call = DirectCall(event, "Retrieve")
    assert call.is_active

    call.answer(b"an answer")
    call.answer(b"another")
    call.refuse(TOO_LONG)

    assert len(event.batches) == 1
    assert not call.is_active
    assert call.code == "OK"


@pytest.mark.parametrize("is_late", [False, True])
def test_a_call_whose_client_is_gone_ends_once(is_late: bool) -> None:  # a case
    """After all that the core has begun, and without a status: none would leave."""
    event, ends = Event(deadline=0.0 if is_late else math.inf), []
    call = DirectCall(event, "Retrieve")
    call.on_end(lambda: ends.append(call.code))
    call.begin()
    call.receive(lambda message: None if message is None else call.answer(message))

    goes_on = event.end(0, is_cancelled=True)
    call.answer(b"too late")
    has_ended, callbacks = event.end(1, message=None)
    for callback in callbacks:
        callback()

    assert goes_on == (None, ())
    assert has_ended is call
    assert ends == ["DEADLINE_EXCEEDED" if is_late else "CANCELLED"]
    assert len(event.batches) == 2


def test_a_call_ends_with_the_last_of_its_batches() -> None:
    """Whichever that is."""
    event, ends = Event(), []
    call = DirectCall(event, "Retrieve")
    call.on_end(lambda: ends.append(call.code))
    call.begin()
    call.receive(lambda message: call.answer(message or b""))

    assert event.end(1, message=b"lamp") == (None, ())
    assert event.end(2) == (None, ())
    has_ended, callbacks = event.end(0, is_cancelled=False)

    assert has_ended is call
    assert len(callbacks) == 1
    assert call.has_message


def test_a_call_may_end_while_it_is_being_answered() -> None:
    """Whoever is at work on it holds up no stop, where another thread goes on."""
    event, told = Event(), []
    call = DirectCall(event, "Retrieve")
    call.begin()

    def answer(message: bytes | None) -> None:
        call.answer(message or b"")
        told.append(event.end(2))
        told.append(event.end(0, is_cancelled=False))

    call.receive(answer)

    assert event.end(1, message=b"lamp") == (None, ())
    assert told == [(None, ()), (call, [])]


def test_whatever_takes_a_message_grpcs_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A call that cannot be queued is cancelled."""
    event = Event()
    call = DirectCall(event, "Retrieve")
    call.begin()

    def broken(message: bytes | None) -> None:
        raise RuntimeError(message)

    call.receive(broken)

    assert event.end(1, message=b"lamp") == (None, ())
    assert event.was_cancelled
    assert "message_not_taken" in caplog.text
