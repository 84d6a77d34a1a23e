"""Publishes clicks and items to Kafka's topics, as a shop's own backend would.

Start a broker with Freshet's topics (``make kafka``), then::

    python examples/publish_to_kafka.py localhost:9092 freshet.

`freshet stream --source kafka:localhost:9092 --store shop/store` reads them from there,
for as long as it runs.
"""

import json
import sys
import time
from collections.abc import Mapping

from kafka import KafkaProducer

JSON = [("content-type", b"application/json")]  # protobuf and CloudEvents are understood, too

ITEMS = {"mug-red": "Red Mug", "mug-blue": "Blue Mug", "lamp-red": "Red Desk Lamp"}
SEARCHES = [  # session, query, item that was clicked
    ("session-1", "red mug", "mug-red"),
    ("session-1", "mug", "mug-blue"),
    ("session-2", "desk lamp", "lamp-red"),
]


def encoded(record: Mapping[str, object]) -> bytes:
    """Return a record as JSON in UTF-8."""
    return json.dumps(record).encode()


def main(bootstrap: str, prefix: str) -> None:
    """Publish to the topics that begin with a prefix, until the broker has all."""
    # A record that comes twice changes nothing: the graph is a set of facts. But none
    # may be lost, so all replicas must have it.
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, acks="all", allow_auto_create_topics=False
    )
    sent = [
        # The key must be the item id: the topic is compacted, and keeps the newest.
        producer.send(
            f"{prefix}catalog",
            encoded({"item_id": item, "title": title}),
            item.encode(),
            headers=JSON,
        )
        for item, title in ITEMS.items()
    ]
    for session, query, item in SEARCHES:
        event = {
            "ts_ms": time.time_ns() // 1_000_000,
            "type": "search_click",
            "session_id": session,
            "query": query,
            "item_id": item,
        }
        # The key must be the session id: a session lives in one partition.
        sent.append(
            producer.send(f"{prefix}clicks", encoded(event), session.encode(), headers=JSON)
        )
    for record in sent:
        record.get(timeout=30)
    producer.close()
    print(f"published {len(SEARCHES)} clicks and {len(ITEMS)} items to {bootstrap}")


if __name__ == "__main__":
    main(*sys.argv[1:])
