"""Publishes probes through Kafka, and asks over gRPC until answers show them."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

from bench.freshness.durable import DurableWatch
from bench.freshness.probes import Probe, Question, clicked_of
from bench.freshness.sightings import Answer, Published, Sighting, follow, shows
from freshet_client import QueryPath, RetrievalClient, RetrieveResult
from stream.kafka.producer import EventProducer
from stream.settings import StreamSettings

_FIRST = 10
"""Items of an answer that a shopper looks at: one that is not among them counts as not
found. The last of them is what a click falls on.
"""

_ASKED = 20
"""Items that are asked for: one that others push out of the first ten keeps its score.
"""


@dataclass(slots=True)
class Outcome:
    """What became of the probes.

    Attributes:
        sightings: one a question, and one a new item for its durability.
        num_unusable: probes that were not published, as an answer showed them before.
        failures: what calls or the broker failed with; such probes count nowhere else.
    """

    sightings: list[Sighting] = field(default_factory=list)
    num_unusable: int = 0
    failures: list[str] = field(default_factory=list)


class Prober:
    """Probes one system, until it is closed.

    Args:
        bootstrap: "host:port" of its broker.
        target: "host:port" of its server.
        durable: watches its store.
        timeout_seconds: after which a probe counts as never seen.
    """

    def __init__(
        self, bootstrap: str, target: str, durable: DurableWatch, timeout_seconds: float
    ) -> None:
        self.outcome = Outcome()
        self._producer = EventProducer(bootstrap, StreamSettings())
        self._client = RetrievalClient(target)
        self._durable = durable
        self._timeout_seconds = timeout_seconds
        self._publishing, self._counting = Lock(), Lock()
        self._stop = Event()

    def close(self) -> None:
        """Probe no more, and close what it holds."""
        self._stop.set()
        self._client.close()
        with closing(self._producer):
            pass

    def run(
        self, probes: Iterable[tuple[float, Callable[[], Probe]]], check: Callable[[], object]
    ) -> Outcome:
        """Publish each probe when it is due and follow it; return when the last one is
        seen or given up.

        Args:
            probes: seconds from now, in ascending order, and what makes the probe then.
            check: called between two probes.
        """
        began, threads = time.monotonic(), []
        for due, make in probes:
            while (seconds := due - (time.monotonic() - began)) > 0:
                self._stop.wait(min(seconds, 1.0))
                check()
            thread = Thread(target=self._probe, args=(make,), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            while thread.is_alive():
                thread.join(1.0)
                check()
        return self.outcome

    def _probe(self, make: Callable[[], Probe]) -> None:
        try:
            found = self._sightings(make())
        except Exception as error:  # noqa: BLE001  # told with the figures
            with self._counting:
                self.outcome.failures.append(f"{type(error).__name__}: {error}")
            return
        with self._counting:
            self.outcome.sightings += found
            self.outcome.num_unusable += not found

    def _sightings(self, probe: Probe) -> list[Sighting]:
        """Return a sighting for each question; none where an answer shows the probe
        before it is published.
        """
        results = [self._retrieve(each) for each in probe.questions]
        probe = probe.clicking(clicked_of([hit.item_id for hit in results[0].hits], _FIRST))
        before = [
            _answer(each, result) for each, result in zip(probe.questions, results, strict=True)
        ]
        asked = list(zip(probe.questions, before, strict=True))
        if any(shows(each.change, None, answer) for each, answer in asked):
            return []
        if probe.new_item_id:
            self._durable.expect(probe.new_item_id)
        published = self._publish(probe)
        with ThreadPoolExecutor(len(asked)) as asking:
            following = [
                asking.submit(self._follow, each, answer, published) for each, answer in asked
            ]
            durable = (
                [self._durable.follow(probe.new_item_id, published)] if probe.new_item_id else []
            )
            return [each.result() for each in following] + durable

    def _follow(self, question: Question, before: Answer, published: Published) -> Sighting:
        return follow(
            question, before, published, self._ask, self._stop.wait, self._timeout_seconds
        )

    def _publish(self, probe: Probe) -> Published:
        with self._publishing:
            sent = time.time()
            for event in probe.events:
                self._producer.publish(event)
            self._producer.flush()
            return Published(sent=sent, acknowledged=time.time())

    def _ask(self, question: Question) -> Answer:
        return _answer(question, self._retrieve(question))

    def _retrieve(self, question: Question) -> RetrieveResult:
        return self._client.retrieve(question.query, _ASKED)


def _answer(question: Question, result: RetrieveResult) -> Answer:
    receipt = result.receipt
    scores = {hit.item_id: hit.score for hit in result.hits}
    first = [hit.item_id for hit in result.hits[:_FIRST]]
    return Answer(
        at=time.time(),
        is_found=question.item_id in first,
        score=scores.get(question.item_id),
        is_encoded=result.path is QueryPath.ENCODED,
        is_fresh=result.path is QueryPath.FRESH,
        reflected_ms=(
            receipt.catalog_reflected_ms if question.is_of_catalog else receipt.reflected_ms
        ),
    )
