"""Creates Freshet's topics as the stream expects them: equally partitioned, the
catalogue compacted.
"""

from collections.abc import Mapping
from types import MappingProxyType

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

_FOREVER: Mapping[str, str] = MappingProxyType({"retention.ms": "-1"})

TOPICS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "freshet.clicks": _FOREVER,
        "freshet.sessions": _FOREVER,
        "freshet.catalog": MappingProxyType({"cleanup.policy": "compact"}),
        "freshet.erasures": _FOREVER,
        "freshet.quarantine": _FOREVER,
    }
)
"""Topic name to its settings.

Shard n of the store reads partition n of each, so all have equally many.
"""


def create_topics(
    bootstrap: str, *, partitions: int, prefix: str = "", replication: int = 1
) -> list[str]:
    """Create the topics that do not exist yet and return the names of all of them.

    Args:
        bootstrap: "host:port" of the broker.
        partitions: partitions of each topic, the same for all.
        prefix: put before every name; tests use it to stay apart.
        replication: copies of each partition.
    """
    names = [prefix + name for name in TOPICS]
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        for name, settings in zip(names, TOPICS.values(), strict=True):
            _create(admin, NewTopic(name, partitions, replication, topic_configs=dict(settings)))
    finally:
        admin.close()
    return names


def _create(admin: KafkaAdminClient, topic: NewTopic) -> None:
    try:
        admin.create_topics([topic])
    except TopicAlreadyExistsError:
        return
