"""Kafka topics as a source.

A member of a consumer group that reads the partitions of its shards.
"""

import logging
import time
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from stream.clock import now_ms
from stream.errors import SourceMismatch, SourceUnavailable
from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.client import BrokerAway, Group, OffsetsGone, PassedOver, Reader
from stream.kafka.connection import what_listens
from stream.kafka.open import open_client
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.shard.fencing import has_database, shard_name
from stream.signals.lag import Lag
from stream.sources.arrivals import Arrivals
from stream.sources.assignment import Assignment
from stream.sources.record_clock import RecordClock
from stream.sources.topic_watch import TopicLayout, TopicWatch
from stream.store.store import Store
from stream.store.topic_ids import recreated_error

logger = logging.getLogger(__name__)

# Seconds between two looks for topics that are missing at the start.
_TOPIC_RETRY_SECONDS = 0.5
# Seconds that the last commit may take; the store's positions count anyway.
_COMMIT_SECONDS = 5.0
# Seconds of silence after which the broker is asked whether it is there. Twice as
# many: half the questions, and a broker is missed twice as late.
_CONTACT_SECONDS = 5.0
# Seconds between two looks at the group while nothing changes. Twice as many: a
# rebalance begins up to so much later.
_LOOK_SECONDS = 0.25
# Looks at the ends, four times a second, within which a client that waits for records
# has asked the broker for them at least once: every half second. Twice as many tell
# half as exactly when something came.
_LOOKS_PER_FETCH = 5
# Seconds between two looks while partitions move: each of several steps waits.
_REBALANCE_LOOK_SECONDS = 0.02
# Seconds after a change for which another step may follow.
_REBALANCE_SECONDS = 3.0


class _Heard:
    """When the brokers were heard, in monotonic seconds.

    Attributes:
        at: the last time.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self._looks = deque([at], maxlen=_LOOKS_PER_FETCH)

    def look(self) -> None:
        """Remember when they had been heard at this look."""
        self._looks.append(self.at)

    @property
    def asked_at(self) -> float:
        """A moment after which a waiting client has asked each partition for more."""
        return self._looks[0]


class _Member(NamedTuple):
    """What a member of the consumer group works with, between start and close."""

    group: Group
    reader: Reader
    assignment: Assignment
    store: Store


class _Unapplied:
    """What was handed out and is not in the store yet, by partition."""

    def __init__(self) -> None:
        self._begin: dict[SourcePartition, int] = {}
        self._polled_end: dict[SourcePartition, int] = {}

    def begin(self, position: SourcePartition) -> int | None:
        """Return the first offset that is not applied; None: all is."""
        return self._begin.get(position)

    def hand_out(self, batch: RecordBatch) -> None:
        """Record the records that were read."""
        self._begin.setdefault(batch.position, batch.offsets[0])
        self._polled_end[batch.position] = batch.next_offset

    def apply(self, position: SourcePartition, next_offset: int) -> None:
        """Record that everything before an offset is in the store."""
        self._begin[position] = next_offset
        if next_offset >= self._polled_end.get(position, 0):
            del self._begin[position]

    def drop(self, assigned: Collection[SourcePartition]) -> None:
        """Forget what was handed out: it is read again, where it is still assigned."""
        self._begin = {}
        self._polled_end = {
            position: end for position, end in self._polled_end.items() if position in assigned
        }


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
        self._topics = [
            topic
            for topic in (settings.clicks_topic, settings.sessions_topic, settings.catalog_topic)
            if topic
        ]
        if not self._topics:
            raise SourceMismatch("every topic is set to ''; name at least stream.clicks_topic")
        self._client = open_client(bootstrap, settings)
        self._member: _Member | None = None
        self._unapplied = _Unapplied()
        self._clock = RecordClock()
        self._arrivals: defaultdict[SourcePartition, Arrivals] = defaultdict(Arrivals)
        self._committed_at = self._contact_at = self._changed_at = time.monotonic()
        self._heard = _Heard(self._contact_at)
        self._away = ""  # why the broker does not answer
        self._watch = TopicWatch(
            self._client, self._find_topics(needed), settings.topic_check_seconds, self._metrics
        )
        self._watch.look()
        self._watch.adopt()
        self._metrics.set_broker(bootstrap, "")
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
        try:
            self._member = _Member(self._client.group(self._topics[0]), reader, assignment, store)
        except BaseException:
            reader.close()
            raise
        self._watch.start()

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
                f"(kafka-topics.sh --alter --topic T --partitions {store.num_shards}), or read "
                "them into a new store"
            )

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
            self._check_contact(has_records=False)
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

    def lag(self) -> Lag:
        """Return what waits in the assigned partitions.

        While the broker is away nobody knows what waits: something may have since then.
        """
        now, at_ms = time.monotonic(), now_ms()
        silent = now - self._heard.at if self._away else 0.0
        self._heard.look()
        records, seconds, stuck = {}, {}, {}
        for position in self._assigned():
            place = position.source, position.partition
            end, next_offset = self._joined.reader.end(position), self._next_offset(position)
            if end is not None and next_offset is not None:
                records[place] = max(end - next_offset, 0)
                arrivals, waits = self._arrivals[position], next_offset < end
                arrivals.see_end(end, heard=self._heard.asked_at, now=now, is_stale=waits)
                age = arrivals.age_seconds(next_offset, now=now, now_ms=at_ms)
                seconds[place] = max(age, silent)
                stuck[place] = arrivals.stuck_seconds(next_offset, waits=waits, now=now)
            elif silent:
                seconds[place] = silent
        return Lag(records=records, seconds=seconds, stuck_seconds=stuck, silent_seconds=silent)

    def reflected_ms(
        self, once_applied: Mapping[SourcePartition, int] | None = None
    ) -> dict[int, int]:
        """Return, by shard, the time up to which all that had reached its partitions is
        applied, in the time of Kafka's records.

        Where nothing is known to wait the broker is asked: what it had then is all
        there was until then. Else it is the time of what waits longest, or of when the
        broker last had nothing more, less 1. Left out: shards of which nothing can be
        said now.

        Args:
            once_applied: what can be said once everything before these positions is
                applied, without asking the broker; None: now.
        """
        positions = once_applied or {}
        if self._member is None or self._away:
            return {}
        asked_at, asked_ms = time.monotonic(), now_ms()
        try:
            idle = self._idle() if once_applied is None else []
            ends = self._joined.reader.ends(idle) if idle else {}
        except BrokerAway as error:
            logger.warning("ends not known bootstrap=%s error=%s", self._bootstrap, error)
            return {}
        now, at_ms, ahead_ms = time.monotonic(), now_ms(), self.clock_offset_ms
        claims: dict[SourcePartition, int] = {}
        for position in self._assigned():
            next_offset, known = self._next_offset(position), self._joined.reader.end(position)
            next_offset = positions.get(position, next_offset)
            end = max(ends.get(position, 0), known or 0)
            arrivals = self._arrivals[position]
            if position in ends:
                arrivals.see_end(ends[position], heard=asked_at, now=now)
            if next_offset is None or (known is None and position not in ends):
                claims[position] = 0
            elif position in ends and next_offset >= end:
                claims[position] = asked_ms + ahead_ms
                arrivals.see_idle(asked_at)
            else:
                arrivals.see_end(end, heard=self._heard.asked_at, now=now, is_stale=True)
                since_ms = arrivals.waits_since_ms(
                    next_offset, now=now, now_ms=at_ms, ahead_ms=ahead_ms
                )
                claims[position] = 0 if since_ms is None else since_ms - 1
        return self._by_shard(claims)

    def _idle(self) -> list[SourcePartition]:
        """Return the partitions in which nothing is known to wait."""
        places = [
            (position, self._joined.reader.end(position), self._next_offset(position))
            for position in self._assigned()
        ]
        return [
            position
            for position, end, next_offset in places
            if end is None or next_offset is None or next_offset >= end
        ]

    def _by_shard(self, claims: Mapping[SourcePartition, int]) -> dict[int, int]:
        """Return the least of each shard's partitions, and of all erasures."""
        assignment = self._joined.assignment
        everywhere = [claims[position] for position in assignment.erasures]
        found: dict[int, list[int]] = {shard: [*everywhere] for shard in assignment.shards}
        for position in assignment.partitions:
            found[position.partition].append(claims[position])
        least = {shard: min(own, default=0) for shard, own in found.items()}
        return {shard: told_ms for shard, told_ms in least.items() if told_ms}

    @property
    def clock_offset_ms(self) -> int:
        """How far records' times in Kafka are ahead of this machine's clock."""
        return self._clock.offset_ms(now_ms())

    def behind_records(self) -> dict[tuple[str, int], int]:
        """Return how many records wait, by topic and partition.

        Leaves out what was not fetched from yet.
        """
        behind = {}
        for position in self._assigned():
            end, next_offset = self._joined.reader.end(position), self._next_offset(position)
            if end is not None and next_offset is not None:
                behind[position.source, position.partition] = max(end - next_offset, 0)
        return behind

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Record that records are in the store, and now and then commit their
        offsets to Kafka.
        """
        for position, next_offset in positions.items():
            self._unapplied.apply(position, next_offset)
        if time.monotonic() - self._committed_at >= self._settings.commit_every_seconds:
            self._commit()

    def close(self) -> None:
        """Commit what is applied, close the shards, leave the group and disconnect."""
        self._watch.close()
        if self._member is None:
            return
        self._commit(wait_seconds=_COMMIT_SECONDS)
        group, reader, assignment, _ = self._member
        assignment.close()
        group.close()
        reader.close()
        self._member = None

    def _find_topics(self, needed: Sequence[str]) -> TopicLayout:
        """Return the topics, once they are there and fit each other."""
        found = self._wait_for_topics([*self._topics, *needed])
        counts = {topic: found[topic] for topic in self._topics}
        first = self._topics[0]
        larger = {topic: count for topic, count in counts.items() if count > counts[first]}
        if larger:
            raise SourceMismatch(
                f"{first} has {counts[first]} partitions, fewer than {_listed(larger)}, and nobody "
                f"would read the others: give it as many (kafka-topics.sh --alter --topic {first} "
                f"--partitions {max(larger.values())})"
            )
        if len(set(counts.values())) > 1:
            logger.warning(
                "topics have different numbers of partitions counts=%s; give all as many as %s",
                dict(counts),
                first,
            )
        return TopicLayout(counts, self._find_erasures(), {})

    def _wait_for_topics(self, topics: Sequence[str]) -> Mapping[str, int]:
        deadline = time.monotonic() + self._settings.bootstrap_timeout_seconds
        is_told = False
        while True:
            counts = self._client.partition_counts(topics)
            missing = [topic for topic, count in counts.items() if not count]
            if not missing:
                return counts
            if not is_told:
                logger.warning(
                    "waiting for topics bootstrap=%s topics=%s", self._bootstrap, missing
                )
                is_told = True
            if time.monotonic() >= deadline:
                raise self._missing(missing)
            time.sleep(_TOPIC_RETRY_SECONDS)

    def _missing(self, topics: Sequence[str]) -> SourceUnavailable:
        advice = "create it"
        if any(topic in self._topics for topic in topics):
            advice += (
                " with as many partitions as the others, or leave a topic out by setting its name "
                "to ''"
            )
        return SourceUnavailable(
            f"Kafka at {self._bootstrap} has no topic {', '.join(topics)}; {advice}"
        )

    def _find_erasures(self) -> Mapping[str, int]:
        topic = self._settings.erasures_topic
        if not topic:
            return {}
        count = self._client.partition_counts([topic])[topic]
        if not count:
            logger.warning(
                "no erasures are read bootstrap=%s missing_topic=%s", self._bootstrap, topic
            )
        return {topic: count}

    def _follow_group(self) -> bool:
        """Let the group take and give partitions; return whether it did."""
        group, _, assignment, store = self._joined
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
        assigned = set(self._assigned())
        self._unapplied.drop(assigned)
        for position in self._arrivals.keys() - assigned:
            del self._arrivals[position]
        return True

    def _look_seconds(self) -> float:
        """How soon to look at the group again.

        A change comes in several steps, each waiting for us.
        """
        is_changing = time.monotonic() - self._changed_at < _REBALANCE_SECONDS
        return _REBALANCE_LOOK_SECONDS if is_changing else _LOOK_SECONDS

    def _read(self, max_wait_seconds: float) -> list[RecordBatch]:
        _, reader, assignment, _ = self._joined
        if not assignment.shards:
            time.sleep(max_wait_seconds)
            self._check_contact(has_records=False)
            return []
        try:
            found = reader.poll(max_wait_seconds)
        except OffsetsGone as error:
            self._restart_from_earliest(error.offsets)
            return []
        except BrokerAway as error:
            self._wait_out(error)
            return []
        self._check_contact(has_records=bool(found))
        self._count_passed_over(reader.passed_over())
        for batch in found:
            self._see_times(batch)
            self._unapplied.hand_out(batch)
        return [share for batch in found for share in assignment.hand_out(batch)]

    def _see_times(self, batch: RecordBatch) -> None:
        if not batch.times_ms:
            return
        arrivals, read_ms = self._arrivals[batch.position], now_ms()
        if self._unapplied.begin(batch.position) is None:
            arrivals.see_time(batch.times_ms[0])
        arrivals.see_read(batch.next_offset, batch.times_ms, time.monotonic())
        last = arrivals.not_before(batch.offsets[0])
        after_ms = None if last is None else read_ms - 1000 * (time.monotonic() - last)
        self._clock.see(batch.times_ms, read_ms=read_ms, after_ms=after_ms)

    def _count_passed_over(self, batches: Sequence[PassedOver]) -> None:
        for each in batches:
            self._metrics.count_skipped(each.position.source, each.reason, each.num_records)
            logger.error(
                "batch passed over topic=%s partition=%d first_offset=%d going_on_at=%d "
                "records_skipped=%d reason=%s detail=%s",
                each.position.source,
                each.position.partition,
                each.first_offset,
                each.next_offset,
                each.num_records,
                each.reason,
                each.detail,
            )

    def _wait_out(self, error: BrokerAway) -> None:
        logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, error)
        time.sleep(self._settings.poll_seconds)

    def _check_contact(self, *, has_records: bool) -> None:
        """Tell a silent topic from a broker that is away, for which the client itself
        retries without end.
        """
        now = time.monotonic()
        if not has_records and now - self._contact_at < _CONTACT_SECONDS:
            return
        self._contact_at = now
        if not has_records:
            self._commit()
        was_away, self._away = self._away, "" if has_records else self._why_silent()
        if not self._away:
            self._heard.at = time.monotonic()
        if self._away != was_away:
            self._metrics.set_broker(self._bootstrap, self._away)
        if self._away and not was_away:
            logger.warning("broker away bootstrap=%s error=%s", self._bootstrap, self._away)
        elif was_away and not self._away:
            logger.warning("broker back bootstrap=%s", self._bootstrap)

    def _why_silent(self) -> str:
        said = self._joined.reader.why_silent(SourcePartition(self._topics[0], 0))
        return said and f"{what_listens(self._bootstrap)} ({said})"

    @property
    def _joined(self) -> _Member:
        assert self._member is not None  # noqa: S101  # asked only between start and close
        return self._member

    def _assigned(self) -> Collection[SourcePartition]:
        if self._member is None:
            return []
        assignment = self._member.assignment
        return [*assignment.partitions, *assignment.erasures]

    def _next_offset(self, position: SourcePartition) -> int | None:
        """The first offset not applied.

        The reader's own also moves past transaction marks.
        """
        begin = self._unapplied.begin(position)
        return self._joined.reader.next_offset(position) if begin is None else begin

    def _commit(self, *, wait_seconds: float = 0.0) -> None:
        """Commit to Kafka; being fenced off comes out of the next poll."""
        self._committed_at = time.monotonic()
        if self._member is None:
            return
        group, _, assignment, _ = self._member
        offsets = {position: self._next_offset(position) for position in assignment.partitions}
        group.commit(
            {position: offset for position, offset in offsets.items() if offset is not None},
            wait_seconds=wait_seconds,
        )

    def _restart_from_earliest(self, stored_offsets: Mapping[SourcePartition, int]) -> None:
        """Go on at the oldest record there is.

        The broker does not have the stored offset (any more): retention passed it, or
        the topic is another one, of which the next look at the group makes sure.

        Raises:
            TopicRecreated: a topic ends before its offset, and the settings say to
                stop.
        """
        _, reader, assignment, _ = self._joined
        known = self._watch.layout.topic_ids
        self._watch.look()
        try:
            earliest = reader.earliest(stored_offsets)
        except BrokerAway as error:
            logger.warning("poll failed bootstrap=%s error=%s", self._bootstrap, error)
            return
        if self._watch.adopt():
            assignment.rearrange(self._watch.layout)
        for position, stored in stored_offsets.items():
            if self._watch.layout.topic_ids.get(position.source) == known.get(position.source):
                self._note_gap(position, stored, earliest[position])
        reader.seek(dict(earliest))
        assignment.rewound(earliest)

    def _note_gap(self, position: SourcePartition, stored: int, earliest: int) -> None:
        """Tell that a topic begins after the stored offset, or ends before it."""
        num_lost = max(earliest - stored, 0)
        if not num_lost and self._settings.on_topic_recreated == "stop":
            raise recreated_error(position.source, f"has the offset {stored}, which was read")
        if num_lost:
            self._metrics.count_lost(position.source, num_lost)
        else:
            self._metrics.count_recreated(position.source)
        logger.error(
            "offset out of range topic=%s partition=%d stored=%d going_on_at=%d records_lost=%d",
            position.source,
            position.partition,
            stored,
            earliest,
            num_lost,
        )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{topic} {count}" for topic, count in counts.items())
