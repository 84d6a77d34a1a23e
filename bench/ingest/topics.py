"""The topics that ingestion is measured on."""

from contextlib import closing

from bench.ingest.workbench import Workbench
from protos import events_v1_pb2 as pb
from stream.kafka.producer import EventProducer, RecordProducer

_EVENT_TYPE = b"application/x-protobuf; messageType=freshet.events.v1.Event"
_BAD_EVERY = 100  # one malformed record after so many events: the 1% of the target
_BAD_VALUES = (
    (b"\xff\xff not protobuf", _EVENT_TYPE),
    (b"", _EVENT_TYPE),
    (b"{}", b"application/json"),
    (b'{"type":"click"', b"application/json"),
    (b"x", b"text/plain"),
)


def publish(bench: Workbench, *, batch_size: int) -> str:
    """Publish the events of the run to a new topic and return its name.

    Args:
        bench: whose events.
        batch_size: events in one record.
    """
    topic = bench.topic(f"by-{batch_size}")
    with closing(
        EventProducer(bench.bootstrap, bench.settings(topic), batch_size=batch_size)
    ) as producer:
        for event in bench.events():
            producer.publish(event)
        producer.flush()
    return topic


def publish_with_bad(bench: Workbench) -> str:
    """Publish the same events with a malformed record after every hundredth."""
    topic = bench.topic("bad")
    settings = bench.settings(topic)
    with (
        closing(EventProducer(bench.bootstrap, settings)) as producer,
        closing(RecordProducer(bench.bootstrap, settings)) as spoiler,
    ):
        for number, event in enumerate(bench.events()):
            producer.publish(event)
            if number % _BAD_EVERY == 0:
                value, content_type = _BAD_VALUES[number // _BAD_EVERY % len(_BAD_VALUES)]
                spoiler.send(topic, 0, b"bad", value, [("content-type", content_type)])
        producer.flush()
        spoiler.flush()
    return topic


def publish_framed(bench: Workbench, schema_id: int) -> str:
    """Publish the same events, each in the frame of a schema registry.

    Args:
        bench: whose events.
        schema_id: of `freshet.events.v1`, whose first message is an event.
    """
    topic = bench.topic("framed")
    frame = b"\0" + schema_id.to_bytes(4, "big") + b"\0"
    with closing(RecordProducer(bench.bootstrap, bench.settings(topic))) as producer:
        for event in bench.events():
            message = pb.Event(
                ts_ms=event.ts_ms,
                session_id=event.session_id,
                user_id=event.user_id,
                query=event.query,
                item_id=event.item_id,
                action=int(event.action),  # type: ignore[arg-type]  # its numbers are ours
            )
            value = frame + message.SerializeToString()
            producer.send(topic, 0, event.key.encode(), value, [])
        producer.flush()
    return topic


def end_offset(bench: Workbench, topic: str) -> int:
    """Return how many records a topic of one partition has."""
    from kafka import KafkaConsumer, TopicPartition

    with closing(KafkaConsumer(bootstrap_servers=bench.bootstrap)) as consumer:
        (end,) = consumer.end_offsets([TopicPartition(topic, 0)]).values()
    return int(end)
