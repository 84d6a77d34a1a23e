"""Which calls wait for too long."""

from dataclasses import dataclass

import pytest

from server.calls.overload import WaitBound


@dataclass
class Clock:
    """A clock that a test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def work(bound: WaitBound, seconds: float, times: int = 1) -> None:
    """Have calls wait, take their turns, and work for so long."""
    for _ in range(times):
        bound.entered()
        bound.has_its_turn(entered_at=0.0)
        bound.worked(seconds)


def flooded(clock: Clock, calls: int) -> WaitBound:
    """Return a bound of 1 s for one thread, with calls of 0.1 s waiting."""
    bound = WaitBound(1.0, 1, clock=clock)
    work(bound, 0.1, times=500)
    for _ in range(calls):
        bound.entered()
    return bound


def test_a_call_is_turned_away_once_its_turn_would_come_too_late() -> None:
    """By the calls before it and the time of one."""
    assert flooded(Clock(), 9).may_enter()
    assert not flooded(Clock(), 11).may_enter()


def test_an_idle_server_takes_a_call_however_slow_the_last_were() -> None:
    """Nothing would make it faster again otherwise."""
    bound = WaitBound(0.01, 1, clock=Clock())
    work(bound, 1000.0)

    assert bound.may_enter()


def test_a_standing_queue_is_held_short_and_a_burst_may_wait() -> None:
    """The bound falls to a fifth while the queue is never empty, and is back once it
    was.
    """
    clock = Clock()
    bound = flooded(clock, 3)
    assert bound.bound_seconds == 1.0

    clock.seconds = 1.5
    assert bound.bound_seconds == 0.2
    assert not bound.has_its_turn(entered_at=1.2)
    assert bound.has_its_turn(entered_at=1.4)

    bound.has_its_turn(entered_at=1.5)
    assert bound.num_waiting == 0
    bound.entered()
    assert bound.bound_seconds == 1.0


def test_a_call_needs_no_turn_where_nothing_else_is_to_be_done() -> None:
    """None waits, none is at work, whether that comes to an answer or not."""
    bound = WaitBound(1.0, 2, clock=Clock())
    assert bound.needs_no_turn(began_at=0.0)

    bound.entered()
    assert not bound.needs_no_turn(began_at=0.0)
    bound.has_its_turn(entered_at=0.0)
    assert not bound.needs_no_turn(began_at=0.0)
    bound.worked(None)

    assert bound.needs_no_turn(began_at=0.0)


def test_calls_that_come_as_fast_as_they_are_answered_take_turns() -> None:
    """The next one began while the last was answered, or at once behind it."""
    clock = Clock(seconds=5.0)
    bound = WaitBound(1.0, 2, clock=clock)

    bound.answers_at_once()
    assert not bound.needs_no_turn(began_at=5.0)
    clock.seconds = 5.0005
    assert bound.answering_seconds == pytest.approx(0.0005)
    bound.answered_at_once()

    assert bound.answering_seconds < 0
    assert not bound.needs_no_turn(began_at=5.0004)
    assert not bound.needs_no_turn(began_at=5.00055)
    assert bound.needs_no_turn(began_at=5.001)


def test_calls_that_take_long_take_turns() -> None:
    """Nobody waits for a search of ten milliseconds in the one thread of gRPC."""
    bound = WaitBound(1.0, 2, clock=Clock())
    work(bound, 0.01, times=100)
    assert not bound.needs_no_turn(began_at=10.0)

    work(bound, 0.0001, times=100)
    assert bound.needs_no_turn(began_at=10.0)
