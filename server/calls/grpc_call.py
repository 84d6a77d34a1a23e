"""One call as gRPC holds it: the one module that reaches below gRPC's public interface.

gRPC gives a call a thread before its message has come, so that a client which sends
none holds it for as long as it likes. `GrpcCall` receives the message first. And what
gRPC's server does in Python for a call, whatever its method is, costs twice what its
core does: `DirectMethods` takes calls from the core.
"""

import logging
import time
from collections.abc import Callable, Sequence
from threading import Lock, Thread
from typing import Any, Final

import grpc
from grpc import _common, _server
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled, without types

from server.calls.call import Call
from server.calls.failure import Failure

logger = logging.getLogger(__name__)

_OK: Final = grpc.StatusCode.OK.name
_NO_FLAGS: Final = 0  # of an operation, as gRPC itself passes
_RELIEF_SECONDS: Final = 0.1
"""How long the thread that stands in for gRPC's waits for an event.

Twice as long: it is there for as much longer when it is needed no more.
"""

_GOES_ON: Final = None, ()
"""What gRPC's loop is told where a call has not ended with an event."""


class _HeldCall(Call):
    """What is known of a call from the event that began it.

    Args:
        event: what gRPC got.
        method: its name, for metrics.
    """

    def __init__(self, event: Any, method: str) -> None:
        super().__init__(method, event.invocation_metadata)
        self._event = event

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
        self._status = ""  # name of what was sent; empty: nothing was
        self._callbacks: list[Callable[[], None]] = []

    @property
    def is_active(self) -> bool:
        """Whether somebody waits for its status."""
        return not (self._status or self._is_cancelled)

    @property
    def code(self) -> str:
        """Name of its status as the client sees it, once it has ended."""
        if self._is_cancelled and self._status in ("", _OK):
            return self._code_of_cancelled()
        return self._status or _OK

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once the call has ended, however it did.

        Before it has been received or refused.
        """
        self._callbacks.append(callback)

    def begin(self) -> None:
        """Learn of its end: of a client that is gone, too.

        Before anybody else knows of it.
        """
        operations = (cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),)
        self._event.call.start_server_batch(operations, self._closed)
        self._num_due = 1

    def receive(self, then: Callable[[bytes | None], None]) -> None:
        """Hand its message to `then`, in gRPC's thread, once it has come; None: the
        client ended the call without one. Not at all where it has ended before.
        """

        def come(event: Any) -> Any:
            message = event.batch_operations[0].message()
            self.has_message = True
            # Before it is taken: one that is answered here may end meanwhile, and a
            # stop does not wait for whoever is at work on it.
            ended = self._ended(event)
            if ended is _GOES_ON:
                try:
                    then(message)
                except Exception:
                    # Whatever is wrong with one call, gRPC's one thread must go on.
                    logger.exception("message_not_taken method=%s", self.method)
                    self.cancel()
            return ended

        with self._lock:
            self._event.call.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), come)
            self._num_due += 1

    def answer(self, message: bytes) -> None:
        """Answer the call, unless it has ended."""
        operations = (
            cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS),
            cygrpc.SendMessageOperation(message, _NO_FLAGS),
            cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", _NO_FLAGS),
        )
        self._finish(operations, _OK)

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
        self._finish(operations, failure.code.name)

    def _finish(self, operations: Sequence[Any], status: str) -> None:
        """Send what ends the call, once: a second status would never leave, and the
        call stay open for ever.
        """
        with self._lock:
            if self._status or self._is_cancelled:
                return
            self._event.call.start_server_batch(operations, self._ended)
            self._num_due += 1
            self._status = status

    def _closed(self, event: Any) -> Any:
        if event.batch_operations[0].cancelled():
            self._is_cancelled = True
        return self._ended(event)

    def _ended(self, _event: Any) -> Any:
        """Return what gRPC's loop is told once a batch has ended: of the last one, that
        the call has, and whom to tell.
        """
        with self._lock:
            self._num_due -= 1
            if self._num_due or not (self._status or self._is_cancelled):
                return _GOES_ON
            callbacks, self._callbacks = self._callbacks, []
        return self, callbacks


class DirectMethods:
    """Methods of a gRPC server whose calls come from its core.

    The server knows of them as of calls of its own: it waits for them when it stops.

    Args:
        server: the server, before its start.
        is_stuck: whether its thread is at work on a call for too long.
    """

    def __init__(self, server: grpc.Server, is_stuck: Callable[[], bool]) -> None:
        self._state: Any = server._state  # type: ignore[attr-defined]  # noqa: SLF001  # see above
        self._methods: list[_DirectMethod] = []
        self._is_stuck = is_stuck
        self._relief: Thread | None = None

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

    def relieve(self) -> None:
        """Have another thread go on with gRPC's loop while its own is stuck."""
        if self._is_stuck() and (self._relief is None or not self._relief.is_alive()):
            logger.warning("grpc_thread_stuck; another goes on")
            self._relief = Thread(target=self._serve, name="grpc-relief", daemon=True)
            self._relief.start()

    def _serve(self) -> None:
        state, goes_on = self._state, True
        while goes_on and self._is_stuck():
            event = state.completion_queue.poll(time.time() + _RELIEF_SECONDS)
            if event.completion_type != cygrpc.CompletionType.queue_timeout:
                goes_on = _server._process_event_and_continue(state, event)  # noqa: SLF001  # see above
            del event  # it may hold the last reference to a call


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
            state.rpc_states.add(call)
            if state.stage is _server._ServerStage.STARTED:  # noqa: SLF001  # see above
                self.request()
            else:
                state.due.discard(self)
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
