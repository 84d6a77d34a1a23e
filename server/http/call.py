"""One call over HTTP: what doors know of it, and what its connection waits for."""

import asyncio
import threading
from collections.abc import Callable

import grpc

from server.calls.call import Call
from server.calls.failure import Failure, Metadata

Outcome = bytes | Failure
"""The JSON of an answer, or how the call failed."""


class HttpCall(Call):
    """A call over HTTP.

    Doors answer or refuse it from their threads; its connection waits for that in the
    thread of the event loop.

    Args:
        method: its name, for metrics.
        headers: what the client sent, names in lower case.
        peer: its address, as gRPC writes it.
        identity: name in its certificate; empty: it has none.
        loop: of its connection.
    """

    def __init__(
        self,
        method: str,
        headers: Metadata,
        peer: str,
        identity: str,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(method, headers)
        self._peer = peer
        self._identity = identity
        self._loop = loop
        self._lock = threading.Lock()
        self._outcome: Outcome | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._decided = asyncio.Event()
        self._is_gone = False

    @property
    def peer(self) -> str:
        """Address of the client without its port."""
        return self._peer

    @property
    def identity(self) -> str:
        """Name in the client's certificate; empty: it has none."""
        return self._identity

    @property
    def is_active(self) -> bool:
        """Whether somebody waits for its status."""
        return self._outcome is None and not self._is_gone

    @property
    def code(self) -> str:
        """Name of its status as the client sees it, once it has ended."""
        outcome = self._outcome
        if outcome is None or self._is_gone:
            return grpc.StatusCode.CANCELLED.name
        return outcome.code.name if isinstance(outcome, Failure) else grpc.StatusCode.OK.name

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once the call has ended, however it did."""
        self._callbacks.append(callback)

    def refuse(self, failure: Failure) -> None:
        """End the call with a status, unless it has ended."""
        self._decide(failure)

    def cancel(self) -> None:
        """End the call at once; its connection is closed by a time limit of its own."""
        self._is_gone = True

    def answer(self, body: bytes) -> None:
        """Answer the call, unless it has ended."""
        self._decide(body)

    async def outcome(self) -> Outcome:
        """Return how the call ends, once that is known."""
        await self._decided.wait()
        assert self._outcome is not None  # noqa: S101  # for the types: it is decided
        return self._outcome

    def end(self, *, is_gone: bool) -> None:
        """The client has its status, or is gone."""
        self._is_gone = self._is_gone or is_gone
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def _decide(self, outcome: Outcome) -> None:
        with self._lock:
            if self._outcome is not None:
                return
            self._outcome = outcome
        try:
            self._loop.call_soon_threadsafe(self._decided.set)
        except RuntimeError:  # the loop is closed, and nobody waits
            self._is_gone = True
