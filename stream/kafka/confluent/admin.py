"""What the brokers say of topics and groups."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream.kafka.client import BrokerAway, TopicDescription
from stream.kafka.confluent.errors import MISSING, error_text

# Seconds for an answer about topics and groups, which nobody waits for; chosen by hand.
_ADMIN_SECONDS = 5.0


class ConfluentAdmin:
    """Asks the brokers about topics and groups."""

    def __init__(self, client: AdminClient, group_id: str) -> None:
        self._client = client
        self._group_id = group_id

    def describe(self, topics: Collection[str]) -> dict[str, TopicDescription]:
        """Return what the brokers say of topics."""
        asked = self._client.describe_topics(
            TopicCollection(list(topics)), request_timeout=_ADMIN_SECONDS
        )
        return {topic: _description(answer) for topic, answer in asked.items()}

    def shares(self, topic: str) -> list[set[int]]:
        """Return the partitions of a topic that each member of the group has."""
        asked = self._client.describe_consumer_groups(
            [self._group_id], request_timeout=_ADMIN_SECONDS
        )
        try:
            members = asked[self._group_id].result().members
        except KafkaException as error:
            raise BrokerAway(error_text(error.args[0])) from error
        return [
            {
                each.partition
                for each in (member.assignment.topic_partitions if member.assignment else ())
                if each.topic == topic
            }
            for member in members
        ]

    def close(self) -> None:
        """Do nothing: it disconnects when it is forgotten."""


def _description(answer: Any) -> TopicDescription:
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() in MISSING:
            return TopicDescription(0, "")
        raise BrokerAway(error_text(error.args[0])) from error
    words = found.topic_id.get_most_significant_bits(), found.topic_id.get_least_significant_bits()
    number = (words[0] % (1 << 64) << 64) + words[1] % (1 << 64)
    return TopicDescription(len(found.partitions), str(UUID(int=number)) if number else "")
