"""One call as gRPC holds it: the one module that reaches below gRPC's public interface.

gRPC gives a call a thread before its message has come, so that a client which sends
none holds it for as long as it likes. `GrpcCall` receives the message first. And what
gRPC's server does in Python for a call, whatever its method is, costs twice what its
core does: `DirectMethods` takes calls from the core.
"""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final

import grpc
from grpc import _common, _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without types

from server.calls.call import Call
from server.calls.failure import Failure, Metadata

logger = logging.getLogger(__name__)

_NO_FLAGS: Final = 0  # of an operation, as gRPC itself passes
_GOES_ON: Final = None, ()
"""What gRPC's loop is told where a call has not ended with an event."""


class _HeldCall(Call):
    """What is known of a call from the event that began it.

    Args:
        event: what gRPC got.
        method: its name, for metrics.
    """

    def __init__(self, event: Any, method: str) -> None:
        super().__init__(method)
        self._event = event

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

    def cancel(self) -> None:
        """End the call at once, also where its client does not read its answer."""
        self._event.call.cancel()

    def _code_of_cancelled(self) -> str:
        is_late = self._event.call_details.deadline <= time.time()
        return "DEADLINE_EXCEEDED" if is_late else "CANCELLED"


class GrpcCall(_HeldCall):
    """A call over gRPC that gRPC's server answers.

    Args:
        event: what gRPC got.
        state: what gRPC keeps of it.
        method: its name, for metrics.
    """

    def __init__(self, event: Any, state: Any, method: str) -> None:
        super().__init__(event, method)
        self._state = state
        self._refused_with: grpc.StatusCode | None = None

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
            return self._code_of_cancelled()
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


class DirectCall(_HeldCall):
    """A call of one message for one, as gRPC's core holds it.

    Its events come in the one thread of gRPC's server; any thread may answer or refuse
    it.

    Args:
        event: what the core got.
        method: its name, for metrics.
    """

    def __init__(self, event: Any, method: str) -> None:
        super().__init__(event, method)
        self._lock = Lock()
        self._num_due = 0  # of batches that the core has begun and not ended
        self._is_cancelled = False
        self._status: grpc.StatusCode | None = None
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_active(self) -> bool:
        """Whether somebody waits for its status."""
        return self._status is None and not self._is_cancelled

    @property
    def code(self) -> str:
        """Name of its status as the client sees it, once it has ended."""
        status = self._status
        if self._is_cancelled and status in (None, grpc.StatusCode.OK):
            return self._code_of_cancelled()
        return "OK" if status is None else status.name

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once the call has ended, however it did.

        Before it has been received or refused.
        """
        self._callbacks.append(callback)

    def begin(self) -> None:
        """Learn of its end: of a client that is gone, too."""
        with self._lock:
            self._start((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), self._closed)

    def receive(self, then: Callable[[bytes | None], None]) -> None:
        """Hand its message to `then`, in gRPC's thread, once it has come; None: the
        client ended the call without one.
        """

        def come(event: Any) -> Any:
            message = event.batch_operations[0].message()
            self.has_message = True
            try:
                then(message)
            except Exception:
                # Whatever is wrong with one call, gRPC's one thread must go on.
                logger.exception("message_not_taken method=%s", self.method)
                self.cancel()
            return self._ended()

        with self._lock:
            self._start((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), come)

    def answer(self, message: bytes) -> None:
        """Answer the call, unless it has ended."""
        operations = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendMessageOperation(message, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS),
        )
        self._finish(operations, grpc.StatusCode.OK)

    def refuse(self, failure: Failure) -> None:
        """End the call with a status, unless it has ended.

        The thread that may be answering it finds its client gone.
        """
        code = _common.STATUS_CODE_TO_CYGRPC_STATUS_CODE[failure.code]
        message = _common.encode(failure.message)
        operations = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(
                failure.trailing_metadata, code, message, _NO_FLAGS
            ),
        )
        self._finish(operations, failure.code)

    def _finish(self, operations: Sequence[Any], status: grpc.StatusCode) -> None:
        """Send what ends the call, once: a second status would never leave, and the
        call stay open for ever.
        """
        with self._lock:
            if self._status is not None or self._is_cancelled:
                return
            self._start(operations, self._sent)
            self._status = status

    def _start(self, operations: Sequence[Any], then: Callable[[Any], Any]) -> None:
        self._event.call.start_server_batch(operations, then)
        self._num_due += 1

    def _closed(self, event: Any) -> Any:
        if event.batch_operations[0].cancelled():
            self._is_cancelled = True
        return self._ended()

    def _sent(self, _event: Any) -> Any:
        return self._ended()

    def _ended(self) -> Any:
        """Return what gRPC's loop is told once a batch has ended: of the last one, that
        the call has, and whom to tell.
        """
        with self._lock:
            self._num_due -= 1
            if self._num_due or self.is_active:
                return _GOES_ON
            callbacks, self._callbacks = self._callbacks, []
        return self, callbacks


class DirectMethods:
    """Methods of a gRPC server whose calls come from its core.

    The server knows of them as of calls of its own: it waits for them when it stops.

    Args:
        server: the server, before its start.
    """

    def __init__(self, server: grpc.Server) -> None:
        self._state: Any = server._state  # type: ignore[attr-defined]  # noqa: SLF001  # see above
        self._methods: list[_DirectMethod] = []

    def add(self, path: str, name: str, let_in: Callable[[DirectCall], None]) -> None:
        """Add a method, before the server's start.

        Args:
            path: that it is called at.
            name: for metrics.
            let_in: takes a call, in gRPC's thread.
        """
        self._state.server.register_method(path)
        self._methods.append(_DirectMethod(self._state, path, name, let_in))

    def start(self) -> None:
        """Take calls, once the server has started."""
        with self._state.lock:
            if self._state.stage is _server._ServerStage.STARTED:  # noqa: SLF001  # see above
                for method in self._methods:
                    method.request()


class _DirectMethod:
    """Takes the calls of one method.

    What gRPC's loop calls with the event of each that comes.
    """

    def __init__(
        self, state: Any, path: str, name: str, let_in: Callable[[DirectCall], None]
    ) -> None:
        self._state = state
        self._path = path
        self._name = name
        self._let_in = let_in

    def request(self) -> None:
        """Ask the core for the next call; the server's lock is held."""
        state = self._state
        queue = state.completion_queue
        state.server.request_registered_call(queue, queue, self._path, self)
        state.due.add(self)

    def __call__(self, event: Any) -> Any:
        call = DirectCall(event, self._name)
        state = self._state
        with state.lock:
            state.due.remove(self)
            state.rpc_states.add(call)
            if state.stage is _server._ServerStage.STARTED:  # noqa: SLF001  # see above
                self.request()
        if not event.success:  # the server stops, and there is no call
            return call, ()
        try:
            call.begin()
            self._let_in(call)
        except Exception:
            # Whatever is wrong with one call, gRPC's one thread must go on.
            logger.exception("call_not_let_in method=%s", self._name)
            call.cancel()
        return _GOES_ON


def channelz_servers(first_id: int) -> bytes:
    """Return what gRPC's core says of its servers in this process, a page of JSON as
    its service channelz has it, from a number on.
    """
    page: bytes = cygrpc.channelz_get_servers(first_id)
    return page
