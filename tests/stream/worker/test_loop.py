"""The loop: nothing lost, nothing twice, one bad message never stops it, and a refusing
disk always does.
"""

import json
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event as StopEvent
from threading import Thread
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from protos.text import text_key
from stream.actions import Action
from stream.changes import lookup
from stream.changes.erasure.erase import audit_entries, erase
from stream.clock import now_ms
from stream.errors import (
    QuarantineFailed,
    QuarantineUnavailable,
    SourceUnavailable,
    SourceUnreadable,
    StoreFenced,
    StoreStalled,
    StoreWriteFailed,
)
from stream.events import interner as interning
from stream.events import native
from stream.events.fast_path import ColumnDecoder
from stream.events.types import Erasure, Interaction, RecordBatch, Rejection, SourcePartition
from stream.feed import open_feed
from stream.kafka.partitioner import shard_of
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine, read_quarantine
from stream.quarantine.rejections import Quarantine
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import ErasureTombstone
from stream.shard.shard import Shard
from stream.signals.lag import Lag
from stream.sources.files import FileSource
from stream.store.last_backup import LastBackup, note_backup
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker
from stream.worker.figures import Figures
from testing.histories import NOON_MS, dump, event, graph_hash
from testing.oracle import Oracle, assert_same_dump
from testing.processes.worker import run_and_kill
from testing.stand_ins.schema_registry import schema_registry
from tests.stream.conftest import OpenStore, StartPython

Run = Callable[..., WorkerTotals]

BAD_LINES = (b"not json", b'{"hello": 1}', b"\xff\xfe", b'{"ts_ms": 5, "type": "view"}')


def shop_events(count: int = 400, seed: int = 7) -> list[Interaction]:
    """Return the events of a small shop, the same for the same seed."""
    rng = random.Random(seed)
    return [
        event(
            session_id=f"s-{rng.randrange(count // 6 + 1)}",
            query=rng.choice(["", "tv", "red shoes", "xbox 360"]),
            item_id=f"i-{rng.randrange(20)}",
            ts_ms=NOON_MS + rng.randrange(10_000_000),
            action=rng.choice(list(Action)),
            user_id=rng.choice(["", "u"]),
        )
        for _ in range(count)
    ]


def line_of(interaction: Interaction) -> bytes:
    """Return the neutral line of an event."""
    fields: dict[str, Any] = asdict(interaction) | {"type": interaction.action.label}
    del fields["action"]
    return json.dumps(fields).encode()


def write_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Write lines to a file."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.fixture
def settings() -> StreamSettings:
    """Batches of a few dozen."""
    return StreamSettings(batch_records=50, batch_events=50, follow_poll_seconds=0.001)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the worker's metrics are."""
    return CollectorRegistry()


@pytest.fixture
def events_path(tmp_path: Path) -> Path:
    """Where the events are read from."""
    return tmp_path / "events.jsonl"


@pytest.fixture(params=[True, False], ids=["natively", "in Python"], autouse=True)
def _natively(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read plain records with `freshet_native`, and without."""
    assert native.IS_HERE
    monkeypatch.setattr(native, "IS_HERE", request.param)


@pytest.fixture
def run(events_path: Path, settings: StreamSettings, registry: CollectorRegistry) -> Run:
    """Return a function that runs a worker over the events file to its end, with a file
    quarantine.
    """
    metrics = StreamMetrics(registry)

    def run_one(
        store: Store,
        quarantine: Quarantine | None = None,
        stop: StopEvent | None = None,
        own: StreamSettings = settings,
        **more: Any,
    ) -> WorkerTotals:
        source = FileSource([str(events_path)], own, follow=more.pop("follow", False))
        put_away = quarantine or FileQuarantine(store.root / FILE_NAME)
        try:
            return run_worker(source, store, put_away, own, metrics, stop or StopEvent(), **more)
        finally:
            put_away.close()

    return run_one


def test_file_becomes_the_graph(
    run: Run,
    events_path: Path,
    open_store: OpenStore,
    settings: StreamSettings,
    registry: CollectorRegistry,
) -> None:
    """The graph is that of the plain batch build.

    Totals and metrics say what was done.
    """
    events = shop_events()
    write_lines(events_path, [line_of(interaction) for interaction in events])
    store = open_store()
    totals = run(store)
    store.close()
    oracle = Oracle.of(events)
    assert_same_dump(dump(store.root, settings), oracle.dump(max(item.ts_ms for item in events)))
    assert totals.records == totals.applied["events"] == 400
    assert totals.new_facts == len(oracle.facts)
    assert totals.batches == 8
    assert totals.watermark_ms == max(interaction.ts_ms for interaction in events)
    clicks = sum(interaction.action is Action.CLICK for interaction in events)
    assert registry.get_sample_value("freshet_stream_events_total", {"type": "click"}) == clicks
    assert registry.get_sample_value("freshet_stream_new_facts_total") == len(oracle.facts)
    assert registry.get_sample_value("freshet_stream_batches_total") == 8
    assert (
        registry.get_sample_value("freshet_stream_graph_watermark_seconds")
        == totals.watermark_ms / 1000
    )
    assert registry.get_sample_value("freshet_stream_behind_seconds") == 0


def test_bad_lines_are_quarantined_and_the_rest_applied(
    run: Run,
    events_path: Path,
    open_store: OpenStore,
    settings: StreamSettings,
    registry: CollectorRegistry,
) -> None:
    """Bad lines among good ones go to the quarantine, with their place.

    The graph is as without them.
    """
    events = shop_events()
    good = [line_of(interaction) for interaction in events]
    lines = [line for index, line in enumerate(good) for line in (line, *BAD_LINES[: index % 5])]
    write_lines(events_path, lines)
    store = open_store()
    totals = run(store)
    store.close()
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))
    bad = [line for line in lines if line not in good]
    quarantined = list(read_quarantine(store.root / FILE_NAME))
    assert [record.value for record in quarantined] == bad
    content = events_path.read_bytes()
    for record in quarantined:
        assert content[record.offset :].startswith(record.value or b"?")
    assert totals.quarantined == len(bad)
    malformed = {"reason": "malformed"}
    assert registry.get_sample_value("freshet_stream_quarantined_total", malformed) == sum(
        record.reason == "malformed" for record in quarantined
    )


def test_a_rejected_erasure_is_counted_by_itself(
    run: Run, events_path: Path, open_store: OpenStore, registry: CollectorRegistry
) -> None:
    """Somebody's data stays because of it, so it is more than one bad line of many."""
    good = line_of(shop_events()[0])
    write_lines(events_path, [b'{"erase": "user", "id": " "}', b"{", good])
    totals = run(open_store())

    assert totals.quarantined == 2
    assert registry.get_sample_value("freshet_stream_rejected_erasures_total") == 1


def test_items_with_odd_values_are_used_and_counted(
    tmp_path: Path, settings: StreamSettings, registry: CollectorRegistry, open_store: OpenStore
) -> None:
    """What of an item was cut or left out is a metric, over all batches."""
    path = tmp_path / "items.jsonl"
    items = [
        {"item_id": number, "title": True, "text": "x" * 70_000, "attributes": [1]}
        for number in range(60)
    ]
    write_lines(path, [json.dumps(item).encode() for item in items])
    source = FileSource([], settings, catalog_paths=[str(path)])
    store = open_store()
    quarantine = FileQuarantine(store.root / FILE_NAME)

    totals = run_worker(source, store, quarantine, settings, StreamMetrics(registry), StopEvent())

    def repairs(kind: str) -> float | None:
        return registry.get_sample_value("freshet_stream_repairs_total", {"kind": kind})

    assert (totals.applied["items"], totals.quarantined) == (60, 0)
    assert (repairs("cut"), repairs("dropped")) == (60, 120)


def test_what_was_erased_in_another_copy_is_carried_out_without_a_batch(
    run: Run, events_path: Path, open_store: OpenStore
) -> None:
    """A topic may be quiet for long; a mark that is known already is none."""
    events = shop_events()
    write_lines(events_path, [line_of(each) for each in events])
    store = open_store()
    run(store)
    shard, key = store.shard(0), text_key(events[0].session_id)
    assert shard.mark_erased(ErasureTombstone("session", key, 5))
    assert not shard.mark_erased(ErasureTombstone("session", key, 6))
    assert run(store).records == 0

    (entry,) = audit_entries(shard)
    assert (entry.key, entry.asked_ms, entry.sessions) == (key, 5, 1)
    assert not shard.get_sessions([key])


def test_file_of_nothing_but_bad_lines(
    run: Run, events_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """Positions move past bad lines too: a second run has nothing to do."""
    write_lines(events_path, BAD_LINES * 30)
    store = open_store()
    assert run(store).quarantined == 120
    assert run(store).records == 0


def test_running_again_changes_nothing(
    run: Run, events_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """After everything was applied a second run reads nothing."""
    write_lines(events_path, [line_of(interaction) for interaction in shop_events()])
    store = open_store()
    run(store)
    before = graph_hash(store.root, settings)
    totals = run(store)
    assert (totals.records, totals.batches) == (0, 0)
    assert totals.watermark_ms is not None
    store.close()
    assert graph_hash(store.root, settings) == before


def test_the_newest_backup_of_the_store_is_told(
    run: Run, events_path: Path, open_store: OpenStore, registry: CollectorRegistry
) -> None:
    """Its time is a metric; where there is none, or nobody can read it, 0."""
    write_lines(events_path, [line_of(interaction) for interaction in shop_events(10)])
    store, name = open_store(), "freshet_stream_last_backup_timestamp_seconds"
    run(store)
    assert registry.get_sample_value(name) == 0
    note_backup(store.root, LastBackup(backup_id="b", taken_ms=1_790_000_000_500))
    run(store)
    assert registry.get_sample_value(name) == 1_790_000_000.5
    (store.root / "backup.json").write_bytes(b"{")
    run(store)
    assert registry.get_sample_value(name) == 0


def test_stop_finishes_the_batch_and_the_next_run_goes_on(
    run: Run, events_path: Path, tmp_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """Stopped after any batch, the runs together read each line once and make the same
    graph.
    """
    write_lines(events_path, [line_of(interaction) for interaction in shop_events()])
    whole, pieces = open_store(tmp_path / "whole"), open_store(tmp_path / "pieces")
    run(whole)
    records: list[int] = []
    while not records or records[-1]:
        stop = StopEvent()
        records.append(run(pieces, stop=stop, on_progress=lambda _totals: stop.set()).records)  # noqa: B023
    assert records == [50] * 8 + [0]
    assert graph_hash(whole.root, settings) == graph_hash(pieces.root, settings)


def test_batches_are_cut_by_events_too(
    run: Run, events_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """What several polls gave is written together, once so many events wait."""
    write_lines(events_path, [line_of(interaction) for interaction in shop_events()])
    totals = run(open_store(), own=replace(settings, batch_records=10, batch_events=20))
    assert totals.batches == 20


def test_history_is_not_too_late_because_another_file_was_read_first(
    tmp_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """A file of years ago, read after one of today, is applied whole.

    A topic's events that late are not.
    """
    year_ms = 365 * 86_400_000
    old = [replace(one, ts_ms=one.ts_ms - year_ms) for one in shop_events(100, seed=2)]
    for name, events in (("a-new.jsonl", shop_events(100)), ("b-old.jsonl", old)):
        write_lines(tmp_path / name, [line_of(one) for one in events])
    store = open_store()
    source = FileSource([str(tmp_path / "*.jsonl")], settings)
    put_away = FileQuarantine(store.root / FILE_NAME)
    run_worker(source, store, put_away, settings, StreamMetrics(CollectorRegistry()), StopEvent())
    assert_same_dump(
        dump(store.root, settings, NOON_MS), Oracle.of([*shop_events(100), *old]).dump(NOON_MS)
    )

    late = [event("late", ts_ms=NOON_MS), event("late", "radio", "b", NOON_MS - year_ms)]
    source_of_topic = ScriptedSource([[line_of(late[0])], [line_of(late[1])]])
    totals = run_scripted(source_of_topic, store, replace(settings, batch_events=1))
    assert totals.quarantined == 1
    assert [record.reason for record in read_quarantine(store.root / FILE_NAME)] == ["too_late"]


@pytest.mark.parametrize("num_shards", [2, 3])
def test_shards(
    run: Run,
    events_path: Path,
    tmp_path: Path,
    open_store: OpenStore,
    settings: StreamSettings,
    num_shards: int,
) -> None:
    """Each session goes to the shard that Kafka would give it, and the graph is that of
    one shard.
    """
    events = shop_events()
    write_lines(events_path, [line_of(interaction) for interaction in events])
    one, many = open_store(tmp_path / "one"), open_store(tmp_path / "many", num_shards)
    run(one)
    run(many)
    for shard in many.open_shards():
        sessions = {
            codec.unpack_session(value).session_id for _, value in shard.entries(codec.SESSION)
        }
        assert sessions
        assert {shard_of(session, num_shards) for session in sessions} == {shard.index}
    assert run(many).records == 0
    assert graph_hash(one.root, settings) == graph_hash(many.root, settings)


class RefusingQuarantine:
    """A quarantine whose disk is full."""

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Refuse."""
        if rejections:
            raise QuarantineFailed("no room")

    def close(self) -> None:
        """Nothing to do."""


def test_refusing_quarantine_stops_before_positions_move(
    run: Run, events_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """Where a rejection cannot be put away its batch is not applied, so the record
    comes again.
    """
    good = [line_of(interaction) for interaction in shop_events(60)]
    write_lines(events_path, [*good[:55], b"bad", *good[55:]])
    store = open_store()
    with pytest.raises(QuarantineFailed, match="no room"):
        run(store, RefusingQuarantine())
    (offset,) = store.shard(0).positions().values()
    assert offset == sum(len(line) + 1 for line in good[:50])
    assert run(store).quarantined == 1
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(shop_events(60)).dump(NOON_MS))


def test_refusing_disk_stops_the_worker(
    run: Run,
    events_path: Path,
    open_store: OpenStore,
    settings: StreamSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A write that fails ends the run with the error.

    A new run goes on at what was not applied.
    """
    write_lines(events_path, [line_of(interaction) for interaction in shop_events()])
    store = open_store()
    store.shard(0)  # a new shard begins with a write of its own
    write, num_writes = Shard.write, 0

    def failing_write(shard: Shard, *arguments: Any, **named: Any) -> None:
        nonlocal num_writes
        num_writes += 1
        if num_writes == 3:
            raise StoreWriteFailed("disk full")
        write(shard, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Shard, "write", failing_write)
        with pytest.raises(StoreWriteFailed, match="disk full"):
            run(store)
    assert num_writes == 3
    assert run(store).records == 300
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(shop_events()).dump(NOON_MS))


def test_key_collisions_are_quarantined(
    run: Run,
    events_path: Path,
    open_store: OpenStore,
    settings: StreamSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two texts with one key are never merged.

    The second one's record goes to the quarantine.
    """
    monkeypatch.setattr(native, "IS_HERE", False)  # it hashes by itself
    monkeypatch.setattr(lookup, "text_key", lambda text: 1 + len(text))
    monkeypatch.setattr(
        interning, "text_keys", lambda texts: tuple(1 + len(text) for text in texts)
    )
    first, second = event(item_id="one"), event(item_id="two")
    write_lines(events_path, [line_of(first), b"bad", line_of(second)])
    store = open_store()
    totals = run(store)
    quarantined = list(read_quarantine(store.root / FILE_NAME))
    assert sorted((record.reason, record.value) for record in quarantined) == [
        ("key_collision", line_of(second)),
        ("malformed", b"bad"),
    ]
    assert (totals.new_facts, totals.quarantined) == (1, 2)


def test_snapshot_while_following(
    run: Run, events_path: Path, tmp_path: Path, open_store: OpenStore, settings: StreamSettings
) -> None:
    """A worker that follows a file answers snapshot requests between polls, and stops
    when asked to.
    """
    write_lines(events_path, [line_of(interaction) for interaction in shop_events()])
    store, stop, caught_up = open_store(), StopEvent(), StopEvent()

    def on_progress(totals: WorkerTotals) -> None:
        if totals.records == 400:
            caught_up.set()

    worker = Thread(
        target=run, args=(store, None, stop), kwargs={"follow": True, "on_progress": on_progress}
    )
    worker.start()
    assert caught_up.wait(60)
    info = take_snapshot(store.root, tmp_path / "snapshot", settings, NOON_MS)
    stop.set()
    worker.join(60)
    assert not worker.is_alive()
    assert info.counts.facts == len(Oracle.of(shop_events()).facts)
    assert graph_hash(tmp_path / "snapshot", settings) == graph_hash(store.root, settings)


class ScriptedSource:
    """Topics of one partition: what each poll gives.

    A rebalance hands out again what was not applied.
    """

    shards_by_partition = True

    def __init__(self, polls: Sequence[Sequence[bytes]]) -> None:
        self.rebalances = 0
        self.clock_offset_ms = 0
        self.times_ms: Sequence[int] = ()
        self.reflected: dict[int, int] = {}
        self.reflected_once_applied: dict[int, int] = {}
        self.idled_seconds = 0.0
        self.on_idle: Callable[[], None] = lambda: None
        self._polls = list(polls)
        self._next = 0

    def start(self, store: Store) -> None:
        """Nothing to do."""

    def poll(self, max_wait_seconds: float) -> list[RecordBatch]:
        """Return the records of the next poll."""
        if self.exhausted:
            return []
        values = self._polls[self._next]
        first = sum(map(len, self._polls[: self._next]))
        self._next += 1
        offsets = range(first, first + len(values))
        batch = RecordBatch(
            position=SourcePartition("freshet.clicks", 0),
            offsets=offsets,
            next_offsets=[offset + 1 for offset in offsets],
            content_types=[""] * len(values),
            keys=[None] * len(values),
            values=values,
            times_ms=self.times_ms,
        )
        return [batch]

    def idle(self, seconds: float) -> None:
        """Take note."""
        self.idled_seconds += seconds
        self.on_idle()

    def lose(self) -> None:
        """Let the partition move away and come back.

        It is read again from its start.
        """
        self.rebalances += 1
        self._next = 0

    @property
    def exhausted(self) -> bool:
        """Whether every poll was made."""
        return self._next == len(self._polls)

    def lag(self) -> Lag:
        """Nothing waits."""
        return Lag()

    def reflected_ms(
        self,
        once_applied: Mapping[SourcePartition, int] | None = None,
    ) -> dict[int, int]:
        """Return what the test says."""
        return self.reflected if once_applied is None else self.reflected_once_applied

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def run_scripted(
    source: ScriptedSource,
    store: Store,
    settings: StreamSettings,
    registry: CollectorRegistry | None = None,
) -> WorkerTotals:
    """Run a worker over a scripted source."""
    quarantine = FileQuarantine(store.root / FILE_NAME)
    metrics = StreamMetrics(registry or CollectorRegistry())
    return run_worker(source, store, quarantine, settings, metrics, StopEvent())


def failing(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> None:
    """Make the next writes of any shard fail with these errors."""
    write = Shard.write

    def fail_first(shard: Shard, *arguments: Any, **named: Any) -> None:
        if errors:
            raise errors.pop(0)
        write(shard, *arguments, **named)

    monkeypatch.setattr(Shard, "write", fail_first)


class Clock:
    """A clock that moves only when told to, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now

    def move(self, owner: type, name: str, patch: pytest.MonkeyPatch, seconds: float) -> None:
        """Make each call of a method take so long."""
        call = getattr(owner, name)

        def moved(*arguments: Any, **named: Any) -> Any:
            self.now += seconds
            return call(*arguments, **named)

        patch.setattr(owner, name, moved)


def test_feeds_say_up_to_when_all_is_applied(open_store: OpenStore) -> None:
    """What the source claims, and never less than was claimed before."""
    store = open_store(num_shards=1)
    feed, claims = open_feed(store.root), list[int]()
    for claim in ({0: 5000}, {}, {0: 4000}, {0: 6000}):
        source = ScriptedSource([[line_of(event())]])
        source.reflected = claim
        run_scripted(source, store, StreamSettings())
        claims.append(feed.read({}).reflected_ms)

    assert claims == [5000, 5000, 5000, 6000]


def test_a_worker_without_shards_vouches_for_nothing(open_store: OpenStore) -> None:
    """What it said while it had some is not held against it: others speak for them."""
    store, registry = open_store(num_shards=1), CollectorRegistry()
    source, metrics = ScriptedSource([[line_of(event())]]), StreamMetrics(registry)
    source.reflected = {0: 5000}
    figures = Figures(source, store, metrics)
    store.shard(0)
    open_feed(store.root)

    figures.set_freshness()
    assert registry.get_sample_value("freshet_stream_reflected_seconds") == 5
    store.ownership.lose(0)
    figures.set_freshness()

    assert registry.get_sample_value("freshet_stream_reflected_seconds") == 0
    assert registry.get_sample_value("freshet_stream_feed_bytes") == 0


def test_a_source_that_is_away_as_it_starts_is_waited_for(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is restarted answers the process and not yet its group."""
    failures = [SourceUnavailable("gone"), SourceUnavailable("gone")]
    monkeypatch.setattr("stream.sources.connecting._RETRY_SECONDS", 0.0)

    def start(source: ScriptedSource, store: Store) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(ScriptedSource, "start", start)
    totals = run_scripted(ScriptedSource([[line_of(event())]]), open_store(), StreamSettings())

    assert (totals.events, failures) == (1, [])


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_source_that_stays_away_as_it_starts(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, *, is_stopped: bool
) -> None:
    """It ends the worker with what it says, but for one that is to stop anyway."""
    monkeypatch.setattr("stream.sources.connecting._RETRY_SECONDS", 0.05)
    stop = StopEvent()
    source = ScriptedSource([[line_of(event())]])

    def start(store: Store) -> None:
        if is_stopped:
            stop.set()
        raise SourceUnavailable("no Kafka broker answers")

    source.start = start  # type: ignore[method-assign]
    settings = StreamSettings(bootstrap_timeout_seconds=0.05)
    store = open_store()
    quarantine = FileQuarantine(store.root / FILE_NAME)
    metrics = StreamMetrics(CollectorRegistry())
    ends: AbstractContextManager[object] = pytest.raises(SourceUnavailable, match="no Kafka")
    if is_stopped:
        ends = nullcontext()
    with ends:
        assert run_worker(source, store, quarantine, settings, metrics, stop).events == 0


def test_whoever_reads_a_write_in_the_feed_reads_its_claim(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the write makes true is said by it, not some time later; and by its record,
    to whoever takes in some of what was read.
    """
    store, told, claimed = open_store(), list[tuple[bool, int]](), now_ms() - 7000
    store.shard(0)
    feed, write = open_feed(store.root), Shard.write

    def write_and_read(shard: Shard, records: ShardWrite) -> None:
        write(shard, records)
        read = feed.read({})
        told.append((any(each.query_names for each in read.changes), read.reflected_ms))

    monkeypatch.setattr(Shard, "write", write_and_read)
    source = ScriptedSource([[line_of(event())]])
    source.reflected_once_applied = {0: claimed}
    run_scripted(source, store, StreamSettings())

    assert (True, claimed) in told
    assert all(reflected_ms == (claimed if has_it else 0) for has_it, reflected_ms in told)
    assert [each.reflected_ms for each in feed.read({}).changes if each.query_names] == [claimed]


def test_batch_seconds_run_from_decoding_to_the_write(
    open_store: OpenStore, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A micro-batch of two polls is timed from the decoding of its first record, over
    the wait for the second poll and the quarantine, until the write returned; neither
    the first poll nor what follows the write counts.
    """
    store = open_store()
    store.shard(0)
    clock = Clock()
    monkeypatch.setattr("stream.worker.loop.time", clock)
    clock.move(ScriptedSource, "poll", monkeypatch, 20.0)
    clock.move(ColumnDecoder, "decode", monkeypatch, 4.0)
    clock.move(FileQuarantine, "put", monkeypatch, 2.0)
    clock.move(Shard, "write", monkeypatch, 1.0)
    clock.move(ScriptedSource, "applied", monkeypatch, 1000.0)
    lines = [line_of(one) for one in shop_events(10)]
    source = ScriptedSource([[*lines[:5], b"not json"], lines[5:]])

    totals = run_scripted(source, store, StreamSettings(batch_wait_ms=60_000), registry)

    assert (totals.applied["events"], totals.quarantined) == (10, 1)
    assert registry.get_sample_value("freshet_stream_batch_seconds_count") == 1
    # Decoding, the second poll and its decoding, quarantine, write.
    assert registry.get_sample_value("freshet_stream_batch_seconds_sum") == 31.0


@pytest.mark.parametrize("offset_ms", [0, -7_200_000, 7_200_000])
def test_events_are_judged_by_the_later_clock(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, offset_ms: int
) -> None:
    """Live events are used by a worker whose clock is two hours slow, where the
    records' own times show it; without that they are from the future.
    """
    for module in ("loop", "figures"):
        monkeypatch.setattr(f"stream.worker.{module}.now_ms", lambda: NOON_MS - 7_200_000)
    source = ScriptedSource([[line_of(event(ts_ms=NOON_MS))]])
    source.clock_offset_ms = offset_ms
    registry = CollectorRegistry()
    totals = run_scripted(source, open_store(), StreamSettings(), registry)
    is_used = offset_ms > 0
    assert (totals.applied["events"], totals.quarantined) == ((1, 0) if is_used else (0, 1))
    offset = registry.get_sample_value("freshet_stream_clock_offset_seconds")
    assert offset == offset_ms / 1000


@pytest.mark.parametrize(
    ("times_ms", "watermark_ms"),
    [
        ((), NOON_MS),  # no time but the worker's clock
        ((NOON_MS - 1000, NOON_MS - 500), NOON_MS - 500),
        ((NOON_MS - 1000, NOON_MS + 2_400_000), NOON_MS),  # its producer's clock is fast, too
        ((NOON_MS - 1000, -1), NOON_MS),  # a record without a time
        ((NOON_MS - 1000, NOON_MS // 1000), NOON_MS),  # seconds
    ],
)
def test_an_event_of_the_future_moves_no_watermark(
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    times_ms: Sequence[int],
    watermark_ms: int,
) -> None:
    """It is used and counted, and the graph is complete up to its record's time at the
    most: nobody has seen more.
    """
    for module in ("loop", "figures"):
        monkeypatch.setattr(f"stream.worker.{module}.now_ms", lambda: NOON_MS)
    ahead = event(item_id="b", ts_ms=NOON_MS + 2_400_000)
    source = ScriptedSource([[line_of(event(ts_ms=NOON_MS - 60_000)), line_of(ahead)]])
    source.times_ms = times_ms
    registry = CollectorRegistry()
    totals = run_scripted(source, open_store(), StreamSettings(), registry)
    assert (totals.applied["events"], totals.quarantined) == (2, 0)
    assert totals.watermark_ms == watermark_ms
    assert registry.get_sample_value("freshet_stream_events_ahead_total") == 1


def test_events_that_are_refused_or_dropped_are_not_counted_as_applied(
    open_store: OpenStore,
) -> None:
    """What is too late is quarantined and what is erased dropped: neither is applied; a
    repeated event is.
    """
    store, registry = open_store(), CollectorRegistry()
    erase(store.shard(0), [Erasure(kind="user", id="gone", ts_ms=0)], NOON_MS)
    in_time = [event(session_id="s-1", ts_ms=NOON_MS, item_id=item) for item in ("a", "b", "a")]
    late = event(session_id="s-1", ts_ms=NOON_MS - 3_600_001, item_id="c", action=Action.PURCHASE)
    dropped = event(session_id="s-2", ts_ms=NOON_MS, item_id="a", user_id="gone")
    lines = [line_of(one) for one in (*in_time, late, dropped)]

    source = ScriptedSource([lines])
    totals = run_scripted(source, store, StreamSettings(session_retention_seconds=3600), registry)

    counted = {
        action.label: registry.get_sample_value(
            "freshet_stream_events_total", {"type": action.label}
        )
        for action in Action
    }
    assert counted == {"view": 0, "click": 3, "add-to-cart": 0, "purchase": 0}
    assert (totals.events, totals.quarantined) == (3, 1)
    assert registry.get_sample_value("freshet_stream_dropped_total") == 1
    assert registry.get_sample_value("freshet_stream_recent_messages") == 4


def test_garbage_is_collected_seldom_while_it_runs(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threshold is another one for the loop alone, also where that fails."""
    before = (700, 10, 10)
    monkeypatch.setattr("stream.worker.loop.gc.get_threshold", lambda: before)
    thresholds = list[tuple[int, ...]]()
    monkeypatch.setattr(
        "stream.worker.loop.gc.set_threshold", lambda *each: thresholds.append(each)
    )
    source, seen = ScriptedSource([[line_of(one) for one in shop_events(3)]]), list[int]()

    def fail(_totals: WorkerTotals) -> None:
        seen.append(len(thresholds))
        raise SourceUnreadable("no more")

    store = open_store()
    quarantine, metrics = FileQuarantine(store.root / FILE_NAME), StreamMetrics(CollectorRegistry())
    with pytest.raises(SourceUnreadable):
        run_worker(
            source, store, quarantine, StreamSettings(), metrics, StopEvent(), on_progress=fail
        )

    assert seen == [1]
    (within, after) = thresholds
    assert within[0] > before[0]
    assert after == before


@pytest.mark.parametrize(
    ("batch_records", "batches"),
    # 41 polls of 1/16 s each: 1/8 s is over after the third, 10/8 s after the 21st.
    [pytest.param(3, 14, id="all that waits"), pytest.param(2, 2, id="a backlog")],
)
def test_a_backlog_is_read_in_larger_batches(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, batch_records: int, batches: int
) -> None:
    """While each poll returns as many records as it may, they wait ten times as long
    for more.
    """
    store = open_store()
    store.shard(0)
    clock = Clock()
    monkeypatch.setattr("stream.worker.loop.time", clock)
    clock.move(ScriptedSource, "poll", monkeypatch, 0.0625)
    lines = [line_of(one) for one in shop_events(82)]
    source = ScriptedSource([lines[at : at + 2] for at in range(0, 82, 2)])

    settings = StreamSettings(batch_wait_ms=125, batch_records=batch_records)
    totals = run_scripted(source, store, settings)

    assert (totals.applied["events"], totals.batches) == (82, batches)


def test_stalled_disk_is_waited_for(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that RocksDB refuses for the moment is tried again, while the source
    stays connected.
    """
    store = open_store()
    store.shard(0)
    events = shop_events(100)
    source = ScriptedSource([[line_of(one) for one in events]])
    failing(monkeypatch, [StoreStalled("slow"), StoreStalled("slow")])

    totals = run_scripted(source, store, StreamSettings())

    assert totals.applied["events"] == 100
    assert source.idled_seconds == pytest.approx(0.4)
    assert store.shard(0).positions() == {SourcePartition("freshet.clicks", 0): 100}


class AwayQuarantine:
    """A quarantine that is away for the first puts, and says what was put later."""

    def __init__(self, num_failures: int) -> None:
        self.num_failures = num_failures
        self.found: list[Rejection] = []

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Take rejections, or not yet."""
        if self.num_failures and rejections:
            self.num_failures -= 1
            raise QuarantineUnavailable("there is no topic q")
        self.found += rejections

    def close(self) -> None:
        """Nothing to do."""


def test_quarantine_that_is_away_is_waited_for(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is applied before the rejected records are safe; the wait is named, and
    shown while it lasts.
    """
    store = open_store()
    store.shard(0)
    source = ScriptedSource([[b"garbage", *(line_of(one) for one in shop_events(10))]])
    quarantine, registry = AwayQuarantine(2), CollectorRegistry()
    waited: list[float] = []
    metrics = StreamMetrics(registry)

    def look() -> None:
        waited.append(registry.get_sample_value("freshet_stream_quarantine_waiting_seconds") or 0.0)
        assert not store.shard(0).positions()

    source.on_idle = look
    with caplog.at_level(logging.WARNING, "stream"):
        totals = run_worker(source, store, quarantine, StreamSettings(), metrics, StopEvent())

    assert (totals.applied["events"], totals.quarantined, len(quarantine.found)) == (10, 1, 1)
    assert len(waited) == 2
    assert waited[1] > 0
    assert registry.get_sample_value("freshet_stream_quarantine_waiting_seconds") == 0
    assert registry.get_sample_value("freshet_stream_stalled_seconds_total") == 0
    assert caplog.text.count("waiting error=there is no topic q") == 1
    assert store.shard(0).positions() == {SourcePartition("freshet.clicks", 0): 11}


def test_a_schema_registry_that_is_away_is_waited_for(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is quarantined for it, and what was read before it is not lost; the wait
    is named, and shown while it lasts.
    """
    store, metrics_registry = open_store(), CollectorRegistry()
    plain, framed = (line_of(one) for one in shop_events(2))
    name = "freshet_stream_schema_registry_waiting_seconds"
    waited: list[float] = []
    with schema_registry() as registry:
        schema_id = registry.register("lines", "JSON", "{}")
        registry.status = 503
        source = ScriptedSource([[plain], [b"\0" + schema_id.to_bytes(4, "big") + framed, plain]])

        def look() -> None:
            waited.append(metrics_registry.get_sample_value(name) or 0.0)
            registry.status = 0 if len(waited) > 1 else 503

        source.on_idle = look
        settings = StreamSettings(schema_registry_url=registry.url, batch_wait_ms=60_000)
        with caplog.at_level(logging.WARNING, "stream"):
            totals = run_worker(
                *(source, store, AwayQuarantine(0), settings),
                *(StreamMetrics(metrics_registry), StopEvent()),
            )

    assert (totals.applied["events"], totals.quarantined) == (3, 0)
    assert len(waited) == 2
    assert waited[1] > 0
    assert metrics_registry.get_sample_value(name) == 0
    assert metrics_registry.get_sample_value("freshet_stream_stalled_seconds_total") == 0
    assert caplog.text.count("waiting error=the schema registry at http://127.0.0.1") == 1
    assert store.shard(0).positions() == {SourcePartition("freshet.clicks", 0): 3}


def test_stop_while_the_schema_registry_is_away_loses_nothing(open_store: OpenStore) -> None:
    """What came before is applied, and the rest read again by the next worker."""
    store, stop = open_store(), StopEvent()
    plain, framed = (line_of(one) for one in shop_events(2))
    with schema_registry() as registry:
        schema_id = registry.register("lines", "JSON", "{}")
        registry.status = 503
        value = b"\0" + schema_id.to_bytes(4, "big") + framed
        source = ScriptedSource([[plain], [value], [plain]])
        source.on_idle = stop.set
        settings = StreamSettings(schema_registry_url=registry.url, batch_wait_ms=60_000)
        metrics = StreamMetrics(CollectorRegistry())
        totals = run_worker(source, store, AwayQuarantine(0), settings, metrics, stop)

    assert totals.applied["events"] == 1
    assert store.shard(0).positions() == {SourcePartition("freshet.clicks", 0): 1}


def test_stop_while_the_quarantine_is_away_loses_nothing(open_store: OpenStore) -> None:
    """The records behind what was rejected are read again by the next worker."""
    store = open_store()
    store.shard(0)
    stop = StopEvent()
    source = ScriptedSource([[b"garbage", *(line_of(one) for one in shop_events(10))]])
    source.on_idle = stop.set
    metrics = StreamMetrics(CollectorRegistry())

    totals = run_worker(source, store, AwayQuarantine(9), StreamSettings(), metrics, stop)

    assert (totals.applied["events"], totals.quarantined) == (0, 0)
    assert not store.shard(0).positions()


@pytest.mark.parametrize(
    "error", [StoreStalled("slow"), StoreFenced("taken over", 0)], ids=["stalled", "fenced"]
)
def test_batch_of_a_shard_that_moved_is_dropped_and_read_again(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """What could not be written before its partition moved is not applied.

    Its new owner reads it again.
    """
    store = open_store()
    store.shard(0)
    events = shop_events(100)
    lines = [line_of(one) for one in events]
    source = ScriptedSource([lines[:60], lines[60:]])
    failing(monkeypatch, [error])
    source.on_idle = source.lose

    totals = run_scripted(source, store, StreamSettings(batch_events=10))

    assert source.rebalances == 1
    assert totals.applied["events"] == 100
    assert_same_dump(dump(store.root, StreamSettings(), NOON_MS), Oracle.of(events).dump(NOON_MS))


def test_fenced_worker_that_keeps_its_partitions_ends(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may write a shard that another process took over, and nothing may be
    passed over.
    """
    store = open_store()
    store.shard(0)
    source = ScriptedSource([[line_of(one) for one in shop_events(10)]])
    failing(monkeypatch, [StoreFenced("taken over", 0)])
    monkeypatch.setattr("stream.worker.waits._TIMEOUTS_TO_LOSE_SHARD", 0)

    with pytest.raises(StoreFenced):
        run_scripted(source, store, StreamSettings())
    assert store.shard(0).positions() == {}


def fenced_between_batches(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Let the store say once, after a first write, that a shard was taken over."""
    run_due_work, told = store.ownership.run_due_work, [StoreFenced("taken over", 0)]

    def run_or_fail() -> None:
        if told and store.shard(0).positions():
            raise told.pop()
        run_due_work()

    monkeypatch.setattr(store.ownership, "run_due_work", run_or_fail)


def test_worker_that_is_fenced_between_batches_waits_for_the_group(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away for too long, and is told so a moment later: it takes part again."""
    store = open_store()
    store.shard(0)
    events = shop_events(100)
    lines = [line_of(one) for one in events]
    source = ScriptedSource([lines[:60], lines[60:]])
    fenced_between_batches(monkeypatch, store)
    source.on_idle = source.lose

    totals = run_scripted(source, store, StreamSettings(batch_events=10))

    assert source.rebalances == 1
    assert totals.applied["events"] == 160  # the first 60 were read again
    assert_same_dump(dump(store.root, StreamSettings(), NOON_MS), Oracle.of(events).dump(NOON_MS))


def test_worker_that_is_fenced_between_batches_and_not_told_ends(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose the shard is nobody says, so nothing may be passed over."""
    store = open_store()
    store.shard(0)
    source = ScriptedSource([[line_of(one)] for one in shop_events(10)])
    fenced_between_batches(monkeypatch, store)
    monkeypatch.setattr("stream.worker.waits._TIMEOUTS_TO_LOSE_SHARD", 0)

    with pytest.raises(StoreFenced):
        run_scripted(source, store, StreamSettings(batch_events=1))


@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again(
    events_path: Path,
    tmp_path: Path,
    settings: StreamSettings,
    start_python: StartPython,
    seed: int,
) -> None:
    """A worker process killed with SIGKILL again and again makes the plain batch's
    graph.
    """
    rng = random.Random(seed)
    events = shop_events(3000, seed)
    lines = [line_of(interaction) for interaction in events]
    write_lines(
        events_path,
        [line for index in range(0, 3000, 5) for line in (*lines[index : index + 5], b"bad")],
    )
    root = tmp_path / "store"
    options = json.dumps({"batch_records": 10})
    num_kills = -1
    is_done = False
    while not is_done:
        process = start_python(
            "from testing.processes.worker import main; main()",
            root,
            f"file:{events_path}",
            options,
        )
        is_done = run_and_kill(process, rng.uniform(0, 0.2 * (num_kills + 2)))
        num_kills += 1
    assert num_kills > 0
    assert_same_dump(dump(root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))
    values = [record.value for record in read_quarantine(root / FILE_NAME)]
    assert set(values) == {b"bad"}
    assert len(values) >= 600
