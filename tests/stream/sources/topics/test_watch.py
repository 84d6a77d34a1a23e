"""What is noticed of topics that change, without a broker."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from stream.errors import SourceUnavailable
from stream.events.types import SourcePartition
from stream.kafka.client import BrokerAway, KafkaClient, TopicDescription
from stream.metrics import StreamMetrics
from stream.sources.topics.watch import TopicLayout, TopicWatch

LAYOUT = TopicLayout({"clicks": 2, "sessions": 2}, {"erasures": 1}, {"clicks": "a"})


class Brokers:
    """A client whose brokers say what a test says."""

    def __init__(self) -> None:
        self.topics = {
            topic: TopicDescription(count, LAYOUT.topic_ids.get(topic, ""))
            for topic, count in {**LAYOUT.keyed, **LAYOUT.erasures}.items()
        }
        self.owned: set[int] = {0, 1}
        self.problem: Exception | None = None
        self.num_open = self.num_failed = 0

    def admin(self) -> "Brokers":
        """Connect."""
        if isinstance(self.problem, SourceUnavailable):
            raise self.problem
        self.num_open += 1
        return self

    def describe(self, topics: Collection[str]) -> Mapping[str, TopicDescription]:
        """Describe those that there are."""
        if self.problem:
            self.num_failed += 1
            raise self.problem
        return {topic: self.topics.get(topic, TopicDescription(0, "")) for topic in topics}

    def shares(self, topic: str) -> Sequence[Collection[int]]:
        """Return what each process of the group has; one more has nothing."""
        assert topic == "clicks"
        return [*({shard} for shard in self.owned), set()]

    def close(self) -> None:
        """Disconnect."""
        self.num_open -= 1


def watch(brokers: Brokers, every_seconds: float = 60.0) -> tuple[TopicWatch, CollectorRegistry]:
    """Return a watch on the brokers, and where its metrics are."""
    registry = CollectorRegistry()
    client = cast("KafkaClient", brokers)
    return TopicWatch(client, LAYOUT, every_seconds, StreamMetrics(registry)), registry


def test_what_shards_read() -> None:
    """The first topic has a partition for every shard that the group gives, also for
    one that nobody has described yet; of others those that there are.
    """
    assert LAYOUT.partitions_of([1, 2]) == [
        SourcePartition("clicks", 1),
        SourcePartition("sessions", 1),
        SourcePartition("clicks", 2),
    ]
    assert LAYOUT.erasure_partitions() == [SourcePartition("erasures", 0)]
    assert LAYOUT.num_shards == 2


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"sessions": (5, "s")}, {"sessions": 5}),
        ({"clicks": (1, "a")}, {}),
        ({"clicks": (1, "b")}, {"clicks": 1}),
        ({"clicks": (0, "")}, {}),
        ({"erasures": (3, "")}, {"erasures": 3}),
    ],
    ids=["more", "stale-broker", "made-again", "missing", "erasures"],
)
def test_counts_follow_the_topics(
    found: dict[str, tuple[int, str]], expected: dict[str, int]
) -> None:
    """Counts grow; they shrink only where the topic is another one, and stay where
    there is none for the moment.
    """
    after = LAYOUT.updated({name: TopicDescription(*each) for name, each in found.items()})
    counts = {**after.keyed, **after.erasures}

    assert counts == {"clicks": 2, "sessions": 2, "erasures": 1} | expected


def test_ids_follow_the_topics() -> None:
    """A topic that is gone keeps its id, so that the next one of its name is told from
    it.
    """
    gone = LAYOUT.updated({"clicks": TopicDescription(0, "")})
    again = gone.updated({"clicks": TopicDescription(2, "b"), "sessions": TopicDescription(2, "")})

    assert gone == LAYOUT
    assert again.topic_ids == {"clicks": "b", "sessions": ""}


def test_news_is_taken_once(caplog: pytest.LogCaptureFixture) -> None:
    """A look changes nothing until the worker takes it; the log names what changed."""
    brokers = Brokers()
    brokers.topics = {"clicks": TopicDescription(4, "a")}
    watched, _ = watch(brokers)
    with caplog.at_level(logging.WARNING, "stream"):
        assert watched.look()

    assert watched.layout == LAYOUT
    assert watched.adopt()
    assert not watched.adopt()
    assert watched.layout.num_shards == 4
    assert "topic=clicks partitions=4 before=2" in caplog.text
    assert brokers.num_open == 0


@pytest.mark.parametrize("problem", [BrokerAway("away"), SourceUnavailable("away")])
def test_brokers_that_do_not_tell(problem: Exception) -> None:
    """Nothing is taken for changed."""
    brokers = Brokers()
    brokers.problem = problem
    watched, _ = watch(brokers)

    assert not watched.look()
    assert not watched.adopt()
    assert brokers.num_open == 0


def test_shards_without_an_owner_are_counted_and_named(caplog: pytest.LogCaptureFixture) -> None:
    """What no member has in two looks in a row is in the log and in the metric.

    A topic with more partitions than the group shares out counts, too.
    """
    brokers = Brokers()
    brokers.topics = {"clicks": TopicDescription(3, "a"), "sessions": TopicDescription(4, "s")}
    watched, registry = watch(brokers, every_seconds=0.001)

    def without_owner() -> float | None:
        return registry.get_sample_value("freshet_stream_shards_without_owner")

    with caplog.at_level(logging.ERROR, "stream"):
        watched.start()
        while without_owner() != 2 or "shards without an owner" not in caplog.text:
            pass
        brokers.owned = {0, 1, 2, 3}
        while without_owner():
            pass
        watched.close()

    assert "shards=[2, 3]" in caplog.text
    assert registry.get_sample_value("freshet_stream_group_members") == 5


def test_shards_that_change_hands_are_not_without_an_owner(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One look in the middle of a rebalance says nothing, and the next comes soon: not
    only after a minute.
    """
    monkeypatch.setattr("stream.sources.topics.watch._LOOK_AGAIN_SECONDS", 0.001)
    brokers, told = Brokers(), list[float | None]()
    owned = iter([set[int](), {0, 1}, {0, 1}])
    watched, registry = watch(brokers)
    shares = brokers.shares

    def look(topic: str) -> Sequence[Collection[int]]:
        told.append(registry.get_sample_value("freshet_stream_shards_without_owner"))
        brokers.owned = next(owned, {0, 1})
        return shares(topic)

    monkeypatch.setattr(brokers, "shares", look)
    monkeypatch.setattr(watched, "_every_seconds", 0.001)
    with caplog.at_level(logging.ERROR, "stream"):
        watched.start()
        while not told:
            pass
        monkeypatch.setattr(watched, "_every_seconds", 60.0)
        while len(told) < 2:
            pass
        watched.close()

    assert told[:2] == [0, 0]
    assert registry.get_sample_value("freshet_stream_shards_without_owner") == 0
    assert not caplog.text


def test_a_watch_survives_brokers_that_go_away(caplog: pytest.LogCaptureFixture) -> None:
    """It looks again, with a new connection, until it is closed, and says so once."""
    caplog.set_level(logging.INFO, "stream")
    brokers = Brokers()
    watched, _ = watch(brokers, every_seconds=0.001)
    watched.start()
    brokers.problem = BrokerAway("away")
    while brokers.num_failed < 3:
        pass
    assert caplog.text.count("topics not looked at until the broker answers error=away") == 1
    brokers.topics = {"sessions": TopicDescription(3, "s")}
    brokers.problem = None
    # Looks before they went away may have told of something, too.
    while watched.layout.keyed["sessions"] != 3:
        watched.adopt()
    watched.close()

    assert brokers.num_open == 0


def test_a_topic_that_was_deleted_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Once, until it is there again, or the brokers do not tell; one that never was
    there is not missed.
    """
    brokers = Brokers()
    here = {"clicks": TopicDescription(2, "a"), "erasures": TopicDescription(1, "e")}
    brokers.topics = here
    watched, _ = watch(brokers)
    with caplog.at_level(logging.WARNING, "stream"):
        watched.look()
        watched.look()
    assert watched.missing == ["sessions"]
    assert caplog.text.count("topic is gone topic=sessions; create it again with 2") == 1

    brokers.problem = BrokerAway("down")
    watched.look()
    assert not watched.missing

    brokers.problem, brokers.topics = None, here | {"sessions": TopicDescription(2, "s")}
    watched.look()
    assert not watched.missing
    without = TopicLayout({"clicks": 2}, {"erasures": 0}, {})
    brokers.topics = {"clicks": TopicDescription(2, "a")}
    never = TopicWatch(
        cast("KafkaClient", brokers), without, 60.0, StreamMetrics(CollectorRegistry())
    )
    never.look()
    assert not never.missing
