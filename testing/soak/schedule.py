"""The faults of a soak: which process is hit, how and when.

Drawn beforehand from a seed, so that it repeats.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

# Pauses, and stops, per kill: 17 each beside 200 kills. Chosen by hand, like all below.
_OTHERS_PER_KILL = 1 / 12
_BROKER_PER_KILL = 1 / 50  # broker restarts, which take seconds in which little happens
_AT_ONCE_SHARE = 0.5  # of kills after which the worker is started again at once
_LEAST_GAP_SECONDS = 0.1  # between two faults
_MOST_LEAD_SECONDS = 1.0  # from a burst of records to the fault that should hit their batch
_STEADY_SHARE = 0.5  # of the records that are published steadily; the others in bursts


class Fault(StrEnum):
    """What happens to a worker or to the broker."""

    KILL = "kill"
    PAUSE = "pause"
    STOP = "stop"
    BROKER_STOP = "broker stop"
    BROKER_KILL = "broker kill"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One fault.

    Attributes:
        at_seconds: when, from the beginning.
        fault: what.
        slot: which worker; -1: the broker.
        seconds: how long until it is started or woken up again; 0: at once.
        lead_seconds: how long before it a burst of records is published, so that it
            falls into work.
    """

    at_seconds: float
    fault: Fault
    slot: int
    seconds: float
    lead_seconds: float

    @property
    def back_at_seconds(self) -> float:
        """When the worker runs again."""
        return self.at_seconds + self.seconds


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many faults there are.

    Attributes:
        seed: of everything random.
        kills: SIGKILLs of workers; the other faults are in proportion, at least one of
            each.
        workers: how many there are when all of them run.
        every_seconds: mean time from one fault to the next.
        session_timeout_seconds: a pause is longer than this.
    """

    seed: int
    kills: int
    workers: int
    every_seconds: float
    session_timeout_seconds: float


def make_schedule(plan: Plan) -> list[Step]:
    """Return the steps in order of time.

    Of several workers one at least runs at any time.
    """
    random = Random(plan.seed)
    needed = min(2, plan.workers)
    back_at = [0.0] * plan.workers
    at, steps = plan.every_seconds, []
    for fault in _shuffled(plan, random):
        at += random.uniform(_LEAST_GAP_SECONDS, 2 * plan.every_seconds - _LEAST_GAP_SECONDS)
        at = max(at, sorted(back_at)[needed - 1])
        slot, seconds = -1, 0.0
        if fault in {Fault.KILL, Fault.PAUSE, Fault.STOP}:
            slot = random.choice([slot for slot, back in enumerate(back_at) if back <= at])
            seconds = _away_seconds(fault, plan, random)
            back_at[slot] = at + seconds
        lead = random.uniform(0.0, _MOST_LEAD_SECONDS)
        steps.append(
            Step(at_seconds=at, fault=fault, slot=slot, seconds=seconds, lead_seconds=lead)
        )
    return steps


def _shuffled(plan: Plan, random: Random) -> list[Fault]:
    others = max(1, round(plan.kills * _OTHERS_PER_KILL))
    brokers = [
        Fault.BROKER_STOP if number % 2 else Fault.BROKER_KILL
        for number in range(max(1, round(plan.kills * _BROKER_PER_KILL)))
    ]
    faults = [Fault.KILL] * plan.kills + [Fault.PAUSE] * others + [Fault.STOP] * others + brokers
    random.shuffle(faults)
    return faults


def _away_seconds(fault: Fault, plan: Plan, random: Random) -> float:
    if fault is Fault.PAUSE:
        return plan.session_timeout_seconds * random.uniform(1.3, 2.5)
    if fault is Fault.KILL and random.random() < _AT_ONCE_SHARE:
        return 0.0
    return random.uniform(0.2, 2 * plan.every_seconds)


class Pace:
    """How much is to be published by when.

    Half of it steadily, half in bursts shortly before the faults.

    Args:
        steps: the schedule.
        total: how much there is.
    """

    def __init__(self, steps: Sequence[Step], total: int) -> None:
        self._total = total
        self._end = max(step.at_seconds for step in steps)
        self._bursts = sorted(step.at_seconds - step.lead_seconds for step in steps)

    def due(self, at_seconds: float) -> int:
        """Return how much should have been published at a time."""
        steady = min(max(at_seconds, 0.0) / self._end, 1.0)
        bursts = bisect_right(self._bursts, at_seconds) / len(self._bursts)
        return round(self._total * (_STEADY_SHARE * steady + (1 - _STEADY_SHARE) * bursts))
