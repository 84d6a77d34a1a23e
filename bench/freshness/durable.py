"""Reads from outside what is durable in the store."""

import time
from pathlib import Path
from threading import Condition, Event, Thread

from bench.freshness.probes import DURABLE
from bench.freshness.sightings import Answer, Published, Sighting
from protos.text import text_key
from stream.errors import FeedUnreadable
from stream.feed.changes import WriterMark
from stream.feed.reader import Feed, open_feed

_LOOK_SECONDS = 0.05  # between two looks: a sixth of the target; half is twice the looks


class DurableWatch:
    """Tells when an item's first event is in the graph: when the store's feed, which is
    written after the graph, tells another process of it.

    Args:
        store: the store's folder; what is in it now is of no interest.
        timeout_seconds: after which something counts as never seen.
    """

    def __init__(self, store: Path, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._waiting: set[int] = set()
        self._found: dict[int, float] = {}
        self._changed = Condition()
        self._stop = Event()
        self._thread = Thread(target=self._look, args=(open_feed(store),), daemon=True)
        self._thread.start()

    def expect(self, item_id: str) -> None:
        """Say before an item is published that it will be waited for."""
        with self._changed:
            self._waiting.add(text_key(item_id))

    def follow(self, item_id: str, published: Published) -> Sighting:
        """Wait until an item that is expected is in the graph."""
        key = text_key(item_id)
        deadline = published.sent + self._timeout_seconds
        with self._changed:
            while key not in self._found and time.time() < deadline and not self._stop.is_set():
                self._changed.wait(1.0)
            self._waiting.discard(key)
            at = self._found.pop(key, None)
        seen = None if at is None else Answer(at=at, is_found=True)
        return Sighting(figure=DURABLE, published=published, unseen=None, seen=seen, num_answers=1)

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _look(self, feed: Feed) -> None:
        marks: dict[int, WriterMark] = {}
        while not self._stop.is_set():
            try:
                read = feed.read(marks)
            except FeedUnreadable:
                self._stop.wait(_LOOK_SECONDS)
                continue
            marks = read.marks
            named = {key for each in read.changes for key in (*each.item_names, *each.catalog)}
            if named:
                with self._changed:
                    self._found |= dict.fromkeys(named & self._waiting, time.time())
                    self._changed.notify_all()
            if not read.has_more:
                self._stop.wait(_LOOK_SECONDS)
        feed.close()
