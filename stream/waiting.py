"""Work that waits for others, such as a broker that is away, given up once a process is
told to stop.
"""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Event, Thread
from typing import TypeVar

_Made = TypeVar("_Made")

# Seconds between two looks at whether to stop. Twice as many: a stop waits twice as
# long.
_LOOK_SECONDS = 0.1


class Stopped(Exception):  # it is no error: somebody asked for it
    """The process was told to stop before the work was done."""


def unless_stopped(work: Callable[[], _Made], stop: Event) -> _Made:
    """Return what `work` returns, or raise what it raises.

    It runs in a thread of its own, which nobody waits for once `stop` is set: what it
    still makes is left to the end of the process.

    Args:
        work: waits for somebody, in a call that cannot be told to stop.
        stop: ends the wait.

    Raises:
        Stopped: `stop` was set before.
    """
    made: Future[_Made] = Future()

    def run() -> None:
        try:
            made.set_result(work())
        except BaseException as error:  # noqa: BLE001  # whoever waits gets it
            made.set_exception(error)

    Thread(target=run, name="waiting", daemon=True).start()
    while not wait([made], _LOOK_SECONDS).done:
        if stop.is_set():
            raise Stopped
    return made.result()
