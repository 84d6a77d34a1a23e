"""`freshet verify`: a store is compared with what its source makes, on files and on a
real Kafka.
"""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry

from stream.actions import Action
from stream.events.types import Interaction
from stream.kafka.producer import EventProducer
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine
from stream.settings import StreamSettings
from stream.shard.changed_entries import ShardWrite
from stream.shard.shard import Shard
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker
from tests.conftest import TopicFactory
from tests.freshet.conftest import Command

NOON_MS = 1_760_000_000_000
PARTITIONS = 2


def clicks(count: int, query: str = "red shoes") -> list[Interaction]:
    """Return clicks of sessions of three."""
    return [
        Interaction(
            ts_ms=NOON_MS + number,
            session_id=f"s{number // 3}",
            user_id="",
            query=query,
            item_id=f"i{number % 7}",
            action=Action.CLICK,
        )
        for number in range(count)
    ]


def write_events(path: Path, events: list[Interaction]) -> Path:
    """Write an event file."""
    lines = (
        {
            "ts_ms": each.ts_ms,
            "type": "search_click",
            "session_id": each.session_id,
            "query": each.query,
        }
        | {"item_id": each.item_id}
        for each in events
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def store(tmp_path: Path, run: Command) -> Path:
    """A store of three shards built from ``events.jsonl``."""
    events = write_events(tmp_path / "events.jsonl", clicks(30))
    config = tmp_path / "freshet.toml"
    config.write_text("[stream]\nnum_shards = 3\nhalf_life_seconds = 7200\n", encoding="utf-8")
    outcome = run(
        "stream", "--source", f"file:{events}", "--store", tmp_path / "store", "--config", config
    )
    assert outcome.returncode == 0, outcome.stderr
    return tmp_path / "store"


def test_a_sound_store_is_one_line_with_its_hash(store: Path, tmp_path: Path, run: Command) -> None:
    """Shards and half-life are the store's own affair.

    The scratch store is gone afterwards.
    """
    outcome = run("verify", "--store", store, "--against", f"file:{tmp_path}/events.jsonl")
    graph_hash = run("graph", "hash", "--store", store).stdout.strip()

    assert outcome.returncode == 0, outcome.stderr
    assert (
        outcome.stdout == f"equal: 7 edges, 10 hyperedges, 10 sessions, graph hash {graph_hash}\n"
    )


def test_a_snapshot_can_be_verified(store: Path, tmp_path: Path, run: Command) -> None:
    """A backup is verified like the store."""
    assert run("snapshot", "--store", store, "--out", tmp_path / "snapshot").returncode == 0

    outcome = run(
        "verify", "--store", tmp_path / "snapshot", "--against", f"file:{tmp_path}/events.jsonl"
    )
    assert outcome.returncode == 0, outcome.stderr


def test_a_store_in_use_can_be_verified(store: Path, tmp_path: Path, run: Command) -> None:
    """Whoever writes it goes on."""
    settings = StreamSettings(num_shards=3, half_life_seconds=7200)
    with Store.create_or_open(store, settings) as held:
        held.shard(0)
        outcome = run("verify", "--store", store, "--against", f"file:{tmp_path}/events.jsonl")

    assert outcome.returncode == 0, outcome.stderr


def test_the_first_difference_is_shown_from_both_sides(
    store: Path, tmp_path: Path, run: Command
) -> None:
    """What the store has, what the source has, how much more there is; exit code 1."""
    other = write_events(tmp_path / "other.jsonl", clicks(29))

    outcome = run("verify", "--store", store, "--against", f"file:{other}")

    assert outcome.returncode == 1
    lines = outcome.stdout.splitlines()
    assert lines[0] == 'different: first at the edge of query "red shoes", item "i1"'
    assert '"sessions": 5' in lines[1]
    assert '"sessions": 4' in lines[2]
    assert [line.split() for line in lines[4:]] == [
        ["edge", "1", "0", "0"],
        ["hyperedge", "1", "0", "0"],
        ["session", "1", "0", "0"],
    ]


def test_json_says_the_same(store: Path, tmp_path: Path, run: Command) -> None:
    """A script reads equality, hash, first difference and counts."""
    other = write_events(tmp_path / "other.jsonl", [*clicks(30), *clicks(1, "tv")])

    equal = json.loads(
        run(
            "verify", "--store", store, "--against", f"file:{tmp_path}/events.jsonl", "--json"
        ).stdout
    )
    outcome = run("verify", "--store", store, "--against", f"file:{other}", "--json")
    different = json.loads(outcome.stdout)

    assert (equal["equal"], len(equal["graph_hash"]), equal["first"]) == (True, 64, None)
    assert outcome.returncode == 1
    assert different["first"]["key"] == {"query": "tv", "item": "i0"}
    assert different["first"]["store"] is None
    assert different["counts"]["edge"] == {"differing": 0, "missing": 1, "extra": 0}


def test_a_catalogue_is_compared_when_given(store: Path, tmp_path: Path, run: Command) -> None:
    """A title that the store lacks is a difference of its own kind."""
    items = tmp_path / "items.jsonl"
    items.write_text('{"item_id": "i1", "title": "Shoe"}\n', encoding="utf-8")

    outcome = run(
        "verify",
        "--store",
        store,
        "--against",
        f"file:{tmp_path}/events.jsonl",
        "--catalog",
        f"file:{items}",
    )

    assert outcome.returncode == 1
    assert outcome.stdout.startswith('different: first at the item of item "i1"')


@pytest.mark.parametrize(
    ("against", "code", "said"),
    [
        (["file:{tmp}/nothing.jsonl"], 1, "no file matches"),
        (["kafka:127.0.0.1:1"], 1, "has read nothing of freshet.clicks or freshet.sessions"),
        (["kafka:a:1", "kafka:b:1"], 2, "at most one kafka: source"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    against: list[str], code: int, said: str, store: Path, tmp_path: Path, run: Command
) -> None:
    """A wrong source is told before anything is rebuilt."""
    options = [part for each in against for part in ("--against", each.format(tmp=tmp_path))]
    outcome = run("verify", "--store", store, *options)

    assert outcome.returncode == code
    assert said in outcome.stderr
    assert outcome.stdout == ""


@pytest.fixture
def kafka_settings(kafka_topics: TopicFactory) -> StreamSettings:
    """Settings that name this test's own topics."""
    topics = kafka_topics(partitions=PARTITIONS)
    return StreamSettings(
        clicks_topic=topics["clicks"],
        sessions_topic=topics["sessions"],
        catalog_topic=topics["catalog"],
        quarantine_topic=topics["quarantine"],
        group_id=topics["clicks"],
        batch_records=20,
        poll_seconds=0.1,
    )


def publish(bootstrap: str, settings: StreamSettings, events: list[Interaction]) -> None:
    """Publish events and wait until the broker has them."""
    with closing(EventProducer(bootstrap, settings)) as producer:
        for each in events:
            producer.publish(each)
        producer.flush()


def apply_topics(bootstrap: str, settings: StreamSettings, root: Path, num_events: int) -> None:
    """Apply at least so many events from the topics, and not many more."""
    stop, settings = Event(), replace(settings, batch_records=10, batch_events=10)

    def stop_at(totals: WorkerTotals) -> None:
        if totals.events >= num_events:
            stop.set()

    with (
        Store.create_or_open(root, settings, PARTITIONS) as store,
        closing(FileQuarantine(root / FILE_NAME)) as quarantine,
    ):
        source = KafkaSource(bootstrap, settings)
        run_worker(
            source,
            store,
            quarantine,
            settings,
            StreamMetrics(CollectorRegistry()),
            stop,
            on_progress=stop_at,
        )


def test_topics_are_read_up_to_where_the_store_is(
    kafka_bootstrap: str, kafka_settings: StreamSettings, tmp_path: Path, run: Command
) -> None:
    """A store that is behind its topics is sound.

    One that holds more than they gave it is not.
    """
    config = _config(tmp_path, kafka_settings)
    root = tmp_path / "store"
    publish(kafka_bootstrap, kafka_settings, [*clicks(200), *clicks(50, "")])
    apply_topics(kafka_bootstrap, kafka_settings, root, 100)
    arguments = (
        "verify",
        "--store",
        root,
        "--against",
        f"kafka:{kafka_bootstrap}",
        "--config",
        config,
    )

    behind = run(*arguments)
    apply_topics(kafka_bootstrap, kafka_settings, root, 60)
    further = run(*arguments)
    with Store.create_or_open(root, kafka_settings) as store:
        store.shard(0).write(ShardWrite.of(_without_last_fact(store.shard(0))))
    tampered = run(*arguments, "--json")

    assert behind.returncode == 0, behind.stdout + behind.stderr
    assert further.returncode == 0, further.stdout + further.stderr
    assert behind.stdout != further.stdout
    assert tampered.returncode == 1
    assert json.loads(tampered.stdout)["counts"]["session"] == {
        "differing": 1,
        "missing": 0,
        "extra": 0,
    }


def test_what_the_topics_no_longer_have_is_told(
    kafka_bootstrap: str, kafka_settings: StreamSettings, tmp_path: Path, run: Command
) -> None:
    """A topic that was cut short cannot make the store again.

    It ends, and says why the store has more.
    """
    config = _config(tmp_path, kafka_settings)
    publish(kafka_bootstrap, kafka_settings, clicks(100))
    apply_topics(kafka_bootstrap, kafka_settings, tmp_path / "store", 100)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    whole, start = (
        TopicPartition(kafka_settings.clicks_topic, number) for number in range(PARTITIONS)
    )
    admin.delete_records({whole: -1, start: 1})
    admin.close()

    outcome = run(
        "verify",
        "--store",
        tmp_path / "store",
        "--against",
        f"kafka:{kafka_bootstrap}",
        "--config",
        config,
    )

    assert outcome.returncode == 1
    assert "partition 0 ends before offset" in outcome.stderr
    assert "partition 1 begins at offset 1:" in outcome.stderr


def _config(tmp_path: Path, settings: StreamSettings) -> Path:
    path = tmp_path / "freshet.toml"
    names = ("clicks_topic", "sessions_topic", "catalog_topic", "quarantine_topic", "group_id")
    lines = [f'{name} = "{getattr(settings, name)}"' for name in names]
    path.write_text("\n".join(["[stream]", *lines]) + "\n", encoding="utf-8")
    return path


def _without_last_fact(shard: Shard) -> Mapping[bytes, bytes]:
    from stream.shard import codec

    key, value = next(iter(shard.entries(codec.SESSION)))
    return {key: value[: -codec.ROW_BYTES]}


def test_a_topic_that_was_made_again_is_told(
    kafka_bootstrap: str, kafka_settings: StreamSettings, tmp_path: Path, run: Command
) -> None:
    """What the store read of the old one cannot be compared with the new one."""
    config = _config(tmp_path, kafka_settings)
    root = tmp_path / "store"
    publish(kafka_bootstrap, kafka_settings, clicks(50))
    apply_topics(kafka_bootstrap, kafka_settings, root, 50)
    topic = kafka_settings.clicks_topic
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.delete_topics([topic])
    while topic in admin.list_topics():
        pass
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    admin.close()

    outcome = run(
        "verify", "--store", root, "--against", f"kafka:{kafka_bootstrap}", "--config", config
    )

    assert outcome.returncode == 1
    assert f"note: {topic} was made again since the store read it" in outcome.stderr
