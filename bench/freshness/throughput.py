"""What the stream applies while the refresher runs, against without it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from bench.freshness.system import System

_LOOK_SECONDS = 0.05  # between two looks at the stream's counter: 1% of what is measured
# From one piece of the log to the next, in the shop's own time: longer than any piece.
_APART_MS = 1000 * 86_400_000
# Seconds over which the times of a backlog are spread: it came in the last hour, and
# none of it is too late.
_BACKLOG_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Applied:
    """How fast a backlog was applied.

    Attributes:
        events_a_second: by the clock.
        events_a_cpu_second: of the stream's process.
    """

    events_a_second: float
    events_a_cpu_second: float


class Backlogs:
    """Backlogs of the shop's events, each of sessions that were not there before.

    Args:
        system: whose stream runs, and does so again; no load may.
        shop_options: of ``freshet simulate``, so that the shop is the same.
        num_events: of a backlog.
    """

    def __init__(self, system: System, shop_options: tuple[object, ...], num_events: int) -> None:
        self._system = system
        self._shop_options = shop_options
        self._num_events = num_events
        self._num_made = 0

    def apply(self) -> Applied:
        """Publish a backlog while no stream runs, start one, and measure from the first
        events it has applied until it has applied all.
        """
        system = self._system
        system.stop("stream")
        self._publish()
        system.start_stream()
        system.until(system.events_applied, "the stream begins", look_seconds=_LOOK_SECONDS)
        first, began = system.events_applied(), time.monotonic()
        cpu_before = system.cpu_seconds("stream")
        system.until(
            lambda: system.events_applied() >= self._num_events,
            f"the stream applies {self._num_events:,} events",
            look_seconds=_LOOK_SECONDS,
        )
        seconds = time.monotonic() - began
        cpu_seconds = system.cpu_seconds("stream") - cpu_before
        num_measured = self._num_events - first
        return Applied(
            events_a_second=num_measured / seconds, events_a_cpu_second=num_measured / cpu_seconds
        )

    def _publish(self) -> None:
        began_ms = round((time.time() - _BACKLOG_SECONDS) * 1000)
        # The shop's own times are of years ago, which the stream quarantines as late.
        events = timed_events(
            self.write(self._num_events), began_ms, self._num_events / _BACKLOG_SECONDS
        )
        to = ("--to", self._system.source, "--speed", "max")
        self._system.run("replay", "--events", events, *to)

    def write(self, num_events: int) -> Path:
        """Write so many events of sessions that were not there before, with the shop's
        own times; return their file.
        """
        self._num_made += 1
        start_ms = int(time.time() * 1000) - self._num_made * _APART_MS
        folder = self._system.folder / f"backlog-{self._num_made}"
        size = ("--events", num_events, "--start-ms", start_ms)
        self._system.run("simulate", *self._shop_options, *size, "--out", folder)
        return folder / "events.jsonl"


def timed_events(events: Path, began_ms: int, rate: float) -> Path:
    """Give events, which are in order of time, one time after the other.

    Args:
        events: a file of JSON lines.
        began_ms: time of the first, UTC epoch milliseconds.
        rate: events a second.

    Returns:
        Another file beside it.
    """
    timed = events.with_name("timed.jsonl")
    with events.open(encoding="utf-8") as old, timed.open("w", encoding="utf-8") as new:
        for number, line in enumerate(old):
            event = json.loads(line)
            event["ts_ms"] = began_ms + round(number * 1000 / rate)
            new.write(json.dumps(event, ensure_ascii=False) + "\n")
    return timed


def best(measured: list[Applied]) -> Applied:
    """Return the best of some turns: others were disturbed by whatever else runs."""
    return max(measured, key=lambda each: each.events_a_second)
