"""How far this machine's clock is from the times that Kafka keeps with records.

Pure: the clocks are arguments.
"""

import math
from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from stream.events.limits import EARLIEST_MS

# Batches whose median counts, chosen by hand: one producer of four whose clock is wrong
# does not move it. Twice as many notice a clock that was set twice as late.
_MAX_BATCHES = 64
# Milliseconds, ten minutes, chosen by hand: batches that tell of producers, too, as of
# one that held its records back. Twice as long keeps the alert on those up for twice as
# long in a quiet shop.
_RECENT_MS = 600_000
# Milliseconds that this machine's clock must be slow by to be held for slow without
# recent batches, one minute as in FreshetClockOffset: kept clocks are nearer. Twice as
# many: answers of a night may be told as so much older.
_SLOW_MS = 60_000
# Records of a batch that are looked at, spread over it. Twice as many take twice as
# long, and tell a batch of mixed producers a little better.
_MAX_RECORDS = 31


class _Seen(NamedTuple):
    """A batch.

    Attributes:
        steady_ms: when it was read, by a clock that nobody sets.
        ahead_ms: how far this machine's clock was ahead of that one then.
        offset_ms: how far the batch's times were ahead of this machine's clock.
    """

    steady_ms: float
    ahead_ms: float
    offset_ms: float


class RecordClock:
    """Compares records' own times with when they can have arrived.

    A record that was read before its own time shows how far that is ahead at the least;
    one that is older than the last moment before its arrival, how far it is behind. One
    between shows nothing: it may have waited.

    What was seen is corrected by what this machine's clock was set by since then, which
    a clock that nobody sets tells. So a clock that is slow is known to be all through a
    night in which no record comes.
    """

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_MAX_BATCHES)

    def see(
        self, times_ms: Sequence[int], *, read_ms: float, steady_ms: float, after_ms: float | None
    ) -> None:
        """Record the times of a batch.

        Args:
            times_ms: the records' own; what is before the year 2000 is no time.
            read_ms: this machine's clock when they were read.
            steady_ms: a clock that nobody sets, at the same moment.
            after_ms: a moment by this machine's clock at which the first had not
                arrived; None: none is known.
        """
        sample = times_ms[:: -(-len(times_ms) // _MAX_RECORDS) or 1]
        known = [time_ms for time_ms in sample if time_ms >= EARLIEST_MS]
        if not known:
            return
        time_ms = round(median(known))
        offset_ms = max(time_ms - read_ms, 0.0)
        if after_ms is not None:
            offset_ms += min(time_ms - math.floor(after_ms), 0)  # as times are
        self._seen.append(_Seen(steady_ms, read_ms - steady_ms, offset_ms))

    def offset_ms(self, now_ms: float, steady_ms: float) -> int:
        """Return how far records' times are ahead of this machine's clock.

        Negative: they are behind it; 0: nothing shows a difference. The median of the
        last batches of ten minutes. Where those had none, that of the last ones ever,
        if it is over a minute: that says that this machine's clock is slow, and holds.

        Args:
            now_ms: this machine's clock.
            steady_ms: the clock that nobody sets.
        """
        ahead_ms = now_ms - steady_ms
        recent = [seen for seen in self._seen if steady_ms - seen.steady_ms <= _RECENT_MS]
        offsets_ms = [seen.offset_ms - (ahead_ms - seen.ahead_ms) for seen in recent or self._seen]
        if not offsets_ms:
            return 0
        offset_ms = round(median(offsets_ms))
        return offset_ms if recent or offset_ms > _SLOW_MS else 0
