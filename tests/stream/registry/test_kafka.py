"""Framed records of topics, from a real broker."""

from contextlib import closing
from threading import Event as StopEvent

import pytest
from prometheus_client import CollectorRegistry

from protos import events_v1_pb2 as pb
from stream.kafka.partitioner import shard_of
from stream.kafka.producer import RecordProducer
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine, read_quarantine
from stream.settings import KAFKA_CLIENTS, StreamSettings
from stream.sources.topics.source import KafkaSource
from stream.worker import WorkerTotals, run_worker
from testing.histories import NOON_MS, dump
from testing.oracle import Oracle, assert_same_dump
from testing.stand_ins.schema_registry import SchemaRegistry
from testing.topics import shop_events
from tests.conftest import TopicFactory
from tests.stream.conftest import OpenStore
from tests.stream.registry.conftest import Framing

_PARTITIONS = 2
_UNKNOWN = b"\0\0\0\3\xe7x"
_LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "ts_ms", "type": "long"}]
    + [
        {"name": name, "type": "string"}
        for name in ("type", "session_id", "user_id", "query", "item_id")
    ],
}


@pytest.fixture(params=KAFKA_CLIENTS)
def settings(
    kafka_topics: TopicFactory, registry: SchemaRegistry, request: pytest.FixtureRequest
) -> StreamSettings:
    """This test's own topics and registry, for each client."""
    topics = kafka_topics(partitions=_PARTITIONS)
    return StreamSettings(
        kafka_client=request.param,
        clicks_topic=topics["clicks"],
        sessions_topic="",
        catalog_topic="",
        erasures_topic="",
        group_id=topics["clicks"],
        poll_seconds=0.1,
        schema_registry_url=registry.url,
    )


def test_framed_records_make_the_graph_that_others_make(
    kafka_bootstrap: str, settings: StreamSettings, framing: Framing, open_store: OpenStore
) -> None:
    """Protobuf and Avro by Confluent's own serializers; what is of no schema of the
    registry is quarantined as it came.
    """
    events = shop_events(60, seed=5)
    common = [
        {name: getattr(each, name) for name in ("ts_ms", "session_id", "user_id", "query")}
        | {"item_id": each.item_id}
        for each in events
    ]
    actions = [each.action for each in events]
    messages = [
        pb.Event(action=int(action), **each)  # type: ignore[arg-type]  # of these names
        for each, action in zip(common[:30], actions, strict=False)
    ]
    lines = [
        each | {"type": action.label}
        for each, action in zip(common[30:], actions[30:], strict=True)
    ]
    values = framing.protobuf(*messages) + framing.avro(_LINE, *lines)
    with closing(RecordProducer(kafka_bootstrap, settings)) as producer:
        for event, value in zip(events, values, strict=True):
            partition = shard_of(event.key, _PARTITIONS)
            producer.send(settings.clicks_topic, partition, event.key.encode(), value, [])
        producer.send(settings.clicks_topic, 0, b"k", _UNKNOWN, [])
        producer.flush()

    store, stop = open_store(num_shards=_PARTITIONS), StopEvent()

    def stop_at_the_end(totals: WorkerTotals) -> None:
        if totals.records > len(events):
            stop.set()

    metrics = StreamMetrics(CollectorRegistry())
    totals = run_worker(
        KafkaSource(kafka_bootstrap, settings, metrics),
        store,
        FileQuarantine(store.root / FILE_NAME),
        settings,
        metrics,
        stop,
        on_progress=stop_at_the_end,
    )

    assert (totals.applied["events"], totals.quarantined) == (len(events), 1)
    (rejected,) = read_quarantine(store.root / FILE_NAME)
    assert (rejected.reason, rejected.value) == ("unknown_schema", _UNKNOWN)
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))
