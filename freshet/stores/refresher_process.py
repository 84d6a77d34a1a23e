"""Runs `freshet refresh` beside another command, and again where it ends."""

import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import IO

from freshet.process import LIFELINE_VARIABLE

logger = logging.getLogger(__name__)

# Seconds that it may take to end after SIGTERM: a round and a file. Twice as much helps
# only a very slow machine; killed it loses nothing either.
_GRACE_SECONDS = 10.0
# Seconds before it is started again, and the longest that come to be where it ends
# again and again; half as long would fill the log with the reason.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
# Seconds that one has to have run to be told as running, and for the next pause to be
# short again. By hand: a start takes a second, some twenty on a machine that is very
# busy. Twice as long: longer pauses after a second death in a while.
_SETTLED_SECONDS = 60.0
# Characters that are kept of its last line: a metric's label. Twice as many fill the
# screen of `freshet status`.
_MOST_CHARACTERS = 300
# Seconds between two looks whether it still runs: too short to notice.
_LOOK_SECONDS = 0.2


@contextmanager
def refresher_process(options: Mapping[str, object], tell: Callable[[str], None]) -> Iterator[None]:
    """Run `freshet refresh` as a process of its own while inside.

    It is started again where it ends, logs where this process does, and ends with this
    process, however that ends.

    Args:
        options: of its command line; those without a value are left out.
        tell: called with why it has ended, each time; and with nothing once it runs.
    """
    arguments = [text for name, value in options.items() if value for text in (name, str(value))]
    stop = Event()
    lifeline, hold = os.pipe()
    keeper = Thread(target=_keep, args=(arguments, lifeline, stop, tell), name="refresher-keeper")
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()
        os.close(hold)
        os.close(lifeline)


def _keep(
    arguments: Sequence[str], lifeline: int, stop: Event, tell: Callable[[str], None]
) -> None:
    pause = _FIRST_PAUSE_SECONDS
    while not stop.is_set():
        ran, why = _run(arguments, lifeline, stop, tell)
        if stop.is_set():
            return
        pause = _FIRST_PAUSE_SECONDS if ran >= _SETTLED_SECONDS else pause
        logger.error("the refresher %s; it is started again in %.0f s", why, pause)
        tell(why)
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _run(
    arguments: Sequence[str], lifeline: int, stop: Event, tell: Callable[[str], None]
) -> tuple[float, str]:
    """Run it once; return for how many seconds, and how it ended."""
    try:
        child = subprocess.Popen(
            # -P: what a user's folder holds, such as a server.py, is not ours.
            [sys.executable, "-P", "-m", "freshet", "refresh", *arguments],
            stdin=subprocess.DEVNULL,
            env={**os.environ, LIFELINE_VARIABLE: str(lifeline)},
            # Ctrl-C is for this process, which then ends that one.
            start_new_session=True,
            pass_fds=(lifeline,),
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        return 0.0, f"could not be started: {error}"
    with child:
        last: deque[str] = deque(maxlen=1)
        copier = Thread(target=_copy, args=(child.stderr, last), name="refresher-log")
        copier.start()
        ran = _attend(child, stop, tell)
        copier.join()
    return ran, _ending(child.returncode, "".join(last))


def _ending(code: int, last_line: str) -> str:
    """Return how it ended: what it said last says why, unless a signal ended it."""
    if code < 0:
        hint = ", as the system does without memory (dmesg)" if code == -signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"
    return f"ended with code {code}" + (f": {last_line}" if last_line else "")


def _copy(lines: IO[bytes], last: deque[str]) -> None:
    """Write lines where this process logs, and keep the last that is not empty."""
    for line in lines:
        with suppress(OSError):  # nobody reads our log: the child must not wait for that
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
        if text := line.decode("utf-8", "replace").strip():
            last.append(text[:_MOST_CHARACTERS])


def _attend(child: "subprocess.Popen[bytes]", stop: Event, tell: Callable[[str], None]) -> float:
    """Wait until it has ended, or end it when told to; return how long it ran, in
    seconds.
    """
    ran, is_told = 0.0, False
    while child.poll() is None:
        if ran >= _SETTLED_SECONDS and not is_told:
            tell("")
            is_told = True
        if stop.wait(_LOOK_SECONDS):
            child.terminate()
            try:
                child.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        ran += _LOOK_SECONDS
    return ran
