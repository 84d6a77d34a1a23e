"""Which calls wait for too long."""

from dataclasses import dataclass

from server.calls.overload import WaitBound


@dataclass
class Clock:
    """A clock that a test moves."""

    seconds: float = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def flooded(clock: Clock, calls: int) -> WaitBound:
    """Return a bound of 1 s for one thread, with calls of 0.1 s waiting."""
    bound = WaitBound(1.0, 1, clock=clock)
    for _ in range(500):
        bound.worked(0.1)
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
    bound.worked(1000.0)

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
