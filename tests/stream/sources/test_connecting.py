"""Waiting for a broker that goes away while a process starts."""

from collections.abc import Iterator
from threading import Event

import pytest

from stream.errors import QuarantineUnavailable, SourceUnavailable
from stream.sources import connecting
from stream.sources.connecting import connected
from stream.waiting import Stopped


def test_a_broker_that_goes_away_during_the_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is being restarted answers, then does not, then does again."""
    monkeypatch.setattr(connecting, "_RETRY_SECONDS", 0.0)
    answers: Iterator[str | Exception] = iter(
        [SourceUnavailable("gone"), QuarantineUnavailable("gone"), "connected"]
    )

    def connect() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert connected(connect, 60.0, Event()) == "connected"


@pytest.mark.parametrize(("seconds", "is_stopped"), [(0.0, False), (60.0, True)])
def test_a_broker_that_stays_away_ends_the_start(seconds: float, *, is_stopped: bool) -> None:
    """After its time, or when the process is to stop: with the error as it is."""
    stop = Event()
    if is_stopped:
        stop.set()

    def connect() -> None:
        raise SourceUnavailable("no Kafka broker answers")

    with pytest.raises(SourceUnavailable, match="no Kafka broker answers"):
        connected(connect, seconds, stop)


def test_a_process_that_is_to_stop_waits_for_no_answer() -> None:
    """One attempt takes as long as a broker is waited for at all, in one call."""
    stop, done = Event(), Event()
    stop.set()

    with pytest.raises(Stopped):
        connected(done.wait, 60.0, stop)

    done.set()
