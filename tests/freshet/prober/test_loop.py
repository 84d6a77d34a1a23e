"""A probe walks a real graph, fresh lane and server, and leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from prometheus_client import CollectorRegistry

from freshet.prober.loop import Probe, run_probe
from freshet.prober.metrics import ProbeMetrics
from freshet.prober.walk import STEPS, Walker
from freshet_client import RetrievalClient
from model.artifact.generation import open_generation
from protos.marks import PROBE_METADATA, is_marked
from stream.errors import PublishFailed
from stream.events.types import CatalogItem, Erasure, Interaction
from testing.refresher.shop_lane import ShopLane, ids_of
from testing.retrieval_server import wait_until
from testing.small_shop import shop_events, shop_items

AS_PROBE = ((PROBE_METADATA, "1"),)


class Topics:
    """Applies what is published, as the stream would.

    Attributes:
        erased: what was asked to be erased.
        is_away: True: no broker takes anything.
        is_lost: True: what is published is applied by nobody.
    """

    def __init__(self, lane: ShopLane) -> None:
        self.erased: list[Erasure] = []
        self.is_away = self.is_lost = False
        self._lane = lane
        self._waiting: list[Interaction | CatalogItem] = []

    def publish(self, event: Interaction | CatalogItem) -> None:
        """Take an event."""
        self._waiting.append(event)

    def publish_erasure(self, erasure: Erasure) -> None:
        """Take an erasure."""
        self.erased.append(erasure)

    def flush(self) -> None:
        """Apply what waits."""
        waiting, self._waiting = self._waiting, []
        if self.is_away:
            raise PublishFailed("no broker answers")
        if waiting and not self.is_lost:
            self._lane.write(
                [each for each in waiting if isinstance(each, Interaction)],
                [each for each in waiting if isinstance(each, CatalogItem)],
            )


@pytest.fixture
def lane(tmp_path: Path) -> ShopLane:
    """A shop with one generation."""
    lane = ShopLane(root=tmp_path)
    lane.write(shop_events(200), shop_items())
    lane.train()
    return lane


@contextmanager
def probing(
    topics: Topics, client: RetrievalClient, timeout_seconds: float = 60.0
) -> Iterator[CollectorRegistry]:
    """Run a probe while inside; yield its metrics."""
    registry, stop = CollectorRegistry(), Event()
    probe = Probe(
        walker=Walker("here", 3600),
        connect=lambda: topics,
        client=client,
        metrics=ProbeMetrics(registry),
        every_seconds=1.0,
        timeout_seconds=timeout_seconds,
    )
    thread = Thread(target=run_probe, args=(probe, stop))
    thread.start()
    try:
        yield registry
    finally:
        stop.set()
        thread.join()


def counted(registry: CollectorRegistry, what: str, step: str) -> float:
    """A counter of the probe."""
    return registry.get_sample_value(f"freshet_probe_{what}_total", {"step": step}) or 0.0


def test_a_walk_is_answered_and_nobody_else_sees_it(lane: ShopLane) -> None:
    """Item, click and deletion are each seen, by the probe alone; trainings in the
    middle know nothing of it, and at the end nothing is left.
    """
    topics, shown = Topics(lane), list[str]()
    with lane.refreshing(), lane.serving(AS_PROBE) as client, lane.serving() as shopper:
        with probing(topics, client) as registry:

            def is_walked() -> bool:
                shown.extend(ids_of(shopper.retrieve("freshet probe here 1", 30)))
                return all(counted(registry, "answered", step) >= 2 for step in STEPS)

            wait_until(is_walked, "two walks are answered")
            generation = open_generation(lane.artifacts.generation_path(lane.train()))
        wait_until(
            lambda: not any(map(is_marked, ids_of(client.retrieve("freshet probe here", 30)))),
            "the item is gone",
        )

    assert shown
    assert not any(map(is_marked, shown))
    assert not any(map(is_marked, generation.item_ids))
    assert not any(text.startswith("freshet probe") for text in generation.query_texts)
    assert all(counted(registry, "lost", step) == 0 for step in STEPS)
    assert registry.get_sample_value("freshet_probe_seconds_count", {"step": "click"})
    assert topics.erased
    assert all(is_marked(each.id) for each in topics.erased)


def test_a_probe_counts_as_nobodys_question(lane: ShopLane) -> None:
    """What it asks is not among what is asked most."""
    with lane.refreshing(), lane.serving(AS_PROBE) as client:
        client.retrieve("freshet probe here 1", 3)

        assert client.asked().counts == {}


def test_what_no_answer_shows_is_lost(lane: ShopLane) -> None:
    """The stream stands still: the item never comes."""
    topics = Topics(lane)
    topics.is_lost = True
    with lane.refreshing(), lane.serving(AS_PROBE) as client:
        with probing(topics, client, timeout_seconds=0.5) as registry:
            wait_until(lambda: counted(registry, "lost", "item") >= 1, "it is lost")
            in_a_row = registry.get_sample_value("freshet_probe_lost_in_a_row", {"step": "item"})
            assert in_a_row

        assert counted(registry, "answered", "item") == 0


def test_a_broker_that_is_away_is_an_error_and_a_loss(lane: ShopLane) -> None:
    """Nothing can be published; the probe goes on once it can."""
    topics = Topics(lane)
    topics.is_away = True
    with lane.refreshing(), lane.serving(AS_PROBE) as client, probing(topics, client) as registry:
        wait_until(
            lambda: registry.get_sample_value("freshet_probe_errors_total", {"what": "publish"}),
            "an error is counted",
        )
        topics.is_away = False
        wait_until(lambda: counted(registry, "answered", "deletion") >= 1, "it walks")
