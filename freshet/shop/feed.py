"""Writes the simulated shop into files or Kafka, its past or live."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Event
from typing import IO, NamedTuple
from uuid import uuid4

import msgspec

from freshet.process import EXIT_INTERRUPTED, CommandError, stop_event
from freshet.shop.shop import DEFAULT_EVENTS_PER_SECOND, DEFAULT_START_MS, Shop
from freshet.terminal.progress import Advance, progress
from stream.clock import now_ms
from stream.files import sync_directory
from stream.settings import StreamSettings
from stream.waiting import Stopped

DEFAULT_RATE = 20.0
"""Events a second of a live shop: four sessions begin each second, so that a training
every few seconds finds something new, and one process has next to nothing to do.
"""

MOST_RATE = 10_000.0
"""Events a second that a live shop may be asked for, about what one process makes.
Twice as many: twice as long until the first event, a minute and a half as it is, since
sessions of a quarter of an hour begin before it.
"""

FILE_NAMES = ("items.jsonl", "events.jsonl")

_DEFAULT_NUM_EVENTS = 50_000
"""Events of a bounded log: 10,000 sessions, written in half a second, 7 MB. Enough for
a model that finds products; twice as many take twice as long to train on.
"""

_CHUNK_EVENTS = 1000
"""Events in one write, some 145 kB. Progress is shown, and a signal obeyed, once a
chunk: twice as many make both coarser.
"""

_PACE_SECONDS = 0.05
"""The shortest wait for the next event: events that are due within it are written
together, so that a high rate does not become a write an event. Twice as much lets an
event be up to 0.1 s late.
"""

_LONGEST_WAIT_SECONDS = 1.0
"""Longest wait before the clock is read again, should it be set while nothing is due.
"""

Line = Mapping[str, object]
Write = Callable[[Sequence[Line], Sequence[Line]], object]


class Written(NamedTuple):
    """How much was written or published."""

    num_items: int
    num_events: int


@dataclass(frozen=True, kw_only=True)
class SimulationPlan:
    """What to simulate.

    Attributes:
        seed: which shop.
        num_items: products in its first catalogue.
        num_events: stop after this many; None: 50,000 where `rate` is None, else no
            end.
        rate: events a second in real time; None: without pauses.
        start_ms: event time of the beginning; None: a fixed day, or now where there is
            a rate.
        bare_titles: see `freshet.shop.shop.Shop`.
    """

    seed: int
    num_items: int
    num_events: int | None
    rate: float | None
    start_ms: int | None
    bare_titles: bool = False

    @property
    def total(self) -> int | None:
        """How many events it will be; None: there is no end."""
        if self.num_events is None and self.rate is None:
            return _DEFAULT_NUM_EVENTS
        return self.num_events

    def chunks(self, shop: Shop, stop: Event) -> Iterator[tuple[Sequence[Line], Sequence[Line]]]:
        """Yield lines of launched products and of events, when they are due."""
        if self.rate is None:
            start_ms = DEFAULT_START_MS if self.start_ms is None else self.start_ms
            events = shop.events(start_ms, DEFAULT_EVENTS_PER_SECOND)
            chunks = _by_count(islice(events, self.total))
        else:
            chunks = _by_clock(self._live_events(shop, stop), stop)
        for chunk in chunks:
            yield shop.take_launched(), chunk
            if stop.is_set():
                return

    def _live_events(self, shop: Shop, stop: Event) -> Iterator[Line]:
        start_ms = now_ms() if self.start_ms is None else self.start_ms
        rate = self.rate or DEFAULT_RATE
        return islice(shop.events(start_ms, rate, is_over=stop.is_set), self.total)


def to_files(plan: SimulationPlan, folder: Path) -> Written:
    """Write or, with a rate, append to ``events.jsonl`` and ``items.jsonl`` in a
    folder; return how much.

    Raises:
        CommandError: the files exist already and would be replaced.
        OSError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CommandError(f"{folder} is a file; give a folder with --out") from None
    if plan.rate is not None:
        return _append(plan, folder)
    for name in FILE_NAMES:
        if (folder / name).exists():
            raise CommandError(
                f"{folder / name} exists already; choose another --out, or append live events "
                "with --follow"
            )
    shop = Shop(plan.seed, plan.num_items, bare_titles=plan.bare_titles)
    with (
        stop_event() as stop,
        progress("simulating", "events") as advance,
        _whole_files(folder) as write,
    ):
        written = _run(plan, shop, stop, write, advance)
        if stop.is_set():
            raise CommandError("stopped early: nothing was written", exit_code=EXIT_INTERRUPTED)
    return written


def to_kafka(plan: SimulationPlan, bootstrap: str, settings: StreamSettings) -> Written:
    """Publish the catalogue and the events to Kafka; return how much.

    Raises:
        StreamError: no broker answers, or a message is refused.
        CommandError: it was told to stop before a broker answered.
    """
    from freshet.shop.replay import open_publisher  # noqa: PLC0415  # files need no Kafka

    shop = Shop(plan.seed, plan.num_items, bare_titles=plan.bare_titles)
    try:
        with (
            stop_event() as stop,
            open_publisher(bootstrap, settings, stop=stop) as publish,
            progress("publishing", "events") as advance,
        ):
            return _run(plan, shop, stop, publish, advance)
    except Stopped:
        raise CommandError(
            f"stopped before a broker answered at {bootstrap}: nothing was published",
            exit_code=EXIT_INTERRUPTED,
        ) from None


def write_history(shop: Shop, num_events: int, folder: Path) -> int:
    """Write a catalogue and events that end now.

    Return how long they took in the shop, in milliseconds.

    Raises:
        OSError: the files cannot be written.
    """
    now = now_ms()
    start_ms = now - int(1000 * num_events / DEFAULT_EVENTS_PER_SECOND)
    events = list(islice(shop.events(start_ms, DEFAULT_EVENTS_PER_SECOND), num_events))
    times_ms = [_time_ms(event) for event in events]
    # Only the shop knows how long a number of events takes: known is when they must
    # end.
    shift_ms = now - times_ms[-1]
    shifted = [
        {**event, "ts_ms": ts_ms + shift_ms} for event, ts_ms in zip(events, times_ms, strict=True)
    ]
    with _whole_files(folder) as write:
        write([*shop.catalog(), *shop.take_launched()], shifted)
    return times_ms[-1] - times_ms[0]


@contextmanager
def _whole_files(folder: Path) -> Iterator[Write]:
    """Yield what writes both files under temporary names.

    They are renamed once they are whole.
    """
    paths = {name: folder / f".{name}.{uuid4().hex}.tmp" for name in FILE_NAMES}
    try:
        with paths["items.jsonl"].open("wb") as items, paths["events.jsonl"].open("wb") as events:
            yield _writer(items, events)
        for name, path in paths.items():
            path.replace(folder / name)
        sync_directory(folder)
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)


def _append(plan: SimulationPlan, folder: Path) -> Written:
    """Append what is due, whole lines at a time.

    The catalogue is written only where there is none.
    """
    shop = Shop(plan.seed, plan.num_items, bare_titles=plan.bare_titles)
    with (
        stop_event() as stop,
        (folder / "items.jsonl").open("ab", buffering=0) as items,
        (folder / "events.jsonl").open("ab", buffering=0) as events,
        progress("simulating", "events") as advance,
    ):
        write = _writer(items, events)
        _end_line(items, folder / "items.jsonl")
        _end_line(events, folder / "events.jsonl")
        return _run(plan, shop, stop, write, advance, has_catalog=items.tell() > 0)


def _run(
    plan: SimulationPlan,
    shop: Shop,
    stop: Event,
    write: Write,
    advance: Advance,
    *,
    has_catalog: bool = False,
) -> Written:
    """Write the catalogue, where there is none, and then all that happens."""
    catalog = [] if has_catalog else list(shop.catalog())
    write(catalog, [])
    num_items, num_events = len(catalog), 0
    for items, events in plan.chunks(shop, stop):
        write(items, events)
        num_items, num_events = num_items + len(items), num_events + len(events)
        advance(num_events, plan.total)
    return Written(num_items, num_events)


def _writer(items: IO[bytes], events: IO[bytes]) -> Write:
    encoder = msgspec.json.Encoder()

    def write(item_lines: Sequence[Line], event_lines: Sequence[Line]) -> None:
        if item_lines:
            items.write(encoder.encode_lines(item_lines))
        if event_lines:
            events.write(encoder.encode_lines(event_lines))

    return write


def _by_count(events: Iterator[Line]) -> Iterator[list[Line]]:
    while chunk := list(islice(events, _CHUNK_EVENTS)):
        yield chunk


def _by_clock(events: Iterator[Line], stop: Event) -> Iterator[list[Line]]:
    """Yield the events of which the time has come."""
    due: list[Line] = []
    for event in events:
        while (wait_seconds := _time_until(event)) > 0:
            if due:
                yield due
                due = []
            if stop.wait(min(max(wait_seconds, _PACE_SECONDS), _LONGEST_WAIT_SECONDS)):
                return
        due.append(event)
    if due:
        yield due


def _time_until(event: Line) -> float:
    return _time_ms(event) / 1000 - time.time()


def _time_ms(event: Line) -> int:
    ts_ms = event["ts_ms"]
    assert isinstance(ts_ms, int)  # noqa: S101  # the simulator makes nothing else
    return ts_ms


def _end_line(file: IO[bytes], path: Path) -> None:
    """Finish a line that a killed writer left half written, so that the next one is not
    lost with it.
    """
    if path.stat().st_size and _last_byte(path) != b"\n":
        file.write(b"\n")


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
