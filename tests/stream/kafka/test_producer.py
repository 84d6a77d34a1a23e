"""Producing: what is published decodes to what was meant, in the partition of its
session.
"""

import gc
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from stream.actions import Action
from stream.errors import PublishFailed
from stream.events.decoder import decode
from stream.events.types import CatalogItem, Interaction, Record, SourcePartition
from stream.kafka.partitioner import shard_of
from stream.kafka.producer import Encoding, EventProducer, RecordProducer
from stream.settings import StreamSettings
from testing.histories import NOON_MS, event
from tests.conftest import TopicFactory

EVENTS = [
    event(
        session_id=f"s-{number % 17}",
        query=["", "tv", "red shoes"][number % 3],
        item_id=f"i-{number % 7}",
        ts_ms=NOON_MS - number * 1000,
        action=list(Action)[number % 4],
        user_id=["", "u-1"][number % 2],
    )
    for number in range(200)
]
ITEMS = [
    CatalogItem(item_id="i-1", title="Ein Titel", text="Text", attributes={"brand": "Acme"}),
    CatalogItem(item_id="i-2", available=False),
    CatalogItem(item_id="i-3", deleted=True, ts_ms=NOON_MS),
]


def settings_of(topics: Mapping[str, str], **more: Any) -> StreamSettings:
    """Return settings that name a test's own topics."""
    return StreamSettings(
        clicks_topic=topics["clicks"],
        sessions_topic=topics["sessions"],
        catalog_topic=topics["catalog"],
        quarantine_topic=topics["quarantine"],
        group_id=topics["clicks"],
        **more,
    )


def read_all(bootstrap: str, topics: list[str], partitions: int) -> list[Any]:
    """Return everything that is in the topics."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    places = [
        TopicPartition(topic, partition) for topic in topics for partition in range(partitions)
    ]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    ends = consumer.end_offsets(places)
    found: list[Any] = []
    while len(found) < sum(ends.values()):
        for messages in consumer.poll(timeout_ms=500).values():
            found += messages
    consumer.close()
    return found


def decoded(message: Any, settings: StreamSettings) -> list[Interaction | CatalogItem]:
    """Decode one message as the source would."""
    record = Record(
        position=SourcePartition(message.topic, message.partition),
        offset=message.offset,
        next_offset=message.offset + 1,
        content_type=dict(message.headers)["content-type"].decode(),
        key=message.key,
        value=message.value,
    )
    found = decode(record, settings, NOON_MS)
    assert not found.rejections
    return [event for event in found.events if isinstance(event, Interaction | CatalogItem)]


def by_session_and_topic(
    events: Sequence[Interaction],
) -> dict[tuple[str, bool], list[Interaction]]:
    """Group events by what keeps its order: the session in one topic."""
    groups: dict[tuple[str, bool], list[Interaction]] = defaultdict(list)
    for interaction in events:
        groups[interaction.session_id, bool(interaction.query)].append(interaction)
    return groups


@pytest.mark.parametrize(
    ("encoding", "batch_size"), [("protobuf", 1), ("json", 1), ("protobuf", 16)]
)
def test_published_events_come_back(
    kafka_bootstrap: str, kafka_topics: TopicFactory, encoding: Encoding, batch_size: int
) -> None:
    """Every event arrives once, equal to what was published, in its session's
    partition, in order.
    """
    topics = kafka_topics(partitions=3)
    settings = settings_of(topics)
    producer = EventProducer(kafka_bootstrap, settings, encoding=encoding, batch_size=batch_size)
    for item in ITEMS:
        producer.publish(item)
    for published in EVENTS:
        producer.publish(published)
    producer.flush()
    producer.close()
    interactions: list[Interaction] = []
    items: list[CatalogItem] = []
    for message in read_all(
        kafka_bootstrap, [topics["clicks"], topics["sessions"], topics["catalog"]], partitions=3
    ):
        for found in decoded(message, settings):
            if isinstance(found, CatalogItem):
                assert message.topic == topics["catalog"]
                assert shard_of(found.item_id, 3) == message.partition
                items.append(found)
            else:
                assert message.topic == topics["clicks" if found.query else "sessions"]
                assert shard_of(found.session_id, 3) == message.partition
                interactions.append(found)
    assert sorted(items, key=lambda item: item.item_id) == ITEMS
    assert len(interactions) == len(EVENTS)
    assert by_session_and_topic(interactions) == by_session_and_topic(EVENTS)


def test_batches_are_as_large_as_asked(kafka_bootstrap: str, kafka_topics: TopicFactory) -> None:
    """A batch holds at most so many events of one partition.

    What is left over goes with the flush.
    """
    topics = kafka_topics(partitions=1)
    producer = EventProducer(kafka_bootstrap, settings_of(topics), batch_size=16)
    clicks = [published for published in EVENTS if published.query]
    for published in clicks:
        producer.publish(published)
    producer.flush()
    producer.close()
    sizes = [
        len(decoded(message, settings_of(topics)))
        for message in read_all(kafka_bootstrap, [topics["clicks"]], partitions=1)
    ]
    assert sizes == [16] * (len(clicks) // 16) + [len(clicks) % 16]


def test_missing_topic(kafka_bootstrap: str) -> None:
    """Publishing to a topic that is not there is an error that names it."""
    settings = StreamSettings(clicks_topic="no-such-topic", bootstrap_timeout_seconds=6.0)
    producer = EventProducer(kafka_bootstrap, settings)
    with pytest.raises(PublishFailed, match="no-such-topic"):
        producer.publish(event())
    producer.close()


def test_record_too_large_for_the_broker(kafka_bootstrap: str, kafka_topics: TopicFactory) -> None:
    """A record that the broker refuses is an error, never silently dropped."""
    topics = kafka_topics()
    producer = RecordProducer(kafka_bootstrap, StreamSettings(bootstrap_timeout_seconds=60.0))

    def send() -> None:
        producer.send(topics["clicks"], 0, None, bytes(2_000_000), [])
        producer.flush()

    with pytest.raises(PublishFailed, match="did not take a record"):
        send()
    producer.close()


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # kafka-python does not close a refused socket
@pytest.mark.parametrize(
    ("host", "cause"), [("127.0.0.1:{}", "ECONNREFUSED"), ("no-such.invalid:{}", "DNS")]
)
def test_unreachable_broker(
    free_port: Callable[[], int], caplog: pytest.LogCaptureFixture, host: str, cause: str
) -> None:
    """A broker that cannot be reached is one error that names address and cause, and
    nothing is logged.
    """
    bootstrap = host.format(free_port())
    client_log = logging.getLogger("kafka")
    before = (client_log.level, client_log.propagate, list(client_log.handlers))
    with pytest.raises(PublishFailed, match=f"no Kafka broker answers at {bootstrap} .*{cause}"):
        EventProducer(bootstrap, StreamSettings(bootstrap_timeout_seconds=1.0))
    assert (client_log.level, client_log.propagate, list(client_log.handlers)) == before
    assert not caplog.text
    gc.collect()
