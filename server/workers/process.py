"""One worker as a child of the process that looks after it, with two channels."""

import logging
import socket
import subprocess
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Any

from server.workers.channel import (
    Answer,
    Asking,
    ChannelClosed,
    QuestionFailed,
    answer_until_closed,
)
from server.workers.cores import keep_to

logger = logging.getLogger(__name__)


class WorkerProcess:
    """A worker that runs.

    Args:
        command: starts it; the descriptors of its two channels are added.
        answer: what it asks is answered by.
        core: which it keeps to; None: it may use any.
    """

    def __init__(self, command: Sequence[str], answer: Answer, core: int | None = None) -> None:
        ours, theirs = socket.socketpair()
        upwards, asks = socket.socketpair()
        with theirs, asks:
            # Not forked: gRPC and our threads are in this process.
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(asks.fileno())],
                pass_fds=(theirs.fileno(), asks.fileno()),
                stdin=subprocess.DEVNULL,
            )
        keep_to(self._process.pid, core)  # before it has a second thread
        self._asking = Asking(ours)
        Thread(
            target=answer_until_closed, args=(upwards, answer), name="worker-asks", daemon=True
        ).start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process has."""
        return self._process.poll() is not None

    def ask(
        self,
        operation: str,
        message: Mapping[str, Any] | None = None,
        *,
        seconds: float,
        descriptors: Sequence[int] = (),
    ) -> dict[str, Any]:
        """See `Asking.ask`."""
        return self._asking.ask(operation, message, seconds=seconds, descriptors=descriptors)

    def wait(self) -> int:
        """Wait until it has ended, and return how: as `subprocess.Popen.wait`."""
        return self._process.wait()

    def end(self, message: Mapping[str, Any], seconds: float) -> None:
        """Tell it to stop, and kill it where that takes longer than some seconds."""
        try:
            self.ask("stop", message, seconds=seconds)
            self._process.wait(seconds)
        except (ChannelClosed, QuestionFailed, subprocess.TimeoutExpired) as error:
            if not self.has_ended:
                logger.error("worker_killed pid=%d why=%s", self.pid, error)  # noqa: TRY400  # it says all
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
