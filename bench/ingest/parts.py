"""The measured processes of ``python -m bench ingest``.

Each does one thing and reports its own CPU time.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from threading import Event as StopEvent
from threading import Thread
from typing import Any, cast

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.events.types import Interaction, Position, RecordBatch
from stream.metrics import StreamMetrics
from stream.quarantine import FILE_NAME, FileQuarantine, Quarantine, TopicQuarantine
from stream.settings import StreamSettings
from stream.shard.shard import Shard
from stream.sources.files import FileSource
from stream.sources.topics import KafkaSource
from stream.store.store import Store
from stream.worker import Source, WorkerTotals, run_worker

START_MS = 1_767_225_600_000
EVENTS_PER_SESSION = 5
_ITEMS_PER_EDGE, _QUERIES_PER_EDGE = 0.2, 0.25
_NEW_EDGE_SHARE = 0.2
_WORDS = (
    "red running shoes",
    "cordless drill",
    "usb c cable",
    "garden chair",
    "4k monitor",
    "espresso cups",
)
_CHUNK = 10_000
_ENDLESS = 1_000_000_000
_EVENT_TYPE = "application/x-protobuf; messageType=freshet.events.v1.Event"


def shop_events(count: int, num_edges: int, *, seed: int) -> Iterator[Interaction]:
    """Yield events of sessions of five.

    A tenth views, the rest clicks, add-to-carts and purchases.

    Each event but a view falls on one of `num_edges` edges, some far more often than
    others, or, one in five, on an edge that is seldom seen again.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        known = (num_edges * rng.random(size) ** 3).astype(np.int64)
        new = num_edges + rng.integers(0, max(count, 1), size)
        edges = np.where(rng.random(size) < _NEW_EDGE_SHARE, new, known).tolist()
        kinds = rng.random(size).tolist()
        for number, edge, kind in zip(range(start, start + size), edges, kinds, strict=True):
            yield _event(seed, number, edge, num_edges, kind)


def first_events(first_edge: int, num_edges: int, num_edges_at_last: int) -> Iterator[Interaction]:
    """Yield one click for each of `num_edges` new edges."""
    for edge in range(first_edge, first_edge + num_edges):
        yield _event(0, edge, edge, num_edges_at_last, 0.0)


def _event(seed: int, number: int, edge: int, num_edges: int, kind: float) -> Interaction:
    session = number // EVENTS_PER_SESSION
    query = int(edge * _QUERIES_PER_EDGE)
    is_view = kind >= 0.9  # noqa: PLR2004  # a tenth
    return Interaction(
        ts_ms=START_MS + 50 * number,
        session_id=f"session-{seed:02d}-{session:09d}",
        user_id=f"user-{session % 50_021:06d}",
        query="" if is_view else f"{_WORDS[query % len(_WORDS)]} {query}",
        item_id=f"item-{edge * 2_654_435_761 % (int(num_edges * _ITEMS_PER_EDGE) + 1):08d}",
        action=_action(kind),
    )


def _action(kind: float) -> Action:
    if kind >= 0.9:  # noqa: PLR2004  # shares of the actions
        return Action.VIEW
    if kind >= 0.83:  # noqa: PLR2004
        return Action.ADD_TO_CART
    return Action.PURCHASE if kind >= 0.8 else Action.CLICK  # noqa: PLR2004


class MemorySource:
    """Hands out protobuf records, as a topic of one partition would.

    Args:
        events: what the records hold.
        poll_records: how many are handed out at once.
        made_beforehand: make all records now, so that making them is not measured.
    """

    shards_by_partition = True

    def __init__(
        self, events: Iterator[Interaction], poll_records: int, *, made_beforehand: bool
    ) -> None:
        values = map(_value, events)
        self._values = iter(list(values)) if made_beforehand else values
        self._poll_records = poll_records
        self._exhausted = False

    def start(self, store: Store) -> None:
        """Nothing to do."""

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:  # noqa: ARG002  # it never waits
        """Return the next records; `max_wait_seconds` is never needed."""
        values = list(islice(self._values, self._poll_records))
        self._exhausted = len(values) < self._poll_records
        count = len(values)
        batch = RecordBatch(
            position=Position("memory", 0),
            offsets=range(count),
            next_offsets=range(1, count + 1),
            content_types=[_EVENT_TYPE] * count,
            keys=[None] * count,
            values=values,
        )
        return [batch] if values else []

    def idle(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    @property
    def rebalances(self) -> int:
        """Never."""
        return 0

    @property
    def exhausted(self) -> bool:
        """Whether everything was handed out."""
        return self._exhausted

    @property
    def is_behind(self) -> bool:
        """Always: it has more at once."""
        return True

    def behind_records(self) -> Mapping[tuple[str, int], int]:
        """Nothing is known."""
        return {}

    def applied(self, positions: Mapping[Position, int]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def _value(event: Interaction) -> bytes:
    message = pb.Event(
        ts_ms=event.ts_ms,
        session_id=event.session_id,
        user_id=event.user_id,
        query=event.query,
        item_id=event.item_id,
        action=cast("pb.Action", int(event.action)),
    )
    return message.SerializeToString()


class _Watch:
    """Stops a worker after so many records, and remembers when its batches ended."""

    def __init__(self, num_records: int) -> None:
        self.stop = StopEvent()
        self.batch_ends: list[tuple[float, int]] = []
        self._num_records = num_records

    def on_progress(self, totals: WorkerTotals) -> None:
        """Take note of a batch."""
        if totals.events and not self.batch_ends:
            print(f"first {time.monotonic()}", flush=True)
        if totals.events > (self.batch_ends[-1][1] if self.batch_ends else 0):
            self.batch_ends.append((time.monotonic(), totals.events))
        if totals.records >= self._num_records:
            self.stop.set()

    def stop_with_stdin(self) -> None:
        """Stop when standard input closes."""
        sys.stdin.read()
        self.stop.set()


def poll(bootstrap: str, topic: str, num_records: int) -> dict[str, Any]:
    """Poll a topic and drop the messages, with the settings that `KafkaSource` has."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=StreamSettings().batch_records,
        check_crcs=True,
        metrics_enabled=False,
    )
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    meter = _Meter()
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    seen = 0
    while seen < num_records:
        seen += sum(len(found) for found in consumer.poll(timeout_ms=500).values())
    measured = meter.read()
    consumer.close()
    return {"records": seen, **measured}


def stream(
    bootstrap: str,
    topic: str,
    num_records: int,
    store: str,
    quarantine_topic: str,
    client: str = "kafka-python",
) -> dict[str, Any]:
    """Apply a topic durably, wired as ``freshet stream`` wires it."""
    settings = StreamSettings(
        clicks_topic=topic,
        sessions_topic="",
        catalog_topic="",
        quarantine_topic=quarantine_topic,
        group_id=f"bench-{Path(store).name}",
        session_timeout_seconds=3.0,
        kafka_client=client,
    )
    source = KafkaSource(bootstrap, settings)
    return _work(source, Path(store), TopicQuarantine(bootstrap, settings), settings, num_records)


def files(path: str, num_records: int, store: str) -> dict[str, Any]:
    """Apply a file of JSON lines durably."""
    settings = StreamSettings()
    quarantine = FileQuarantine(Path(store) / FILE_NAME)
    return _work(FileSource([path], settings), Path(store), quarantine, settings, num_records)


def memory(store: str, num_events: int, num_edges: int, seed: int) -> dict[str, Any]:
    """Apply records from memory.

    What the store costs apart from its source, once it knows its names.
    """
    return _memory(store, num_events, num_edges, seed, num_wanted=num_events)


def endless(store: str, num_edges: int, seed: int) -> dict[str, Any]:
    """Apply records, made as they are wanted, until standard input closes."""
    return _memory(store, _ENDLESS, num_edges, seed, num_wanted=sys.maxsize)


def _memory(
    store: str, num_events: int, num_edges: int, seed: int, *, num_wanted: int
) -> dict[str, Any]:
    settings = StreamSettings()
    events = shop_events(num_events, num_edges, seed=seed)
    source = MemorySource(events, settings.batch_records, made_beforehand=num_events != _ENDLESS)
    quarantine = FileQuarantine(Path(store) / FILE_NAME)
    return _work(
        source, Path(store), quarantine, settings, num_wanted, is_warm=num_events != _ENDLESS
    )


def fill(store: str, first_edge: int, num_edges: int) -> dict[str, Any]:
    """Put so many new edges into a store, one click each, in large batches, and compact
    it.
    """
    meter = _Meter()
    settings = StreamSettings(sync_every_ms=60_000, memtable_bytes=64 * 1024 * 1024)
    events = first_events(first_edge, num_edges, first_edge + num_edges)
    with Store.create_or_open(Path(store), settings, 1) as opened:
        shard = opened.shard(0)
        _learn_names(shard)
        while batch := list(islice(events, 50_000)):
            texts = Texts()
            apply_batch(shard, batch_of(batch, texts), texts)
        shard.compact()
    return {"events": num_edges, **meter.read()}


def _work(
    source: Source,
    root: Path,
    quarantine: Quarantine,
    settings: StreamSettings,
    num_records: int,
    *,
    is_warm: bool = False,
) -> dict[str, Any]:
    watch = _Watch(num_records)
    if num_records == sys.maxsize:
        Thread(target=watch.stop_with_stdin, daemon=True).start()
    with closing(quarantine):
        meter = _Meter()
        with Store.create_or_open(root, settings, 1) as store:
            warm_seconds = 0.0
            if is_warm:
                _learn_names(store.shard(0))
                warm_seconds = meter.read()["cpu_seconds"]
                meter = _Meter()
            totals = run_worker(
                source,
                store,
                quarantine,
                settings,
                StreamMetrics(CollectorRegistry()),
                watch.stop,
                on_progress=watch.on_progress,
            )
        measured = meter.read()
    return {
        "records": totals.records,
        "events": totals.events,
        "quarantined": totals.quarantined,
        "batch_ends": watch.batch_ends,
        "warm_seconds": warm_seconds,
        **measured,
    }


def _learn_names(shard: Shard) -> None:
    while any(known.next_key is not None for known in shard.known_names.values()):
        shard.learn_names(_CHUNK)


class _Meter:
    """CPU time (user and system, all threads) and wall time since it was made.

    The process's peak memory.
    """

    def __init__(self) -> None:
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> dict[str, float]:
        """Return what was used up to now."""
        return {
            "cpu_seconds": time.process_time() - self._cpu,
            "wall_seconds": time.perf_counter() - self._wall,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


PARTS = {
    "poll": poll,
    "stream": stream,
    "files": files,
    "memory": memory,
    "endless": endless,
    "fill": fill,
}


def main(part: str, arguments: str) -> None:
    """Run one part and print what it reports."""
    result = PARTS[part](**json.loads(arguments))  # type: ignore[operator]  # each has its own arguments
    print("done " + msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
