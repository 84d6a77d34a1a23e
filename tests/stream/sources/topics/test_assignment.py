"""Sharing topics among members, against a real broker.

One owner at a time, nothing missing, any client.
"""

import gc
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, NewTopic

from deploy.kafka.broker import LocalBroker
from deploy.kafka.topics import create_topics
from stream.errors import SettingsInvalid, SourceUnavailable
from stream.events.types import SourcePartition
from stream.kafka.open import open_client
from stream.kafka.partitioner import shard_of
from stream.kafka.producer import RecordProducer
from stream.reading.reader import open_graph
from stream.settings import KAFKA_CLIENTS, StreamSettings
from testing.histories import NOON_MS, dump
from testing.oracle import Oracle, assert_same_dump
from testing.processes.members import Member, Place, Shards, run_until
from testing.processes.worker import complaints
from testing.topics import publish, shop_events
from tests.conftest import TopicFactory
from tests.stream.conftest import StartPython

PARTITIONS = 6
WORKER = "from testing.processes.worker import main; main()"

StartMember = Callable[..., Member]


@pytest.fixture
def topics(kafka_topics: TopicFactory) -> Mapping[str, str]:
    """This test's own topics."""
    return kafka_topics(partitions=PARTITIONS)


@pytest.fixture(params=KAFKA_CLIENTS)
def settings(topics: Mapping[str, str], request: pytest.FixtureRequest) -> StreamSettings:
    """Settings that name them, with a short memory of who is there and small
    batches.
    """
    return settings_for(topics, kafka_client=request.param)


def settings_for(topics: Mapping[str, str], **more: Any) -> StreamSettings:
    """Return settings that name topics, with a short memory of who is there and small
    batches.
    """
    names: dict[str, Any] = {
        f"{name}_topic": topics[name] for name in ("clicks", "sessions", "catalog", "erasures")
    }
    return StreamSettings(
        **names,
        quarantine_topic=topics["quarantine"],
        group_id=topics["clicks"],
        batch_records=20,
        poll_seconds=0.1,
        # A member that a busy machine stops for so long has left. Twice as long: tests
        # that wait until one has wait so much longer.
        session_timeout_seconds=6.0,
        bootstrap_timeout_seconds=60.0,
        **more,
    )


@pytest.fixture
def shards() -> Shards:
    """The shards of all members."""
    return Shards(PARTITIONS)


@pytest.fixture
def start_member(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards
) -> Iterator[StartMember]:
    """Return a function that starts a member; all are closed at the end."""
    members: list[Member] = []

    def start(**more: Any) -> Member:
        members.append(Member(kafka_bootstrap, replace(settings, **more), shards))
        return members[-1]

    yield start
    for member in members:
        member.source.close()


def fill(bootstrap: str, settings: StreamSettings, topics: list[str], count: int) -> set[Place]:
    """Put records into every partition of topics and return the places of those that
    are new.
    """
    producer = RecordProducer(bootstrap, settings)
    new = {
        (topic, partition)
        for topic in topics
        for partition in range(producer.num_partitions(topic))
    }
    for number in range(count):
        for topic, partition in sorted(new):
            producer.send(
                topic, partition, b"k", b"%d" % number, [("content-type", b"application/json")]
            )
    producer.flush()
    producer.close()
    return {(SourcePartition(*each), offset) for each in new for offset in range(count)}


def keyed(settings: StreamSettings) -> list[str]:
    """Return the names of the topics whose partitions are shared out."""
    return [settings.clicks_topic, settings.sessions_topic, settings.catalog_topic]


def evenly(members: list[Member]) -> Callable[[], bool]:
    """Return whether the members share all shards evenly."""
    share = PARTITIONS // len(members)
    return lambda: all(len(member.shards) == share for member in members)


def test_members_come_and_go(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards, start_member: StartMember
) -> None:
    """Three members join and two leave.

    Only what must moves, every record is stored exactly once.
    """
    expected = fill(kafka_bootstrap, settings, keyed(settings), 100)
    first = start_member()
    run_until([first], lambda: len(first.shards) == PARTITIONS)
    second = start_member()
    run_until([first, second], evenly([first, second]))
    kept = {member: set(member.shards) for member in (first, second)}
    third = start_member()
    run_until([first, second, third], evenly([first, second, third]))
    assert all(set(member.shards) < before for member, before in kept.items())
    first.source.close()
    run_until([second, third], evenly([second, third]))
    second.source.close()
    run_until([third], lambda: len(third.shards) == PARTITIONS)
    run_until([third], lambda: len(shards.counts()) == len(expected))
    assert set(shards.counts()) == expected
    assert set(shards.counts().values()) == {1}
    for shard, places in shards.given.items():
        assert {position.partition for position, _ in places} == {shard}


def test_members_with_different_clients(
    kafka_bootstrap: str, topics: Mapping[str, str], shards: Shards
) -> None:
    """A group may change its client member by member."""
    both = [settings_for(topics, kafka_client=client) for client in KAFKA_CLIENTS]
    expected = fill(kafka_bootstrap, both[0], keyed(both[0]), 50)
    members = [Member(kafka_bootstrap, settings, shards) for settings in (*both, both[0])]
    run_until(members, evenly(members))
    members[0].source.close()
    run_until(members[1:], evenly(members[1:]))
    run_until(members[1:], lambda: len(shards.counts()) == len(expected))
    for member in members:
        member.source.close()
    assert set(shards.counts().values()) == {1}


def test_what_was_not_stored_comes_again(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards, start_member: StartMember
) -> None:
    """When partitions move, members drop what they did not store, and its new or old
    owner is given it.
    """
    expected = fill(kafka_bootstrap, settings, keyed(settings), 50)
    first = start_member()
    run_until([first], lambda: len(shards.counts()) >= 40)
    held = first.poll()
    while not held:
        held = first.poll()
    second = start_member()
    before = first.source.rebalances
    while first.source.rebalances == before:
        first.poll()
        second.store(second.poll())
    run_until([first, second], lambda: set(shards.counts()) == expected)
    assert set(shards.counts().values()) == {1}


def test_idle(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards, start_member: StartMember
) -> None:
    """A member that idles for longer than the session timeout keeps its partitions, and
    its place in them.
    """
    expected = fill(kafka_bootstrap, settings, keyed(settings), 50)
    first, second = start_member(), start_member()
    run_until([first, second], evenly([first, second]))
    run_until([first, second], lambda: len(shards.counts()) >= 100)
    rebalances = first.source.rebalances, second.source.rebalances
    first.source.idle(1.5 * settings.session_timeout_seconds)
    assert second.source.poll(0.0) is not None
    assert (first.source.rebalances, second.source.rebalances) == rebalances
    run_until([first, second], lambda: len(shards.counts()) >= len(expected) - 20)


def test_erasures_reach_every_shard(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards, start_member: StartMember
) -> None:
    """Every shard is given all erasures from where it is, whoever has it, also those
    that come later.
    """
    topic = settings.erasures_topic
    first = fill(kafka_bootstrap, settings, [topic], 30)
    shards.positions[2] = {SourcePartition(topic, partition): 20 for partition in range(PARTITIONS)}
    members = [start_member(), start_member()]
    run_until(
        members, lambda: all(len(shards.given[shard]) >= len(first) for shard in (0, 1, 3, 4, 5))
    )
    run_until(members, lambda: len(shards.given[2]) >= len(first) // 3)
    fill(kafka_bootstrap, settings, [topic], 5)
    members[0].source.close()
    everything = first | {
        (SourcePartition(topic, n), offset) for n in range(PARTITIONS) for offset in range(30, 35)
    }
    run_until(
        members[1:], lambda: all(len(shards.given[n]) >= len(everything) for n in (0, 1, 3, 4, 5))
    )
    run_until(members[1:], lambda: len(shards.given[2]) >= len(everything) - 20 * PARTITIONS)
    for shard in range(PARTITIONS):
        seen = {(position, offset) for position, offset in everything if shard != 2 or offset >= 20}
        assert sorted(shards.given[shard], key=str) == sorted(seen, key=str)


def test_without_erasures(
    kafka_bootstrap: str,
    settings: StreamSettings,
    shards: Shards,
    start_member: StartMember,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where there is no topic of erasures, that is said once, and everything else is
    read.
    """
    with caplog.at_level(logging.WARNING, "stream"):
        member = start_member(erasures_topic="gone")
    assert caplog.text.count("no erasures are read") == 1
    expected = fill(kafka_bootstrap, settings, keyed(settings), 3)
    run_until([member], lambda: set(shards.counts()) == expected)


def test_number_of_partitions_of_erasures_is_free(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards, start_member: StartMember
) -> None:
    """Erasures need not be partitioned like the other topics."""
    single = f"{settings.erasures_topic}.single"
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics([NewTopic(single, 1, 1)])
    try:
        erasures = fill(kafka_bootstrap, settings, [single], 3)
        member = start_member(erasures_topic=single)
        run_until(
            [member], lambda: all(set(shards.given[n]) == erasures for n in range(PARTITIONS))
        )
        assert member.source.num_partitions == PARTITIONS
        assert (single, 0) in member.source.behind_records()
    finally:
        admin.delete_topics([single])
        admin.close()


def test_worker_with_a_name_comes_back_to_its_partitions(
    shards: Shards, start_member: StartMember
) -> None:
    """A member with an id of its own leaves and is back in time.

    The others notice nothing.
    """
    first, second = start_member(worker_id="a"), start_member(worker_id="b")
    run_until([first, second], evenly([first, second]))
    held, rebalances = first.shards, second.source.rebalances
    first.source.close()
    again = start_member(worker_id="a")
    run_until([again, second], lambda: again.shards == held)
    assert second.source.rebalances == rebalances


def test_two_workers_of_one_name(shards: Shards, start_member: StartMember) -> None:
    """The later one counts; the earlier ends with an error that says why."""
    first = start_member(worker_id="a")
    run_until([first], lambda: len(first.shards) == PARTITIONS)
    start_member(worker_id="a")
    with pytest.raises(SourceUnavailable, match="worker_id"):
        run_until([first], lambda: False)


def test_worker_that_was_stopped_for_too_long(
    kafka_bootstrap: str,
    settings: StreamSettings,
    shards: Shards,
    start_member: StartMember,
    tmp_path: Path,
    start_python: StartPython,
) -> None:
    """Whoever does not answer loses its partitions, and once it does, takes none back
    that others have.
    """
    publish(kafka_bootstrap, settings, shop_events(300, seed=1))
    options = json.dumps(asdict(settings))
    process = start_python(WORKER, tmp_path / "store", f"kafka:{kafka_bootstrap}", options)
    assert process.stdout is not None
    assert process.stdout.readline()
    member = start_member()
    run_until([member], lambda: len(member.shards) == PARTITIONS // 2)
    process.send_signal(signal.SIGSTOP)
    run_until([member], lambda: len(member.shards) == PARTITIONS)
    assert not member.lost
    process.send_signal(signal.SIGCONT)
    run_until([member], lambda: len(member.shards) == PARTITIONS // 2)
    assert not member.lost
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate()
    assert output.endswith("done\n")
    # A question that was on its way when it was stopped may have run out of time.
    (told,) = complaints(errors.splitlines())
    assert told.startswith("partitions lost partitions=")
    assert process.returncode == 0


def test_worker_processes_on_one_store(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path, start_python: StartPython
) -> None:
    """Three processes share a store.

    One is killed, one ends, one joins: the graph is that of all events.
    """
    root, source = tmp_path / "store", f"kafka:{kafka_bootstrap}"
    options = json.dumps(asdict(settings))
    parts = [shop_events(600, seed=seed) for seed in range(4)]
    publish(kafka_bootstrap, settings, parts[0])
    first = start_python(WORKER, root, source, options)
    assert first.stdout is not None
    assert first.stdout.readline()
    others = [start_python(WORKER, root, source, options) for _ in range(2)]
    await_members(kafka_bootstrap, settings, 3)
    disturbances: list[Callable[[], object]] = [
        lambda: None,
        first.kill,
        lambda: others[0].send_signal(signal.SIGTERM),
    ]
    for number, disturb in enumerate(disturbances, 1):
        publish(kafka_bootstrap, settings, parts[number][:300])
        disturb()
        publish(kafka_bootstrap, settings, parts[number][300:])
    last = start_python(WORKER, root, source, options)
    events = [event for part in parts for event in part]
    wanted = {
        partition: {
            topic: sum(
                1
                for event in events
                if shard_of(event.session_id, PARTITIONS) == partition
                and bool(event.query) == is_click
            )
            for topic, is_click in ((settings.clicks_topic, True), (settings.sessions_topic, False))
        }
        for partition in range(PARTITIONS)
    }
    assert others[0].wait(60) == 0
    await_positions(root, settings, wanted)
    last.kill()
    others[1].send_signal(signal.SIGTERM)
    assert others[1].wait(60) == 0
    assert_same_dump(dump(root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))


def await_members(bootstrap: str, settings: StreamSettings, count: int) -> None:
    """Wait until the group has so many members; the test's timeout ends it."""
    admin: Any = KafkaAdminClient(bootstrap_servers=bootstrap)
    while len(admin.describe_groups([settings.group_id])[settings.group_id]["members"]) != count:
        pass
    admin.close()


def await_positions(
    root: Path, settings: StreamSettings, wanted: Mapping[int, Mapping[str, int]]
) -> None:
    """Wait until a store that others write has read so far.

    The test's timeout ends it.
    """
    ends = {(topic, n): end for n, topics in wanted.items() for topic, end in topics.items() if end}
    while True:
        with open_graph(root, settings) as graph:
            found = {
                (position.source, position.partition): offset
                for positions in graph.positions().values()
                for position, offset in positions.items()
            }
        if ends.items() <= found.items():
            return


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # kafka-python does not close a refused socket
def test_broker_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is killed is waited for.

    When it is back, so are the members, and nothing is missing.
    """
    monkeypatch.setattr(
        logging.getLogger("kafka"), "propagate", False
    )  # its records hold its sockets
    lose_and_find_a_broker()
    gc.collect()


def lose_and_find_a_broker() -> None:
    """Read with both clients before and after a broker is killed."""
    with LocalBroker() as broker:
        names = create_topics(broker.bootstrap, partitions=PARTITIONS)
        topics = {name.rpartition(".")[2]: name for name in names}
        all_settings = [
            replace(settings_for(topics, kafka_client=client), group_id=client)
            for client in KAFKA_CLIENTS
        ]
        expected = fill(broker.bootstrap, all_settings[0], keyed(all_settings[0]), 5)
        shards = [Shards(PARTITIONS) for _ in all_settings]
        members = [
            Member(broker.bootstrap, settings, own)
            for settings, own in zip(all_settings, shards, strict=True)
        ]
        run_until(members, lambda: all(set(own.counts()) == expected for own in shards))
        broker.kill()
        while not members[0].source.lag().silent_seconds:
            members[0].source.idle(0.1)  # as while a write or the quarantine is waited for
        refused = f"{broker.bootstrap}: Connection refused"
        run_until(members, lambda: all(refused in m.source._contact.away for m in members))
        for member in members:
            lag = member.source.lag()
            assert lag.silent_seconds > 0.0
            assert all(seconds >= lag.silent_seconds for seconds in lag.seconds.values())
        broker.start()
        fill(broker.bootstrap, all_settings[0], keyed(all_settings[0]), 5)
        run_until(members, lambda: all(len(own.counts()) == 2 * len(expected) for own in shards))
        run_until(
            members,
            lambda: (
                not any(
                    member.source.lag().silent_seconds or any(member.source.lag().seconds.values())
                    for member in members
                )
            ),
        )
        for member in members:
            member.source.close()


def test_client_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client that is an extra is asked for by name, with the command that installs
    it.
    """
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    for name in [name for name in sys.modules if name.startswith("stream.kafka.confluent.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SettingsInvalid, match=r"pip install 'freshet\[confluent\]'"):
        open_client("127.0.0.1:1", StreamSettings(kafka_client="confluent"))


def test_client_that_is_not_known() -> None:
    """A client by another name is refused."""
    with pytest.raises(SettingsInvalid, match="kafka-python or confluent"):
        StreamSettings(kafka_client="librdkafka")
