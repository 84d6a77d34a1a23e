"""Clicks reach answers within seconds while workers share the topics, and one of them
dies: processes over a real Kafka.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from freshet_client import ClientError, RetrievalClient
from stream.clock import now_ms
from testing.event_lines import write_lines
from testing.refresher.shop_lane import ids_of
from testing.small_shop import write_log
from tests.e2e.conftest import System

SESSIONS = 24  # over two partitions: no partition without some, but once in millions


@pytest.fixture
def system(kafka_bootstrap: str, tmp_path: Path) -> Iterator[System]:
    """The commands, over topics of this test's own."""
    system = System(tmp_path, kafka_bootstrap)
    try:
        yield system
    finally:
        system.stop_all()


def _clicks(query: str, item: str) -> list[dict[str, object]]:
    """Return sessions that click an item for a query, now."""
    click = {"type": "search_click", "query": query, "item_id": item, "ts_ms": now_ms()}
    return [{**click, "session_id": f"{query}-{number}"} for number in range(SESSIONS)]


def _answered(system: System, client: RetrievalClient, query: str, item: str) -> int:
    """Wait until a query leads to an item; return what the answer claims."""

    def first() -> str:
        try:
            return ids_of(client.retrieve(query, 5))[0]
        except ClientError:
            return ""

    system.until(lambda: first() == item, f"{query!r} leads to {item}")
    return client.retrieve(query, 5).receipt.reflected_ms


def _publish(system: System, name: str, events: Sequence[dict[str, object]]) -> int:
    """Publish events, and return the time at which they are in the topics."""
    system.publish(write_lines(system.root / f"{name}.jsonl", events))
    return now_ms()


@pytest.mark.e2e
def test_clicks_reach_answers_while_a_worker_dies(system: System) -> None:
    """Each answer claims what it has, no claim goes back, and the shard of the dead
    worker goes on with another one.
    """
    log = system.root / "log"
    write_log(log)
    system.publish(log / "events.jsonl.gz", log / "items.jsonl.gz")
    source, store = f"kafka:{system.bootstrap}", system.store
    for number in range(2):
        system.start(f"stream-{number}", "stream", "--source", source, "--store", store)
    counts = ["graph", "stats", "--store", store, "--json"]
    system.until(
        lambda: (store / "store.json").exists() and json.loads(system.run(*counts))["facts"] > 500,
        "the log is applied",
    )
    system.run("train", "--store", store, "--artifacts", system.artifacts, "--budget", "20s")
    system.start("refresher", "refresh", "--store", store, "--artifacts", system.artifacts)
    system.start("server", "serve", "--artifacts", system.artifacts, "--listen", system.target)
    with RetrievalClient(system.target, timeout_seconds=60.0) as client:
        client.wait_until_ready(120.0)
        published = _publish(system, "first", _clicks("xylotrim", "scarf-violet"))
        first = _answered(system, client, "xylotrim", "scarf-violet")
        system.until(
            lambda: client.retrieve("mug").receipt.reflected_ms >= published, "it is claimed"
        )
        system.kill("stream-0")
        published = _publish(system, "second", _clicks("vandelay", "kettle-red"))
        second = _answered(system, client, "vandelay", "kettle-red")
        system.until(
            lambda: client.retrieve("mug").receipt.reflected_ms >= published,
            "the shard of the dead worker is up to date",
        )

    assert first <= second
