"""Asks the brokers about topics and groups."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

from kafka.errors import KafkaError

from stream.kafka.client import BrokerAway, TopicDescription


class KafkaPythonAdmin:
    """Asks the brokers about topics and groups."""

    def __init__(self, client: Any, group_id: str) -> None:
        self._client = client
        self._group_id = group_id

    def describe(self, topics: Collection[str]) -> dict[str, TopicDescription]:
        """Return what the brokers say of topics."""
        try:
            found = self._client.describe_topics(list(topics))
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        return {
            each["name"]: TopicDescription(len(each["partitions"]), each.get("topic_id") or "")
            for each in found
        }

    def shares(self, topic: str) -> list[set[int]]:
        """Return the partitions of a topic that each member of the group has."""
        try:
            members = self._client.describe_groups([self._group_id])[self._group_id]["members"]
        except KafkaError as error:
            raise BrokerAway(str(error)) from error
        shares = [member["member_assignment"] or {} for member in members]
        return [
            {
                partition
                for each in share.get("assigned_partitions", ())
                if each["topic"] == topic
                for partition in each["partitions"]
            }
            for share in shares
        ]

    def close(self) -> None:
        """Disconnect."""
        with suppress(KafkaError):
            self._client.close()
