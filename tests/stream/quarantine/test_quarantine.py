"""The quarantine: everything about a rejected record is kept, safely, in the file and
in the topic.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from stream.errors import QuarantineFailed, QuarantineUnavailable
from stream.events.types import Headers, RawHeaders, Record, Rejection, SourcePartition
from stream.kafka.python.stored import StoredRecord
from stream.quarantine.file import FileQuarantine, read_quarantine, remove_quarantined
from stream.quarantine.headers import (
    MAX_KEY_BYTES,
    MAX_OWN_HEADERS_BYTES,
    MAX_VALUE_BYTES,
    own_headers,
)
from stream.quarantine.records import QuarantinedRecord, of_topic
from stream.quarantine.topic import TopicQuarantine, read_quarantine_topic
from stream.settings import StreamSettings
from tests.conftest import TopicFactory

NOW_MS = 1_700_000_000_000


def rejection(
    value: bytes | None = b"\xff\n{",
    key: bytes | None = b"k",
    partition: int = 1,
    content_type: str = "x/y",
    headers: Headers = (),
    raw_headers: RawHeaders = None,
) -> Rejection:
    """Return a rejection of a record of a topic."""
    record = Record(
        position=SourcePartition("freshet.clicks", partition),
        offset=7,
        next_offset=8,
        content_type=content_type,
        key=key,
        value=value,
        headers=headers,
        raw_headers=raw_headers,
    )
    return Rejection(record=record, reason="malformed", detail="not JSON: ü")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the quarantine file is."""
    return tmp_path / "store" / "quarantine" / "rejected.jsonl"


def test_file_keeps_everything(path: Path) -> None:
    """What is read back is what was put, byte for byte, with the
    reason and the place.
    """
    quarantine = FileQuarantine(path)
    quarantine.put([rejection()], NOW_MS)
    quarantine.put([rejection(value=None, key=None)], NOW_MS + 1)
    quarantine.close()
    first, second = read_quarantine(path)
    assert first == QuarantinedRecord(
        reason="malformed",
        detail="not JSON: ü",
        source="freshet.clicks",
        partition=1,
        offset=7,
        content_type="x/y",
        key_base64="aw==",
        value_base64="/wp7",
        at_ms=NOW_MS,
    )
    assert first.value == b"\xff\n{"
    assert second.value is None
    assert second.key_base64 is None


def test_file_keeps_the_attributes_of_a_cloud_event(path: Path) -> None:
    """Without them the record would be another one; where there are none, nothing is
    written.
    """
    headers = (("ce_specversion", "1.0"), ("ce_type", "freshet.click"))
    quarantine = FileQuarantine(path)
    quarantine.put([rejection(headers=headers), rejection()], NOW_MS)
    quarantine.close()

    first, second = read_quarantine(path)

    assert (first.headers, second.headers) == (headers, ())
    assert b"headers" not in path.read_bytes().splitlines()[1]


def test_file_is_made_with_the_first_rejection(path: Path) -> None:
    """A run without rejections leaves no file."""
    quarantine = FileQuarantine(path)
    quarantine.put([], NOW_MS)
    quarantine.close()
    assert not path.exists()
    assert list(read_quarantine(path)) == []


def test_file_is_appended_to(path: Path) -> None:
    """A second run keeps what the first one put."""
    for _ in range(2):
        quarantine = FileQuarantine(path)
        quarantine.put([rejection()], NOW_MS)
        quarantine.close()
    assert len(list(read_quarantine(path))) == 2


@pytest.mark.parametrize("whole", [0, 1, 3])
def test_line_torn_by_a_crash_is_removed(path: Path, whole: int) -> None:
    """A half-written last line, however long, goes when the file is opened again.

    Whole ones stay.
    """
    quarantine = FileQuarantine(path)
    quarantine.put([rejection()] * 3, NOW_MS)
    quarantine.close()
    complete = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(complete[:whole]) + b'{"reason": "' + b"x" * 200_000)
    assert len(list(read_quarantine(path))) == whole
    quarantine = FileQuarantine(path)
    quarantine.put([rejection()], NOW_MS)
    quarantine.close()
    assert path.read_bytes() == b"".join(complete[:whole]) + complete[0]


def test_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A disk that refuses is an error that names the file.

    The batch must not be applied.
    """
    (tmp_path / "quarantine").write_bytes(b"")
    quarantine = FileQuarantine(tmp_path / "quarantine" / "rejected.jsonl")
    with pytest.raises(QuarantineFailed, match=r"rejected\.jsonl could not be written"):
        quarantine.put([rejection()], NOW_MS)


def test_full_disk(tmp_path: Path) -> None:
    """A disk without room is an error too."""
    path = tmp_path / "rejected.jsonl"
    path.symlink_to("/dev/full")
    quarantine = FileQuarantine(path)
    with pytest.raises(QuarantineFailed, match="No space left"):
        quarantine.put([rejection()], NOW_MS)
    quarantine.close()


def read_topic(bootstrap: str, topic: str, partition: int, count: int) -> list[Any]:
    """Return the first records of a partition."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    place = TopicPartition(topic, partition)
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    found: list[Any] = []
    while len(found) < count:
        found += consumer.poll(timeout_ms=500).get(place, [])
    consumer.close()
    return found


def test_topic_keeps_everything(kafka_bootstrap: str, kafka_topics: TopicFactory) -> None:
    """The topic gets the original key and value, and in headers where they came from
    and why, in our words and in those of Kafka Connect.
    """
    topics: Mapping[str, str] = kafka_topics(partitions=2)
    quarantine = TopicQuarantine(
        kafka_bootstrap,
        StreamSettings(quarantine_topic=topics["quarantine"], group_id="shop"),
    )
    huge = b"y" * (MAX_VALUE_BYTES + 1)
    cloud = (("ce_specversion", "1.0"), ("ce_type", "ü"))
    quarantine.put(
        [
            rejection(),
            rejection(value=None, key=None, content_type=""),
            rejection(value=huge, headers=cloud),
        ],
        NOW_MS,
    )
    quarantine.close()
    first, second, third = read_topic(kafka_bootstrap, topics["quarantine"], 1, 3)
    assert (first.key, first.value) == (b"k", b"\xff\n{")
    assert dict(first.headers) == {
        "reason": b"malformed",
        "detail": "not JSON: ü".encode(),
        "source-topic": b"freshet.clicks",
        "source-partition": b"1",
        "source-offset": b"7",
        "content-type": b"x/y",
        "at-ms": str(NOW_MS).encode(),
        "__connect.errors.topic": b"freshet.clicks",
        "__connect.errors.partition": b"1",
        "__connect.errors.offset": b"7",
        "__connect.errors.connector.name": b"shop",
        "__connect.errors.stage": b"VALUE_CONVERTER",
        "__connect.errors.exception.class.name": b"freshet.malformed",
        "__connect.errors.exception.message": "not JSON: ü".encode(),
    }
    assert (second.key, second.value) == (None, b"")
    assert dict(second.headers)["source-value"] == b"null"
    assert third.value == huge[:-1]
    assert {name: dict(third.headers)[name].decode() for name, _ in cloud} == dict(cloud)
    assert dict(third.headers)["source-value-bytes"] == str(len(huge)).encode()


OWN_HEADERS: list[tuple[str, bytes | None]] = [
    ("trace", b"\xff\x00"),
    ("reason", b"of its own"),
    ("Content-Type", b"x/y"),
    ("source-value", b"null"),
    ("trace", b"again"),
    ("empty", None),
    ("__connect.errors.topic", b"of another sink"),
]


def test_topic_keeps_what_the_record_carries(
    kafka_bootstrap: str, kafka_topics: TopicFactory
) -> None:
    """Its own headers, whatever their names and bytes, come first and come back, and
    its time is the record's; ours are the last of their name.
    """
    settings = StreamSettings(quarantine_topic=kafka_topics(partitions=1)["quarantine"])
    put = rejection(raw_headers=OWN_HEADERS)
    put = replace(put, record=replace(put.record, time_ms=NOW_MS - 5))
    with closing(TopicQuarantine(kafka_bootstrap, settings)) as quarantine:
        quarantine.put([put], NOW_MS)

    (found,) = read_topic(kafka_bootstrap, settings.quarantine_topic, 0, 1)
    (read,) = read_quarantine_topic(kafka_bootstrap, settings)

    kept = [(name, value or b"") for name, value in OWN_HEADERS]
    assert (found.timestamp, found.headers[: len(kept)]) == (NOW_MS - 5, kept)
    assert dict(found.headers)["reason"] == b"malformed"
    assert dict(found.headers)["__connect.errors.topic"] == b"freshet.clicks"
    assert read.record == replace(put.record, raw_headers=kept)
    assert (read.reason, read.is_whole) == ("malformed", True)


def test_topic_takes_what_is_too_long(kafka_bootstrap: str, kafka_topics: TopicFactory) -> None:
    """A key, headers or a detail as long as a broker takes them are cut, and it is
    said: the stream must not wait for a record that the topic never takes.
    """
    settings = StreamSettings(quarantine_topic=kafka_topics(partitions=1)["quarantine"])
    headers = [
        ("content-type", b"x/y"),
        ("blob", b"z" * MAX_OWN_HEADERS_BYTES),
        ("trace", b"1"),
    ]
    long_key = rejection(key=b"k" * 1_000_000)
    longest = rejection(value=b"v" * MAX_VALUE_BYTES, key=b"k" * MAX_KEY_BYTES, raw_headers=headers)
    longest = replace(longest, detail="ü" * 200_000, record=replace(longest.record, offset=9))
    with closing(TopicQuarantine(kafka_bootstrap, settings)) as quarantine:
        quarantine.put([long_key, longest], NOW_MS)

    cut, left_out = read_quarantine_topic(kafka_bootstrap, settings)

    assert (cut.key_bytes, cut.is_whole) == (1_000_000, False)
    assert cut.record.key == b"k" * MAX_KEY_BYTES
    assert (left_out.num_headers, left_out.is_whole, left_out.key_bytes) == (3, False, None)
    assert left_out.record.raw_headers == [("content-type", b"x/y"), ("trace", b"1")]
    assert left_out.content_type == "x/y"
    assert set(left_out.detail) <= {"ü", "\ufffd"}


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (NOW_MS, NOW_MS),
        (NOW_MS - 86_400_000, NOW_MS - 86_400_000),
        (NOW_MS - 86_400_001, NOW_MS),
        (NOW_MS + 1, NOW_MS),
        (-1, NOW_MS),
        (None, NOW_MS),
    ],
)
def test_time_of_a_record_of_the_topic(
    kafka_bootstrap: str, kafka_topics: TopicFactory, time_ms: int | None, expected: int
) -> None:
    """It is the record's own unless retention would soon take it, or a broker refuse
    it; the own time is kept in any case.
    """
    settings = StreamSettings(quarantine_topic=kafka_topics(partitions=1)["quarantine"])
    put = rejection()
    put = replace(put, record=replace(put.record, time_ms=time_ms))
    with closing(TopicQuarantine(kafka_bootstrap, settings)) as quarantine:
        quarantine.put([put], NOW_MS)

    (found,) = read_topic(kafka_bootstrap, settings.quarantine_topic, 0, 1)
    assert found.timestamp == expected
    own = None if time_ms is None else str(time_ms).encode()
    assert dict(found.headers).get("source-time-ms") == own


@pytest.mark.parametrize(
    ("headers", "reason", "own"),
    [
        (
            [("ce_specversion", b"1.0"), ("ce_type", b"t"), ("reason", b"malformed")],
            "malformed",
            [("ce_specversion", b"1.0"), ("ce_type", b"t"), ("content-type", b"x/y")],
        ),
        ([("reason", b"malformed")], "malformed", [("content-type", b"x/y")]),
        ([("source-topic", b"t"), ("reason", b"replayed")], "replayed", []),
    ],
)
def test_records_of_earlier_versions(
    headers: list[tuple[str, bytes | None]], reason: str, own: list[tuple[str, bytes]]
) -> None:
    """What is in the topic already is read as before, with its content-type."""
    place = [("source-partition", b"1"), ("source-offset", b"7")]
    if reason != "replayed":
        place += [("source-topic", b"t"), ("content-type", b"x/y")]
        headers = [*headers, *place]
    else:
        headers = [*place, *headers]

    found = of_topic(StoredRecord(b"k", b"v", headers, NOW_MS))

    assert (found.reason, found.place) == (reason, ("t", 1, 7))
    if own:
        assert found.content_type == "x/y"
        assert own_headers(found.record) == own


def test_topic_that_is_missing(kafka_bootstrap: str) -> None:
    """A quarantine topic that does not exist is an error at the start, not at the first
    bad message.
    """
    settings = StreamSettings(quarantine_topic="no-such-topic", bootstrap_timeout_seconds=6.0)
    with pytest.raises(QuarantineUnavailable, match="there is no topic no-such-topic"):
        TopicQuarantine(kafka_bootstrap, settings)


def test_topic_that_vanishes_and_comes_back(
    kafka_bootstrap: str, kafka_topics: TopicFactory
) -> None:
    """A topic that vanished is named within seconds, each time; one that is made again,
    with fewer partitions, takes the records.
    """
    topic = kafka_topics(partitions=2)["quarantine"]
    settings = StreamSettings(quarantine_topic=topic, bootstrap_timeout_seconds=6.0)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    with closing(TopicQuarantine(kafka_bootstrap, settings)) as quarantine, closing(admin):
        quarantine.put([rejection()], NOW_MS)
        admin.delete_topics([topic])
        for _ in range(2):
            with pytest.raises(QuarantineUnavailable, match=topic):
                quarantine.put([rejection()], NOW_MS)
        quarantine.put([], NOW_MS)
        admin.create_topics([NewTopic(topic, 1, 1)])
        quarantine.put([rejection()], NOW_MS)

    (found,) = read_topic(kafka_bootstrap, topic, 0, 1)
    assert dict(found.headers)["source-partition"] == b"1"


def lines_of(path: Path) -> list[str]:
    """Return the details of a quarantine file's records."""
    return [record.detail for record in read_quarantine(path)]


def numbered(number: int) -> Rejection:
    """Return a rejection with a detail of its own."""
    return replace(rejection(), detail=str(number))


def test_records_are_removed_while_others_come(path: Path) -> None:
    """A stream that has the file open appends to the new one; what cannot be read
    stays, and so does what it has appended since.
    """
    quarantine = FileQuarantine(path)
    quarantine.put([numbered(0), numbered(1)], NOW_MS)
    with path.open("ab") as file:
        file.write(b"not ours\n")
    seen: list[str] = []

    def is_removed(record: QuarantinedRecord) -> bool:
        if not seen:
            quarantine.put([numbered(2), numbered(3)], NOW_MS)
        seen.append(record.detail)
        return record.detail in "03"

    assert remove_quarantined(path, is_removed) == 2
    quarantine.put([numbered(4)], NOW_MS)
    quarantine.close()

    assert lines_of(path) == ["1", "2", "4"]
    assert b"not ours\n" in path.read_bytes()
    assert {each.name for each in path.parent.iterdir()} == {"rejected.jsonl", "rejected.lock"}


def test_two_that_remove_at_once_lose_nothing(path: Path) -> None:
    """Who finds the file rewritten by another begins again."""
    quarantine = FileQuarantine(path)
    quarantine.put([numbered(number) for number in range(3)], NOW_MS)
    others = [1]

    def is_removed(record: QuarantinedRecord) -> bool:
        if others:
            others.pop()
            assert remove_quarantined(path, lambda each: each.detail == "1") == 1
            quarantine.put([numbered(9)], NOW_MS)
        return record.detail == "0"

    assert remove_quarantined(path, is_removed) == 1
    quarantine.close()

    assert lines_of(path) == ["2", "9"]


def test_nothing_to_remove_and_nothing_to_rewrite(tmp_path: Path) -> None:
    """No file is no error; one that cannot be rewritten is, and stays."""
    assert remove_quarantined(tmp_path / "none" / "rejected.jsonl", lambda _: True) == 0
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(QuarantineFailed, match="untouched"):
        remove_quarantined(tmp_path / "folder.jsonl", lambda _: True)


@pytest.mark.parametrize("value", [b"\xff\n{", b"", None])
def test_a_record_comes_back_as_it_came(path: Path, value: bytes | None) -> None:
    """Everything that decoding looks at is kept."""
    found = rejection(value=value, key=None)
    headers = (("ce_type", "freshet.click"), ("ce_specversion", "1.0"))
    found = replace(found, record=replace(found.record, time_ms=NOW_MS, headers=headers))
    quarantine = FileQuarantine(path)
    quarantine.put([found], NOW_MS)
    quarantine.close()
    (read,) = read_quarantine(path)

    assert read.record == found.record
