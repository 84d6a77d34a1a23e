"""One call as gRPC holds it: the one module that reaches below gRPC's public interface.

gRPC gives a call a thread before its message has come, so that a client which sends
none holds it for as long as it likes. `GrpcCall` receives the message first.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc import _common, _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without types

from server.calls.call import Call
from server.calls.failure import Failure, Metadata

_NO_FLAGS: Final = 0  # of an operation, as gRPC itself passes


class GrpcCall(Call):
    """A call over gRPC.

    Args:
        event: what gRPC got.
        state: what gRPC keeps of it.
        method: its name, for metrics.
    """

    def __init__(self, event: Any, state: Any, method: str) -> None:
        super().__init__(method)
        self._event = event
        self._state = state
        self._refused_with: grpc.StatusCode | None = None

    @property
    def metadata(self) -> Metadata:
        """What the client sent beside its message."""
        found: Metadata = self._event.invocation_metadata
        return found

    @property
    def peer(self) -> str:
        """Address of the client without its port, such as ``ipv4:10.0.0.7``."""
        peer: str = _common.decode(self._event.call.peer())
        return peer.rpartition(":")[0] or peer

    @property
    def identity(self) -> str:
        """Name in the client's certificate; empty: it has none."""
        names = cygrpc.peer_identities(self._event.call) or ()
        return names[0].decode(errors="replace") if names else ""

    @property
    def is_active(self) -> bool:
        """Whether somebody waits for its status."""
        active: bool = _server._is_rpc_state_active(self._state)  # noqa: SLF001  # see above
        return active

    @property
    def code(self) -> str:
        """Name of its status as the client sees it, once it has ended."""
        state = self._state
        if self._refused_with is not None:
            return self._refused_with.name
        if state.client is _server._CANCELLED:  # noqa: SLF001  # see above
            is_late = self._event.call_details.deadline <= time.time()
            return "DEADLINE_EXCEEDED" if is_late else "CANCELLED"
        return "OK" if state.code is None else str(grpc.StatusCode(state.code).name)

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once the call has ended, however it did.

        Before it has been received or refused.
        """
        self._state.callbacks.append(callback)

    def receive(self, then: Callable[[bytes | None], None]) -> None:
        """Hand its message to `then`, in gRPC's thread, once it has come; None: the
        client ended the call without one.
        """
        state = self._state

        def come(event: Any) -> Any:
            message = event.batch_operations[0].message()
            with state.condition:
                if message is None and state.client is _server._OPEN:  # noqa: SLF001  # see above
                    state.client = _server._CLOSED  # noqa: SLF001  # see above
                ended = _server._possibly_finish_call(state, _server._RECEIVE_MESSAGE_TOKEN)  # noqa: SLF001  # see above
            self.has_message = True
            then(message)
            return ended

        with state.condition:
            self._event.call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), come)
            state.due.add(_server._RECEIVE_MESSAGE_TOKEN)  # noqa: SLF001  # see above

    def answer(self, message: bytes) -> None:
        """Answer the call, unless it has ended.

        As gRPC does with what a method returns, without its way there: the contexts,
        plug-ins and looks at the state of a call that could have been answered before
        are a fifth of what a short call costs.
        """
        state = self._state
        operations = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendMessageOperation(message, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS),
        )
        token = _server._SEND_STATUS_FROM_SERVER_TOKEN  # noqa: SLF001  # see above
        with state.condition:
            if state.statused or state.client is _server._CANCELLED:  # noqa: SLF001  # see above
                return
            self._event.call.start_server_batch(
                operations,
                _server._send_status_from_server(state, token),  # noqa: SLF001  # see above
            )
            state.statused = True
            state.due.add(token)

    def refuse(self, failure: Failure) -> None:
        """End the call with a status, unless it has ended.

        The thread that may be answering it finds its client gone. gRPC would let it
        send a second status, which never leaves: the call would stay open for ever, and
        a stop wait for it.
        """
        state = self._state
        with state.condition:
            if not _server._is_rpc_state_active(state):  # noqa: SLF001  # see above
                return
            state.code, state.trailing_metadata = failure.code, failure.trailing_metadata
            _server._abort(  # noqa: SLF001  # see above
                state, self._event.call, cygrpc.StatusCode.unknown, _common.encode(failure.message)
            )
            self._refused_with = failure.code
            state.client = _server._CANCELLED  # noqa: SLF001  # see above
            state.condition.notify_all()

    def cancel(self) -> None:
        """End the call at once, also where its client does not read its answer."""
        self._event.call.cancel()


def channelz_servers(first_id: int) -> bytes:
    """Return what gRPC's core says of its servers in this process, a page of JSON as
    its service channelz has it, from a number on.
    """
    page: bytes = cygrpc.channelz_get_servers(first_id)
    return page
