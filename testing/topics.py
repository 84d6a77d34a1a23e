"""Events of a small shop, how they get into topics, what topics have."""

import random
from collections.abc import Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from stream.events.decoder import decode
from stream.events.types import CatalogItem, Interaction, Record, SourcePartition
from stream.kafka.producer import EventProducer
from stream.settings import StreamSettings
from testing.histories import NOON_MS, event


def shop_events(count: int, seed: int) -> list[Interaction]:
    """Return the events of a small shop, the same for the same seed."""
    rng = random.Random(seed)
    return [
        event(
            session_id=f"s-{rng.randrange(count // 6 + 1)}",
            query=rng.choice(["", "tv", "red shoes", "xbox 360"]),
            item_id=f"i-{rng.randrange(20)}",
            ts_ms=NOON_MS + rng.randrange(10_000_000),
        )
        for _ in range(count)
    ]


def publish(
    bootstrap: str,
    settings: StreamSettings,
    events: Sequence[Interaction | CatalogItem],
    batch_size: int = 1,
) -> None:
    """Publish events and wait until they are there."""
    producer = EventProducer(bootstrap, settings, batch_size=batch_size)
    for published in events:
        producer.publish(published)
    producer.flush()
    producer.close()


def messages_in(bootstrap: str, topic: str, count: int) -> list[Any]:
    """Return the first messages of a topic."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    place = TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    found: list[Any] = []
    while len(found) < count:
        found += consumer.poll(timeout_ms=500).get(place, [])
    consumer.close()
    return found


def events_in(
    bootstrap: str, topic: str, count: int, now_ms: int = NOON_MS
) -> list[Interaction | CatalogItem]:
    """Return the first events of a topic, decoded as of `now_ms`."""
    found: list[Interaction | CatalogItem] = []
    for message in messages_in(bootstrap, topic, count):
        content_type = dict(message.headers)["content-type"].decode()
        record = Record(
            position=SourcePartition(topic, 0),
            offset=message.offset,
            next_offset=message.offset + 1,
            content_type=content_type,
            key=message.key,
            value=message.value,
        )
        events = decode(record, StreamSettings(), now_ms).events
        found += [event for event in events if isinstance(event, Interaction | CatalogItem)]
    return found
