"""Looks into the store from outside for what is durable there."""

import time
from pathlib import Path
from threading import Condition, Event, Thread

from bench.freshness.probes import DURABLE
from bench.freshness.sightings import Answer, Published, Sighting
from protos.text import text_key
from stream.errors import StreamError
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec

# Seconds between two looks while something is waited for, each of which opens every
# shard. Half as many are twice the work, which the system feels.
_LOOK_SECONDS = 0.05
# A look of so many times its own time is waited for: opening a large store must not
# take all of a core.
_REST = 4.0


class DurableWatch:
    """Tells when an item's first event is in the graph, as another process reads it.

    One thread looks for all that is waited for.

    Args:
        store: the store's folder.
        timeout_seconds: after which something counts as never seen.
    """

    def __init__(self, store: Path, timeout_seconds: float) -> None:
        self._store = store
        self._timeout_seconds = timeout_seconds
        self._waiting: dict[int, None] = {}
        self._found: dict[int, float] = {}
        self._changed = Condition()
        self._stop = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def follow(self, item_id: str, published: Published) -> Sighting:
        """Wait until an item that no event named before is in the graph."""
        key = text_key(item_id)
        deadline = published.sent + self._timeout_seconds
        with self._changed:
            self._waiting[key] = None
            self._changed.notify_all()
            while key not in self._found and time.time() < deadline and not self._stop.is_set():
                self._changed.wait(1.0)
            self._waiting.pop(key, None)
            at = self._found.pop(key, None)
        seen = None if at is None else Answer(at=at, has_item=True, reflected_ms=0)
        return Sighting(figure=DURABLE, published=published, unseen=None, seen=seen, num_answers=1)

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.is_set():
            with self._changed:
                wanted = list(self._waiting.keys() - self._found.keys())
                if not wanted:
                    self._changed.wait(1.0)
                    continue
            began = time.monotonic()
            found = self._in_graph(wanted)
            at = time.time()
            if found:
                with self._changed:
                    self._found |= dict.fromkeys(found, at)
                    self._changed.notify_all()
            self._stop.wait(max(_LOOK_SECONDS, _REST * (time.monotonic() - began)))

    def _in_graph(self, keys: list[int]) -> list[int]:
        """Return which of some items have a name in the graph; none where it cannot be
        opened just now.
        """
        try:
            with open_graph(self._store, StreamSettings()) as graph:
                return [
                    key
                    for _, shard in graph.shards()
                    for key in shard.get_names(codec.ITEM_NAME, keys)
                ]
        except StreamError:
            return []
