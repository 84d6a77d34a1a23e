"""Looks at the topics now and then, beside the worker: which there are, how many
partitions they have, and which shards no process has.
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from threading import Event, Lock, Thread
from typing import NamedTuple

from stream.errors import SourceUnavailable, StreamError
from stream.events.types import SourcePartition
from stream.kafka.client import Admin, BrokerAway, KafkaClient, TopicDescription
from stream.metrics import StreamMetrics

logger = logging.getLogger(__name__)

# Seconds after which shards that seemed to have no owner are looked at again: a
# rebalance is over by then. Twice as many: they are told so much later.
_LOOK_AGAIN_SECONDS = 3.0
# Seconds that the end of a worker waits for a look that is under way.
_CLOSE_SECONDS = 1.0


class TopicLayout(NamedTuple):
    """The topics of a source, as the brokers describe them.

    Attributes:
        keyed: partitions of each keyed topic, by name; the group shares out those of
            the first.
        erasures: partitions of the erasures topic, by name; empty: none is read.
        topic_ids: by name; empty where it is not known.
    """

    keyed: Mapping[str, int]
    erasures: Mapping[str, int]
    topic_ids: Mapping[str, str]

    @property
    def shared_topic(self) -> str:
        """The topic whose partitions the group shares out."""
        return next(iter(self.keyed))

    @property
    def num_shards(self) -> int:
        """How many partitions the group shares out."""
        return self.keyed[self.shared_topic]

    def partitions_of(self, shards: Collection[int]) -> list[SourcePartition]:
        """Return what shards read of the keyed topics.

        A topic that has fewer partitions has none for the last shards.
        """
        return [
            SourcePartition(topic, shard)
            for shard in shards
            for topic, count in self.keyed.items()
            if topic == self.shared_topic or shard < count
        ]

    def erasure_partitions(self) -> list[SourcePartition]:
        """Return what every shard reads of the erasures."""
        return [
            SourcePartition(topic, partition)
            for topic, count in self.erasures.items()
            for partition in range(count)
        ]

    def updated(self, found: Mapping[str, TopicDescription]) -> "TopicLayout":
        """Return the layout that the brokers describe now.

        A topic that is not there stays as it was: it may be made again in a moment. One
        that seems to have lost partitions, and is still the same, was described by a
        broker that has not heard of them yet.
        """
        ids = dict(self.topic_ids)
        counts = {**self.keyed, **self.erasures}
        for topic, (count, topic_id) in found.items():
            if not count:
                continue
            is_same = not topic_id or ids.get(topic, topic_id) == topic_id
            counts[topic] = max(count, counts.get(topic, 0)) if is_same else count
            ids[topic] = topic_id or ids.get(topic, "")
        return TopicLayout(
            {topic: counts[topic] for topic in self.keyed},
            {topic: counts[topic] for topic in self.erasures},
            ids,
        )


class TopicWatch:
    """Looks at the topics of a source every so often, on a thread of its own.

    Args:
        client: asks the brokers.
        layout: the topics as they were at the start.
        every_seconds: how often to look.
        metrics: told how many processes the group has, and how many shards none has.

    Attributes:
        layout: the topics as they are taken for now; `adopt` changes it.
        missing: topics that were there, and are not by the last look; none where the
            brokers did not tell.
    """

    def __init__(
        self,
        client: KafkaClient,
        layout: TopicLayout,
        every_seconds: float,
        metrics: StreamMetrics,
    ) -> None:
        self.layout = layout
        self.missing: Sequence[str] = ()
        self._client = client
        self._every_seconds = every_seconds
        self._metrics = metrics
        self._newest = layout
        self._without_owner: frozenset[int] = frozenset()
        self._is_sure = True  # whether two looks agree on them
        self._lock = Lock()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="topic-watch", daemon=True)

    def look(self) -> bool:
        """Look now; return whether the brokers told."""
        try:
            with closing(self._client.admin()) as admin:
                self._note(admin)
        except (BrokerAway, SourceUnavailable) as error:
            self.missing = ()
            logger.warning("topics not looked at error=%s", error)
            return False
        return True

    def adopt(self) -> bool:
        """Take the topics for what the last look found; return whether that is news."""
        with self._lock:
            is_news = self._newest != self.layout
            self.layout = self._newest
        return is_news

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        admin: Admin | None = None
        is_told = False
        while not self._closing.wait(self._seconds_to_next_look):
            try:
                admin = admin or self._client.admin()
                self._note(admin)
                self._note_owners(admin)
                is_told = False
            except (BrokerAway, StreamError) as error:
                if not is_told:  # once an outage: the line would be the same each time
                    logger.info("topics not looked at until the broker answers error=%s", error)
                is_told = True
                self.missing = ()
                if admin is not None:
                    admin.close()
                admin = None
        if admin is not None:
            admin.close()

    @property
    def _seconds_to_next_look(self) -> float:
        return (
            self._every_seconds if self._is_sure else min(_LOOK_AGAIN_SECONDS, self._every_seconds)
        )

    def _note(self, admin: Admin) -> None:
        with self._lock:
            before = self._newest
        found = admin.describe([*before.keyed, *before.erasures])
        self._note_missing(before, found)
        after = before.updated(found)
        with self._lock:
            self._newest = after
        for topic, count in {**after.keyed, **after.erasures}.items():
            known = {**before.keyed, **before.erasures}[topic]
            if count != known:
                logger.warning(
                    "topic has other partitions topic=%s partitions=%d before=%d",
                    topic,
                    count,
                    known,
                )

    def _note_missing(self, before: TopicLayout, found: Mapping[str, TopicDescription]) -> None:
        """Note which topics were deleted: a client waits for them without a word."""
        known = {**before.keyed, **before.erasures}
        missing = [
            topic for topic, count in known.items() if count and not found[topic].num_partitions
        ]
        for topic in missing:
            if topic not in self.missing:
                logger.error(
                    "topic is gone topic=%s; create it again with %d partitions, and it is read "
                    "from its start",
                    topic,
                    known[topic],
                )
        self.missing = missing

    def _note_owners(self, admin: Admin) -> None:
        """Note which shards no process has: those of two looks in a row.

        A rebalance leaves some without an owner for a moment.
        """
        layout = self._newest
        most = max(layout.keyed.values())
        shares = admin.shares(layout.shared_topic)
        seen = frozenset(range(most)).difference(*shares)
        without = sorted(seen & self._without_owner)
        self._metrics.set_group(num_members=len(shares), num_without_owner=len(without))
        if without and seen == self._without_owner:
            logger.error(
                "shards without an owner shards=%s topics=%s; start more processes, or give "
                "%s as many partitions as the others",
                without,
                dict(layout.keyed),
                layout.shared_topic,
            )
        self._is_sure = seen == self._without_owner
        self._without_owner = seen
