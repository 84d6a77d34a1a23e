"""Kafka topics as a source.

A member of a consumer group that reads the partitions of its shards.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from stream.errors import SourceMismatch
from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.client import BrokerAway, Group, OffsetsGone, PassedOver, Reader
from stream.kafka.open import open_client
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.shard.fencing import has_database, shard_name
from stream.signals.lag import Lag
from stream.sources.topics.assignment import Assignment
from stream.sources.topics.contact import Contact
from stream.sources.topics.finding import find_topics, keyed_topics
from stream.sources.topics.gaps import Gap, Gaps
from stream.sources.topics.progress import Progress
from stream.sources.topics.watch import TopicWatch
from stream.store.store import Store
from stream.store.topic_ids import recreated_error

logger = logging.getLogger(__name__)

# Seconds that the last commit may take; the store's positions count anyway.
_COMMIT_SECONDS = 5.0
# Seconds between two looks at the group while nothing changes. Twice as many: a
# rebalance begins up to so much later.
_LOOK_SECONDS = 0.25
# Seconds between two looks while partitions move: each of several steps waits.
_REBALANCE_LOOK_SECONDS = 0.02
# Seconds after a change for which another step may follow.
_REBALANCE_SECONDS = 3.0


class _Member(NamedTuple):
    """What a member of the consumer group works with, between start and close."""

    group: Group
    reader: Reader
    assignment: Assignment
    progress: Progress
    store: Store


class KafkaSource:
    """Reads the click, session and catalogue topics as one member of a consumer group,
    and all erasures.

    The group shares out the partitions of the first topic; whoever has partition n
    reads partition n of every keyed topic and owns shard n, so that the topics cannot
    drift apart. The positions in the store count; Kafka's committed offsets are
    ignored.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: topics, group, timeouts, which client.
        metrics: what is counted; None: nothing.
        needed: topics that must be there, too, and are not read.

    Raises:
        SettingsInvalid: the client is not installed.
        SourceUnavailable: no broker answers, or topics are missing.
        SourceMismatch: a topic has more partitions than the first one.
    """

    shards_by_partition = True

    def __init__(
        self,
        bootstrap: str,
        settings: StreamSettings,
        metrics: StreamMetrics | None = None,
        *,
        needed: Sequence[str] = (),
    ) -> None:
        self._bootstrap = bootstrap
        self._settings = settings
        self._metrics = metrics or StreamMetrics(CollectorRegistry())
        self._topics = keyed_topics(settings)
        self._client = open_client(bootstrap, settings)
        self._member: _Member | None = None
        self._committed_at = self._changed_at = time.monotonic()
        self._watch = TopicWatch(
            self._client,
            find_topics(self._client, bootstrap, settings, needed),
            settings.topic_check_seconds,
            self._metrics,
        )
        self._watch.look()
        self._watch.adopt()
        self._contact = Contact(bootstrap, self._metrics)
        self._gaps = Gaps(self._metrics)
        self._metrics.watch_topics([*self._topics, *self._watch.layout.erasures])

    @property
    def num_partitions(self) -> int:
        """How many partitions the group shares out."""
        return self._watch.layout.num_shards

    @property
    def topic_ids(self) -> Mapping[str, str]:
        """Which topics there are, by name; an id is empty where it is not known."""
        return self._watch.layout.topic_ids

    def start(self, store: Store) -> None:
        """Join the consumer group; shards are opened as their partitions are assigned.

        Raises:
            SourceMismatch: a shard that holds something has no partition.
            SourceUnavailable: no broker answers.
        """
        self._check_shards(store)
        reader = self._client.reader()
        assignment = Assignment(reader, store.ownership, self._watch.layout)
        progress = Progress(reader, assignment, self._contact)
        try:
            group = self._client.group(self._topics[0])
        except BaseException:
            reader.close()
            raise
        self._member = _Member(group, reader, assignment, progress, store)
        self._watch.start()

    def poll(self, max_wait_seconds: float) -> list[RecordBatch]:
        """Return the next records, as soon as there are any.

        None when none came in this time.

        What a poll returns is always from after the rebalances that it saw. A broker
        that is away is waited for.

        Raises:
            SourceUnavailable: the broker refuses this consumer.
            StoreError: a shard that was assigned cannot be opened.
            TopicRecreated: a topic is another one, and the settings say to stop.
        """
        deadline = time.monotonic() + max_wait_seconds
        while True:
            if self._follow_group():
                return []
            remaining = max(deadline - time.monotonic(), 0.0)
            batches = self._read(min(remaining, self._look_seconds()))
            if batches or time.monotonic() >= deadline:
                return batches

    def idle(self, seconds: float) -> None:
        """Hand nothing out for this long, and stay a member of the group.

        Raises:
            SourceUnavailable: the broker refuses this consumer.
            StoreError: a shard that was assigned cannot be opened.
        """
        deadline = time.monotonic() + seconds
        while True:
            self._follow_group()
            self._ask_if_silent()
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            time.sleep(min(remaining, self._look_seconds()))

    @property
    def rebalances(self) -> int:
        """How often partitions came or went.

        What is not applied by then comes again, here or elsewhere.
        """
        return self._member.assignment.changes if self._member else 0

    @property
    def exhausted(self) -> bool:
        """Never: a topic does not end."""
        return False

    @property
    def clock_offset_ms(self) -> int:
        """How far records' times in Kafka are ahead of this machine's clock."""
        return self._member.progress.clock_offset_ms if self._member else 0

    def lag(self) -> Lag:
        """Return what waits in the assigned partitions.

        While the broker is away nobody knows what waits: something may have since then.
        """
        return self._member.progress.lag() if self._member else Lag()

    def behind_records(self) -> dict[tuple[str, int], int]:
        """Return how many records wait, by topic and partition.

        Leaves out what was not fetched from yet.
        """
        return self._member.progress.behind_records() if self._member else {}

    def reflected_ms(
        self, once_applied: Mapping[SourcePartition, int] | None = None
    ) -> dict[int, int]:
        """Return, by shard, the time up to which all that had reached its partitions is
        applied, in the time of Kafka's records.

        Args:
            once_applied: what can be said once everything before these positions is
                applied, without asking the broker; None: now.
        """
        return self._member.progress.reflected_ms(once_applied) if self._member else {}

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Record that records are in the store, and now and then commit their
        offsets to Kafka.
        """
        for position, next_offset in positions.items():
            self._joined.progress.apply(position, next_offset)
        self._gaps.applied(positions)
        if time.monotonic() - self._committed_at >= self._settings.commit_every_seconds:
            self._commit()

    def close(self) -> None:
        """Commit what is applied, close the shards, leave the group and disconnect."""
        self._watch.close()
        if self._member is None:
            return
        self._commit(wait_seconds=_COMMIT_SECONDS)
        self._member.assignment.close()
        self._member.group.close()
        self._member.reader.close()
        self._member = None

    def _check_shards(self, store: Store) -> None:
        """Check that every shard that holds anything has a partition, and so hears of
        erasures.
        """
        orphans = [
            name
            for name in map(shard_name, range(self.num_partitions, store.num_shards))
            if has_database(store.root / name)
        ]
        if orphans:
            raise SourceMismatch(
                f"the topics have {self.num_partitions} partitions, but store {store.root} has "
                f"{store.num_shards} shards, and {', '.join(orphans)} would hear of no erasure: "
                f"give {', '.join(self._topics)} {store.num_shards} partitions "
                f"(kafka-topics.sh --bootstrap-server {self._bootstrap} --alter --topic T "
                f"--partitions {store.num_shards}), or read them into a new store"
            )

    def _follow_group(self) -> bool:
        """Let the group take and give partitions; return whether it did."""
        group, _, assignment, progress, store = self._joined
        try:
            group.poll(assignment)
        except BrokerAway as error:
            self._wait_out(error)
        num_before = self.num_partitions
        if self._watch.adopt():
            if self.num_partitions < num_before:  # the topic is another one
                self._check_shards(store)
            assignment.rearrange(self._watch.layout)
        if not assignment.settle():
            return False
        self._changed_at = time.monotonic()
        progress.reassign()
        self._gaps.forget()
        return True

    def _look_seconds(self) -> float:
        """How soon to look at the group again.

        A change comes in several steps, each waiting for us.
        """
        is_changing = time.monotonic() - self._changed_at < _REBALANCE_SECONDS
        return _REBALANCE_LOOK_SECONDS if is_changing else _LOOK_SECONDS

    def _read(self, max_wait_seconds: float) -> list[RecordBatch]:
        _, reader, assignment, progress, _ = self._joined
        if not assignment.shards:
            time.sleep(max_wait_seconds)
            self._ask_if_silent()
            return []
        try:
            found = reader.poll(max_wait_seconds)
        except OffsetsGone as error:
            return self._pass_over(error.offsets)
        except BrokerAway as error:
            self._wait_out(error)
            return []
        if found:
            self._contact.heard()
        else:
            self._ask_if_silent()
        for batch in found:
            progress.hand_out(batch)
        shares = [share for batch in found for share in assignment.hand_out(batch)]
        return shares + self._behind_passed_over(reader.passed_over(), found)

    def _behind_passed_over(
        self, passed_over: Sequence[PassedOver], found: Sequence[RecordBatch]
    ) -> list[RecordBatch]:
        """Tell of batches that were passed over; return what moves the shards behind
        those behind which no record was read.
        """
        _, _, assignment, progress, _ = self._joined
        ends = {batch.position: batch.next_offset for batch in found}
        moves = []
        for each in passed_over:
            counts = assignment.counts(each.position)
            self._gaps.note_passed_over(each, counts=counts)
            if ends.get(each.position, -1) < each.next_offset:
                progress.pass_over(each.position, each.first_offset, each.next_offset)
                moves += assignment.pass_over(each.position, each.first_offset, each.next_offset)
        return moves

    def _wait_out(self, error: BrokerAway) -> None:
        logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, error)
        time.sleep(self._settings.poll_seconds)

    def _ask_if_silent(self) -> None:
        """Ask a broker that was not heard for a while whether it is there."""
        if self._contact.is_due:
            self._commit()
            self._contact.ask(self._joined.reader, self._topics[0], self._watch.missing)

    @property
    def _joined(self) -> _Member:
        assert self._member is not None  # noqa: S101  # asked only between start and close
        return self._member

    def _commit(self, *, wait_seconds: float = 0.0) -> None:
        """Commit to Kafka; being fenced off comes out of the next poll."""
        self._committed_at = time.monotonic()
        if self._member is None:
            return
        group, _, assignment, progress, _ = self._member
        offsets = {position: progress.next_offset(position) for position in assignment.partitions}
        group.commit(
            {position: offset for position, offset in offsets.items() if offset is not None},
            wait_seconds=wait_seconds,
        )

    def _pass_over(self, stored_offsets: Mapping[SourcePartition, int]) -> list[RecordBatch]:
        """Go on at the oldest record there is; return what moves the shards there.

        The broker does not have the stored offset (any more): retention passed it, or
        the topic is another one, which the next look at the group reads from its start.

        Raises:
            TopicRecreated: a topic ends before its offset, and the settings say to
                stop.
        """
        _, reader, assignment, progress, _ = self._joined
        self._watch.look()
        try:
            earliest = reader.earliest(stored_offsets)
        except BrokerAway as error:
            logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, error)
            return []
        reader.seek(dict(earliest))
        if self._watch.adopt():
            assignment.rearrange(self._watch.layout)
            assignment.rewound(earliest)
            return []  # what was handed out is read again, and so is what is left of the gap
        found = []
        for position, stored in stored_offsets.items():
            goes_on_at = earliest[position]
            if goes_on_at <= stored and self._settings.on_topic_recreated == "stop":
                raise recreated_error(position.source, f"has the offset {stored}, which was read")
            counts = assignment.counts(position)
            self._gaps.note(
                Gap(position=position, stored=stored, goes_on_at=goes_on_at, counts=counts)
            )
            progress.pass_over(position, stored, goes_on_at)
            found += assignment.pass_over(position, stored, goes_on_at)
        return found
