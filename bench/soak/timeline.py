"""Lives through a soak's schedule, then lets the workers catch up."""

import heapq
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from threading import Event

from bench.soak.trial import NUM_PARTITIONS, Trial
from stream.errors import StreamError
from stream.events.types import SourcePartition
from stream.reading.reader import open_graph
from testing.soak.schedule import Fault, Pace, Step

_TICK_SECONDS = 0.02  # how exactly faults and bursts are timed
_LOOK_SECONDS = 0.5  # between two looks at the store while workers catch up
# Seconds in which a worker must have partitions: its start, the session timeout of the
# one before it, and a broker that is away. Chosen by hand for a loaded machine.
_WORK_SECONDS = 240.0

Ends = Mapping[SourcePartition, int]


@dataclass(frozen=True, order=True)
class _Act:
    """What happens when.

    Attributes:
        at_seconds: from the beginning.
        number: what is at the same time happens in this order.
        ready: whether it may; else the schedule stands still until it may.
        happen: does it.
    """

    at_seconds: float
    number: int
    ready: Callable[[], bool] = field(compare=False)
    happen: Callable[[], None] = field(compare=False)


def live_through(trial: Trial) -> None:
    """Publish, and let every step happen at its time.

    A kill waits until the worker has partitions, and the schedule with it: what has
    none has nothing to lose. Nothing else waits for a worker to be healthy.

    Raises:
        SystemExit: a worker gets no partitions.
    """
    agenda = _agenda(trial)
    pace = Pace(trial.steps, len(trial.history.deliveries))
    wait, began, waited_seconds = Event(), time.monotonic(), 0.0
    for slot in range(trial.num_workers):
        trial.pool.start(slot)
    trial.feed.start()
    while agenda:
        now = time.monotonic() - began - waited_seconds
        trial.feed.allow(pace.due(now))
        trial.pool.check()
        if agenda[0].at_seconds > now:
            wait.wait(_TICK_SECONDS)
        elif agenda[0].ready():
            heapq.heappop(agenda).happen()
        else:
            waited_seconds += _until(agenda[0].ready, trial)
    trial.broker.wait()
    trial.feed.finish()
    trial.add("seconds of faults", time.monotonic() - began, "s")
    trial.add("of them waited until a worker had partitions", waited_seconds, "s")


def _until(ready: Callable[[], bool], trial: Trial) -> float:
    """Wait for a worker to have partitions, and return how long that took."""
    wait, began = Event(), time.monotonic()
    while not ready():
        trial.pool.check()
        if time.monotonic() - began > _WORK_SECONDS:
            raise SystemExit(
                f"a worker has no partitions after {_WORK_SECONDS:.0f} s:\n{trial.pool.log_tails()}"
            )
        wait.wait(_TICK_SECONDS)
    return time.monotonic() - began


def _agenda(trial: Trial) -> list[_Act]:
    """Return what happens, as a heap."""
    agenda: list[_Act] = []
    for step in trial.steps:
        act, undo = _acts(trial, step)
        is_kill = step.fault is Fault.KILL
        ready = partial(trial.pool.is_at_work, step.slot) if is_kill else _at_any_time
        agenda.append(_Act(step.at_seconds, len(agenda), ready, act))
        if undo:
            agenda.append(_Act(step.back_at_seconds, len(agenda), _at_any_time, undo))
    heapq.heapify(agenda)
    return agenda


def _at_any_time() -> bool:
    return True


def _acts(trial: Trial, step: Step) -> tuple[Callable[[], None], Callable[[], None] | None]:
    pool, start = trial.pool, partial(trial.pool.start, step.slot)
    match step.fault:
        case Fault.KILL:
            return partial(pool.kill, step.slot), start
        case Fault.PAUSE:
            return partial(pool.pause, step.slot), partial(pool.wake, step.slot)
        case Fault.STOP:
            return partial(pool.stop, step.slot), start
        case Fault.BROKER_STOP:
            return trial.broker.stop, None
        case Fault.BROKER_KILL:
            return trial.broker.kill, None


def catch_up(trial: Trial) -> None:
    """Wait until the store has applied everything.

    Raises:
        SystemExit: it does not in time.
    """
    ends = _end_offsets(trial)
    wait, began = Event(), time.monotonic()
    while waiting := _not_reached(trial, ends):
        trial.pool.check()
        if time.monotonic() - began > trial.catch_up_seconds:
            raise SystemExit(
                f"not caught up after {trial.catch_up_seconds:.0f} s: "
                f"{waiting}\n{trial.pool.log_tails()}"
            )
        wait.wait(_LOOK_SECONDS)
    trial.add("seconds to catch up", time.monotonic() - began, "s")


def _end_offsets(trial: Trial) -> Ends:
    from kafka import KafkaConsumer, TopicPartition

    settings = trial.settings
    topics = (settings.clicks_topic, settings.sessions_topic, settings.catalog_topic)
    partitions = [
        TopicPartition(topic, number) for topic in topics for number in range(NUM_PARTITIONS)
    ]
    with closing(KafkaConsumer(bootstrap_servers=trial.bootstrap)) as consumer:
        ends = consumer.end_offsets(partitions)
    return {SourcePartition(each.topic, each.partition): int(end) for each, end in ends.items()}


def _not_reached(trial: Trial, ends: Ends) -> dict[str, str]:
    """Return the places where the store is not at the end yet, and how far it is."""
    reached: dict[SourcePartition, int] = {}
    try:
        with open_graph(trial.store, trial.settings) as graph:
            for positions in graph.positions().values():
                for position, offset in positions.items():
                    reached[position] = max(offset, reached.get(position, 0))
    except StreamError as error:
        return {"the store": str(error)}
    return {
        f"{position.source}[{position.partition}]": f"{reached.get(position, 0)} of {end}"
        for position, end in ends.items()
        if reached.get(position, 0) < end
    }
