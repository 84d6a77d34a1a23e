"""The calls that are open: counted as they end, and ended when they are open for too
long.
"""

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from threading import Event, Thread
from typing import Final

import grpc

from server.calls.call import Call
from server.calls.failure import Failure
from server.metrics.calls import CallMetrics, Refused

logger = logging.getLogger(__name__)

# Seconds between two looks at what is open. Twice as long ends a call that much later.
_SWEEP_SECONDS: Final = 0.25
RETRY_METADATA: Final = "grpc-retry-pushback-ms"
"""Trailing metadata that tells gRPC's own retries when to try again."""

# A queue that was full is empty after so long. Twice as much would delay a client's
# second try by more than the overload lasts.
_RETRY_MS: Final = 200

# A watch of health is held open on purpose, by any number of clients.
HELD_METHODS: Final = frozenset({"Watch"})


_STOPS: Final = Failure(
    code=grpc.StatusCode.UNAVAILABLE, message="the server stops", reason="SERVER_STOPS"
)
_OVERLOADED: Final = Failure(
    code=grpc.StatusCode.RESOURCE_EXHAUSTED,
    message="the server has more calls than it can answer in time; try again after a pause, or "
    "ask another server",
    reason="OVERLOAD",
    retry_ms=_RETRY_MS,
    metadata=((RETRY_METADATA, str(_RETRY_MS)),),
)


class OpenCalls:
    """Keeps the calls that are open.

    Args:
        metrics: where they are counted.
        receive_seconds: longest wait for the message of a call.
        call_seconds: longest time that a call is open, unless it is held on purpose.
    """

    def __init__(
        self, metrics: CallMetrics, *, receive_seconds: float, call_seconds: float
    ) -> None:
        self._metrics = metrics
        self._receive_seconds = receive_seconds
        self._call_seconds = call_seconds
        self._calls: dict[Call, bool] = {}
        self._stop = Event()
        self._thread: Thread | None = None
        self.on_sweep: Callable[[], object] | None = None
        """Called at each look."""

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call, *, is_streaming: bool = False) -> None:
        """Keep a call until it ends, and count how it does."""
        self._calls[call] = is_streaming
        call.on_end(partial(self._ended, call))

    def start(self) -> None:
        """Begin to end what is open for too long, in a thread of its own."""
        self._thread = Thread(target=self._run, name="open-calls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def end_held(self) -> None:
        """End the calls that clients hold open, which a stop need not wait for."""
        for call, is_streaming in self._all():
            if is_streaming or call.method in HELD_METHODS:
                call.refuse(_STOPS)

    def refuse_overload(self, call: Call) -> None:
        """End a call that has waited, or would have to wait, for too long."""
        self._metrics.refused(Refused.OVERLOAD)
        call.refuse(_OVERLOADED)

    def sweep(self) -> None:
        """End what is open for too long now."""
        now = time.perf_counter()
        for call, is_streaming in self._all():
            seconds = now - call.started
            if not call.has_message and not is_streaming and seconds > self._receive_seconds:
                self._end(
                    call, f"no message came within {self._receive_seconds:g} s of the call's start"
                )
            elif now > call.waits_until:
                call.waits_until = math.inf
                self.refuse_overload(call)
            elif seconds > self._call_seconds and call.method not in HELD_METHODS:
                if call.is_active:
                    self._end(call, f"the call was open for {self._call_seconds:g} s")
                else:
                    call.cancel()

    def _end(self, call: Call, why: str) -> None:
        self._metrics.refused(Refused.TOO_LONG)
        call.refuse(
            Failure(code=grpc.StatusCode.DEADLINE_EXCEEDED, message=why, reason="OPEN_TOO_LONG")
        )

    def _all(self) -> list[tuple[Call, bool]]:
        # A copy is made in one step, whatever comes and ends meanwhile.
        return list(self._calls.copy().items())

    def _ended(self, call: Call) -> None:
        self._calls.pop(call, None)
        now, waited_seconds = time.perf_counter(), call.waited_seconds
        if waited_seconds < 0 <= call.queued_at:  # it ended while it waited
            waited_seconds = now - call.queued_at
        self._metrics.ended(call.method, call.code, now - call.started, waited_seconds)

    def _run(self) -> None:
        while not self._stop.wait(_SWEEP_SECONDS):
            try:
                if self.on_sweep is not None:
                    self.on_sweep()
                self.sweep()
            except Exception:
                # Whatever is wrong with one call, the others must end, too.
                logger.exception("sweep_failed")
