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
from stream.events.types import Headers, Record, Rejection, SourcePartition
from stream.quarantine.file import FileQuarantine, read_quarantine, remove_quarantined
from stream.quarantine.records import MAX_TOPIC_VALUE_BYTES, QuarantinedRecord
from stream.quarantine.topic import TopicQuarantine
from stream.settings import StreamSettings
from tests.conftest import TopicFactory

NOW_MS = 1_700_000_000_000


def rejection(
    value: bytes | None = b"\xff\n{",
    key: bytes | None = b"k",
    partition: int = 1,
    content_type: str = "x/y",
    headers: Headers = (),
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


@pytest.mark.timeout(120)
def test_topic_keeps_everything(kafka_bootstrap: str, kafka_topics: TopicFactory) -> None:
    """The topic gets the original key and value, and in headers where they came from
    and why.
    """
    topics: Mapping[str, str] = kafka_topics(partitions=2)
    quarantine = TopicQuarantine(
        kafka_bootstrap, StreamSettings(quarantine_topic=topics["quarantine"])
    )
    huge = b"y" * (MAX_TOPIC_VALUE_BYTES + 1)
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
    }
    assert (second.key, second.value) == (None, b"")
    assert dict(second.headers)["source-value"] == b"null"
    assert third.value == huge[:-1]
    assert {name: dict(third.headers)[name].decode() for name, _ in cloud} == dict(cloud)
    assert dict(third.headers)["source-value-bytes"] == str(len(huge)).encode()


@pytest.mark.timeout(120)
def test_topic_that_is_missing(kafka_bootstrap: str) -> None:
    """A quarantine topic that does not exist is an error at the start, not at the first
    bad message.
    """
    settings = StreamSettings(quarantine_topic="no-such-topic", bootstrap_timeout_seconds=2.0)
    with pytest.raises(QuarantineUnavailable, match="there is no topic no-such-topic"):
        TopicQuarantine(kafka_bootstrap, settings)


@pytest.mark.timeout(120)
def test_topic_that_vanishes_and_comes_back(
    kafka_bootstrap: str, kafka_topics: TopicFactory
) -> None:
    """A topic that vanished is named within seconds, each time; one that is made again,
    with fewer partitions, takes the records.
    """
    topic = kafka_topics(partitions=2)["quarantine"]
    settings = StreamSettings(quarantine_topic=topic, bootstrap_timeout_seconds=2.0)
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
