"""Event files to Kafka at N times real time."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from shlex import quote
from threading import Event as StopEvent
from typing import Any

import msgspec

from protos.text import escape_entities
from stream.clock import now_ms
from stream.errors import SourceUnreadable
from stream.events.decoder import Decoder
from stream.events.formats.catalog import JSON_ITEM
from stream.events.limits import EARLIEST_MS
from stream.events.types import (
    CatalogItem,
    Erasure,
    Interaction,
    Record,
    SearchRecord,
    SourcePartition,
)
from stream.kafka.producer import Encoding, EventProducer
from stream.settings import StreamSettings
from stream.sources.content import is_pipe, proof_of
from stream.sources.files import matching_files
from stream.sources.lines import LineReader
from stream.waiting import Stopped, unless_stopped

AS_FAST_AS_POSSIBLE = 0.0  # a speed: no pauses

_LINES_AT_ONCE = 500
"""Lines of one read of a file, some 70 kB. Each file of a replay holds as many: twice
as many take twice the memory.
"""

_LOOKED_AT = 50
"""Lines of a file that are decoded before any is published: one that can be used among
them says that it is a log. Twice as many take twice the moment.
"""

_PROGRESS_EVERY_SECONDS = 0.2
"""From one report to the next, and the longest that a stop is noticed late. Twice as
much makes a progress bar jerk.
"""

_MAX_SEARCHES = 1_000_000
"""Texts of searches that are remembered for actions that name them, some 250 MB. Twice
as many take twice the memory, and join actions that come twice as many searches later.
"""

Outgoing = Interaction | CatalogItem | Erasure | bytes
Found = Outgoing | SearchRecord


@dataclass(slots=True, kw_only=True)
class ReplayTotals:
    """Progress of a replay.

    Attributes:
        events: interactions published.
        items: catalogue items published.
        raw: lines that cannot be decoded, published unchanged for the stream to
            quarantine.
        event_ms: event time of the last interaction published; 0: none was.
        bytes_done: bytes read of the files, compressed where they are.
        bytes_total: their size.
    """

    events: int = 0
    items: int = 0
    raw: int = 0
    event_ms: int = 0
    bytes_done: int = 0
    bytes_total: int = 0


@dataclass(frozen=True, kw_only=True)
class ReplayPlan:
    """What to publish, and how.

    Attributes:
        events: event files or glob patterns, each in the order of time.
        items: catalogue files or glob patterns.
        speed: how many times faster than it happened; 0: as fast as possible.
        encoding: of the records.
        batch_size: interactions in one record (protobuf only).
    """

    events: Sequence[str]
    items: Sequence[str] = ()
    speed: float = AS_FAST_AS_POSSIBLE
    encoding: Encoding = "protobuf"
    batch_size: int = 1


def replay(
    plan: ReplayPlan,
    bootstrap: str,
    settings: StreamSettings,
    *,
    on_progress: Callable[[ReplayTotals], None] = lambda _totals: None,
    stop: StopEvent | None = None,
) -> ReplayTotals:
    """Publish catalogue files, then event files merged by event time.

    The same files give the same order.

    Args:
        plan: what to publish.
        bootstrap: "host:port", or several with commas.
        settings: topics and limits.
        on_progress: called a few times a second, and at the end.
        stop: set it to end early; what was published stays published.

    Raises:
        SourceUnreadable: a file is missing, damaged or cut short, or nothing that it
            begins with can be used; nothing was published.
        PublishFailed: the broker does not answer or does not take an event.
    """
    decoder = Decoder(settings)
    item_paths, event_paths = _named_files(plan.items), _named_files(plan.events)
    for paths, content_type in ((item_paths, JSON_ITEM), (event_paths, "")):
        for path in paths:
            _check_usable(path, content_type, decoder, settings)
    stop = stop or StopEvent()
    for path in (*item_paths, *event_paths):
        for _ in proof_of(path):
            if stop.is_set():
                return ReplayTotals()
    item_files = [_File(path, JSON_ITEM, settings) for path in item_paths]
    event_files = [_File(path, "", settings) for path in event_paths]
    try:
        producer = unless_stopped(
            lambda: EventProducer(
                bootstrap, settings, encoding=plan.encoding, batch_size=plan.batch_size
            ),
            stop,
        )
    except Stopped:
        return ReplayTotals()
    publisher = _Publisher(producer, [*item_files, *event_files], on_progress)
    pace = _Pace(plan.speed, stop, publisher.before_waiting)
    try:
        for file in item_files:
            publisher.publish_all(_Searches().joined(file.timeline(decoder)), stop)
        timeline = heapq.merge(
            *(file.timeline(decoder) for file in event_files), key=lambda timed: timed[0]
        )
        publisher.publish_all(pace.paced(_Searches().timed(timeline)), stop)
        producer.flush()
    finally:
        producer.close()
        for file in (*item_files, *event_files):
            file.close()
    publisher.report()
    return publisher.totals


@contextmanager
def open_publisher(
    bootstrap: str,
    settings: StreamSettings | None = None,
    *,
    batch_size: int = 64,
    stop: StopEvent | None = None,
) -> Iterator[Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], None]]:
    """Yield a function that publishes dicts of catalogue items, then of neutral events,
    acknowledged when it returns.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: topics and limits; None: the defaults.
        batch_size: interactions in one record.
        stop: ends the wait for a broker that is away.

    Raises:
        PublishFailed: the broker does not answer or does not take an event.
        Stopped: `stop` was set before a broker answered.
    """
    settings = settings or StreamSettings()
    decoder, searches = Decoder(settings), _Searches()
    producer = unless_stopped(
        lambda: EventProducer(bootstrap, settings, batch_size=batch_size), stop or StopEvent()
    )

    def publish_all(entries: Sequence[Mapping[str, Any]], content_type: str) -> None:
        for entry in entries:
            line = msgspec.json.encode(entry)
            record = Record(
                position=SourcePartition("", 0),
                offset=0,
                next_offset=0,
                content_type=content_type,
                key=None,
                value=line,
            )
            for out in searches.joined((0, found) for found in _found(decoder, record)):
                if isinstance(out, bytes):
                    producer.publish_raw(out)
                else:
                    producer.publish(out)

    def publish(items: Sequence[Mapping[str, Any]], events: Sequence[Mapping[str, Any]]) -> None:
        publish_all(items, JSON_ITEM)
        publish_all(events, "")
        producer.flush()

    try:
        yield publish
    finally:
        producer.close()


class _Publisher:
    """Publishes and counts."""

    def __init__(
        self,
        producer: EventProducer,
        files: Sequence["_File"],
        on_progress: Callable[[ReplayTotals], None],
    ) -> None:
        self.totals = ReplayTotals(bytes_total=sum(file.bytes_total for file in files))
        self._producer = producer
        self._files = files
        self._on_progress = on_progress
        self._report_due = 0.0

    def publish_all(self, outgoing: Iterator[Outgoing], stop: StopEvent) -> None:
        for out in outgoing:
            if stop.is_set():
                return
            self._publish(out)
            if time.monotonic() >= self._report_due:
                self.report()

    def before_waiting(self) -> None:
        """Nothing may lie in a half-full batch while real time passes."""
        self._producer.flush()
        self.report()

    def report(self) -> None:
        self._report_due = time.monotonic() + _PROGRESS_EVERY_SECONDS
        self.totals.bytes_done = sum(file.bytes_done for file in self._files)
        self._on_progress(self.totals)

    def _publish(self, out: Outgoing) -> None:
        if isinstance(out, bytes):
            self._producer.publish_raw(out)
            self.totals.raw += 1
            return
        self._producer.publish(out)
        if isinstance(out, CatalogItem):
            self.totals.items += 1
        else:
            self.totals.events += 1
            self.totals.event_ms = out.ts_ms


class _Searches:
    """Gives actions that name their search by an id its text, where that came before.

    The stream joins them in any order, but only within a partition, and a search does
    not say in which partitions the sessions are that name it.
    """

    def __init__(self) -> None:
        self._query_of_id: dict[str, str] = {}

    def joined(self, found: Iterable[tuple[int, Found]]) -> Iterator[Outgoing]:
        """Yield what is found, without the searches."""
        return (out for _, out in self.timed(found))

    def timed(self, found: Iterable[tuple[int, Found]]) -> Iterator[tuple[int, Outgoing]]:
        """Yield what is found with its times, without the searches."""
        for ts_ms, out in found:
            if isinstance(out, SearchRecord):
                self._query_of_id[out.query_id] = out.query
                if len(self._query_of_id) > _MAX_SEARCHES:
                    del self._query_of_id[next(iter(self._query_of_id))]
            elif isinstance(out, Interaction) and out.query_id in self._query_of_id:
                yield ts_ms, replace(out, query=self._query_of_id[out.query_id])
            else:
                yield ts_ms, out


class _Pace:
    """Lets events pass when they are due."""

    def __init__(self, speed: float, stop: StopEvent, before_waiting: Callable[[], None]) -> None:
        self._speed = speed
        self._stop = stop
        self._before_waiting = before_waiting
        self._began = 0.0
        self._first_ms: int | None = None

    def paced(self, timeline: Iterator[tuple[int, Outgoing]]) -> Iterator[Outgoing]:
        for ts_ms, out in timeline:
            if self._speed > 0:
                self._wait_for(ts_ms)
            yield out

    def _wait_for(self, ts_ms: int) -> None:
        if self._first_ms is None:
            self._first_ms, self._began = ts_ms, time.monotonic()
        due = self._began + (ts_ms - self._first_ms) / 1000 / self._speed
        if due > time.monotonic():
            self._before_waiting()
        while not self._stop.is_set() and (seconds := due - time.monotonic()) > 0:
            self._stop.wait(min(seconds, _PROGRESS_EVERY_SECONDS))


class _File:
    """One file of the replay."""

    def __init__(self, path: Path, content_type: str, settings: StreamSettings) -> None:
        self._reader = LineReader(path, settings.max_record_bytes)
        self._position = SourcePartition(str(path), 0)
        self._content_type = content_type
        stat = path.stat()
        self.bytes_total = stat.st_size
        # A file that says a time that no record may have says none.
        written_ms = min(round(stat.st_mtime * 1000), now_ms())
        self._written_ms = written_ms if written_ms >= EARLIEST_MS else 0

    @property
    def bytes_done(self) -> int:
        return min(self._reader.bytes_done, self.bytes_total)

    def timeline(self, decoder: Decoder) -> Iterator[tuple[int, Found]]:
        """Yield what each line holds, with its event time.

        What has none has that of the line before.
        """
        ts_ms = 0
        for record in self.records():
            for found in _found(decoder, record):
                out = self._dated(found)
                ts_ms = out.ts_ms if isinstance(out, Interaction | SearchRecord) else ts_ms
                yield ts_ms, out

    def close(self) -> None:
        self._reader.close()

    def _dated(self, out: Found) -> Found:
        """Return what is published; a state of an item without a time is as old as its
        file, so that an old catalogue does not list again what was deleted since.
        """
        if not isinstance(out, CatalogItem) or out.ts_ms or not self._written_ms:
            return out
        return replace(out, ts_ms=self._written_ms)

    def records(self) -> Iterator[Record]:
        """Yield the lines as records."""
        while lines := self._reader.read(_LINES_AT_ONCE, final=True):
            for line in lines:
                yield Record(
                    position=self._position,
                    offset=line.offset,
                    next_offset=line.next_offset,
                    content_type=self._content_type,
                    key=None,
                    value=line.content,
                )


def _check_usable(
    path: Path, content_type: str, decoder: Decoder, settings: StreamSettings
) -> None:
    """Check that a file is not another one than was meant, before its lines flood the
    quarantine.

    Raises:
        SourceUnreadable: nothing that it begins with can be used.
    """
    rejection, num_lines = None, 0
    with closing(_File(path, content_type, settings)) as file:
        for record in islice(file.records(), _LOOKED_AT):
            decoded = decoder.decode(record, now_ms())
            if not decoded.rejections:
                return
            num_lines += 1
            rejection = rejection or decoded.rejections[0]
    if rejection is not None:
        kind = " --kind item" if content_type == JSON_ITEM else ""
        raise SourceUnreadable(
            f"nothing that {path} begins with can be used (lines looked at: {num_lines:,}); the "
            f"first is {rejection.reason}: {rejection.detail}. Nothing was published: give another "
            f"file, or see each line's reason with `freshet try-events {quote(str(path))}{kind}`"
        )


def _found(decoder: Decoder, record: Record) -> list[Found]:
    """Return what a line holds; what cannot be decoded goes out unchanged."""
    decoded = decoder.decode(record, now_ms())
    events = [
        as_it_came(event) if isinstance(event, CatalogItem) else event for event in decoded.events
    ]
    return [*events, *(rejection.record.value or b"" for rejection in decoded.rejections)]


def as_it_came(item: CatalogItem) -> CatalogItem:
    """Return an item whose texts are read as they are: entities are read once."""
    return replace(
        item,
        title=escape_entities(item.title),
        text=escape_entities(item.text),
        attributes={name: escape_entities(value) for name, value in item.attributes.items()},
    )


def _named_files(patterns: Sequence[str]) -> list[Path]:
    paths: dict[Path, None] = {}
    for pattern in patterns:
        found = matching_files(pattern)
        if not found:
            raise SourceUnreadable(f"no file matches {pattern}: check the path")
        for path in filter(is_pipe, found):
            raise SourceUnreadable(
                f"{path} is a pipe, and a replay reads files; write it to a file first"
            )
        paths |= dict.fromkeys(found)
    return list(paths)
