"""How workers read Kafka together: the consumer group and its client."""

from dataclasses import dataclass

from stream.errors import SettingsInvalid
from stream.settings.bounds import check_bounds, check_choice

KAFKA_CLIENTS = ("kafka-python", "confluent")
GROUP_PROTOCOLS = ("classic", "consumer")


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """The consumer group, and this process in it."""

    group_id: str = "freshet"
    """Kafka consumer group. All processes of a group must read the same topics."""

    worker_id: str = ""
    """Static member name of this process, unique in its group.

    A restart within `session_timeout_seconds` keeps its partitions. Empty: a dynamic
    member, whose partitions are reassigned when it ends.
    """

    group_protocol: str = "classic"
    """How the group shares partitions out: classic, or consumer (KIP-848: the brokers
    do it, from Kafka 4.0 on), which needs the client confluent.

    With consumer the broker's `group.consumer.session.timeout.ms` counts instead of
    `session_timeout_seconds`.
    """

    kafka_client: str = "kafka-python"
    """Library that consumes: kafka-python, or confluent, which is an extra and needs
    less CPU.
    """

    # Seconds; chosen by hand for a broker that starts together with the worker. Twice
    # as long reports a wrong address 30 s later.
    bootstrap_timeout_seconds: float = 30.0
    """How long to wait at the start, in seconds, for a broker and for the topics to
    exist.
    """

    # Seconds; Kafka's default before 3.0. Twice as long leaves a killed worker's
    # partitions unread twice as long, and tolerates longer pauses.
    session_timeout_seconds: float = 10.0
    """Time without heartbeats, in seconds, after which the consumer group reassigns a
    worker's partitions.
    """

    # Seconds; Kafka's default of auto.commit.interval.ms. Twice as long shows lag
    # monitors offsets of 10 s ago.
    commit_every_seconds: float = 5.0
    """How often offsets are committed to Kafka, in seconds.

    For lag monitoring only: the offsets in the store are authoritative.
    """

    def _check_group(self) -> None:
        check_choice("kafka_client", self.kafka_client, KAFKA_CLIENTS)
        check_choice("group_protocol", self.group_protocol, GROUP_PROTOCOLS)
        if not self.group_id:
            raise SettingsInvalid(
                "stream.group_id is empty; give the name of a consumer group, the same to all "
                "workers of a store"
            )
        if self.group_protocol == "consumer" and self.kafka_client != "confluent":
            raise SettingsInvalid(
                f"stream.group_protocol is consumer, which {self.kafka_client} does not speak; "
                "set stream.kafka_client to confluent"
            )
        for name in ("bootstrap_timeout_seconds", "commit_every_seconds"):
            check_bounds(name, getattr(self, name), 0.01, 86400.0)
        check_bounds("session_timeout_seconds", self.session_timeout_seconds, 1.0, 86400.0)
