"""Feeds beside the checkpoints: whoever follows a store whose shards move from machine
to machine misses nothing.
"""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stream.changes.erasure.erase import erase
from stream.errors import SettingsInvalid
from stream.events.types import Erasure, SourcePartition
from stream.feed import Feed, FeedRead, ShardChanges, WriterMark, open_feed
from stream.feed import objects as feed_objects
from stream.feed.objects import ShardObjects
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.store import feed_uploads
from stream.store.store import Store
from testing.graph.feed_replay import PlainGraph
from testing.histories import NOON_MS, apply_events, event
from tests.stream.conftest import OpenStore

LOG = SourcePartition("log", 0)


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upload and look at once."""
    monkeypatch.setattr(feed_uploads, "_EVERY_SECONDS", 0.01)
    monkeypatch.setattr(feed_objects, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def kept(tmp_path: Path) -> StreamSettings:
    """Settings with a place for checkpoints, which every machine reaches."""
    return StreamSettings(checkpoints_url=str(tmp_path / "kept"), checkpoint_every_seconds=3600.0)


def apply_one(store: Store, number: int) -> None:
    """Apply an event of its own session, query and item, at its own position."""
    own = event(f"s-{number}", f"query {number}", f"i-{number}", NOON_MS + number)
    apply_events(store.shard(0), [own], positions={LOG: number})


def read_until(
    feed: Feed, since: dict[int, WriterMark], is_enough: Callable[[FeedRead], bool]
) -> FeedRead:
    """Read until something holds; the test's own timeout bounds it."""
    while not is_enough(found := feed.read(since)):
        time.sleep(0.001)
    return found


def queries(changes: list[ShardChanges]) -> list[str]:
    """Return the queries that changes name, in order."""
    return [text for each in changes for text in each.query_names.values()]


def has_reached(mark: WriterMark, read: FeedRead) -> bool:
    """Return whether a read reached a place of the first shard."""
    return read.marks.get(0) == mark


def mark_of(store: Store) -> WriterMark:
    """Return how far the first shard is."""
    feed = store.shard(0).feed()
    assert feed is not None
    return feed.mark


def test_a_follower_elsewhere_misses_nothing_while_a_shard_moves(
    open_store: OpenStore, tmp_path: Path, kept: StreamSettings
) -> None:
    """Also where the next machine restores it from its checkpoint, and returns it."""
    feed, graph = open_feed(kept.checkpoints_url), PlainGraph.empty()
    marks: dict[int, WriterMark] = {}
    found: list[ShardChanges] = []
    for turn, machine in enumerate(("first", "second", "first")):
        store = open_store(root=tmp_path / machine, settings=kept)
        store.ownership.acquire(0)
        for number in (1, 2, 3):
            apply_one(store, 3 * turn + number)
        read = read_until(feed, marks, lambda read: len(queries(read.changes)) == 3)
        assert read.gaps == {}
        marks, found = read.marks, [*found, *read.changes]
        store.close()
    graph.apply(found)
    again = feed.read({})

    assert queries(found) == [f"query {number}" for number in range(1, 10)]
    assert [each.sequence for each in again.changes] == [each.sequence for each in found]
    assert len(graph.edges) == 9


def test_what_a_shard_lost_is_told_elsewhere_too(
    open_store: OpenStore, tmp_path: Path, kept: StreamSettings
) -> None:
    """A machine that dies leaves its last checkpoint, which is behind its feed."""
    store = open_store(root=tmp_path / "first", settings=kept)
    store.ownership.acquire(0)
    apply_one(store, 1)
    store.ownership.release(0)
    store.ownership.acquire(0)
    feed = open_feed(kept.checkpoints_url)
    apply_one(store, 2)
    before = read_until(feed, {}, lambda read: "query 2" in queries(read.changes))
    other = open_store(root=tmp_path / "second", settings=kept)
    other.ownership.acquire(0)  # from the checkpoint, without query 2
    apply_one(other, 3)
    after = read_until(feed, before.marks, lambda read: read.rewound)
    anew = read_until(feed, {}, lambda read: "query 3" in queries(read.changes))
    store.ownership.lose(0)

    assert after.gaps.keys() == {0}
    assert after.marks == before.marks
    assert queries(anew.changes) == ["query 1", "query 3"]


def test_the_claim_is_there_too(open_store: OpenStore, kept: StreamSettings) -> None:
    """With nothing new to tell."""
    store = open_store(settings=kept)
    store.ownership.acquire(0)
    feed, own = open_feed(kept.checkpoints_url), store.shard(0).feed()
    assert own is not None
    own.renew(5000)
    read_until(feed, {}, lambda read: read.reflected_ms == 5000)
    own.renew(6000)
    read = read_until(feed, {}, lambda read: read.reflected_ms == 6000)

    assert read.changes == []
    assert read.marks[0].sequence == store.shard(0).state().sequence


def test_erased_texts_leave_the_objects_with_the_checkpoints(
    open_store: OpenStore, tmp_path: Path, kept: StreamSettings
) -> None:
    """A follower goes on, and one who begins anew finds all but the texts."""
    store = open_store(settings=replace(kept, purge_after_seconds=0.0))
    store.ownership.acquire(0)
    for number in (1, 2):
        apply_one(store, number)
    feed = open_feed(kept.checkpoints_url)
    before = read_until(feed, {}, lambda read: len(queries(read.changes)) == 2)
    erase(store.shard(0), [Erasure(kind="session", id="s-1", ts_ms=1)], 2)
    while not store.ownership.purge_now():
        time.sleep(0.001)
    # It passes over what is removed meanwhile, unlike `rglob`.
    found = os.walk(tmp_path / "kept")
    files = [Path(folder) / name for folder, _, names in found for name in names]
    files = [path for path in files if path.suffix != ".tmp"]
    mark = mark_of(store)
    after = read_until(feed, before.marks, lambda read: read.marks[0] == mark)
    anew = open_feed(kept.checkpoints_url).read({})

    assert not [path for path in files if b"query 1" in path.read_bytes()]
    assert after.gaps == anew.gaps == {}
    assert sum(map(len, (each.gone_queries for each in after.changes))) == 1
    assert queries(anew.changes) == ["query 2"]


def test_old_objects_are_removed(
    open_store: OpenStore, kept: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many as may be stay, the newest."""
    monkeypatch.setattr(feed_uploads, "_TRIM_EVERY", 1)
    monkeypatch.setattr(feed_uploads, "_MOST_OBJECTS", 3)
    store = open_store(settings=kept)
    store.ownership.acquire(0)
    feed, marks = open_feed(kept.checkpoints_url), list[dict[int, WriterMark]]()
    for number in range(1, 8):
        apply_one(store, number)
        since = marks[-1] if marks else {}
        mark = mark_of(store)
        marks.append(read_until(feed, since, partial(has_reached, mark)).marks)
    read_until(feed, {}, lambda read: bool(read.gaps))

    assert "does not reach back" in feed.read({}).gaps[0]
    assert queries(read_until(feed, marks[4], lambda read: not read.gaps).changes) == [
        "query 6",
        "query 7",
    ]


def test_a_place_that_is_away_is_counted_and_tried_again(
    tmp_path: Path, kept: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost meanwhile."""
    registry, put, failures = CollectorRegistry(), ShardObjects.rewrite, [1, 2, 3]

    def away(self: ShardObjects, *arguments: object) -> None:
        if failures:
            failures.pop()
            raise OSError("away")
        put(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardObjects, "rewrite", away)
    store = Store.create_or_open(tmp_path / "store", kept, 1, StreamMetrics(registry))
    store.ownership.acquire(0)
    apply_one(store, 1)
    feed = open_feed(kept.checkpoints_url)
    read = read_until(feed, {}, lambda read: bool(queries(read.changes)))
    store.close()

    assert read.gaps == {}
    assert registry.get_sample_value("freshet_stream_feed_upload_failures_total") == 3


def test_a_url_that_nothing_knows_is_refused() -> None:
    """In one line that names it."""
    with pytest.raises(SettingsInvalid, match="nowhere://"):
        open_feed("nowhere://bucket")
