"""The load generators in Go: what they publish is what a producer of ours would."""

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from bench.generators.program import lines_of, program, publish_command
from freshet.shop.shop import Shop
from stream.clock import now_ms
from stream.events.decoder import decode
from stream.events.types import Interaction, Record, SourcePartition
from stream.kafka.partitioner import shard_of
from stream.settings import StreamSettings
from tests.conftest import TopicFactory

# Go compiles what the load generators need once: some 25 s of CPU.
pytestmark = pytest.mark.timeout(1200)

NUM_EVENTS, NUM_PARTITIONS, RATE = 300, 3, 1000.0


def settings_of(topics: Mapping[str, str]) -> StreamSettings:
    """Return settings that name a test's own topics."""
    return StreamSettings(clicks_topic=topics["clicks"], sessions_topic=topics["sessions"])


def write_events(path: Path, count: int) -> list[Interaction]:
    """Write events of a shop, some with texts beyond ASCII, one without a session;
    return them.
    """
    lines = list(islice(Shop(7, 50).events(), count))
    for line in lines[::10]:
        line |= {"type": "search_click", "query": "müesli & mehr"}
    lines[1] |= {"session_id": ""}
    texts = [json.dumps(line, ensure_ascii=number % 20 > 0) for number, line in enumerate(lines)]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return [decoded(text.encode(), "application/json") for text in texts]


def decoded(value: bytes, content_type: str) -> Interaction:
    """Return the one event of a record."""
    place = SourcePartition("", 0)
    record = Record(
        position=place, offset=0, next_offset=1, content_type=content_type, key=None, value=value
    )
    (event,) = decode(record, StreamSettings(), now_ms()).events
    assert isinstance(event, Interaction)
    return event


class Arrived:
    """What comes to the topics of events.

    Args:
        bootstrap: "host:port" of the broker.
        topics: of a test.
    """

    def __init__(self, bootstrap: str, topics: Mapping[str, str]) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
        )
        names = (topics["clicks"], topics["sessions"])
        self._places = [TopicPartition(name, n) for name in names for n in range(NUM_PARTITIONS)]
        self._consumer.assign(self._places)

    def read(self, count: int) -> list[Any]:
        """Return at least so many of the next records, each partition in order."""
        found: list[Any] = []
        while len(found) < count:
            for messages in self._consumer.poll(timeout_ms=500).values():
                found += messages
        return found

    def count(self) -> int:
        """Return how many there are."""
        return sum(self._consumer.end_offsets(self._places).values())

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def by_key_and_topic(events: list[Interaction]) -> dict[tuple[str, bool], list[Interaction]]:
    """Group events by what keeps its order: the session in one topic."""
    groups: dict[tuple[str, bool], list[Interaction]] = defaultdict(list)
    for event in events:
        groups[event.key, bool(event.query)].append(replace(event, ts_ms=0))
    return groups


def test_events_arrive_as_they_are_and_of_the_moment_of_sending(
    tmp_path: Path, kafka_bootstrap: str, kafka_topics: TopicFactory
) -> None:
    """Each in its session's partition, in order, with the time of its record, at the
    rate that is asked for.
    """
    topics = kafka_topics(partitions=NUM_PARTITIONS)
    events = write_events(tmp_path / "events.jsonl", NUM_EVENTS)
    command = publish_command(kafka_bootstrap, settings_of(topics), tmp_path / "events.jsonl", RATE)
    began_ms = time.time() * 1000

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    ended_ms = time.time() * 1000
    assert done.returncode == 0, done.stderr
    ready, said = lines_of(done.stdout)
    assert ready == {"ready": NUM_EVENTS}
    assert (said["published"], said["failed"]) == (NUM_EVENTS, 0)
    assert 0 <= said["late"]["p50_ms"] <= said["late"]["p99_ms"] <= said["late"]["most_ms"]
    with closing(Arrived(kafka_bootstrap, topics)) as arrived:
        messages = arrived.read(NUM_EVENTS)
    found = [decoded(each.value, dict(each.headers)["content-type"].decode()) for each in messages]
    assert by_key_and_topic(found) == by_key_and_topic(events)
    for message, event in zip(messages, found, strict=True):
        assert message.topic == topics["clicks" if event.query else "sessions"]
        assert message.key == event.key.encode()
        assert message.partition == shard_of(event.key, NUM_PARTITIONS)
        assert message.timestamp == event.ts_ms
    times_ms = sorted(event.ts_ms for event in found)
    assert began_ms - 1 <= times_ms[0] <= times_ms[-1] <= ended_ms
    assert (
        times_ms[-1] - times_ms[0] >= (NUM_EVENTS - 1) * 1000 / RATE - said["late"]["most_ms"] - 1
    )
    assert said["rate"] <= RATE * NUM_EVENTS / (NUM_EVENTS - 1)


def test_a_load_that_is_stopped_says_what_it_published(
    tmp_path: Path, kafka_bootstrap: str, kafka_topics: TopicFactory
) -> None:
    """That many are there, and no more."""
    topics = kafka_topics(partitions=NUM_PARTITIONS)
    write_events(tmp_path / "events.jsonl", 2000)
    command = publish_command(kafka_bootstrap, settings_of(topics), tmp_path / "events.jsonl", 20.0)
    with (
        closing(Arrived(kafka_bootstrap, topics)) as arrived,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        num_seen = len(arrived.read(5))
        process.terminate()
        _ready, said = lines_of(process.communicate()[0])
        num_arrived = arrived.count()

    assert process.returncode == 0
    assert num_seen <= said["published"] == num_arrived < 2000


def test_a_topic_that_is_not_there_fails_the_load(tmp_path: Path, kafka_bootstrap: str) -> None:
    """A load that nobody takes is none."""
    write_events(tmp_path / "events.jsonl", 10)
    nowhere = {"clicks": "not-there-clicks", "sessions": "not-there-sessions"}
    command = publish_command(
        kafka_bootstrap, settings_of(nowhere), tmp_path / "events.jsonl", RATE
    )

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "10 events were not taken" in done.stderr


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"type": "glance", "session_id": "s"}', 'an action of type "glance" is not known'),
        ("{", "unexpected end of JSON input"),
    ],
)
def test_a_line_that_is_no_event_of_the_shop_is_named(
    tmp_path: Path, line: str, problem: str
) -> None:
    """Nothing is published."""
    path = tmp_path / "events.jsonl"
    write_events(path, 4)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    command = publish_command("127.0.0.1:1", StreamSettings(), path, RATE)

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr.strip() == f"generators: {path}, line 5: {problem}"
    assert not done.stdout


def test_without_go_a_measurement_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not begin."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SystemExit, match="install Go"):
        program()
