"""How far a member is: what it handed out and what of it is applied, what waits, and
up to when the store holds all that had reached its partitions.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Mapping

from stream.clock import Moment, now_ms, this_moment
from stream.events.types import RecordBatch, SourcePartition
from stream.kafka.client import BrokerAway, Reader
from stream.signals.lag import Lag
from stream.sources.arrivals import Arrivals
from stream.sources.topics.assignment import Assignment
from stream.sources.topics.contact import Contact
from stream.sources.topics.record_clock import RecordClock

logger = logging.getLogger(__name__)


class Progress:
    """How far a member of the group is in the partitions that it has.

    Args:
        reader: knows where the partitions end.
        assignment: says which they are.
        contact: says when the broker was heard.
    """

    def __init__(self, reader: Reader, assignment: Assignment, contact: Contact) -> None:
        self._reader = reader
        self._assignment = assignment
        self._contact = contact
        self._begin: dict[SourcePartition, int] = {}  # the first that is not applied
        self._polled_end: dict[SourcePartition, int] = {}
        self._clock = RecordClock()
        self._arrivals: defaultdict[SourcePartition, Arrivals] = defaultdict(Arrivals)

    @property
    def clock_offset_ms(self) -> int:
        """How far records' times in Kafka are ahead of this machine's clock."""
        return self._offset_ms(this_moment())

    def next_offset(self, position: SourcePartition) -> int | None:
        """Return the first offset not applied; None: not known yet.

        The reader's own also moves past transaction marks.
        """
        begin = self._begin.get(position)
        return self._reader.next_offset(position) if begin is None else begin

    def hand_out(self, batch: RecordBatch) -> None:
        """Record the records that were read."""
        self._see_times(batch)
        self._begin.setdefault(batch.position, batch.offsets[0])
        self._polled_end[batch.position] = batch.next_offset

    def pass_over(self, position: SourcePartition, stored: int, goes_on_at: int) -> None:
        """Record that the reader resumes elsewhere than at an offset that is gone."""
        self._begin.setdefault(position, stored)
        self._polled_end[position] = goes_on_at

    def apply(self, position: SourcePartition, next_offset: int) -> None:
        """Record that everything before an offset is in the store."""
        self._begin[position] = next_offset
        if next_offset >= self._polled_end.get(position, 0):
            del self._begin[position]

    def reassign(self) -> None:
        """Forget what was handed out: it is read again, where it is still assigned."""
        assigned = set(self._assignment.positions)
        self._begin = {}
        self._polled_end = {
            position: end for position, end in self._polled_end.items() if position in assigned
        }
        for position in self._arrivals.keys() - assigned:
            del self._arrivals[position]

    def lag(self) -> Lag:
        """Return what waits in the assigned partitions.

        While the broker is away nobody knows what waits: something may have since then.
        """
        now, at_ms, silent = time.monotonic(), now_ms(), self._contact.silent_seconds
        self._contact.look()
        records, seconds, stuck = {}, {}, {}
        for position in self._assignment.positions:
            place = position.source, position.partition
            end, next_offset = self._reader.end(position), self.next_offset(position)
            if end is not None and next_offset is not None:
                records[place] = max(end - next_offset, 0)
                arrivals, waits = self._arrivals[position], next_offset < end
                arrivals.see_end(end, heard=self._contact.asked_at, now=now, is_stale=waits)
                age = arrivals.age_seconds(next_offset, now=now, now_ms=at_ms)
                seconds[place] = max(age, silent)
                stuck[place] = arrivals.stuck_seconds(next_offset, waits=waits, now=now)
            elif silent:
                seconds[place] = silent
        return Lag(records=records, seconds=seconds, stuck_seconds=stuck, silent_seconds=silent)

    def behind_records(self) -> dict[tuple[str, int], int]:
        """Return how many records wait, by topic and partition.

        Leaves out what was not fetched from yet.
        """
        behind = {}
        for position in self._assignment.positions:
            end, next_offset = self._reader.end(position), self.next_offset(position)
            if end is not None and next_offset is not None:
                behind[position.source, position.partition] = max(end - next_offset, 0)
        return behind

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
        if self._contact.away:
            return {}
        asked_at, asked_ms = time.monotonic(), now_ms()
        try:
            idle = self._idle() if once_applied is None else []
            ends = self._reader.ends(idle) if idle else {}
        except BrokerAway as error:
            logger.warning(
                "ends of topics not known for a moment: asked again, nothing is lost error=%s",
                error,
            )
            return {}
        moment = this_moment()
        now, at_ms, ahead_ms = moment.seconds, int(moment.now_ms), self._offset_ms(moment)
        claims: dict[SourcePartition, int] = {}
        for position in self._assignment.positions:
            next_offset, known = self.next_offset(position), self._reader.end(position)
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
                arrivals.see_end(end, heard=self._contact.asked_at, now=now, is_stale=True)
                since_ms = arrivals.waits_since_ms(
                    next_offset, now=now, now_ms=at_ms, ahead_ms=ahead_ms
                )
                claims[position] = 0 if since_ms is None else since_ms - 1
        return self._by_shard(claims)

    def _idle(self) -> list[SourcePartition]:
        """Return the partitions in which nothing is known to wait."""
        places = [
            (position, self._reader.end(position), self.next_offset(position))
            for position in self._assignment.positions
        ]
        return [
            position
            for position, end, next_offset in places
            if end is None or next_offset is None or next_offset >= end
        ]

    def _by_shard(self, claims: Mapping[SourcePartition, int]) -> dict[int, int]:
        """Return the least of each shard's partitions, and of all erasures."""
        everywhere = [claims[position] for position in self._assignment.erasures]
        found: dict[int, list[int]] = {shard: [*everywhere] for shard in self._assignment.shards}
        for position in self._assignment.partitions:
            found[position.partition].append(claims[position])
        least = {shard: min(own, default=0) for shard, own in found.items()}
        return {shard: told_ms for shard, told_ms in least.items() if told_ms}

    def _see_times(self, batch: RecordBatch) -> None:
        if not batch.times_ms:
            return
        arrivals, read = self._arrivals[batch.position], this_moment()
        if batch.position not in self._begin:
            arrivals.see_time(batch.times_ms[0])
        arrivals.see_read(batch.next_offset, batch.times_ms, read.seconds)
        last = arrivals.not_before(batch.offsets[0])
        after_ms = None if last is None else read.now_ms - 1000 * (read.seconds - last)
        self._clock.see(
            batch.times_ms, read_ms=read.now_ms, steady_ms=read.steady_ms, after_ms=after_ms
        )

    def _offset_ms(self, moment: Moment) -> int:
        return self._clock.offset_ms(moment.now_ms, moment.steady_ms)
