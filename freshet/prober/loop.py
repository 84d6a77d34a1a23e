"""Walks again and again, and clears up behind itself."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from freshet.prober.metrics import ProbeMetrics
from freshet.prober.walk import Event as ProbeEvent
from freshet.prober.walk import Seen, Trial, Walker
from freshet_client import ClientError, RetrievalClient
from protos.marks import is_marked
from stream.errors import PublishFailed
from stream.events.types import Erasure

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1
"""Between two questions whether an answer shows what was published: the probe's error,
beside stages of a tenth of a second. Twice as many are ten calls a second less.
"""


class Publisher(Protocol):
    """Takes what a probe writes; `stream.kafka.producer.EventProducer` does."""

    def publish(self, event: ProbeEvent) -> None:
        """Send an event."""

    def publish_erasure(self, erasure: Erasure) -> None:
        """Send an erasure."""

    def flush(self) -> None:
        """Return when all has arrived."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What a probe works with.

    Attributes:
        walker: says what to publish.
        connect: opens a producer; raises `PublishFailed` while no broker answers.
        client: asks, as a probe.
        metrics: is told.
        every_seconds: from one walk to the next.
        timeout_seconds: after which a step is lost.
        clock: Unix time.
    """

    walker: Walker
    connect: Callable[[], Publisher]
    client: RetrievalClient
    metrics: ProbeMetrics
    every_seconds: float
    timeout_seconds: float
    clock: Callable[[], float] = time.time


class _Interrupted(Exception):
    """Another generation went live in the middle: it does not know the item."""


def run_probe(probe: Probe, stop: Event) -> None:
    """Walk until told to stop, then delete and erase what is there."""
    publisher, erased_ms = None, 0
    while not stop.is_set():
        began = probe.clock()
        now_ms = round(began * 1000)
        try:
            if publisher is None:
                publisher = probe.connect()
            if erased_ms == 0:
                _erase(publisher, probe.walker.leftovers(now_ms))
            else:
                _erase(publisher, probe.walker.over(erased_ms, now_ms))
            erased_ms = now_ms
            _walk(probe, publisher, round(began / probe.every_seconds), stop)
        except PublishFailed as error:
            probe.metrics.failed("publish")
            logger.warning("probe not published error=%s", error)
        stop.wait(max(0.0, probe.every_seconds - (probe.clock() - began)))
    if publisher is not None:
        _clear_up(probe, publisher)


def _walk(probe: Probe, publisher: Publisher, number: int, stop: Event) -> None:
    for trial in probe.walker.trials(number, round(probe.clock() * 1000)):
        try:
            seconds = _try(probe, publisher, trial, stop)
        except _Interrupted:
            return
        if stop.is_set():
            return
        if seconds is None:
            probe.metrics.lost(trial.step)
            logger.warning("probe lost step=%s after_seconds=%g", trial.step, probe.timeout_seconds)
            return
        probe.metrics.answered(trial.step, seconds)


def _try(probe: Probe, publisher: Publisher, trial: Trial, stop: Event) -> float | None:
    """Publish, and ask until an answer shows it; return after how many seconds, or None
    where none does in time.

    Raises:
        PublishFailed: no broker takes it.
    """
    asked = _ask(probe, trial.query)
    probe.metrics.sent(trial.step)
    try:
        publisher.publish(trial.event)
        publisher.flush()
    except PublishFailed:
        probe.metrics.lost(trial.step)
        raise
    published = probe.clock()
    while (waited := probe.clock() - published) < probe.timeout_seconds and not stop.is_set():
        if asked is None:  # the server did not answer before; what it says now counts
            asked = _ask(probe, trial.query)
        elif (now := _ask(probe, trial.query)) is not None:
            if trial.shows(asked[1], now[1]):
                return waited
            if now[0] != asked[0]:
                raise _Interrupted
        stop.wait(_LOOK_SECONDS)
    return None


def _ask(probe: Probe, query: str) -> tuple[str, Seen] | None:
    """Return the generation that answers and what it shows; None: nobody answers."""
    try:
        answer = probe.client.retrieve(query, 1)
    except ClientError as error:
        probe.metrics.failed("ask")
        logger.warning("probe not answered error=%s", error)
        return None
    marked = [hit for hit in answer.hits if is_marked(hit.item_id)]
    seen = Seen(
        titles={hit.item_id: hit.title for hit in marked},
        scores={hit.item_id: hit.score for hit in marked},
    )
    return answer.receipt.generation, seen


def _erase(publisher: Publisher, erasures: Iterable[Erasure]) -> None:
    for erasure in erasures:
        publisher.publish_erasure(erasure)
    publisher.flush()


def _clear_up(probe: Probe, publisher: Publisher) -> None:
    now_ms = round(probe.clock() * 1000)
    try:
        publisher.publish(probe.walker.deletion(now_ms))
        _erase(publisher, [probe.walker.this_hour(now_ms)])
    except PublishFailed as error:
        logger.warning("probe left behind item=%s error=%s", probe.walker.item_id, error)
