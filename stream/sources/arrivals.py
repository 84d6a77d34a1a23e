"""How old the oldest waiting record of a partition is, by when records arrived, and for
how long none of them moved.

Pure: the clocks are arguments.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from stream.events.limits import EARLIEST_MS

# Ends remembered of a partition, each with two times: some 40 KiB, and about a minute
# of a busy partition in full detail. Twice as many takes twice that and tells the ages
# within a backlog more finely.
_MAX_ENDS = 256

# Times of the newest records of which the least counts: a producer whose clock is ahead
# of the others does not make a claim too late by itself, and at 1,000 records a second
# and partition the claim is 16 ms older for it.
_NEWEST_RECORDS = 16


class _SeenEnd(NamedTuple):
    """Where a partition ended, and from when to when it is known to have ended there.

    Seconds of the monotonic clock.
    """

    end: int
    first: float
    last: float


class _ReadEnd(NamedTuple):
    """The newest record that was read.

    Attributes:
        offset: behind it.
        time_ms: the time that it carries, of it and some before it the least.
        at: monotonic seconds; it was read by then.
    """

    offset: int
    time_ms: int
    at: float


class Arrivals:
    """When the records of one partition arrived, as far as its end tells.

    A record came after the last moment at which the partition still ended before it,
    and before the first at which it ended behind it. The time that the record itself
    carries is believed between these two, so that no clock but this machine's own can
    hide a backlog or make one up.
    """

    def __init__(self) -> None:
        self._seen: list[_SeenEnd] = []
        self._time_ms: int | None = None
        self._idle_at: float | None = None
        self._read: _ReadEnd | None = None
        self._moved: tuple[int, float] | None = None

    def see_end(self, end: int, *, heard: float, now: float, is_stale: bool = False) -> None:
        """Record where the partition ends.

        Args:
            end: offset behind its last record.
            heard: monotonic seconds; the end was learned then, or later.
            now: monotonic seconds.
            is_stale: the broker may not have been asked since the last time, so that an
                end that did not change says nothing.
        """
        if self._seen and end < self._seen[-1].end:  # made anew, or cut back
            self._seen.clear()
        if self._seen and end == self._seen[-1].end:
            if is_stale:
                return
            last = self._seen[-1]
            self._seen[-1] = last._replace(last=max(last.last, heard))
            return
        self._seen.append(_SeenEnd(end, now, heard))
        if len(self._seen) > _MAX_ENDS:
            # Any end may be left out: what arrived about then is known less exactly.
            self._seen = [*self._seen[:-1:2], self._seen[-1]]

    def not_before(self, offset: int) -> float | None:
        """Return the last monotonic second at which a record had not arrived.

        None: it may always have been there.
        """
        behind = bisect_right(self._seen, offset, key=lambda seen: seen.end)
        return self._seen[behind - 1].last if behind else None

    def see_time(self, time_ms: int) -> None:
        """Record the time that the oldest waiting record carries, or an older one."""
        self._time_ms = time_ms if time_ms >= EARLIEST_MS else None

    def see_read(self, end: int, times_ms: Sequence[int], at: float) -> None:
        """Record that everything before an offset was read by a monotonic second.

        Args:
            end: the offset behind the newest record.
            times_ms: what the newest records carry, in order.
            at: monotonic seconds.
        """
        least_ms = min(times_ms[-_NEWEST_RECORDS:])
        self._read = _ReadEnd(end, least_ms, at) if least_ms >= EARLIEST_MS else None

    def see_idle(self, at: float) -> None:
        """Record that the broker, asked at this monotonic second, had nothing that was
        not applied.
        """
        self._idle_at = at

    def stuck_seconds(self, offset: int, *, waits: bool, now: float) -> float:
        """Return how long records have waited while none was applied; 0: none waits.

        Args:
            offset: of the oldest record that is not applied.
            waits: whether there is one.
            now: monotonic seconds.
        """
        if not waits or self._moved is None or self._moved[0] != offset:
            self._moved = (offset, now)
        return now - self._moved[1]

    def waits_since_ms(self, offset: int, *, now: float, now_ms: int, ahead_ms: int) -> int | None:
        """Return a time, in that of records, before which the oldest waiting record had
        not arrived; None: it may always have been there.

        Never too late, unlike an age: when the broker knew an end that came with
        records is not known, only when it was asked for one. The time that the record
        carries counts, but no later than the record was first seen; where it was not
        read yet, the time of the one before it, but no later than that was read.

        Args:
            offset: of the oldest record that is not applied, be it there or not.
            now: monotonic seconds.
            now_ms: the clock at the same moment.
            ahead_ms: how far the times of records are ahead of that clock.
        """

        def in_records_time(at: float) -> int:
            return now_ms + ahead_ms - math.ceil(1000 * (now - at))

        known = [] if self._idle_at is None else [in_records_time(self._idle_at)]
        behind = bisect_right(self._seen, offset, key=lambda seen: seen.end)
        seen = [in_records_time(each.first) for each in self._seen[behind : behind + 1]]
        if self._read is not None and offset >= self._read.offset:
            known.append(min(self._read.time_ms, in_records_time(self._read.at), *seen))
        elif self._time_ms is not None and seen:
            known.append(min(self._time_ms, *seen))
        return max(known, default=None)

    def age_seconds(self, offset: int, *, now: float, now_ms: int) -> float:
        """Return how long the record at an offset has waited; 0: there is none.

        What is older than that is forgotten.

        Args:
            offset: of the oldest record that is not applied.
            now: monotonic seconds.
            now_ms: the clock at the same moment, to compare records' times with.
        """
        behind = bisect_right(self._seen, offset, key=lambda seen: seen.end)
        if behind:
            del self._seen[: behind - 1]
            behind = 1
        if behind == len(self._seen):
            return 0.0
        least = now - self._seen[behind].first
        most = now - self._seen[0].last if behind else None
        told = None if self._time_ms is None else (now_ms - self._time_ms) / 1000
        if most is None:
            return max(least, told or 0.0)
        return max(least, most if told is None else min(told, most))
