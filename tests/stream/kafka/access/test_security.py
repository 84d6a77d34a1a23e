"""TLS and passwords against a real broker, and what is said when they do not fit."""

import gc
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from kafka.errors import KafkaTimeoutError

from deploy.kafka.broker import LocalBroker
from deploy.kafka.secured import PASSWORD, SCOPE, USER, SecuredListeners, secured_listeners
from deploy.kafka.topics import create_topics
from stream.errors import PublishFailed, SettingsInvalid, SourceUnavailable
from stream.events.types import SourcePartition
from stream.kafka.access.reach import reaching
from stream.kafka.access.refusals import unreachable
from stream.kafka.client import BrokerAway, Group, Reader, TopicDescription
from stream.kafka.confluent.reader import ConfluentReader
from stream.kafka.open import open_client
from stream.kafka.producer import RecordProducer
from stream.settings import KAFKA_CLIENTS, StreamSettings
from testing.stand_ins.token_endpoint import (
    CLIENT_ID,
    CLIENT_SECRET,
    TokenEndpoint,
    token_endpoint,
    unsigned_token,
)

# kafka-python leaves sockets of connections that failed to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

# Seconds to connect for who fits, of a busy machine.
PATIENCE = 60.0
# For who does not, and waits until they are over before it says why. Twice as many:
# each such test takes so much longer.
HASTE = 4.0
WRONG_PASSWORD = "stream.sasl_username, its password or stream.sasl_mechanism is wrong"


@dataclass(frozen=True, kw_only=True)
class Secured:
    """A broker with a listener of every kind, and the files for them."""

    broker: LocalBroker
    listeners: SecuredListeners

    def address(self, listener: str) -> str:
        """Return where a listener is; PLAINTEXT wants nothing."""
        return self.broker.secured_bootstraps.get(listener, self.broker.bootstrap)

    def settings(self, client: str, protocol: str, **more: Any) -> StreamSettings:
        """Return settings for a protocol that fit the broker, but for those given."""
        own: dict[str, Any] = {"kafka_client": client, "bootstrap_timeout_seconds": PATIENCE}
        return StreamSettings(**{**own, **self.listeners.access(protocol), **more})


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect what a refused client left, before another test is blamed for it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """One broker for all tests here, with topics of one partition; like brokers before
    4.0 it shares no partitions out.
    """
    listeners = secured_listeners(tmp_path_factory.mktemp("certificates"))
    classic = "group.coordinator.rebalance.protocols=classic\n"
    listeners = replace(listeners, config=listeners.config + classic)
    with LocalBroker(secured=listeners) as broker:
        create_topics(broker.bootstrap, partitions=1)
        yield Secured(broker=broker, listeners=listeners)


def round_trip(bootstrap: str, settings: StreamSettings) -> None:
    """Publish a record and read it, and be in a group, as the settings say."""
    producer = RecordProducer(bootstrap, settings)
    producer.send(settings.clicks_topic, 0, None, b"{}", [])
    producer.flush()
    producer.close()
    client = open_client(bootstrap, settings)
    assert client.partition_counts([settings.clicks_topic]) == {settings.clicks_topic: 1}
    admin = client.admin()
    described = admin.describe([settings.clicks_topic, "nothing"])
    admin.close()
    assert described[settings.clicks_topic].num_partitions == 1
    assert described[settings.clicks_topic].topic_id
    assert described["nothing"] == TopicDescription(0, "")
    client.group(settings.clicks_topic).close()
    reader = client.reader()
    position = SourcePartition(settings.clicks_topic, 0)
    reader.assign([position])
    reader.seek({position: None})
    found = reader.poll(0.5)
    while not found:
        found = reader.poll(0.5)
    reader.close()
    assert found[0].values[0] == b"{}"


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize(
    ("listener", "protocol", "more"),
    [
        ("TLS", "SSL", {}),
        ("BOTH", "SASL_SSL", {}),
        ("BOTH", "SASL_SSL", {"sasl_mechanism": "PLAIN"}),
        ("PASSWORD", "SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-512"}),
    ],
)
def test_what_fits(
    secured: Secured, client: str, listener: str, protocol: str, more: Mapping[str, Any]
) -> None:
    """Every protocol and mechanism, to produce, to read and to be in a group."""
    round_trip(secured.address(listener), secured.settings(client, protocol, **more))


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize("in_one_file", [True, False])
def test_certificate_of_the_client(
    secured: Secured, tmp_path: Path, client: str, in_one_file: bool
) -> None:
    """A broker may want one; its key is beside it or in the same file."""
    certificate, key = secured.listeners.client_certificate, secured.listeners.client_key
    files = {"ssl_certificate_location": str(certificate), "ssl_key_location": str(key)}
    if in_one_file:
        both = tmp_path / "client.pem"
        both.write_text(certificate.read_text() + key.read_text())
        files = {"ssl_certificate_location": str(both)}
    round_trip(secured.address("MUTUAL"), secured.settings(client, "SSL", **files))


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    """A token endpoint of this test."""
    with token_endpoint() as server:
        yield server


def token_settings(client: str, url: str, **more: Any) -> StreamSettings:
    """Return settings that take tokens from somewhere."""
    own = {
        "kafka_client": client,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauthbearer_token_endpoint_url": url,
        "sasl_oauthbearer_client_id": CLIENT_ID,
        "sasl_oauthbearer_client_secret": CLIENT_SECRET,
        "sasl_oauthbearer_scope": SCOPE,
        "sasl_oauthbearer_extensions": "logicalCluster=lkc-1",
        "bootstrap_timeout_seconds": PATIENCE,
    }
    return StreamSettings(**{**own, **more})


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_token_of_a_provider(secured: Secured, endpoint: TokenEndpoint, client: str) -> None:
    """To produce, to read and to be in a group."""
    round_trip(secured.address("TOKEN"), token_settings(client, endpoint.url))
    assert endpoint.forms


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_token_of_a_file(secured: Secured, tmp_path: Path, client: str) -> None:
    """As an agent beside the process puts it there."""
    path = tmp_path / "token"
    path.write_text(unsigned_token(life_seconds=300.0, scope=SCOPE))
    round_trip(secured.address("TOKEN"), token_settings(client, path.as_uri()))


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_token_that_runs_out(secured: Secured, endpoint: TokenEndpoint, client: str) -> None:
    """The broker ends a session with its token: who reads on has shown the next one."""
    endpoint.life_seconds = 3.0
    settings = token_settings(client, endpoint.url)
    producer = RecordProducer(secured.broker.bootstrap, StreamSettings())
    position = SourcePartition(settings.clicks_topic, 0)
    reader = open_client(secured.address("TOKEN"), settings).reader()
    reader.assign([position])
    reader.seek({position: None})
    at_first = len(endpoint.forms)
    _read_until(reader, lambda _: len(endpoint.forms) >= at_first + 3)
    producer.send(position.source, 0, None, b"after", [])
    producer.flush()
    producer.close()
    _read_until(reader, lambda values: b"after" in values)
    reader.close()


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
def test_a_token_that_comes_late_is_waited_for(
    secured: Secured, endpoint: TokenEndpoint, client: str
) -> None:
    """A provider that is away for longer than a token lives ends nobody's reading."""
    endpoint.life_seconds = 3.0
    settings = token_settings(client, endpoint.url)
    position = SourcePartition(settings.clicks_topic, 0)
    reader = open_client(secured.address("TOKEN"), settings).reader()
    reader.assign([position])
    reader.seek({position: None})
    _read_until(reader, lambda _: reader.end(position) is not None)
    endpoint.answer = 503, b"away"
    asked = len(endpoint.forms)
    _read_until(reader, lambda _: len(endpoint.forms) > asked and reader.why_silent(position) != "")
    endpoint.answer = None
    producer = RecordProducer(secured.broker.bootstrap, StreamSettings())
    producer.send(position.source, 0, None, b"late", [])
    producer.flush()
    producer.close()

    values = _read_until(reader, lambda values: b"late" in values)
    reader.close()

    assert values[-1] == b"late"


def _read_until(
    reader: Reader, is_done: Callable[[list[bytes | None]], bool]
) -> list[bytes | None]:
    deadline, values = time.monotonic() + 120, list[bytes | None]()
    while not is_done(values):
        assert time.monotonic() < deadline
        with suppress(BrokerAway):  # whose session a busy machine let run out, for a moment
            for batch in reader.poll(0.5):
                values += batch.values
    return values


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize(
    ("more", "beginning", "meaning"),
    [
        ({"sasl_oauthbearer_scope": "mail"}, "Kafka at ", "it does not take the token"),
        (
            {"sasl_oauthbearer_client_secret": "not it"},
            "stream.sasl_oauthbearer_token_endpoint_url: http://",
            "invalid_client",
        ),
        (
            {"sasl_oauthbearer_token_endpoint_url": "http://127.0.0.1:1/"},
            "stream.sasl_oauthbearer_token_endpoint_url: http://",
            "does not answer",
        ),
    ],
)
def test_token_that_does_not_fit(
    secured: Secured,
    endpoint: TokenEndpoint,
    client: str,
    more: dict[str, Any],
    beginning: str,
    meaning: str,
) -> None:
    """One line says who refuses, the broker or the provider, to whoever connects."""
    more = {**more, "bootstrap_timeout_seconds": HASTE}
    bootstrap, settings = secured.address("TOKEN"), token_settings(client, endpoint.url, **more)
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(
            lambda: open_client(bootstrap, settings).partition_counts([settings.clicks_topic])
        )
        publishing = pool.submit(lambda: RecordProducer(bootstrap, settings))
    with pytest.raises(SourceUnavailable) as read:
        asking.result()
    with pytest.raises(PublishFailed) as published:
        publishing.result()
    for message in map(str, (read.value, published.value)):
        assert message.startswith(beginning)
        assert meaning in message
        assert "\n" not in message
        assert CLIENT_SECRET not in message


def test_group_protocol_that_the_broker_does_not_speak(secured: Secured) -> None:
    """One line names the setting."""
    settings = StreamSettings(kafka_client="confluent", group_protocol="consumer")
    group = open_client(secured.broker.bootstrap, settings).group(settings.clicks_topic)
    try:
        with pytest.raises(SourceUnavailable, match=r"set stream\.group_protocol to classic"):
            poll_for_ever(group)
    finally:
        group.close()


def poll_for_ever(group: Group) -> None:
    """Take part in a group until that fails."""
    while True:
        group.poll(_Nobody())


class _Nobody:
    """Is told of no partitions."""

    def assigned(self, partitions: Collection[int]) -> None:
        """Fail: nothing can be given."""
        raise AssertionError(partitions)

    revoked = lost = assigned


def test_password_from_a_file(secured: Secured, tmp_path: Path) -> None:
    """The line end that editors put behind it is not part of it."""
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    more = {"sasl_password": "", "sasl_password_file": str(path)}
    settings = secured.settings("kafka-python", "SASL_SSL", **more)
    round_trip(secured.address("BOTH"), settings)


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize(
    ("listener", "protocol", "more", "meaning"),
    [
        ("BOTH", "SASL_SSL", {"sasl_password": "not it"}, WRONG_PASSWORD),
        ("BOTH", "SASL_SSL", {"sasl_mechanism": "PLAIN", "sasl_username": "x"}, WRONG_PASSWORD),
        ("TLS", "SSL", {"ssl_ca_location": "other"}, "signed by nobody in stream.ssl_ca_location"),
        ("TLS", "SSL", {"ssl_ca_location": ""}, "signed by nobody in stream.ssl_ca_location"),
        ("TLS", "PLAINTEXT", {}, "stream.security_protocol"),
        ("PASSWORD", "PLAINTEXT", {}, "see stream.security_protocol"),
        ("PLAINTEXT", "SSL", {}, "it does not speak TLS there; see stream.security_protocol"),
        ("PLAINTEXT", "SASL_PLAINTEXT", {}, "it wants no password there"),
        ("MUTUAL", "SSL", {}, "set stream.ssl_certificate_location"),
    ],
)
def test_what_does_not_fit(
    secured: Secured,
    client: str,
    listener: str,
    protocol: str,
    more: dict[str, Any],
    meaning: str,
) -> None:
    """One line names the address, the cause and the setting, and no password."""
    if more.get("ssl_ca_location") == "other":
        more = {"ssl_ca_location": str(secured.listeners.other_ca)}
    more = {**more, "bootstrap_timeout_seconds": HASTE}
    bootstrap, settings = secured.address(listener), secured.settings(client, protocol, **more)
    with pytest.raises(SourceUnavailable) as raised:
        open_client(bootstrap, settings).partition_counts([settings.clicks_topic])
    message = str(raised.value)
    assert message.startswith(f"Kafka at {bootstrap} ")
    assert meaning in message
    assert "\n" not in message
    assert PASSWORD not in message


def test_producer_that_is_refused(secured: Secured) -> None:
    """What publishes says the same."""
    wrong: dict[str, Any] = {"sasl_password": "not it", "bootstrap_timeout_seconds": HASTE}
    settings = secured.settings("kafka-python", "SASL_SSL", **wrong)
    with pytest.raises(PublishFailed, match=WRONG_PASSWORD):
        RecordProducer(secured.address("BOTH"), settings)


@pytest.mark.parametrize("client", KAFKA_CLIENTS)
@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"ssl_ca_location": "absent.pem"}, "ssl_ca_location: .*absent.pem cannot be read"),
        ({"ssl_ca_location": "garbage.pem"}, "garbage.pem holds no certificate in PEM"),
        ({"ssl_certificate_location": "garbage.pem"}, "no certificate and its key in PEM"),
        ({"sasl_password_file": "absent"}, "sasl_password_file: .*absent cannot be read"),
        ({"sasl_password_file": "empty"}, "sasl_password_file: .*empty is empty"),
        ({"sasl_password_file": "latin-1"}, "latin-1 is not UTF-8"),
    ],
)
def test_files_that_cannot_be_used(
    tmp_path: Path, client: str, more: Mapping[str, str], expected: str
) -> None:
    """They are named by their setting before any broker is asked."""
    (tmp_path / "garbage.pem").write_text("garbage")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin-1").write_bytes(b"p\xe4ss")
    own: dict[str, Any] = {"kafka_client": client, "security_protocol": "SASL_SSL"}
    own |= {"sasl_mechanism": "PLAIN", "sasl_username": "u"}
    if "sasl_password_file" not in more:
        own["sasl_password"] = "x"
    own |= {name: str(tmp_path / value) for name, value in more.items()}
    settings = StreamSettings(**own)
    with pytest.raises(SettingsInvalid, match=expected):
        open_client("127.0.0.1:1", settings).partition_counts(["t"])


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        ("Invalid frame length: 1213486160", "it speaks HTTP there"),
        (
            "Invalid response size 1213486160 (0..100000000): increase receive.message.max.bytes",
            "it speaks HTTP there",
        ),
        ("Receive failed: Invalid response size 352518912 (0..100000000)", "it speaks TLS there"),
        ("Invalid frame length: 1397966893", "it speaks no Kafka there"),  # SSH-
    ],
)
def test_what_speaks_something_else_is_told_by_its_first_bytes(cause: str, said: str) -> None:
    """Not all that is no Kafka is TLS, and the limit that librdkafka names is none."""
    assert said in unreachable("b:1", [cause], StreamSettings())


def test_causes_that_say_more_count_more() -> None:
    """The last complaint is often only a consequence; one that nothing is known of is
    told as it is.
    """
    settings = StreamSettings()
    causes = ["Invalid frame length: 352518912", "socket disconnected"]
    assert "it speaks TLS there" in unreachable("b:1", causes, settings)

    late = ["socket disconnected", "Request timed out after 161 ms"]
    assert "ended the connection (socket disconnected)" in unreachable("b:1", late, settings)
    assert unreachable("b:1", ["socket disconnected", "111 ECONNREFUSED"], settings) == (
        "no Kafka broker answers at b:1 (111 ECONNREFUSED); check the address and that the "
        "broker runs"
    )


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Refresh: [KafkaConnectionError: 111 ECONNREFUSED]", "111 ECONNREFUSED"),
        ("(<node [KafkaConnectionError: 111 ECONNREFUSED])", "111 ECONNREFUSED"),
        (
            "KafkaConnectionError: DNS lookup failed, gaierror(-2)",
            "DNS lookup failed, gaierror(-2)",
        ),
    ],
)
def test_a_cause_ends_where_it_ends(said: str, cause: str) -> None:
    """Brackets of what the client says around it are no part of it."""
    told = rf"no Kafka broker answers at b:1 \({re.escape(cause)}\);"
    with pytest.raises(SourceUnavailable, match=told):
        _complain(said)


def _complain(said: str) -> None:
    with reaching("b:1", StreamSettings(), SourceUnavailable):
        logging.getLogger("kafka.cluster").error(said)
        raise KafkaTimeoutError


class _Failing:
    """A consumer whose session the broker has just ended."""

    def consume(self, _count: int, _seconds: float) -> list[Any]:
        return [self]

    def error(self) -> KafkaError:
        return KafkaError(KafkaError._AUTHENTICATION)  # its public name


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "PLAIN"])
def test_an_ended_session_is_waited_out_where_another_token_comes(mechanism: str) -> None:
    """A password is refused for good; a token is followed by another."""
    settings = token_settings("confluent", "http://127.0.0.1:1/")
    if mechanism == "PLAIN":
        settings = StreamSettings(
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism=mechanism,
            sasl_username=USER,
            sasl_password=PASSWORD,
        )
    reader = ConfluentReader("127.0.0.1:1", _Failing(), None, settings)  # type: ignore[arg-type]

    refused = pytest.raises(SourceUnavailable, match="refused")
    with nullcontext() if mechanism == "OAUTHBEARER" else refused:
        assert reader.poll(0.0) == []
