"""What was seen over the last day, in bounded memory."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Lock

Values = Mapping[str, float | None]

# Seconds that are kept look by look, and then minute by minute: an hour for whoever is
# called, a day for whoever asks in the morning what was at night. Twice as much: twice
# the memory, which is about 5 MB for both.
FINE_SECONDS = 3600.0
DAY_SECONDS = 86_400.0
_MINUTE_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """Values over time in equal steps.

    Attributes:
        begin_ms: when the first step begins, UTC epoch milliseconds.
        step_ms: length of a step.
        values: of each step by name: the greatest; None: nobody said.
    """

    begin_ms: int
    step_ms: int
    values: Mapping[str, list[float | None]]


class History:
    """Values by name and time; any thread may ask.

    Kept are `FINE_SECONDS` of all, and a day of the greatest in each minute: a peak
    must not vanish because it was short.
    """

    def __init__(self) -> None:
        # Bounded also where the clock goes back: looks are a second apart at the least.
        self._fine: deque[tuple[float, Values]] = deque(maxlen=round(FINE_SECONDS))
        self._minutes: deque[tuple[float, dict[str, float | None]]] = deque(
            maxlen=round(DAY_SECONDS / _MINUTE_SECONDS) + 1
        )
        self._lock = Lock()

    def add(self, at_seconds: float, values: Values) -> None:
        """Remember what was seen at a time, seconds since 1970."""
        with self._lock:
            self._fine.append((at_seconds, values))
            while self._fine[0][0] <= at_seconds - FINE_SECONDS:
                self._fine.popleft()
            minute = at_seconds // _MINUTE_SECONDS * _MINUTE_SECONDS
            if not self._minutes or self._minutes[-1][0] != minute:
                self._minutes.append((minute, {}))
            _raise(self._minutes[-1][1], values)
            while self._minutes[0][0] <= minute - DAY_SECONDS:
                self._minutes.popleft()

    def over(self, seconds: float, now: float, num_steps: int) -> Series:
        """Return what was seen lately.

        Args:
            seconds: how far back.
            now: seconds since 1970.
            num_steps: at most so many.
        """
        step = max(seconds / num_steps, 1.0)
        if seconds > FINE_SECONDS:
            step = max(step, _MINUTE_SECONDS)
        count = round(seconds / step)
        # Steps begin at multiples: else a peak would wander from one to the next.
        end = (now // step + 1) * step
        begin = end - count * step
        values: dict[str, list[float | None]] = {}
        for at, found in self._since(begin, is_fine=seconds <= FINE_SECONDS):
            place = int((at - begin) / step)
            if not 0 <= place < count:
                continue
            for name, value in found.items():
                row = values.setdefault(name, [None] * count)
                row[place] = _greater(row[place], value)
        return Series(begin_ms=round(begin * 1000), step_ms=round(step * 1000), values=values)

    def _since(self, begin: float, *, is_fine: bool) -> Iterator[tuple[float, Values]]:
        with self._lock:
            kept = list(self._fine if is_fine else self._minutes)
        return (each for each in kept if each[0] >= begin)


def _raise(values: dict[str, float | None], others: Values) -> None:
    for name, value in others.items():
        values[name] = _greater(values.get(name), value)


def _greater(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
