"""Which topics are read, and what happens when one is not what it was."""

import re
from dataclasses import dataclass

from stream.errors import SettingsInvalid
from stream.settings.bounds import check_bounds, check_choice

RECREATED_TOPIC_POLICIES = ("read", "stop")

# What Kafka takes for a name.
_TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, kw_only=True)
class TopicSettings:
    """The topics by their names."""

    clicks_topic: str = "freshet.clicks"
    """Topic of actions that came from a search, keyed by session id.

    Empty: not read; so for the next two.
    """

    sessions_topic: str = "freshet.sessions"
    """Topic of actions in a session without a search, keyed by session id."""

    catalog_topic: str = "freshet.catalog"
    """Compacted topic of items, keyed by item id."""

    erasures_topic: str = "freshet.erasures"
    """Topic of erasure requests.

    Optional; every shard reads all of it.
    """

    quarantine_topic: str = "freshet.quarantine"
    """Topic that rejected records go to."""

    # Seconds; chosen by hand, a few small requests each time. Twice as long finds new
    # partitions, and topics that were made again, 15 s later.
    topic_check_seconds: float = 15.0
    """How often the topics are looked at, in seconds: for more partitions, for topics
    that were deleted and made again, and for shards that no process has.
    """

    on_topic_recreated: str = "read"
    """What happens when a topic is not the one that the store has read: it was deleted
    and made again, ends before the stored offset, or is another cluster's.

    read: it is read from its start, which counts nothing twice. stop: the stream ends
    with an error that names the topic.
    """

    def _check_topics(self) -> None:
        self._check_topic_names()
        check_choice("on_topic_recreated", self.on_topic_recreated, RECREATED_TOPIC_POLICIES)
        check_bounds("topic_check_seconds", self.topic_check_seconds, 0.1, 3600.0)

    def _check_topic_names(self) -> None:
        """Check that each topic has a name that Kafka takes, and one meaning."""
        read = {
            name: getattr(self, name)
            for name in ("clicks_topic", "sessions_topic", "catalog_topic", "erasures_topic")
            if getattr(self, name)
        }
        for name, topic in {**read, "quarantine_topic": self.quarantine_topic}.items():
            if not _TOPIC_NAME.fullmatch(topic):
                raise SettingsInvalid(
                    f"stream.{name} is {topic!r}; the name of a topic has letters, digits, '.', "
                    "'_' and '-', 249 at the most"
                )
        for name in ("catalog_topic", "erasures_topic", "quarantine_topic"):
            topic = getattr(self, name)
            other = next((each for each in read if each != name and read[each] == topic), None)
            if topic and other:
                raise SettingsInvalid(
                    f"stream.{name} is {topic!r}, and so is stream.{other}: "
                    + (
                        "what is rejected would come back and be rejected for ever"
                        if name == "quarantine_topic"
                        else "the topic says what its records are"
                    )
                    + "; give it a topic of its own"
                )
