"""Questions and answers between two processes of one server, with open files."""

import json
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from threading import Lock, Thread
from typing import Any, Final

Message = Mapping[str, Any]

_HEAD: Final = struct.Struct(">IH")  # bytes of the text, number of descriptors
# Linux passes 253 at once; a generation has some 40 files. Twice as many do not go.
_MOST_DESCRIPTORS: Final = 253
_CHUNK_BYTES: Final = 1 << 16  # of one read; any number does

_OPERATION, _NUMBER, _FAILED = "$operation", "$number", "$failed"  # keys of messages


class ChannelClosed(Exception):
    """The other process is gone, or did not answer in time."""


class QuestionFailed(Exception):
    """The other process cannot do what it is asked; the message says why."""


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a message with open files.

    Raises:
        ChannelClosed: nobody takes it.
    """
    text = json.dumps(message).encode()
    try:
        socket.send_fds(connection, [_HEAD.pack(len(text), len(descriptors))], list(descriptors))
        connection.sendall(text)
    except OSError as error:
        raise ChannelClosed(str(error)) from error


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return the next message, with the files that came with it.

    Raises:
        ChannelClosed: there is none.
    """
    try:
        head, descriptors, _, _ = socket.recv_fds(connection, _HEAD.size, _MOST_DESCRIPTORS)
        head += _exactly(connection, _HEAD.size - len(head)) if head else b""
        if not head:
            raise ChannelClosed("the other process has closed it")
        size, _ = _HEAD.unpack(head)
        message: dict[str, Any] = json.loads(_exactly(connection, size))
    except OSError as error:
        raise ChannelClosed(str(error)) from error
    return message, list(descriptors)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, _CHUNK_BYTES))
        if not part:
            raise ChannelClosed("the other process has closed it")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


class Asking:
    """The end of a channel that asks; any number of threads may.

    Args:
        connection: the channel, which it closes.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = Lock()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._numbers = count()
        self._thread = Thread(target=self._read, name="worker-answers", daemon=True)
        self._thread.start()

    def ask(
        self,
        operation: str,
        message: Message | None = None,
        *,
        seconds: float,
        descriptors: Sequence[int] = (),
    ) -> dict[str, Any]:
        """Return the answer to a question.

        Args:
            operation: what is asked.
            message: the question.
            seconds: longest wait for the answer; one that comes later is passed over.
            descriptors: open files that go with it.

        Raises:
            ChannelClosed: the other process is gone, or did not answer in time.
            QuestionFailed: it cannot do what it is asked.
        """
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            question = {**(message or {}), _OPERATION: operation, _NUMBER: number}
            send(self._connection, question, descriptors)
        try:
            found = answer.result(seconds)
        except TimeoutError:
            raise ChannelClosed(f"no answer to {operation} within {seconds:g} s") from None
        finally:
            self._waiting.pop(number, None)
        if _FAILED in found:
            raise QuestionFailed(found[_FAILED])
        return found

    def _read(self) -> None:
        try:
            while True:
                answer, _ = receive(self._connection)
                waiting = self._waiting.pop(answer.pop(_NUMBER), None)
                if waiting is not None:
                    waiting.set_result(answer)
        except ChannelClosed as error:
            for waiting in list(self._waiting.values()):
                waiting.set_exception(ChannelClosed(str(error)))
            self._connection.close()


Answer = Callable[[str, dict[str, Any], list[int]], Message | None]
"""From operation, question and open files to the answer."""


def answer_until_closed(connection: socket.socket, answer: Answer) -> None:
    """Answer the questions of a channel, one after the other, until it is closed.

    What `answer` raises is told to who asked; it closes the files that came.
    """
    with connection, suppress(ChannelClosed):
        while True:
            question, descriptors = receive(connection)
            number = question.pop(_NUMBER)
            try:
                found = answer(question.pop(_OPERATION), question, descriptors)
            except Exception as error:  # noqa: BLE001  # the other process decides what becomes of it
                found = {_FAILED: str(error) or type(error).__name__}
            send(connection, {**(found or {}), _NUMBER: number})
