"""UBI exports through the whole loop: searches and actions in any files, shards and
runs.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Event as StopEvent
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.events.columns import References
from stream.events.fast_path import ColumnDecoder
from stream.events.types import RecordBatch, SourcePartition
from stream.metrics import StreamMetrics
from stream.micro_batch import MicroBatch, ShardRouter
from stream.quarantine.file import FILE_NAME, FileQuarantine
from stream.settings import StreamSettings
from stream.sources.files import FileSource
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker
from testing.histories import NOON_MS, dump
from testing.processes.worker import run_and_kill
from tests.stream.conftest import OpenStore, StartPython

SETTINGS = StreamSettings(batch_records=3, batch_events=3)
NUM_VISITORS, NUM_SEARCHES = 6, 3


def searched(visitor: int, number: int) -> dict[str, Any]:
    """Return the query record of a visitor's search."""
    return {
        "query_id": f"q-{visitor}-{number}",
        "client_id": f"c-{visitor}",
        "user_query": f"Green tea {number}",
        "query_response_hit_ids": ["tea-1"],
        "timestamp": iso(visitor * 1000 + number * 100),
    }


def clicked(visitor: int, number: int) -> dict[str, Any]:
    """Return a click that came out of it, of a session for every other visitor."""
    return {
        "action_name": "click",
        "query_id": f"q-{visitor}-{number}",
        "session_id": f"s-{visitor}" if visitor % 2 else None,
        "client_id": f"c-{visitor}",
        "timestamp": iso(visitor * 1000 + number * 100 + 50),
        "event_attributes": {"object": {"object_id": f"tea-{number}", "object_id_field": "sku"}},
    }


def iso(after_ms: int) -> str:
    """Return a time of the histories as UBI writes it."""
    moment = datetime.fromtimestamp((NOON_MS + after_ms) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


SEARCHES = [searched(visitor, number) for visitor in range(NUM_VISITORS) for number in range(3)]
CLICKS = [clicked(visitor, number) for visitor in range(NUM_VISITORS) for number in range(3)]


def write(path: Path, messages: Sequence[dict[str, Any]]) -> str:
    """Write a bulk export, with a line before each document."""
    lines = [line for message in messages for line in ({"index": {"_id": "1"}}, message)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return str(path)


def read(store: Store, paths: Sequence[str], metrics: StreamMetrics) -> WorkerTotals:
    """Read files into a store."""
    quarantine = FileQuarantine(store.root / FILE_NAME)
    source = FileSource(paths, SETTINGS)
    try:
        return run_worker(source, store, quarantine, SETTINGS, metrics, StopEvent())
    finally:
        quarantine.close()


@pytest.fixture
def searches(tmp_path: Path) -> str:
    """A file of query records."""
    return write(tmp_path / "ubi_queries.ndjson", SEARCHES)


@pytest.fixture
def clicks(tmp_path: Path) -> str:
    """A file of actions."""
    return write(tmp_path / "ubi_events.ndjson", CLICKS)


def edges(store: Store) -> dict[tuple[str, str], int]:
    """Return how many sessions each edge of a store has."""
    found = dump(store.root, SETTINGS)
    return {(one["query"], one["item"]): one["sessions"] for one in found if one["kind"] == "edge"}


EXPECTED = {(f"green tea {number}", f"tea-{number}"): NUM_VISITORS for number in range(3)}


@pytest.mark.parametrize("num_shards", [1, 4])
@pytest.mark.parametrize("searches_first", [True, False])
def test_two_files_in_two_runs(
    open_store: OpenStore, searches: str, clicks: str, num_shards: int, *, searches_first: bool
) -> None:
    """Query records and actions meet in whichever shard the action is, though the one
    names a client and the other a session, and a restart is in between.
    """
    order = [searches, clicks] if searches_first else [clicks, searches]
    registry = CollectorRegistry()
    metrics = StreamMetrics(registry)
    for path in order:
        store = open_store(num_shards=num_shards)
        totals = read(store, [path], metrics)
        store.close()
        assert totals.quarantined == 0
        assert totals.searches == (len(SEARCHES) if path == searches else 0)
        assert totals.ignored == NUM_VISITORS * NUM_SEARCHES

    assert edges(store) == EXPECTED

    def counted(metric: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"freshet_stream_{metric}_total", labels)

    assert counted("named_searches", kind="named") == len(CLICKS)
    assert counted("named_searches", kind="joined") == len(CLICKS)
    assert counted("named_searches", kind="expired") == 0
    assert counted("events", type="search") == len(SEARCHES)
    assert counted("ignored", reason="index_line") == len(SEARCHES) + len(CLICKS)


def test_a_worker_killed_anywhere_loses_no_edge(start_python: StartPython, tmp_path: Path) -> None:
    """What is held is written with the positions: the next run goes on with both."""
    visits = [(visitor, number) for visitor in range(300) for number in range(3)]
    clicks, searches = [clicked(*visit) for visit in visits], [searched(*visit) for visit in visits]
    mixed = write(tmp_path / "ubi.ndjson", [*clicks[::2], *searches, *clicks[1::2]])
    root, options = tmp_path / "killed", json.dumps({"batch_records": 60, "batch_events": 30})
    draw, num_runs = Random(5), 1
    code = "from testing.processes.worker import main; main()"
    while not run_and_kill(
        start_python(code, root, f"file:{mixed}", options), draw.uniform(0, 0.2 * num_runs)
    ):
        num_runs += 1

    assert num_runs > 1
    with Store.create_or_open(root, SETTINGS) as store:
        shard = store.shard(0)
        assert shard.state().facts.count == 2 * len(visits)
    found = dump(root, SETTINGS)
    assert {one["sessions"] for one in found if one["kind"] == "edge"} == {300}


def test_events_keep_what_they_name_through_the_router() -> None:
    """What an event says beside its columns goes where it goes, and searches go to all
    shards of files, and with their partition where that is the shard.
    """
    decoder = ColumnDecoder(SETTINGS)
    plain = {"ts_ms": NOON_MS, "type": "click", "session_id": "s", "item_id": "i"}
    parts = [
        [plain, CLICKS[0], plain, SEARCHES[0]],
        [CLICKS[3], plain, CLICKS[6], {**CLICKS[9], "user_id": "m"}],
    ]
    micro_batch = MicroBatch()
    for number, messages in enumerate(parts):
        batch = RecordBatch(
            position=SourcePartition("clicks", number),
            offsets=range(len(messages)),
            next_offsets=range(1, len(messages) + 1),
            content_types=[""] * len(messages),
            keys=[None] * len(messages),
            values=[json.dumps(message).encode() for message in messages],
        )
        micro_batch.add(batch, decoder.decode(batch, NOON_MS))

    by_partition = dict(ShardRouter(2, by_partition=True).split(micro_batch, decoder.texts, None))
    by_id = dict(ShardRouter(3, by_partition=False).split(micro_batch, decoder.texts, None))

    assert [len(by_partition[shard].searches) for shard in (0, 1)] == [1, 0]
    assert [len(by_id[shard].searches) for shard in range(3)] == [1, 1, 1]
    assert micro_batch.num_searches == 1
    for split in (by_partition, by_id):
        named = [
            ts_ms for one in split.values() for ts_ms in times_of(one.events.ts_ms, one.references)
        ]
        assert sorted(named) == [NOON_MS + 50 + visitor * 1000 for visitor in range(4)]
        assert sum(int((one.references.alias > 0).sum()) for one in split.values()) == 1


def times_of(ts_ms: Any, references: References) -> list[int]:
    """Return the times of the events that say something beside their columns."""
    found: list[int] = ts_ms[references.event].tolist()
    return found
