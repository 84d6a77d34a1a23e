"""Finds the topics of a source at its start, and waits for those that are missing."""

import logging
import time
from collections.abc import Mapping, Sequence

from stream.errors import SourceMismatch, SourceUnavailable
from stream.kafka.client import KafkaClient
from stream.settings import StreamSettings
from stream.sources.topics.watch import TopicLayout

logger = logging.getLogger(__name__)

# Seconds between two looks for topics that are missing at the start.
_RETRY_SECONDS = 0.5


def keyed_topics(settings: StreamSettings) -> list[str]:
    """Return the topics whose partition n goes to shard n; the group shares out those
    of the first.

    Raises:
        SourceMismatch: the settings name none.
    """
    names = (settings.clicks_topic, settings.sessions_topic, settings.catalog_topic)
    topics = [topic for topic in names if topic]
    if not topics:
        raise SourceMismatch("every topic is set to ''; name at least stream.clicks_topic")
    return topics


def find_topics(
    client: KafkaClient, bootstrap: str, settings: StreamSettings, needed: Sequence[str] = ()
) -> TopicLayout:
    """Return the topics, once they are there and fit each other.

    Args:
        client: asks the brokers.
        bootstrap: where they are, for messages.
        settings: the topics' names, and how long to wait for them.
        needed: topics that must be there, too, and are not read.

    Raises:
        SourceUnavailable: topics are missing.
        SourceMismatch: a topic has more partitions than the first one.
    """
    topics = keyed_topics(settings)
    found = _wait_for_topics(client, bootstrap, settings, [*topics, *needed])
    counts = {topic: found[topic] for topic in topics}
    first = topics[0]
    larger = {topic: count for topic, count in counts.items() if count > counts[first]}
    if larger:
        raise SourceMismatch(
            f"{first} has {counts[first]} partitions, fewer than {_listed(larger)}, and nobody "
            f"would read the others: give it as many (kafka-topics.sh --bootstrap-server "
            f"{bootstrap} --alter --topic {first} --partitions {max(larger.values())})"
        )
    if len(set(counts.values())) > 1:
        logger.warning(
            "topics have different numbers of partitions counts=%s; give all as many as %s",
            dict(counts),
            first,
        )
    return TopicLayout(counts, _find_erasures(client, bootstrap, settings), {})


def _wait_for_topics(
    client: KafkaClient, bootstrap: str, settings: StreamSettings, topics: Sequence[str]
) -> Mapping[str, int]:
    deadline = time.monotonic() + settings.bootstrap_timeout_seconds
    is_told = False
    while True:
        counts = client.partition_counts(topics)
        missing = [topic for topic, count in counts.items() if not count]
        if not missing:
            return counts
        if not is_told:
            logger.warning("waiting for topics bootstrap=%s topics=%s", bootstrap, missing)
            is_told = True
        if time.monotonic() >= deadline:
            raise _missing(bootstrap, missing, keyed_topics(settings))
        time.sleep(_RETRY_SECONDS)


def _missing(bootstrap: str, missing: Sequence[str], keyed: Sequence[str]) -> SourceUnavailable:
    advice = "create it"
    if any(topic in keyed for topic in missing):
        advice += (
            " with as many partitions as the others, or leave a topic out by setting its name to ''"
        )
    return SourceUnavailable(f"Kafka at {bootstrap} has no topic {', '.join(missing)}; {advice}")


def _find_erasures(
    client: KafkaClient, bootstrap: str, settings: StreamSettings
) -> Mapping[str, int]:
    topic = settings.erasures_topic
    if not topic:
        return {}
    count = client.partition_counts([topic])[topic]
    if not count:
        logger.warning("no erasures are read bootstrap=%s missing_topic=%s", bootstrap, topic)
    return {topic: count}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{topic} {count}" for topic, count in counts.items())
