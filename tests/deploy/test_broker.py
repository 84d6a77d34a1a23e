"""Tests of the local broker that the other tests rely on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.admin import KafkaAdminClient

from deploy.kafka import jars
from deploy.kafka.broker import BrokerFailedError, LocalBroker, PortTakenError
from deploy.kafka.jars import kafka_jars
from deploy.maven import MissingToolError

_ROOT = Path(__file__).resolve().parents[2]
_EVENT_OF_2011_MS = 1_314_000_000_000
_OWNER = """
import sys
from deploy.kafka.broker import LocalBroker
broker = LocalBroker()
broker.start()
print(broker._process.pid, broker._folder, flush=True)
sys.stdin.read()
"""


def _produce(bootstrap: str, topic: str, count: int) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for number in range(count):
        producer.send(topic, value=b"%d" % number, timestamp_ms=_EVENT_OF_2011_MS)
    producer.close()


def _consume(bootstrap: str, topic: str, count: int, seconds: float = 120.0) -> set[bytes]:
    """Read as a group member until `count` values came or the time is up."""
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=topic, auto_offset_reset="earliest"
    )
    values: set[bytes] = set()
    deadline = time.monotonic() + seconds
    while len(values) < count and time.monotonic() < deadline:
        values.update(record.value for records in consumer.poll(500).values() for record in records)
    consumer.close(autocommit=False)
    return values


def _until(met: Callable[[], bool], seconds: float = 120.0) -> bool:
    deadline = time.monotonic() + seconds
    while not met() and time.monotonic() < deadline:
        time.sleep(0.05)
    return met()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_group_reads_old_events(
    kafka_bootstrap: str, kafka_topics: Callable[..., Mapping[str, str]]
) -> None:
    """Events that happened years ago are kept and read by a consumer group."""
    topic = kafka_topics(partitions=2)["clicks"]

    _produce(kafka_bootstrap, topic, 50)

    assert _consume(kafka_bootstrap, topic, 50) == {b"%d" % number for number in range(50)}


def test_topics_are_apart_and_equally_partitioned(
    kafka_bootstrap: str, kafka_topics: Callable[..., Mapping[str, str]]
) -> None:
    """Two calls never share a topic, and every topic of one call has the same number of
    partitions.
    """
    first, second = kafka_topics(partitions=3), kafka_topics(partitions=1)
    admin = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    described = admin.describe_topics(list(first.values()))
    while not all(topic["partitions"] for topic in described):  # made, and not yet known of
        described = admin.describe_topics(list(first.values()))
    admin.close()

    assert set(first) == {"clicks", "sessions", "catalog", "erasures", "quarantine"}
    assert not set(first.values()) & set(second.values())
    assert {len(topic["partitions"]) for topic in described} == {3}


def test_data_survives_kill_and_restart_and_goes_with_stop() -> None:
    """A killed broker comes back on its port with its data.

    Stop leaves neither process nor directory.
    """
    with LocalBroker() as broker:
        bootstrap, folder, process = broker.bootstrap, broker._folder, broker._process
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
        admin.close()
        _produce(bootstrap, "kept", 5)
        broker.kill()
        broker.start()
        after_kill = _consume(bootstrap, "kept", 5)
        broker.restart()
        _produce(bootstrap, "kept", 7)
        restarted = broker._process

    assert after_kill == {b"%d" % number for number in range(5)}
    assert broker.bootstrap == bootstrap
    assert folder is not None
    assert not folder.exists()
    assert process is not None
    assert restarted is not None
    assert _until(lambda: not _alive(process.pid) and not _alive(restarted.pid))


def test_broker_dies_with_its_owner() -> None:
    """A broker whose owner was killed without a chance to clean up is killed too."""
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with owner:
        assert owner.stdout is not None
        group, folder = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)

    assert _until(lambda: not _alive(int(group)))
    subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.parametrize(
    ("end", "told", "has_log"),
    [
        ("kill -9 $$", "ended by signal 9: something killed it", False),
        ("kill -6 $$", "ended by signal 6:", True),
        ("exit 3", "ended with status 3:", True),
    ],
)
def test_how_a_broker_ended_is_told(tmp_path: Path, end: str, told: str, has_log: bool) -> None:
    """Its last lines say nothing of what killed it."""
    broker = LocalBroker()
    (tmp_path / "broker.log").write_text("WARN something else\n", "utf-8")
    broker._folder, broker._process = tmp_path, subprocess.Popen(["sh", "-c", end])

    with pytest.raises(BrokerFailedError, match=told) as caught:
        broker.wait()

    assert ("something else" in str(caught.value)) == has_log


def test_taken_port_is_named() -> None:
    """A port in use is refused at once, with the port in the message."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        with pytest.raises(PortTakenError, match=str(port)):
            LocalBroker(port).start()


def test_missing_java_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without Java the error is one line that names the packages and the way around."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingToolError) as caught:
        kafka_jars()

    message = str(caught.value)
    assert "\n" not in message
    assert "default-jre-headless maven" in message
    assert "FRESHET_TEST_KAFKA" in message


def test_given_jar_folder_must_hold_kafka(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FRESHET_KAFKA_LIB is used when it holds a broker and refused, by name, when it
    does not.
    """
    monkeypatch.setenv("FRESHET_KAFKA_LIB", str(tmp_path))
    with pytest.raises(MissingToolError, match="FRESHET_KAFKA_LIB"):
        kafka_jars()
    (tmp_path / "kafka_2.13-0.jar").touch()

    assert kafka_jars() == tmp_path


def test_fetching_the_jars_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes minutes, and is done once."""
    maven = tmp_path / "bin" / "mvn"
    maven.parent.mkdir()
    maven.write_text('#!/bin/sh\nfor last; do :; done\nmkdir "${last#*=}"\n', "utf-8")
    maven.chmod(0o755)
    monkeypatch.setenv("PATH", f"{maven.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("FRESHET_KAFKA_LIB", raising=False)
    monkeypatch.setattr(jars, "_CACHE", tmp_path / "cache")
    for told in ("kafka: fetching Kafka's jars with Maven, 44 MB (once)\n", ""):
        assert kafka_jars().parent == tmp_path / "cache"
        assert capsys.readouterr().err == told


def test_ports_that_are_asked_for_one_after_the_other_differ(
    free_port: Callable[[], int],
) -> None:
    """Who asks for several and listens afterwards has several."""
    ports = [free_port() for _ in range(500)]

    assert len(set(ports)) == len(ports)


def test_no_other_process_is_given_a_port_that_nobody_listens_on_yet(
    free_port: Callable[[], int],
) -> None:
    """Whoever has it may listen later, or again after a restart, or never."""
    port = free_port()
    code = (
        "from itertools import cycle\n"
        "from deploy.kafka import broker\n"
        f"broker._PORTS_IN_TURN = cycle([{port}, *broker._FREE_PORTS])\n"
        "print(broker.free_port())"
    )

    other = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True
    )

    assert int(other.stdout) != port
