"""Events and rejected records to Kafka topics: the one place that produces."""

from collections.abc import MutableSequence, Sequence
from functools import lru_cache
from typing import Any, Literal

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.errors import PublishFailed
from stream.events.formats.catalog import JSON_ITEM
from stream.events.formats.protobuf import content_type_of
from stream.events.types import CatalogItem, Erasure, Interaction
from stream.kafka.access.reach import reaching
from stream.kafka.access.security import python_options
from stream.kafka.partitioner import shard_of
from stream.settings import StreamSettings

Encoding = Literal["protobuf", "json"]
Headers = Sequence[tuple[str, bytes]]

_EVENT = content_type_of(pb.Event)
_EVENT_BATCH = content_type_of(pb.EventBatch)
_ITEM = content_type_of(pb.CatalogItem)
_ACTION_NUMBERS = {
    Action.VIEW: pb.ACTION_VIEW,
    Action.CLICK: pb.ACTION_CLICK,
    Action.ADD_TO_CART: pb.ACTION_ADD_TO_CART,
    Action.PURCHASE: pb.ACTION_PURCHASE,
}
_JSON = "application/json"

# How long a record waits for more of its partition: far below what a shopper notices.
# Twice as long makes requests fewer, and each click arrives up to 10 ms later.
_LINGER_MS = 10
# Of one request to a partition; the library's own 16 KiB makes eight times as many
# requests of a replay. Twice as many bytes double the memory a partition takes.
_BATCH_BYTES = 128 * 1024
# Records between two looks at whether they arrived. Twice as many wait half as often
# for the slowest, and an error is told that much later.
_MAX_IN_FLIGHT = 20_000
# Seconds after which a record that was sent has failed, as in the library: the restart
# of a broker is within. Twice as many: a topic that is gone is told that much later.
_DELIVERY_SECONDS = 120.0
# Milliseconds that a request is waited for, as in the library. Twice as many ask a
# broker that does not answer half as often.
_REQUEST_MS = 30_000
# A broker that is away must not hold up an exit for longer than a person waits; what
# was flushed is safe, so that twice as long saves nothing.
_CLOSE_SECONDS = 2.0
# Keys whose partition is remembered, some 20 MiB: murmur2 in Python takes 6 us a key.
# Twice as many takes twice that, and helps where more sessions are open at a time.
_MAX_CACHED_PARTITIONS = 100_000


class RecordProducer:
    """Sends records to a broker, idempotently and acknowledged by all replicas.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: how long to wait for the broker.
        delivery_seconds: after which a record that was sent has failed.

    Raises:
        PublishFailed: no broker answers, or it refuses this client, or there is no
            token.
        SettingsInvalid: a file for TLS or of a password cannot be used.
    """

    def __init__(
        self,
        bootstrap: str,
        settings: StreamSettings,
        *,
        delivery_seconds: float = _DELIVERY_SECONDS,
    ) -> None:
        timeout_ms = round(settings.bootstrap_timeout_seconds * 1000)
        self._bootstrap = bootstrap
        self._delivery_seconds = delivery_seconds
        self._pending: list[Any] = []
        self._num_partitions: dict[str, int] = {}
        delivery_ms = round(delivery_seconds * 1000)
        with reaching(bootstrap, settings, PublishFailed) as connections:
            self._producer = KafkaProducer(
                kafka_client=connections,
                bootstrap_servers=bootstrap.split(","),
                bootstrap_timeout_ms=timeout_ms,
                allow_auto_create_topics=False,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=_LINGER_MS,
                batch_size=_BATCH_BYTES,
                metrics_enabled=False,
                max_block_ms=min(timeout_ms, delivery_ms),
                delivery_timeout_ms=delivery_ms,
                request_timeout_ms=min(_REQUEST_MS, delivery_ms - _LINGER_MS),
                **python_options(settings),
            )

    def num_partitions(self, topic: str) -> int:
        """Return how many partitions a topic has.

        Raises:
            PublishFailed: there is no such topic.
        """
        if topic not in self._num_partitions:
            self._num_partitions[topic] = len(self._partitions_for(topic))
        return self._num_partitions[topic]

    def send(  # what a record has
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        *,
        time_ms: int | None = None,
    ) -> None:
        """Send one record; `flush` says whether it arrived.

        Args:
            topic: which must be there.
            partition: of it.
            key: its bytes; None: none.
            value: its bytes; None: none.
            headers: names and values, in order.
            time_ms: UTC epoch milliseconds that the record is of, where its topic keeps
                what producers say; None: now.

        Raises:
            PublishFailed: the broker does not take it.
        """
        try:
            future = self._producer.send(
                topic,
                value=value,
                key=key,
                headers=list(headers),
                partition=partition,
                timestamp_ms=time_ms,
            )
        except (KafkaError, ValueError) as error:
            raise self._failed(topic, error) from error
        self._pending.append((topic, future))
        if len(self._pending) >= _MAX_IN_FLIGHT:
            self.flush()

    def flush(self) -> None:
        """Wait until everything that was sent is acknowledged.

        Raises:
            PublishFailed: something was not.
        """
        pending, self._pending = self._pending, []
        try:
            # the library forgets its own bound where a topic has vanished
            self._producer.flush(timeout=self._delivery_seconds)
        except KafkaError as error:
            topics = ", ".join(sorted({topic for topic, _ in pending}))
            raise self._failed(topics, error) from error
        for topic, future in pending:
            if not future.succeeded():
                raise self._failed(topic, future.exception) from future.exception

    def close(self) -> None:
        """Disconnect. What was not flushed may be lost."""
        try:
            self._producer.close(timeout=_CLOSE_SECONDS)
        except KafkaError:  # it waits for records first, and then has closed nothing
            self._producer._sender.force_close()  # noqa: SLF001  # there is no other way

    def _partitions_for(self, topic: str) -> Sequence[int]:
        try:
            partitions = self._producer.partitions_for(topic)
        except KafkaTimeoutError:  # the library asks again until then
            partitions = None
        except KafkaError as error:
            raise self._failed(topic, error) from error
        if not partitions:
            raise PublishFailed(
                f"there is no topic {topic} at {self._bootstrap}; create it, then try again"
            )
        return list(partitions)

    def _failed(self, topic: str, error: BaseException | None) -> PublishFailed:
        return PublishFailed(
            f"{topic} at {self._bootstrap} did not take a record ({error}); check the broker, "
            "then try again"
        )


class EventProducer:
    """Publishes events to the topics that the stream reads, each in the partition of
    its session or item.

    An interaction with a query goes to the clicks topic, one without to the sessions
    topic.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: names of the topics.
        encoding: protobuf or the neutral JSON.
        batch_size: interactions in one record (protobuf only); 1: each in its own.

    Raises:
        PublishFailed: no broker answers.
    """

    def __init__(
        self,
        bootstrap: str,
        settings: StreamSettings,
        *,
        encoding: Encoding = "protobuf",
        batch_size: int = 1,
    ) -> None:
        self._producer = RecordProducer(bootstrap, settings)
        self._settings = settings
        self._encoding = encoding
        self._batch_size = batch_size if encoding == "protobuf" else 1
        self._batches: dict[tuple[str, int], _BatchColumns] = {}
        self._shard_of = lru_cache(maxsize=_MAX_CACHED_PARTITIONS)(shard_of)

    def publish(self, event: Interaction | CatalogItem | Erasure) -> None:
        """Send one event; `flush` says whether it arrived.

        Raises:
            PublishFailed: the broker does not take it, or the topic is not there.
        """
        if isinstance(event, CatalogItem):
            self._publish_item(event)
        elif isinstance(event, Erasure):
            self._send_erasure(event, partition=0)
        elif self._batch_size > 1:
            self._add_to_batch(event)
        else:
            topic, partition = self._place(event)
            value, content_type = _packed_interaction(event, self._encoding)
            self._send(topic, partition, event.key, value, content_type)

    def publish_erasure(self, erasure: Erasure) -> None:
        """Send an erasure; every shard reads it, whatever its partition.

        Raises:
            PublishFailed: the broker does not take it, or the topic is not there.
        """
        num_partitions = self._producer.num_partitions(self._settings.erasures_topic)
        self._send_erasure(erasure, self._shard_of(erasure.id, num_partitions))

    def publish_raw(self, value: bytes) -> None:
        """Send a line that cannot be decoded, for the stream to judge.

        `flush` says whether it arrived.
        """
        self._send(self._settings.clicks_topic, 0, "", value, _JSON)

    def flush(self) -> None:
        """Send what still waits for a full batch, and wait until everything is
        acknowledged.

        Raises:
            PublishFailed: something was not.
        """
        for topic, partition in list(self._batches):
            self._send_batch(topic, partition)
        self._producer.flush()

    def close(self) -> None:
        """Disconnect. What was not flushed may be lost."""
        self._producer.close()

    def _publish_item(self, item: CatalogItem) -> None:
        topic = self._settings.catalog_topic
        partition = self._shard_of(item.item_id, self._producer.num_partitions(topic))
        value, content_type = _packed_item(item, self._encoding)
        self._send(topic, partition, item.item_id, value, content_type)

    def _send_erasure(self, erasure: Erasure, partition: int) -> None:
        fields = {"erase": erasure.kind, "id": erasure.id, "ts_ms": erasure.ts_ms}
        value = msgspec.json.encode(fields)
        self._send(self._settings.erasures_topic, partition, erasure.id, value, _JSON)

    def _add_to_batch(self, event: Interaction) -> None:
        place = self._place(event)
        batch = self._batches.get(place)
        if batch is None:
            batch = self._batches[place] = _BatchColumns(event)
        batch.add(event)
        if len(batch.message.action) >= self._batch_size:
            self._send_batch(*place)

    def _send_batch(self, topic: str, partition: int) -> None:
        message = self._batches.pop((topic, partition)).message
        key = message.session_ids[0] or message.user_ids[0]
        self._send(topic, partition, key, message.SerializeToString(), _EVENT_BATCH)

    def _place(self, event: Interaction) -> tuple[str, int]:
        topic = self._settings.clicks_topic if event.query else self._settings.sessions_topic
        return topic, self._shard_of(event.key, self._producer.num_partitions(topic))

    def _send(self, topic: str, partition: int, key: str, value: bytes, content_type: str) -> None:
        headers = [("content-type", content_type.encode())]
        self._producer.send(topic, partition, key.encode(), value, headers)


class _BatchColumns:
    """An `EventBatch` while it fills."""

    def __init__(self, first: Interaction) -> None:
        self.message = pb.EventBatch(base_ts_ms=first.ts_ms)
        self._sessions: dict[tuple[str, str], int] = {}
        self._queries: dict[str, int] = {"": 0}
        self._items: dict[str, int] = {}

    def add(self, event: Interaction) -> None:
        message = self.message
        message.ts_offset_ms.append(event.ts_ms - message.base_ts_ms)
        message.session.append(self._session_index(event))
        message.query.append(_index_of(event.query, self._queries, message.queries))
        message.item.append(_index_of(event.item_id, self._items, message.item_ids))
        message.action.append(_ACTION_NUMBERS[event.action])

    def _session_index(self, event: Interaction) -> int:
        key = (event.session_id, event.user_id)
        if key not in self._sessions:
            self._sessions[key] = len(self._sessions)
            self.message.session_ids.append(event.session_id)
            self.message.user_ids.append(event.user_id)
        return self._sessions[key]


def _index_of(text: str, known: dict[str, int], column: MutableSequence[str]) -> int:
    if text not in known:
        known[text] = len(known)
        column.append(text)
    return known[text]


def _packed_interaction(event: Interaction, encoding: Encoding) -> tuple[bytes, str]:
    if encoding == "json":
        return msgspec.json.encode(_neutral(event)), _JSON
    message = pb.Event(
        ts_ms=event.ts_ms,
        session_id=event.session_id,
        user_id=event.user_id,
        query=event.query,
        item_id=event.item_id,
        action=_ACTION_NUMBERS[event.action],
    )
    return message.SerializeToString(), _EVENT


def _packed_item(item: CatalogItem, encoding: Encoding) -> tuple[bytes, str]:
    if encoding == "json":
        return msgspec.json.encode(item), JSON_ITEM
    message = pb.CatalogItem(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        attributes=item.attributes,
        unavailable=not item.available,
        deleted=item.deleted,
        ts_ms=item.ts_ms,
    )
    return message.SerializeToString(), _ITEM


def _neutral(event: Interaction) -> dict[str, Any]:
    return {
        "ts_ms": event.ts_ms,
        "type": event.action.label,
        "session_id": event.session_id,
        "user_id": event.user_id,
        "query": event.query or None,
        "item_id": event.item_id,
    }
