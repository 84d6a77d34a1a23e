"""The measured processes of ``python -m bench ingest``.

Each does one thing and reports its own CPU time.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from threading import Event as StopEvent
from threading import Thread
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from bench.ingest.memory_source import MemorySource
from bench.ingest.workload import first_events, shop_events
from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine
from stream.quarantine.rejections import Quarantine
from stream.quarantine.topic import TopicQuarantine
from stream.settings import StreamSettings
from stream.shard.shard import Shard
from stream.sources.files import FileSource
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.worker import Source, WorkerTotals, run_worker

_CHUNK = 10_000  # names loaded at once, as the worker does
_ENDLESS = 1_000_000_000  # events: more than any run applies


class _Watch:
    """Stops a worker after a number of records, and records when its batches ended."""

    def __init__(self, num_records: int) -> None:
        self.stop = StopEvent()
        self.batch_ends: list[tuple[float, int]] = []
        self._num_records = num_records

    def on_progress(self, totals: WorkerTotals) -> None:
        """Note a finished batch."""
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
    more: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Apply a topic durably, as ``freshet stream`` does, with more settings by name."""
    settings = StreamSettings(
        clicks_topic=topic,
        sessions_topic="",
        catalog_topic="",
        quarantine_topic=quarantine_topic,
        group_id=f"bench-{Path(store).name}",
        session_timeout_seconds=3.0,
        **(more or {}),  # type: ignore[arg-type]  # texts, all of them
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
    """Apply records without end, until standard input closes."""
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
    """Put new edges into a store, one click each, in large batches, and compact it."""
    meter = _Meter()
    settings = StreamSettings(sync_every_ms=60_000, memtable_bytes=64 * 1024 * 1024)
    events = first_events(first_edge, num_edges, first_edge + num_edges)
    with Store.create_or_open(Path(store), settings, 1) as opened:
        shard = opened.shard(0)
        _load_names(shard)
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
                _load_names(store.shard(0))
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


def _load_names(shard: Shard) -> None:
    while any(known.next_key is not None for known in shard.name_caches.values()):
        shard.load_names(_CHUNK)


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
