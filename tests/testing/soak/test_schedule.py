"""A soak's schedule by its seed, and the pace of what is published meanwhile."""

from collections import Counter

import pytest

from testing.soak.schedule import Fault, Pace, Plan, make_schedule

PLAN = Plan(seed=1, kills=200, workers=3, every_seconds=5.0, session_timeout_seconds=3.0)


def _plan(seed: int, workers: int, kills: int = 60) -> Plan:
    return Plan(
        seed=seed, kills=kills, workers=workers, every_seconds=5.0, session_timeout_seconds=3.0
    )


def test_a_schedule_is_the_same_by_seed() -> None:
    """What went wrong once can be had again."""
    assert make_schedule(PLAN) == make_schedule(PLAN)
    assert make_schedule(PLAN) != make_schedule(_plan(2, 3, 200))


def test_a_schedule_has_every_blow_and_ends_in_time() -> None:
    """200 kills and something of everything else, within 25 minutes."""
    steps = make_schedule(PLAN)

    faults = Counter(step.fault for step in steps)
    assert faults[Fault.KILL] == 200
    assert faults[Fault.PAUSE] >= 10
    assert faults[Fault.STOP] >= 10
    assert faults[Fault.BROKER_STOP] + faults[Fault.BROKER_KILL] == 4
    assert set(Counter(step.fault for step in make_schedule(_plan(3, 3, 6)))) >= {
        Fault.PAUSE,
        Fault.STOP,
    }
    assert steps[-1].at_seconds < 25 * 60
    assert [step.at_seconds for step in steps] == sorted(step.at_seconds for step in steps)


def test_a_pause_is_longer_than_the_session_timeout() -> None:
    """Or the paused worker would lose nothing."""
    pauses = [step.seconds for step in make_schedule(PLAN) if step.fault is Fault.PAUSE]

    assert min(pauses) > PLAN.session_timeout_seconds


@pytest.mark.parametrize("seed", range(20))
def test_only_running_workers_are_hit_and_one_of_several_keeps_running(seed: int) -> None:
    """A worker that is away is left alone, and never are all of them away."""
    back_at = [0.0, 0.0, 0.0]
    for step in make_schedule(_plan(seed, workers=3)):
        if step.slot < 0:
            continue
        assert back_at[step.slot] <= step.at_seconds
        back_at[step.slot] = step.back_at_seconds
        assert sum(back > step.at_seconds for back in back_at) < 3


def test_the_pace_ends_with_everything_and_bursts_before_each_fault() -> None:
    """What is published never goes back, and all of it is out when
    the last fault falls.
    """
    steps = make_schedule(PLAN)
    pace = Pace(steps, 100_000)

    due = [pace.due(second / 2) for second in range(2 * int(steps[-1].at_seconds) + 4)]
    assert due == sorted(due)
    assert (due[0], due[-1]) == (0, 100_000)
    first = min(step.at_seconds - step.lead_seconds for step in steps)
    assert pace.due(first) - pace.due(first - 0.001) > 150
