"""Faults of Kafka, and of what producers write there."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from bench.faults.stack import PARTITIONS, Stack, as_json
from deploy.kafka.topics import TOPICS

_CLICKS = "freshet.clicks"
_POISON = 300  # records: more than twenty, and more than one in a hundred
_DAY_MS = 86_400_000
_MISSED_SECONDS = 5.0  # that events come while the stream is away
# Longer than a fault lasts; the broker ends a transaction after it.
_TRANSACTION_MS = 600_000

Repair = Callable[[], None]


def kill_broker(stack: Stack) -> Repair:
    """As a crash would."""
    stack.broker.kill()
    return stack.broker.start


def pause_broker(stack: Stack) -> Repair:
    """It accepts connections and answers nothing."""
    stack.broker.pause()
    return stack.broker.resume


def hold_partition(stack: Stack) -> Repair:
    """A transaction that is never ended: what is behind it cannot be read."""
    producer: Any = KafkaProducer(
        bootstrap_servers=stack.bootstrap,
        transactional_id="never-ended",
        transaction_timeout_ms=_TRANSACTION_MS,
    )
    producer.init_transactions()
    producer.begin_transaction()
    producer.send(_CLICKS, _click("held", 0), partition=0).get(timeout=30)

    def repair() -> None:
        producer.abort_transaction()
        producer.close()

    return repair


def write_poison(stack: Stack) -> Repair:
    """A producer that writes what is no event."""
    _write(stack, [b'{"ts_ms": 12, "broken": ' for _ in range(_POISON)])
    return lambda: None


def write_tomorrow(stack: Stack) -> Repair:
    """A producer whose clock is a day ahead."""
    _write(stack, [_click(f"ahead-{number}", _DAY_MS) for number in range(_POISON)])
    return lambda: None


def truncate_topic(stack: Stack) -> Repair:
    """Retention is faster than the stream: records go before they are read."""
    stack.system.stop("stream")
    time.sleep(_MISSED_SECONDS)
    _write(stack, [_click(f"lost-{number}", 0) for number in range(_POISON)])
    with closing(KafkaAdminClient(bootstrap_servers=stack.bootstrap)) as admin:
        admin.delete_records({TopicPartition(_CLICKS, number): -1 for number in range(PARTITIONS)})
    stack.restart("stream")
    return lambda: None


def recreate_topic(stack: Stack) -> Repair:
    """Somebody deletes a topic and makes it again."""
    name = "freshet.sessions"
    stack.system.stop("load")
    stack.system.stop("stream")
    with closing(KafkaAdminClient(bootstrap_servers=stack.bootstrap)) as admin:
        admin.delete_topics([name])
        _until_gone(admin, name)
        admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=dict(TOPICS[name]))])
    stack.restart("stream")
    stack.restart("load")
    return lambda: None


def _until_gone(admin: Any, name: str) -> None:
    while name in admin.list_topics():
        time.sleep(0.2)


def _write(stack: Stack, values: list[bytes]) -> None:
    producer: Any = KafkaProducer(bootstrap_servers=stack.bootstrap)
    with closing(producer):
        send = partial(producer.send, _CLICKS, headers=[("content-type", b"application/json")])
        for number, value in enumerate(values):
            send(value, key=str(number).encode())
        producer.flush()


def _click(session: str, ahead_ms: int) -> bytes:
    return as_json(
        ts_ms=round(time.time() * 1000) + ahead_ms,
        type="search_click",
        session_id=session,
        query="a fault",
        item_id="p000001",
    )
