"""Work that waits for others, given up once a process is told to stop."""

from threading import Event, Timer

import pytest

from stream.waiting import Stopped, unless_stopped


def test_what_is_made_comes_back() -> None:
    """So does what goes wrong, also where the process is to stop by then."""
    stop = Event()
    assert unless_stopped(lambda: "made", stop) == "made"

    def work() -> None:
        stop.set()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        unless_stopped(work, stop)


def test_nobody_waits_once_told_to_stop() -> None:
    """However long the work takes, which here ends with the test."""
    stop, done = Event(), Event()
    Timer(0.05, stop.set).start()

    with pytest.raises(Stopped):
        unless_stopped(done.wait, stop)

    done.set()
