"""The quarantine topic: written, read, and published again from."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from stream.errors import PublishFailed, QuarantineUnavailable
from stream.events.decoder import Decoder
from stream.events.types import CatalogItem, Record, Rejection
from stream.quarantine.headers import (
    MAX_KEY_BYTES,
    MAX_VALUE_BYTES,
    Place,
    headers_of,
    marks_of,
    own_headers,
)
from stream.quarantine.records import QuarantinedRecord, of_topic
from stream.registry.open import open_registry
from stream.settings import StreamSettings

if TYPE_CHECKING:  # who reads files does not wait for a client of Kafka
    from stream.kafka.producer import RecordProducer

REPLAYED = "replayed"
"""The reason of a record of the topic that says: the record of this place was published
again, and waits in the quarantine no longer.
"""


# Seconds that the topic has to take rejected records, or to show that it is there;
# then the worker sees to its partitions and to a stop, and tries again. Twice as many
# make others wait twice as long for a shard of a worker whose quarantine is away.
_PUT_SECONDS = 5.0
# Milliseconds, a day: a record of the topic that is older, by its own time, has that of
# its rejection, so that retention by time takes it at most a day too early. Twice as
# many keep the own time of records that waited for longer, and take two days.
_MAX_AGE_MS = 86_400_000


class TopicQuarantine:
    """Produces rejections to the quarantine topic: original key, value, headers and
    time, and the rest in headers of ours and of Kafka Connect.

    Where the topic does not take them it connects anew with the next call: a topic that
    was made again may have other partitions.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: name of the topic.

    Raises:
        QuarantineUnavailable: no broker answers, or the topic is not there.
    """

    def __init__(self, bootstrap: str, settings: StreamSettings) -> None:
        self._topic = settings.quarantine_topic
        self._bootstrap = bootstrap
        self._settings = settings
        self._connected: _Connected | None = self._connect(settings.bootstrap_timeout_seconds)

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Produce rejections and wait until they are acknowledged.

        Raises:
            QuarantineUnavailable: they are not, within some seconds; some of them may
                be in the topic all the same.
        """
        if not rejections:
            return
        if self._connected is None:
            self._connected = self._connect(_PUT_SECONDS)
        producer, num_partitions = self._connected
        try:
            for rejection in rejections:
                record = rejection.record
                producer.send(
                    self._topic,
                    record.position.partition % num_partitions,
                    None if record.key is None else record.key[:MAX_KEY_BYTES],
                    (record.value or b"")[:MAX_VALUE_BYTES],
                    headers_of(rejection, now_ms, self._settings.group_id),
                    time_ms=_time_of(record, now_ms),
                )
            producer.flush()
        except PublishFailed as error:
            self.close()
            raise QuarantineUnavailable(str(error)) from error

    def close(self) -> None:
        """Disconnect."""
        connected, self._connected = self._connected, None
        if connected is not None:
            connected.producer.close()

    def _connect(self, within_seconds: float) -> "_Connected":
        from stream.kafka.producer import RecordProducer  # noqa: PLC0415  # not for files

        settings = replace(
            self._settings,
            bootstrap_timeout_seconds=min(within_seconds, self._settings.bootstrap_timeout_seconds),
        )
        producer: RecordProducer | None = None
        try:
            producer = RecordProducer(self._bootstrap, settings, delivery_seconds=_PUT_SECONDS)
            return _Connected(producer, producer.num_partitions(self._topic))
        except PublishFailed as error:
            if producer is not None:
                producer.close()
            raise QuarantineUnavailable(str(error)) from error


class _Connected(NamedTuple):
    """A producer, and how many partitions its topic had when it connected."""

    producer: "RecordProducer"
    num_partitions: int


def read_quarantine_topic(bootstrap: str, settings: StreamSettings) -> list[QuarantinedRecord]:
    """Return what the quarantine topic holds now, without what was published again
    since.

    In the order of the topic's partitions, each from its oldest record on. What is
    there twice comes once: an erasure is rejected by each shard, and a crash repeats.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: name of the topic.

    Raises:
        SourceUnavailable: no broker answers, or the topic is not there.
    """
    from stream.kafka.python.client import KafkaPythonClient  # noqa: PLC0415  # not for files

    waiting: dict[Place, dict[tuple[str, str], QuarantinedRecord]] = {}
    for record in KafkaPythonClient(bootstrap, settings).stored_records(settings.quarantine_topic):
        quarantined = of_topic(record)
        if quarantined.reason == REPLAYED:
            waiting.pop(quarantined.place, None)
        else:
            of_place = waiting.setdefault(quarantined.place, {})
            of_place.setdefault((quarantined.reason, quarantined.detail), quarantined)
    return [quarantined for places in waiting.values() for quarantined in places.values()]


def publish_again(
    bootstrap: str, settings: StreamSettings, records: Sequence[QuarantinedRecord], now_ms: int
) -> None:
    """Publish quarantined records to the partitions that they came from, as they came,
    and then note in the quarantine topic that they were.

    What says no time of its own, such as a state of an item, keeps that of its record:
    with a new one it would replace states that came since.

    A crash between the two publishes them again with the next call, which does no harm.

    Raises:
        PublishFailed: no broker answers, or a topic or partition is not there.
    """
    from stream.kafka.producer import RecordProducer  # noqa: PLC0415  # not for files

    once = {quarantined.place: quarantined for quarantined in records}.values()
    decoder = Decoder(settings, open_registry(settings))
    with closing(RecordProducer(bootstrap, settings)) as producer:
        for quarantined in once:
            record = quarantined.record
            producer.send(
                quarantined.source,
                quarantined.partition,
                record.key,
                record.value,
                own_headers(record),
                time_ms=record.time_ms if _needs_its_time(record, decoder, now_ms) else None,
            )
        producer.flush()
        num_partitions = producer.num_partitions(settings.quarantine_topic)
        for quarantined in once:
            producer.send(
                settings.quarantine_topic,
                quarantined.partition % num_partitions,
                quarantined.record.key,
                b"",
                marks_of(quarantined.place, REPLAYED, "published again", now_ms),
            )
        producer.flush()


def _time_of(record: Record, now_ms: int) -> int:
    """Return the time that a record has in the topic: its own, as Connect has it, but
    where a broker would refuse it, from the future, or soon take it for expired.
    """
    time_ms = record.time_ms
    return now_ms if time_ms is None or not 0 <= now_ms - time_ms <= _MAX_AGE_MS else time_ms


def _needs_its_time(record: Record, decoder: Decoder, now_ms: int) -> bool:
    """Return whether what a record holds says no time, so that the record's counts."""
    decoded = decoder.decode(replace(record, time_ms=None), now_ms)
    is_untimed = any(isinstance(each, CatalogItem) and not each.ts_ms for each in decoded.events)
    return is_untimed or bool(decoded.rejections)
