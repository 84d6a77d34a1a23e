"""Sharing topics among members where the broker shares them out (KIP-848): the laws of
`test_assignment`, with the client that speaks it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from stream.errors import SettingsInvalid, SourceUnavailable
from stream.kafka.open import open_client
from stream.kafka.producer import RecordProducer
from stream.settings import StreamSettings
from testing.processes.members import Member, Shards, run_until
from tests.conftest import TopicFactory

PARTITIONS = 4
RECORDS = 50


@pytest.fixture
def topics(kafka_topics: TopicFactory) -> Mapping[str, str]:
    """This test's own topics."""
    return kafka_topics(partitions=PARTITIONS)


@pytest.fixture
def settings(topics: Mapping[str, str]) -> StreamSettings:
    """Settings that name them."""
    return StreamSettings(
        kafka_client="confluent",
        group_protocol="consumer",
        clicks_topic=topics["clicks"],
        sessions_topic=topics["sessions"],
        catalog_topic=topics["catalog"],
        erasures_topic=topics["erasures"],
        quarantine_topic=topics["quarantine"],
        group_id=topics["clicks"],
        batch_records=20,
        poll_seconds=0.1,
        bootstrap_timeout_seconds=60.0,
    )


@pytest.fixture
def shards() -> Shards:
    """The shards of all members."""
    return Shards(PARTITIONS)


@pytest.fixture
def members(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards
) -> Iterator[list[Member]]:
    """Two members, one after the other; all are closed at the end."""
    started = [Member(kafka_bootstrap, settings, shards) for _ in range(2)]
    yield started
    for member in started:
        member.source.close()


def test_members_come_and_go(
    kafka_bootstrap: str, settings: StreamSettings, shards: Shards, members: list[Member]
) -> None:
    """Two members share the shards evenly, one leaves, and every record is stored
    exactly once; whoever asks sees who has what.
    """
    fill(kafka_bootstrap, settings)
    first, second = members
    run_until(members, lambda: len(first.shards) == len(second.shards) == PARTITIONS // 2)
    admin = open_client(kafka_bootstrap, settings).admin()
    shares = sorted(map(sorted, admin.shares(settings.clicks_topic)))
    assert shares == sorted([first.shards, second.shards])
    first.source.close()
    run_until([second], lambda: len(second.shards) == PARTITIONS)
    run_until([second], lambda: len(shards.counts()) == RECORDS * PARTITIONS)
    admin.close()

    assert set(shards.counts().values()) == {1}


def fill(bootstrap: str, settings: StreamSettings) -> None:
    """Put records into every partition of the clicks topic."""
    producer = RecordProducer(bootstrap, settings)
    for number in range(RECORDS):
        for partition in range(PARTITIONS):
            producer.send(settings.clicks_topic, partition, None, b"%d" % number, [])
    producer.flush()
    producer.close()


def test_two_workers_of_one_name(kafka_bootstrap: str, settings: StreamSettings) -> None:
    """The second is refused, and told why."""
    named = replace(settings, worker_id="one")
    first = Member(kafka_bootstrap, named, Shards(PARTITIONS))
    run_until([first], lambda: len(first.shards) == PARTITIONS)
    second = Member(kafka_bootstrap, named, Shards(PARTITIONS))
    with pytest.raises(SourceUnavailable, match="give each its own"):
        run_until([first, second], lambda: False)
    for member in (first, second):
        member.source.close()


def test_the_other_client_does_not_speak_it() -> None:
    """The settings say so, before any broker is asked."""
    with pytest.raises(SettingsInvalid, match=r"set stream\.kafka_client to confluent"):
        StreamSettings(group_protocol="consumer")
    with pytest.raises(SettingsInvalid, match="must be classic or consumer"):
        StreamSettings(group_protocol="eager")
