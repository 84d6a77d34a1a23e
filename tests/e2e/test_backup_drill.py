"""The drill with a real Kafka: the disk of a stream is lost, a backup that was taken
while it ran is restored, and the topics are read on.
"""

from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from freshet.probe import read_metrics, total
from stream.changes.erasure.erase import audit_entries
from stream.clock import now_ms
from stream.graph.facts import Digest
from stream.reading.hashing import graph_hash as hash_of_facts
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.event_lines import write_lines
from testing.histories import graph_hash
from testing.small_shop import write_log
from tests.e2e.conftest import System

SESSIONS = 24  # over two partitions: no partition without some, but once in millions
SETTINGS = StreamSettings()
NO_FACTS = hash_of_facts(Digest(), Digest())


@pytest.fixture
def system(kafka_bootstrap: str, tmp_path: Path) -> Iterator[System]:
    """The commands, over topics of this test's own."""
    system = System(tmp_path, kafka_bootstrap)
    try:
        yield system
    finally:
        system.stop_all()


def is_caught_up(system: System, metrics: str, num_erasures: int) -> bool:
    """Return whether a stream has applied all there is, so many erasures in each of its
    two shards included.
    """
    try:
        behind = total(read_metrics(metrics), "freshet_stream_behind_records")
    except OSError:
        return False
    if behind != 0 or not (system.store / "store.json").exists():
        return False
    with open_graph(system.store, SETTINGS) as graph:
        shards = [shard for _, shard in graph.shards()]
        found = [len(list(audit_entries(shard))) for shard in shards]
        return found == [num_erasures] * 2 and graph.recorded_hash() != NO_FACTS


@pytest.mark.e2e
@pytest.mark.timeout(400)
def test_a_lost_disk_is_restored_and_ends_with_the_same_graph(system: System) -> None:
    """What came after the backup comes from the topics again, an erasure included."""
    log, url = system.root / "log", f"file://{system.root}/backups"
    write_log(log)
    system.publish(log / "events.jsonl.gz", log / "items.jsonl.gz")
    metrics = system.start_stream()
    system.until(lambda: is_caught_up(system, metrics, 0), "the log is applied")
    backup_id = system.run("backup", "create", url, "--store", system.store).strip()
    before = graph_hash(system.store, SETTINGS)

    click = {"type": "search_click", "query": "brass sextant", "item_id": "new", "ts_ms": now_ms()}
    clicks = [{**click, "session_id": f"s-{n}", "user_id": f"u-{n}"} for n in range(SESSIONS)]
    system.publish(write_lines(system.root / "more.jsonl", clicks))
    system.run("erase", "user", "u-1", "--kafka", system.bootstrap)
    system.until(lambda: is_caught_up(system, metrics, 1), "what came later is applied")
    lost = graph_hash(system.store, SETTINGS)
    system.kill("stream")
    rmtree(system.store)

    restored = system.run("restore", url, "--store", system.store)
    assert restored.strip() == backup_id
    assert graph_hash(system.store, SETTINGS) == before != lost
    metrics = system.start_stream()
    system.until(lambda: is_caught_up(system, metrics, 1), "the topics are read on")
    assert graph_hash(system.store, SETTINGS) == lost
