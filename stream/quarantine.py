"""Where rejected records go, before their positions move on.

A file beside the store, or a topic.
"""

import fcntl
import logging
import os
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol
from uuid import uuid4

import msgspec

from stream.errors import PublishFailed, QuarantineFailed, QuarantineUnavailable, refusal
from stream.events.types import Record, Rejection, SourcePartition
from stream.files import sync_directory
from stream.settings import StreamSettings

if TYPE_CHECKING:  # who reads files does not wait for a client of Kafka
    from stream.kafka.producer import Headers, RecordProducer
    from stream.kafka.python_client import StoredRecord

logger = logging.getLogger(__name__)

FILE_NAME = "quarantine/rejected.jsonl"
"""Where a store's quarantine file is, under the store's folder."""

_REDACTIONS_NAME = "quarantine/redactions.jsonl"

MAX_TOPIC_VALUE_BYTES = 512 * 1024
"""Bytes of a value; a longer one is cut for the topic.

A broker takes 1 MiB of record by default, and base64 and headers add a third: twice as
much would be refused there, and stop the stream.
"""

REPLAYED = "replayed"
"""The reason of a record of the topic that says: the record of this place was published
again, and waits in the quarantine no longer.
"""

# Seconds that the topic has to take rejected records, or to show that it is there;
# then the worker sees to its partitions and to a stop, and tries again. Twice as many
# make others wait twice as long for a shard of a worker whose quarantine is away.
_PUT_SECONDS = 5.0
_CONTENT_TYPE = "content-type"
_OWN_HEADERS = frozenset(
    {
        *("reason", "detail", "at-ms", _CONTENT_TYPE),
        *("source-topic", "source-partition", "source-offset"),
        *("source-time-ms", "source-value", "source-value-bytes"),
    }
)

# Bytes read at once from the file's end to find its last whole line; chosen by hand.
# Twice as much reads longer at the start and saves a step on very long lines.
_TAIL_BYTES = 64 * 1024


class Quarantine(Protocol):
    """Where a worker puts what it cannot use."""

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Put rejections away; they are safe when this returns.

        Raises:
            QuarantineFailed: they are not.
        """

    def close(self) -> None:
        """Release what is held."""


Place = tuple[str, int, int]
"""Source, partition and offset of a record."""


class QuarantinedRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the quarantine file.

    Attributes:
        reason: one of `stream.reasons.REASONS`.
        detail: what was wrong, for people.
        source: topic or file.
        partition: of the topic; 0 for a file.
        offset: of the record in the topic, or of the line in the unpacked file.
        content_type: as announced; empty: none was.
        key_base64: the record's key; None: it had none.
        value_base64: the record's bytes; None: it had none.
        at_ms: when it was rejected.
        time_ms: the record's own time; None: not known.
        value_bytes: how long the record was whose value is cut; None: it is whole.
        headers: what else said what it is.
    """

    reason: str
    detail: str
    source: str
    partition: int
    offset: int
    content_type: str
    key_base64: str | None
    value_base64: str | None
    at_ms: int
    time_ms: int | None = None
    value_bytes: int | None = None
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> Place:
        """Where the record was read, which names it."""
        return self.source, self.partition, self.offset

    @property
    def record(self) -> Record:
        """The record as it came, to be decoded again."""
        return Record(
            position=SourcePartition(self.source, self.partition),
            offset=self.offset,
            next_offset=self.offset + 1,
            content_type=self.content_type,
            key=None if self.key_base64 is None else b64decode(self.key_base64),
            value=self.value,
            time_ms=self.time_ms,
            headers=self.headers,
        )

    @property
    def value(self) -> bytes | None:
        """The record's bytes as they came."""
        return None if self.value_base64 is None else b64decode(self.value_base64)


class FileQuarantine:
    """Appends rejections to a file of JSON lines.

    Args:
        path: the file; made when the first rejection comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Append rejections and force them to disk.

        Raises:
            QuarantineFailed: the disk refused.
        """
        if not rejections:
            return
        lines = b"".join(_line(rejection, now_ms) for rejection in rejections)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._path):
                self._open()
                _write_all(self._descriptor, lines)
                os.fsync(self._descriptor)
        except OSError as error:
            raise QuarantineFailed(
                f"{self._path} could not be written ({error.strerror}); "
                f"{refusal(error) or 'mend the disk'}, then start again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0 and _is_same_file(self._descriptor, self._path):
            return
        self.close()
        self._descriptor = os.open(
            self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        _cut_torn_line(self._descriptor)


class RejectedRecords:
    """What was rejected of one source.

    Attributes:
        num_records: how many records; one may be rejected for several reasons.
        reasons: how many for each reason.
        examples: the first rejection for each reason.
    """

    def __init__(self) -> None:
        self.num_records = 0
        self.reasons: Counter[str] = Counter()
        self.examples: dict[str, Rejection] = {}

    @property
    def main_reason(self) -> str:
        """The most frequent reason; there must be one."""
        return max(self.reasons, key=self.reasons.__getitem__)


class QuarantineTally:
    """Puts rejections into a quarantine, and counts them by source.

    Args:
        quarantine: where they go; closed with this.
    """

    def __init__(self, quarantine: Quarantine) -> None:
        self._quarantine = quarantine
        self._sources: dict[SourcePartition, RejectedRecords] = {}

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Put rejections away, and count them.

        Raises:
            QuarantineFailed: they are not safe.
        """
        self._quarantine.put(rejections, now_ms)
        for rejection in rejections:
            of_source = self._sources.setdefault(rejection.record.position, RejectedRecords())
            of_source.reasons[rejection.reason] += 1
            of_source.examples.setdefault(rejection.reason, rejection)
        for position, _ in {(each.record.position, each.record.offset) for each in rejections}:
            self._sources[position].num_records += 1

    def of(self, position: SourcePartition) -> RejectedRecords:
        """Return what was rejected of a source."""
        return self._sources.get(position, RejectedRecords())

    def close(self) -> None:
        """Close the quarantine."""
        self._quarantine.close()


class TopicQuarantine:
    """Produces rejections to the quarantine topic, with the original key and value, and
    the rest in headers.

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
                    record.key,
                    (record.value or b"")[:MAX_TOPIC_VALUE_BYTES],
                    _headers(rejection, now_ms),
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
    from stream.kafka.python_client import KafkaPythonClient  # noqa: PLC0415  # not for files

    waiting: dict[Place, dict[tuple[str, str], QuarantinedRecord]] = {}
    for record in KafkaPythonClient(bootstrap, settings).stored_records(settings.quarantine_topic):
        quarantined = _of_topic(record)
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

    A crash between the two publishes them again with the next call, which does no harm.

    Raises:
        PublishFailed: no broker answers, or a topic or partition is not there.
    """
    from stream.kafka.producer import RecordProducer  # noqa: PLC0415  # not for files

    once = {quarantined.place: quarantined for quarantined in records}.values()
    with closing(RecordProducer(bootstrap, settings)) as producer:
        for quarantined in once:
            record = quarantined.record
            headers = [*quarantined.headers]
            if record.content_type:
                headers.append((_CONTENT_TYPE, record.content_type))
            producer.send(
                quarantined.source,
                quarantined.partition,
                record.key,
                record.value,
                [(name, value.encode()) for name, value in headers],
            )
        producer.flush()
        num_partitions = producer.num_partitions(settings.quarantine_topic)
        for quarantined in once:
            marks = _place_headers(quarantined.place) | {
                "reason": REPLAYED,
                "detail": "published again",
                "at-ms": str(now_ms),
            }
            producer.send(
                settings.quarantine_topic,
                quarantined.partition % num_partitions,
                quarantined.record.key,
                b"",
                [(name, value.encode()) for name, value in marks.items()],
            )
        producer.flush()


def read_quarantine(path: Path) -> Iterator[QuarantinedRecord]:
    """Yield what a quarantine file holds, oldest first; nothing where there is no file.

    A line that a crash cut short is left out: its batch was not applied, so the record
    comes again.

    Raises:
        QuarantineFailed: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _DECODER.decode(line)
                except ValueError as error:
                    logger.warning(
                        "quarantine line unreadable path=%s line=%d error=%s", path, number, error
                    )
    except FileNotFoundError:
        return
    except OSError as error:
        raise QuarantineFailed(
            f"{path} cannot be read ({error.strerror}); {refusal(error) or 'check the disk'}"
        ) from error


def remove_quarantined(path: Path, is_removed: Callable[[QuarantinedRecord], bool]) -> int:
    """Rewrite a quarantine file without some of its records; return how many those are.

    A stream may append to it meanwhile, and waits for no more than what it has appended
    since the rewriting began. A crash leaves the old file or the new one.

    Raises:
        QuarantineFailed: the file cannot be read, or the disk refused.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        while True:
            with path.open("rb") as source, temporary.open("wb") as target:
                num_removed = _copy_others(source, target, is_removed)
                with _locked(path):
                    if not _is_same_file(source.fileno(), path):
                        continue  # rewritten by another process meanwhile
                    num_removed += _copy_others(source, target, is_removed)
                    target.flush()
                    os.fsync(target.fileno())
                    temporary.replace(path)
            sync_directory(path.parent)
            return num_removed
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise QuarantineFailed(
            f"{path} could not be rewritten, and is untouched ({error.strerror}); "
            f"{refusal(error) or 'mend the disk'}, then try again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the file that says what was redacted from the quarantine file.

    Attributes:
        kind: ``user``, ``session`` or ``item``.
        key: of the id, 16 hexadecimal digits.
        done_ms: when its records were removed.
        num_removed: how many.
    """

    kind: str
    key: str
    done_ms: int
    num_removed: int


def note_redaction(root: Path, redaction: Redaction) -> None:
    """Note a redaction beside a store's quarantine file.

    Raises:
        QuarantineFailed: the disk refused.
    """
    path = root / _REDACTIONS_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(msgspec.json.encode(redaction) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise QuarantineFailed(
            f"{path} could not be written ({error.strerror}); "
            f"{refusal(error) or 'mend the disk'}, then try again"
        ) from error


def read_redactions(root: Path) -> list[Redaction]:
    """Return the redactions of a store's quarantine file, oldest first.

    A line that a crash cut short is left out: its redaction was not reported as done.
    """
    try:
        lines = (root / _REDACTIONS_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(msgspec.json.decode(line, type=Redaction))
    return found


def _copy_others(
    source: BinaryIO, target: BinaryIO, is_removed: Callable[[QuarantinedRecord], bool]
) -> int:
    """Copy the whole lines from here on but for some records; return how many these
    are.
    """
    num_removed = 0
    for line in iter(source.readline, b""):
        if not line.endswith(b"\n"):
            source.seek(-len(line), os.SEEK_CUR)  # being written, or torn by a crash
            break
        if _is_readable(line) and is_removed(_DECODER.decode(line)):
            num_removed += 1
        else:
            target.write(line)
    return num_removed


def _is_readable(line: bytes) -> bool:
    try:
        _DECODER.decode(line)
    except ValueError:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from appending to a quarantine file, or rewriting it."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


_DECODER = msgspec.json.Decoder(QuarantinedRecord)


def _line(rejection: Rejection, now_ms: int) -> bytes:
    record = rejection.record
    quarantined = QuarantinedRecord(
        reason=rejection.reason,
        detail=rejection.detail,
        source=record.position.source,
        partition=record.position.partition,
        offset=record.offset,
        content_type=record.content_type,
        key_base64=_base64(record.key),
        value_base64=_base64(record.value),
        at_ms=now_ms,
        time_ms=record.time_ms,
        headers=tuple(record.headers),
    )
    return msgspec.json.encode(quarantined) + b"\n"


def _base64(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()


def _headers(rejection: Rejection, now_ms: int) -> "Headers":
    record = rejection.record
    headers = dict(record.headers) | {
        "reason": rejection.reason,
        "detail": rejection.detail,
        **_place_headers((record.position.source, record.position.partition, record.offset)),
        "at-ms": str(now_ms),
    }
    if record.content_type:
        headers["content-type"] = record.content_type
    if record.time_ms is not None:
        headers["source-time-ms"] = str(record.time_ms)
    if record.value is None:
        headers["source-value"] = "null"
    elif len(record.value) > MAX_TOPIC_VALUE_BYTES:
        headers["source-value-bytes"] = str(len(record.value))
    return [(name, value.encode("utf-8", "backslashreplace")) for name, value in headers.items()]


def _place_headers(place: Place) -> dict[str, str]:
    source, partition, offset = place
    return {
        "source-topic": source,
        "source-partition": str(partition),
        "source-offset": str(offset),
    }


def _of_topic(record: "StoredRecord") -> QuarantinedRecord:
    """Return a record of the quarantine topic; of one that is not ours, what can be
    told.
    """
    texts = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    value = None if texts.get("source-value") == "null" else record.value
    return QuarantinedRecord(
        reason=texts.get("reason", ""),
        detail=texts.get("detail", ""),
        source=texts.get("source-topic", ""),
        partition=_number(texts, "source-partition") or 0,
        offset=_number(texts, "source-offset") or 0,
        content_type=texts.get(_CONTENT_TYPE, ""),
        key_base64=_base64(record.key),
        value_base64=_base64(value),
        at_ms=_number(texts, "at-ms") or record.time_ms,
        time_ms=_number(texts, "source-time-ms"),
        value_bytes=_number(texts, "source-value-bytes"),
        headers=tuple((name, text) for name, text in texts.items() if name not in _OWN_HEADERS),
    )


def _number(texts: Mapping[str, str], name: str) -> int | None:
    text = texts.get(name, "")
    return int(text) if text.isdecimal() else None


def _write_all(descriptor: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _cut_torn_line(descriptor: int) -> None:
    """Remove what a crash left of a last line.

    Its record was not applied and comes again.
    """
    size = end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _TAIL_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
