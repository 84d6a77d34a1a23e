"""Runs `freshet refresh` beside another command, and again where it ends."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event, Thread

from freshet.process import LIFELINE_VARIABLE

logger = logging.getLogger(__name__)

# Seconds that it may take to end after SIGTERM: a round and a file. Twice as much helps
# only a very slow machine; killed it loses nothing either.
_GRACE_SECONDS = 10.0
# Seconds before it is started again, and the longest that come to be where it ends
# again and again; half as long would fill the log with the reason.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
# Seconds that one has to have run so that the next pause is short again. By hand: a
# start takes a second. Twice as long: longer pauses after a second death in a while.
_SETTLED_SECONDS = 60.0
# Seconds between two looks whether it still runs: too short to notice.
_LOOK_SECONDS = 0.2


@contextmanager
def refresher_process(options: Mapping[str, object]) -> Iterator[None]:
    """Run `freshet refresh` as a process of its own while inside.

    It is started again where it ends, logs where this process does, and ends with this
    process, however that ends.

    Args:
        options: of its command line; those without a value are left out.
    """
    arguments = [text for name, value in options.items() if value for text in (name, str(value))]
    stop = Event()
    lifeline, hold = os.pipe()
    keeper = Thread(target=_keep, args=(arguments, lifeline, stop), name="refresher-keeper")
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()
        os.close(hold)
        os.close(lifeline)


def _keep(arguments: Sequence[str], lifeline: int, stop: Event) -> None:
    pause = _FIRST_PAUSE_SECONDS
    while not stop.is_set():
        child = _start(arguments, lifeline)
        if child is not None and _attend(child, stop) >= _SETTLED_SECONDS:
            pause = _FIRST_PAUSE_SECONDS
        if stop.is_set():
            return
        how = "could not be started" if child is None else f"ended with code {child.returncode}"
        logger.error("the refresher %s; it is started again in %.0f s", how, pause)
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _start(arguments: Sequence[str], lifeline: int) -> "subprocess.Popen[bytes] | None":
    try:
        return subprocess.Popen(
            # -P: what a user's folder holds, such as a server.py, is not ours.
            [sys.executable, "-P", "-m", "freshet", "refresh", *arguments],
            stdin=subprocess.DEVNULL,
            env={**os.environ, LIFELINE_VARIABLE: str(lifeline)},
            # Ctrl-C is for this process, which then ends that one.
            start_new_session=True,
            pass_fds=(lifeline,),
        )
    except OSError as error:
        logger.error("the refresher: %s", error)  # noqa: TRY400  # the message has the reason
        return None


def _attend(child: "subprocess.Popen[bytes]", stop: Event) -> float:
    """Wait until it has ended, or end it when told to; return how long it ran, in
    seconds.
    """
    ran = 0.0
    while child.poll() is None:
        if stop.wait(_LOOK_SECONDS):
            child.terminate()
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        ran += _LOOK_SECONDS
    return ran
