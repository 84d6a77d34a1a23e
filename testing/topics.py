"""Events of a small shop, and how they get into topics."""

import random
from collections.abc import Sequence

from stream.events.types import CatalogItem, Interaction
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
