"""Waits for a broker that goes away while a process starts."""

import logging
import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

from stream.errors import QuarantineUnavailable, SourceUnavailable
from stream.waiting import unless_stopped

logger = logging.getLogger(__name__)

_Connected = TypeVar("_Connected")

_RETRY_SECONDS = 1.0
"""Before a broker that went away is asked again. Twice as long is as much later."""


def connected(connect: Callable[[], _Connected], seconds: float, stop: Event) -> _Connected:
    """Return what connects to the broker.

    A broker that answers and goes away before all is asked, such as one that is being
    restarted, fails at once: it is tried again, for as long as one that never answers
    is waited for.

    Args:
        connect: may be called again after it failed.
        seconds: how long, at most; what an attempt waits itself counts.
        stop: ends the wait.

    Raises:
        SourceUnavailable, QuarantineUnavailable: the last attempt's.
        Stopped: `stop` was set while one waited for an answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return unless_stopped(connect, stop)
        except (SourceUnavailable, QuarantineUnavailable) as error:
            if time.monotonic() >= deadline or stop.is_set():
                raise
            logger.warning("waiting error=%s", error)
            stop.wait(_RETRY_SECONDS)
