"""Lets calls in: each gets a thread once its message has come, in time, or a status."""

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, TypeVar

import grpc

from server.calls.call import Call
from server.calls.callers import Callers
from server.calls.failure import Failure
from server.calls.grpc_call import DirectCall, GrpcCall
from server.calls.open_calls import OpenCalls
from server.calls.overload import WaitBound
from server.metrics.calls import CallMetrics, Refused

logger = logging.getLogger(__name__)

_Call = TypeVar("_Call", bound=Call)

METHOD_ATTRIBUTE: Final = "freshet_method"
"""Of what gRPC calls for a method: its name in metrics."""

_STUCK_SECONDS: Final = 0.1
"""Of a call in gRPC's thread: a hundred times what it takes there.

Twice as long keeps health checks waiting for as much longer, where a disk does not
answer.
"""

_NO_MESSAGE: Final = Failure(
    code=grpc.StatusCode.INVALID_ARGUMENT,
    message="the call has no message; send exactly one",
    reason="NO_MESSAGE",
)


class _Done(Future[None]):
    """What gRPC takes for the future of a call: it does not wait for one."""

    def add_done_callback(self, fn: Callable[[Future[None]], object]) -> None:
        """Call back at once, without the lock of a future that is still to come."""
        fn(self)


_DONE: Final = _Done()
_DONE.set_result(None)


class Door(ThreadPoolExecutor):
    """The threads of some methods, and who may have one.

    gRPC takes it for a pool of threads, and submits a call as soon as it comes.

    Args:
        name: of its threads.
        num_threads: calls that are at work at once.
        open_calls: where calls are kept while they are open.
        metrics: where they are counted.
        callers: who may call; None: everybody, as often as they like.
        wait_seconds: longest wait for a thread; None: calls wait for as long as their
            clients do.
        is_streaming: a call brings any number of messages, and has a thread from its
            start.
    """

    def __init__(
        self,
        name: str,
        num_threads: int,
        open_calls: OpenCalls,
        metrics: CallMetrics,
        *,
        callers: Callers | None = None,
        wait_seconds: float | None = None,
        is_streaming: bool = False,
    ) -> None:
        super().__init__(num_threads, name)
        self._name = name
        self._num_threads = num_threads
        self._turns: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads_of_door: list[Thread] = []
        self._open_calls = open_calls
        self._metrics = metrics
        self._callers = callers
        self._is_streaming = is_streaming
        self._has_bound = wait_seconds is not None
        self._wait_seconds = math.inf if wait_seconds is None else wait_seconds
        self._bound = WaitBound(wait_seconds or 0.0, num_threads)
        self.num_taken = 0  # of gRPC's calls; its one thread counts

    @property
    def num_waiting(self) -> int:
        """Calls that wait for a thread."""
        return self._bound.num_waiting

    @property
    def is_stuck(self) -> bool:
        """Whether gRPC's thread has been answering a call for too long."""
        return self._bound.answering_seconds > _STUCK_SECONDS

    def submit(self, run: Any, /, *work: Any, **_: Any) -> Future[Any]:
        """Let a call in, or end it with a status; in gRPC's thread, so it never waits.

        Args:
            run: runs something in the context of the call.
            work: gRPC's answering function, its arguments behind it: the event, the
                state, the method's behavior, what gives the argument, how a request is
                read, and how a response is written.
        """
        self.num_taken += 1
        answer, event, state, behavior, argument, read, write = work
        call = GrpcCall(event, state, getattr(behavior, METHOD_ATTRIBUTE, "unknown"))
        if not self.admit(call):
            return _DONE
        if self._is_streaming:
            self._stream(call, run, answer, event, state, behavior, argument, read, write)
            return _DONE

        def answer_it(call: GrpcCall, message: bytes) -> None:
            def argument_of() -> Any:
                return self._read(call, read, message)

            run(answer, event, state, behavior, argument_of, read, write)

        def come(call: GrpcCall, message: bytes) -> None:
            self.queue(call, partial(answer_it, call, message))

        call.receive(partial(self._received, call, come))
        return _DONE

    def take(self, call: DirectCall, come: Callable[[DirectCall, bytes], None]) -> None:
        """Let a call in, or end it with a status; in gRPC's thread, so it never waits.

        Args:
            call: that has begun.
            come: takes it with its message, in the same thread: queues it, or answers
                it if that is short.
        """
        self.num_taken += 1
        if self.admit(call):
            call.receive(partial(self._received, call, come))

    def _received(
        self, call: _Call, come: Callable[[_Call, bytes], None], message: bytes | None
    ) -> None:
        if message is None:
            call.refuse(_NO_MESSAGE)
        else:
            come(call, message)

    def admit(self, call: Call) -> bool:
        """Let a call in, or end it with a status; return whether it is in."""
        self._open_calls.add(call, is_streaming=self._is_streaming)
        if self._callers is not None:
            fault = self._callers.admit(call)
            if fault is not None:
                self._metrics.refused(fault.reason)
                call.refuse(fault.failure)
                return False
        if self._has_bound and not self._bound.may_enter():
            self._refuse_overload(call)
            return False
        return True

    def queue(self, call: Call, answer_it: Callable[[], None]) -> None:
        """Answer a call that was let in, and whose message has come, once there is a
        thread for it.
        """
        self._bound.entered()
        call.queued_at = time.perf_counter()
        call.waits_until = call.queued_at + self._wait_seconds
        self._enqueue(partial(self._work, call, answer_it))

    def answer_or_queue(self, call: Call, answer_it: Callable[[], None]) -> None:
        """Answer a call that was let in, and that is short, here and now where nothing
        else is to be done, else queue it.

        A thread that is woken for it waits for Python's lock, which is a fifth of what
        a short call costs.
        """
        if self._bound.needs_no_turn(call.started):
            call.waited_seconds = 0.0
            self._bound.answers_at_once()
            try:
                answer_it()
            finally:
                self._bound.answered_at_once()
        else:
            self.queue(call, answer_it)

    def charge(self, call: Call, size: int) -> None:
        """Count a call that was let in as `size` calls of its caller."""
        if self._callers is not None:
            self._callers.charge(call, size - 1)

    def count_refused(self, reason: Refused) -> None:
        """Count a call that was let in and is not answered."""
        self._metrics.refused(reason)

    def refuse_malformed(self, call: Call, why: object) -> None:
        """End a call whose message is none of its method's."""
        self._metrics.refused(Refused.MALFORMED)
        logger.debug("malformed_message method=%s why=%s", call.method, why)
        call.refuse(
            Failure(
                code=grpc.StatusCode.INVALID_ARGUMENT,
                message=f"the message is no request of {call.method}: it cannot be parsed; texts "
                "must be UTF-8, and client and server must have the same contract",
                reason="MALFORMED",
            )
        )

    def _stream(self, call: Call, run: Any, answer: Any, *work: Any) -> None:
        if self._bound.num_waiting >= self._num_threads:
            self._refuse_overload(call)
            return
        self._bound.entered()

        def answer_it() -> None:
            try:
                run(answer, *work)
            finally:
                self._bound.has_its_turn(call.started)
                self._bound.worked(None)

        self._enqueue(answer_it)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # the pool's signature
        """Let the threads end once they have done what waits for them."""
        for _ in self._threads_of_door:
            self._turns.put(None)
        if wait:
            for thread in self._threads_of_door:
                thread.join()
        super().shutdown(wait=wait, cancel_futures=cancel_futures)

    def _enqueue(self, turn: Callable[[], None]) -> None:
        """Have a thread do something.

        Not as the pool itself does, which makes a future that nobody waits for and
        takes three locks: a tenth of what a call costs.
        """
        if not self._threads_of_door:
            self._threads_of_door = [
                Thread(target=self._take_turns, name=f"{self._name}_{number}", daemon=True)
                for number in range(self._num_threads)
            ]
            for thread in self._threads_of_door:
                thread.start()
        self._turns.put(turn)

    def _take_turns(self) -> None:
        while True:
            turn = self._turns.get()
            if turn is None:
                return
            try:
                turn()
            except Exception:
                # Whatever is wrong with one call, the next must have its turn.
                logger.exception("turn_failed")
            del turn  # a call must not be held until the next one comes

    def _work(self, call: Call, answer_it: Callable[[], None]) -> None:
        """Answer a call whose turn it is, unless that is too late."""
        in_time = self._bound.has_its_turn(call.queued_at)
        call.waits_until = math.inf
        started = time.perf_counter()
        call.waited_seconds = started - call.queued_at
        seconds = None
        try:
            if self._has_bound and not in_time:
                self._refuse_overload(call)
            elif call.is_active:
                answer_it()
                seconds = time.perf_counter() - started
        finally:
            self._bound.worked(seconds)

    def _read(self, call: GrpcCall, read: Callable[[bytes], Any] | None, message: bytes) -> Any:
        """Return the request of a message; None: it was refused."""
        try:
            return message if read is None else read(message)
        except Exception as error:  # noqa: BLE001  # whatever a parser raises, the bytes are the client's
            self.refuse_malformed(call, error)
            return None

    def _refuse_overload(self, call: Call) -> None:
        self._open_calls.refuse_overload(call)
