"""How far this machine's clock is from the times that Kafka keeps with records.

Pure: the clocks are arguments.
"""

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from stream.events.limits import EARLIEST_MS

# Batches whose median counts, chosen by hand: one producer of four whose clock is wrong
# does not move it. Twice as many notice a clock that was set twice as late.
_MAX_BATCHES = 64
# Milliseconds, ten minutes, chosen by hand: a clock may have been set since. Twice as
# long keeps the alert up for twice as long after a clock was mended in a quiet shop.
_MAX_AGE_MS = 600_000
# Records of a batch that are looked at, spread over it. Twice as many take twice as
# long, and tell a batch of mixed producers a little better.
_MAX_RECORDS = 31


class _Seen(NamedTuple):
    """A batch: when it was read, by this machine's clock, and how far off its times
    were.
    """

    read_ms: int
    offset_ms: int


class RecordClock:
    """Compares records' own times with when they can have arrived.

    A record that was read before its own time shows how far that is ahead at the least;
    one that is older than the last moment before its arrival, how far it is behind. One
    between shows nothing: it may have waited.
    """

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque(maxlen=_MAX_BATCHES)

    def see(self, times_ms: Sequence[int], *, read_ms: int, after_ms: float | None) -> None:
        """Record the times of a batch.

        Args:
            times_ms: the records' own; what is before the year 2000 is no time.
            read_ms: this machine's clock when they were read.
            after_ms: a moment by the same clock at which the first had not arrived;
                None: none is known.
        """
        sample = times_ms[:: -(-len(times_ms) // _MAX_RECORDS) or 1]
        known = [time_ms for time_ms in sample if time_ms >= EARLIEST_MS]
        if not known:
            return
        time_ms = round(median(known))
        offset_ms = max(time_ms - read_ms, 0)
        if after_ms is not None:
            offset_ms += min(time_ms - round(after_ms), 0)
        self._seen.append(_Seen(read_ms, offset_ms))

    def offset_ms(self, now_ms: int) -> int:
        """Return how far records' times are ahead of this machine's clock.

        Negative: they are behind it; 0: nothing shows a difference. The median of the
        last batches.
        """
        while self._seen and abs(now_ms - self._seen[0].read_ms) > _MAX_AGE_MS:
            self._seen.popleft()
        return round(median(seen.offset_ms for seen in self._seen)) if self._seen else 0
