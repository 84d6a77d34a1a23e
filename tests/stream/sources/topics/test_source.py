"""Kafka as a source, against a real broker.

Exactly the facts that were published, whatever goes wrong.
"""

import gc
import json
import logging
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from threading import Event as StopEvent
from threading import Thread
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.structs import TopicPartition
from prometheus_client import CollectorRegistry

from stream.clock import Moment, now_ms, this_moment
from stream.errors import SourceMismatch, SourceUnavailable, StreamError
from stream.events.types import CatalogItem, Record, SourcePartition
from stream.feed import open_feed
from stream.kafka.partitioner import shard_of
from stream.kafka.producer import RecordProducer
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine, read_quarantine
from stream.reading.reader import open_graph
from stream.settings import KAFKA_CLIENTS, StreamSettings
from stream.shard.fencing import current_folder
from stream.sources.files import FileSource
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker
from testing.histories import NOON_MS, apply_all, apply_events, dump, event, graph_hash
from testing.oracle import Oracle, assert_same_dump
from testing.processes.worker import complaints, run_and_kill
from testing.topics import publish, shop_events
from tests.conftest import TopicFactory
from tests.stream.conftest import OpenStore, StartPython

PARTITIONS = 3
JSON = [("content-type", b"application/json")]


@pytest.fixture
def topics(kafka_topics: TopicFactory) -> Mapping[str, str]:
    """This test's own topics."""
    return kafka_topics(partitions=PARTITIONS)


@pytest.fixture
def topic_check_seconds() -> float:
    """How often a worker looks at its topics; a test may give another."""
    return 0.5


@pytest.fixture(params=KAFKA_CLIENTS)
def settings(
    topics: Mapping[str, str], topic_check_seconds: float, request: pytest.FixtureRequest
) -> StreamSettings:
    """Settings that name them, with small batches, for each client."""
    return StreamSettings(
        kafka_client=request.param,
        clicks_topic=topics["clicks"],
        sessions_topic=topics["sessions"],
        catalog_topic=topics["catalog"],
        erasures_topic=topics["erasures"],
        quarantine_topic=topics["quarantine"],
        group_id=topics["clicks"],
        batch_records=40,
        batch_events=40,
        poll_seconds=0.1,
        commit_every_seconds=0.2,
        bootstrap_timeout_seconds=60.0,
        topic_check_seconds=topic_check_seconds,
    )


class Worker:
    """A worker in a thread, with what it tells."""

    def __init__(self, bootstrap: str, store: Store, settings: StreamSettings) -> None:
        self.registry = CollectorRegistry()
        self.totals = WorkerTotals()
        self.error: StreamError | None = None
        self._stop = StopEvent()
        # Of one wait: what an earlier one wanted ends no later one.
        self._awaited: tuple[Callable[[], bool], StopEvent] = (lambda: False, StopEvent())
        self._thread = Thread(target=self._run, args=(bootstrap, store, settings))
        self._thread.start()

    def wait_until(self, wanted: Callable[[], bool]) -> None:
        """Wait until something holds after a batch or an empty poll."""
        seen = StopEvent()
        self._awaited = wanted, seen
        if self.error and wanted():
            return
        assert seen.wait(120), self.totals

    def wait_for_records(self, count: int) -> None:
        """Wait until so many records are applied."""
        self.wait_until(lambda: self.totals.records >= count)

    def stop(self) -> WorkerTotals:
        """Stop it and return what it did, or raise what ended it."""
        self.end()
        assert not self._thread.is_alive()
        if self.error:
            raise self.error
        return self.totals

    def end(self) -> None:
        """Stop it."""
        self._stop.set()
        self._thread.join(60)

    def sample(self, name: str, **labels: str) -> float | None:
        """Return one of its metrics."""
        return self.registry.get_sample_value(name, labels)

    def behind(self) -> dict[tuple[str, int], int]:
        """Return what its metrics say of waiting records."""
        return {
            (sample.labels["topic"], int(sample.labels["partition"])): int(sample.value)
            for family in self.registry.collect()
            if family.name == "freshet_stream_behind_records"
            for sample in family.samples
        }

    def _run(self, bootstrap: str, store: Store, settings: StreamSettings) -> None:
        metrics = StreamMetrics(self.registry)
        try:
            with closing(FileQuarantine(store.root / FILE_NAME)) as quarantine:
                run_worker(
                    KafkaSource(bootstrap, settings, metrics),
                    store,
                    quarantine,
                    settings,
                    metrics,
                    self._stop,
                    on_progress=self._note,
                )
        except StreamError as error:
            self.error = error
            self._awaited[1].set()

    def _note(self, totals: WorkerTotals) -> None:
        self.totals = totals
        wanted, seen = self._awaited
        if wanted():
            seen.set()


StartWorker = Callable[[Store], Worker]


@pytest.fixture
def start_worker(kafka_bootstrap: str, settings: StreamSettings) -> Iterator[StartWorker]:
    """Return a function that starts a worker on a store; all are stopped at the end."""
    workers: list[Worker] = []

    def start(store: Store) -> Worker:
        workers.append(Worker(kafka_bootstrap, store, settings))
        return workers[-1]

    yield start
    for worker in workers:
        worker.end()


def test_topics_become_the_graph(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """Singles, batches and JSON over three partitions, with bad messages among them,
    make the plain graph.
    """
    events = shop_events(600, seed=1)
    items = [CatalogItem(item_id=f"i-{number}", title=f"Item {number}") for number in range(20)]
    publish(kafka_bootstrap, settings, [*items, *events[:200]])
    publish(kafka_bootstrap, settings, events[200:400], batch_size=16)
    raw = RecordProducer(kafka_bootstrap, settings)
    for number, interaction in enumerate(events[400:]):
        line = json.dumps(asdict(interaction) | {"type": "click", "action": None}).encode()
        partition = shard_of(interaction.session_id, PARTITIONS)
        raw.send(settings.clicks_topic, partition, None, line, JSON)
        bad = [b"{", b"\xff", None, b'{"a": 1}'][number % 4]
        raw.send(settings.sessions_topic, number % PARTITIONS, b"key", bad, JSON)
    raw.send(settings.catalog_topic, shard_of("i-3", PARTITIONS), b"i-3", None, [])
    raw.flush()
    raw.close()
    store = open_store(num_shards=PARTITIONS)
    worker = start_worker(store)
    worker.wait_until(lambda: worker.totals.applied.total() == 621)
    worker.wait_until(lambda: worker.totals.quarantined == 200)
    totals = worker.stop()
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))
    assert totals.quarantined == 200
    quarantined = list(read_quarantine(store.root / FILE_NAME))
    assert {record.source for record in quarantined} == {settings.sessions_topic}
    assert len({(record.partition, record.offset) for record in quarantined}) == 200
    assert totals.watermark_ms is not None
    with open_graph(store.root, settings) as graph:
        arrays = graph.arrays()
    titles = dict(zip(arrays.item_ids, arrays.item_titles, strict=True))
    deleted = dict(zip(arrays.item_ids, arrays.item_deleted.tolist(), strict=True))
    assert titles["i-4"] == "Item 4"
    assert deleted == {f"i-{number}": number == 3 for number in range(20)}


def test_cloud_events_in_binary_mode(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """Events and items whose attributes are in the headers, as the SDKs of CloudEvents
    send them; a rejected one keeps its headers.
    """
    cloud = [*JSON, ("ce_specversion", b"1.0"), ("ce_time", b"2023-11-14T12:00:00Z")]
    data = {"session_id": "s", "query": "tv", "item_id": "i"}
    item = {"item_id": "i", "title": "T", "query": "not of an item"}
    raw = RecordProducer(kafka_bootstrap, settings)
    for topic, kind, value in (
        (settings.clicks_topic, b"freshet.click", data),
        (settings.catalog_topic, b"freshet.catalog", item),
        (settings.clicks_topic, b"com.shop.click", data),
    ):
        line = json.dumps(value).encode()
        raw.send(topic, 0, b"k", line, [*cloud, ("ce_type", kind)])
    raw.flush()
    raw.close()
    store = open_store(num_shards=PARTITIONS)

    worker = start_worker(store)
    worker.wait_for_records(3)
    totals = worker.stop()

    assert (totals.new_facts, totals.events, totals.items, totals.quarantined) == (1, 1, 1, 1)
    with open_graph(store.root, settings) as graph:
        assert graph.arrays().item_titles == ["T"]
    (rejected,) = read_quarantine(store.root / FILE_NAME)
    assert dict(rejected.headers)["ce_type"] == "com.shop.click"


def test_restart_goes_on_where_the_store_is(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """A second worker on the store reads only what came since, though Kafka's own
    offsets are gone.
    """
    first, second = shop_events(200, seed=2), shop_events(150, seed=3)
    store = open_store(num_shards=PARTITIONS)
    publish(kafka_bootstrap, settings, first)
    worker = start_worker(store)
    worker.wait_for_records(200)
    assert worker.stop().records == 200
    publish(kafka_bootstrap, settings, second)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    committed = admin.list_group_offsets(settings.group_id)
    admin.close()
    assert sum(offset.offset for offset in _offsets(committed)) == 200
    worker = start_worker(store)
    worker.wait_for_records(150)
    assert worker.stop().records == 150
    assert_same_dump(
        dump(store.root, settings, NOON_MS), Oracle.of([*first, *second]).dump(NOON_MS)
    )


def _offsets(committed: Any) -> list[Any]:
    """Flatten what the admin client says of a group's offsets."""
    values = list(committed.values())
    return values if not values or hasattr(values[0], "offset") else _offsets(values[0])


@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again(
    kafka_bootstrap: str,
    settings: StreamSettings,
    tmp_path: Path,
    start_python: StartPython,
    seed: int,
) -> None:
    """A worker killed with SIGKILL again and again is up at once and makes the plain
    batch's graph.
    """
    rng = random.Random(seed)
    events = shop_events(3000, seed)
    publish(kafka_bootstrap, settings, events)
    root, options = (
        tmp_path / "store",
        json.dumps(asdict(settings) | {"batch_records": 10, "worker_id": "w"}),
    )
    applied, num_kills = 0, 0

    def facts() -> int:
        with open_graph(root, settings) as graph:
            return graph.stats().facts

    wanted = len(Oracle.of(events).facts)
    while applied < wanted:
        process = start_python(
            "from testing.processes.worker import main; main()",
            root,
            f"kafka:{kafka_bootstrap}",
            options,
        )
        assert not run_and_kill(process, rng.uniform(0, 0.06 * (num_kills + 1)))
        assert facts() >= applied
        applied = facts()
        num_kills += 1
    assert num_kills > 1
    assert_same_dump(dump(root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))


def test_topics_go_on_where_a_backfill_ended(
    kafka_bootstrap: str,
    settings: StreamSettings,
    tmp_path: Path,
    open_store: OpenStore,
    start_worker: StartWorker,
) -> None:
    """Files, then topics that repeat some of them and go on.

    No gap, nothing twice, nothing too late.
    """
    events = [
        replace(one, ts_ms=one.ts_ms + 7_200_000 * place)
        for place, one in enumerate(shop_events(300, 9))
    ]
    lines = [
        json.dumps({**asdict(one), "type": one.action.label, "action": None})
        for one in events[:200]
    ]
    (tmp_path / "history.jsonl").write_text("\n".join(lines) + "\n")
    publish(kafka_bootstrap, settings, events[150:])
    store = open_store(num_shards=PARTITIONS)
    run_worker(
        FileSource([str(tmp_path / "history.jsonl")], settings),
        store,
        FileQuarantine(store.root / FILE_NAME),
        settings,
        StreamMetrics(CollectorRegistry()),
        StopEvent(),
    )
    worker = start_worker(store)
    worker.wait_for_records(150)
    totals = worker.stop()

    assert totals.quarantined == 0
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(events).dump(NOON_MS))


def test_sigterm_finishes_the_batch(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path, start_python: StartPython
) -> None:
    """SIGTERM ends the process with 0 after its batch, and what it told is what the
    store holds.
    """
    publish(kafka_bootstrap, settings, shop_events(2000, seed=5))
    root, options = tmp_path / "store", json.dumps(asdict(settings))
    process = start_python(
        "from testing.processes.worker import main; main()",
        root,
        f"kafka:{kafka_bootstrap}",
        options,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    told = [process.stdout.readline() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    # Read from here on: what `communicate` returns lacks what was read ahead.
    told += process.stdout.readlines()
    assert (complaints(process.stderr), process.wait()) == ([], 0)
    assert told[-1] == "done\n"
    with open_graph(root, settings) as graph:
        positions = graph.positions()
    assert int(told[-2]) == sum(sum(of_shard.values()) for of_shard in positions.values())


def test_transactions(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """Aborted events are never applied, and transaction marks do not count as records
    that wait.
    """
    producer: Any = KafkaProducer(
        bootstrap_servers=kafka_bootstrap, transactional_id=settings.group_id
    )
    producer.init_transactions()
    for item_id, is_good in (("good", True), ("aborted", False), ("good-2", True)):
        producer.begin_transaction()
        line = json.dumps({"ts_ms": NOON_MS, "type": "view", "session_id": "s", "item_id": item_id})
        producer.send(settings.clicks_topic, line.encode(), partition=0)
        producer.flush()
        if is_good:
            producer.commit_transaction()
        else:
            producer.abort_transaction()
    producer.close()
    store = open_store(num_shards=PARTITIONS)
    worker = start_worker(store)
    worker.wait_for_records(2)
    worker.wait_until(lambda: len(worker.behind()) == 12 and not any(worker.behind().values()))
    worker.stop()
    with open_graph(store.root, settings) as graph:
        assert graph.arrays().item_ids in (["good", "good-2"], ["good-2", "good"])


def test_a_partition_behind_an_open_transaction_is_stuck(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Its records wait, and none moves, while those of the others do; once it is
    committed, it is not stuck any more.
    """
    producer: Any = KafkaProducer(
        bootstrap_servers=kafka_bootstrap, transactional_id=settings.group_id
    )
    producer.init_transactions()
    producer.begin_transaction()
    line = json.dumps({"ts_ms": NOON_MS, "type": "view", "session_id": "s", "item_id": "i"})
    producer.send(settings.clicks_topic, line.encode(), partition=1)
    producer.flush()
    source = KafkaSource(kafka_bootstrap, settings)
    source.start(open_store(num_shards=PARTITIONS))

    def stuck() -> dict[tuple[str, int], float]:
        source.applied({batch.position: batch.next_offset for batch in source.poll(0.1)})
        return {place: sec for place, sec in source.lag().stuck_seconds.items() if sec > 0.5}

    while not (found := stuck()):
        pass
    assert list(found) == [(settings.clicks_topic, 1)]
    producer.commit_transaction()
    producer.close()
    while stuck():
        pass
    source.close()


def test_records_that_are_polled_but_not_applied_count_as_behind(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Behind is the distance to what is applied, not to what was fetched."""
    publish(kafka_bootstrap, settings, shop_events(500, seed=6))
    source = KafkaSource(kafka_bootstrap, settings)
    source.start(open_store(num_shards=PARTITIONS))
    ends: dict[SourcePartition, int] = {}
    while sum(ends.values()) < 500:
        found = source.poll(0.1)
        ends |= {batch.position: batch.next_offset for batch in found}
        source.applied({batch.position: batch.offsets[0] for batch in found[:1]})
    waiting = sum(source.behind_records().values())
    assert 0 < waiting <= 500
    assert max(source.lag().seconds.values()) > 0.0
    source.applied(ends)
    assert sum(source.behind_records().values()) == 0
    assert not any(source.lag().seconds.values())
    source.close()


def test_nothing_is_claimed_of_what_waits(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """What waits holds its shard's claim back, and only its; what is applied does not,
    though nothing more comes.
    """
    source = KafkaSource(kafka_bootstrap, settings)
    source.start(open_store(num_shards=PARTITIONS))
    while len(source.reflected_ms()) < PARTITIONS:
        source.poll(0.1)
    publish(kafka_bootstrap, settings, [event("s-1", ts_ms=NOON_MS)])
    published_ms, shard = now_ms(), shard_of("s-1", PARTITIONS)
    found = source.poll(0.1)
    while not found:
        found = source.poll(0.1)
    waiting = source.reflected_ms()
    source.applied({batch.position: batch.next_offset for batch in found})
    applied = source.reflected_ms()
    source.close()

    assert waiting[shard] < found[0].times_ms[0] <= published_ms
    assert all(waiting[other] >= published_ms for other in range(PARTITIONS) if other != shard)
    assert min(applied.values()) >= published_ms


def test_what_a_write_makes_true_is_known_before_it(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Once what was read is applied, all is that had come before it was; nothing is
    claimed of what comes meanwhile, and nobody is asked.
    """
    source = KafkaSource(kafka_bootstrap, settings)
    source.start(open_store(num_shards=PARTITIONS))
    while len(source.reflected_ms()) < PARTITIONS:
        source.poll(0.1)
    shard = shard_of("s-1", PARTITIONS)
    publish(kafka_bootstrap, settings, [event("s-1", ts_ms=NOON_MS)])
    found = source.poll(0.1)
    while not found:
        found = source.poll(0.1)
    read_ms = now_ms()
    positions = {batch.position: batch.next_offset for batch in found}
    early = source.reflected_ms()
    publish(kafka_bootstrap, settings, [event("s-1", "more", ts_ms=NOON_MS)])
    published_ms = now_ms()
    once_applied = source.reflected_ms(positions)
    source.applied(positions)
    source.close()

    assert early[shard] < found[0].times_ms[0]
    assert found[0].times_ms[0] - 1 <= once_applied[shard] <= read_ms <= published_ms


def test_nothing_is_claimed_of_a_backlog_before_it_is_read(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """At a start some partitions are read after others: until then their end alone is
    known.
    """
    sessions = [f"s-{number}" for number in range(8 * PARTITIONS)]
    publish(kafka_bootstrap, settings, [event(each, ts_ms=NOON_MS) for each in sessions])
    published_ms = now_ms()
    waiting = {(shard_of(each, PARTITIONS), place) for place, each in enumerate(sessions)}
    left = {shard: sum(1 for own, _ in waiting if own == shard) for shard in range(PARTITIONS)}
    assert min(left.values()) > 0
    source = KafkaSource(kafka_bootstrap, replace(settings, batch_records=4))
    source.start(open_store(num_shards=PARTITIONS))
    early: list[tuple[int, int]] = []

    while any(left.values()):
        found = source.poll(0.1)
        claims = source.reflected_ms()
        early += [(shard, ms) for shard, ms in claims.items() if left[shard] and ms > published_ms]
        source.applied({batch.position: batch.next_offset for batch in found})
        for batch in found:
            left[batch.position.partition] -= len(batch.offsets)

    while len(source.reflected_ms()) < PARTITIONS:
        source.poll(0.1)
    applied = source.reflected_ms()
    source.close()
    assert early == []
    assert min(applied.values()) >= published_ms


def test_a_published_event_is_in_the_feed_once_it_is_claimed(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """And its claim goes on while nobody publishes."""
    store = open_store(num_shards=PARTITIONS)
    feed, worker = open_feed(store.root), start_worker(store)
    worker.wait_until(lambda: feed.read({}).reflected_ms > 0)
    publish(kafka_bootstrap, settings, [event("s-1", "radio", ts_ms=NOON_MS)])
    published_ms = now_ms()
    claims: list[tuple[int, bool]] = []

    def is_claimed() -> bool:
        read = feed.read({})
        has_it = any("radio" in each.query_names.values() for each in read.changes)
        claims.append((read.reflected_ms, has_it))
        return read.reflected_ms > published_ms + 1000

    worker.wait_until(is_claimed)
    worker.stop()

    assert [has_it for reflected_ms, has_it in claims if reflected_ms >= published_ms]
    assert all(has_it for reflected_ms, has_it in claims if reflected_ms >= published_ms)


def test_records_come_with_their_own_time(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Each record's time is what its producer gave it, row by row."""
    times_ms = [NOON_MS + 1000 * number for number in range(5)]
    producer: Any = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    for time_ms in times_ms:
        producer.send(settings.clicks_topic, b"{}", partition=0, timestamp_ms=time_ms)
    producer.close()
    source = KafkaSource(kafka_bootstrap, settings)
    source.start(open_store(num_shards=PARTITIONS))
    found: list[Record] = []
    while len(found) < len(times_ms):
        for batch in source.poll(0.1):
            tail = batch.rows(0, len(batch))
            found += [tail.record(row) for row in range(len(tail))]
    source.close()

    assert [record.time_ms for record in found] == times_ms


def test_a_clock_that_is_two_hours_slow_costs_no_event(
    kafka_bootstrap: str,
    settings: StreamSettings,
    open_store: OpenStore,
    start_worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events of now are used, and the offset of the clock is told."""
    for module in ("stream.worker.loop", "stream.worker.figures", "stream.sources.topics.progress"):
        monkeypatch.setattr(f"{module}.now_ms", lambda: now_ms() - 7_200_000)

    def two_hours_before() -> Moment:
        moment = this_moment()
        return moment._replace(now_ms=moment.now_ms - 7_200_000)

    monkeypatch.setattr("stream.sources.topics.progress.this_moment", two_hours_before)
    publish(kafka_bootstrap, settings, [event(ts_ms=now_ms(), item_id=f"i-{n}") for n in range(20)])
    worker = start_worker(open_store(num_shards=PARTITIONS))
    worker.wait_for_records(20)
    worker.wait_until(lambda: (worker.sample("freshet_stream_clock_offset_seconds") or 0) > 7000)
    totals = worker.stop()
    assert (totals.events, totals.quarantined) == (20, 0)
    assert worker.sample("freshet_stream_events_ahead_total") == 0


def test_every_codec_is_read(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """Producers compress as they like."""
    for number, codec in enumerate(("none", "gzip", "snappy", "lz4", "zstd")):
        producer = Producer({"bootstrap.servers": kafka_bootstrap, "compression.type": codec})
        for item in range(30):
            one = event(session_id=f"s-{number}", item_id=f"i-{item}")
            line = json.dumps({**asdict(one), "type": "click", "action": None})
            producer.produce(settings.clicks_topic, line.encode(), partition=0)
        assert producer.flush(30) == 0
    worker = start_worker(open_store(num_shards=PARTITIONS))
    worker.wait_for_records(150)
    totals = worker.stop()
    assert (totals.events, totals.quarantined) == (150, 0)


@pytest.mark.parametrize("is_last", [True, False])
def test_a_batch_that_unpacks_to_too_much_is_passed_over(
    kafka_bootstrap: str,
    settings: StreamSettings,
    open_store: OpenStore,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    is_last: bool,
) -> None:
    """Some kilobytes that are 120 MB wedge nothing: what is behind them is read, and
    their number told.
    """
    lines = [
        json.dumps({**asdict(event(item_id=item)), "type": "click", "action": None}).encode()
        for item in ("a", "b")
    ]
    options: dict[str, Any] = {"bootstrap.servers": kafka_bootstrap, "compression.type": "zstd"}
    options |= {"message.max.bytes": 200_000_000, "linger.ms": 0}
    producer = Producer(options)
    for value in (lines[0], b"0" * 120_000_000, *([] if is_last else lines[1:])):
        producer.produce(settings.clicks_topic, value, partition=0)
        assert producer.flush(60) == 0
    store = open_store(num_shards=PARTITIONS)
    with caplog.at_level(logging.ERROR, "stream"):
        worker = start_worker(store)
        name, labels = "freshet_stream_records_skipped_total", {"topic": settings.clicks_topic}
        worker.wait_until(lambda: worker.sample(name, reason="too_large", **labels) == 1)
        worker.wait_for_records(1 if is_last else 2)
        worker.wait_until(lambda: worker.behind().get((settings.clicks_topic, 0)) == 0)
        totals = worker.stop()
    assert (totals.events, totals.quarantined) == (1 if is_last else 2, 0)
    assert "first_offset=1 going_on_at=2 records_skipped=1 reason=too_large" in caplog.text
    place = SourcePartition(settings.clicks_topic, 0)
    assert store.shard(0).positions()[place] == (2 if is_last else 3)
    # Whoever reads the partition later does not meet it again.
    later = start_worker(store)
    later.wait_until(partial(_has_caught_up, later, place))
    later.stop()
    assert later.sample(name, reason="too_large", **labels) is None


def test_lag(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """The gauges name every partition and reach zero once all is applied."""
    publish(kafka_bootstrap, settings, shop_events(500, seed=6))
    worker = start_worker(open_store(num_shards=PARTITIONS))

    def caught_up() -> bool:
        behind = worker.behind()
        return len(behind) == 12 and not any(behind.values()) and worker.totals.records == 500

    worker.wait_until(caught_up)
    assert worker.sample("freshet_stream_behind_seconds") == 0
    worker.stop()


@pytest.mark.parametrize(("stored", "lost"), [(2, 4), (1000, 0)])
def test_stored_offset_that_the_broker_does_not_have(
    kafka_bootstrap: str,
    settings: StreamSettings,
    open_store: OpenStore,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    stored: int,
    lost: int,
) -> None:
    """Where retention passed the store, or a topic was made anew, reading goes on at
    the oldest, loudly.
    """
    events = [event(session_id="s-1", item_id=f"i-{number}") for number in range(10)]
    publish(kafka_bootstrap, settings, events)
    partition = shard_of("s-1", PARTITIONS)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.delete_records({TopicPartition(settings.clicks_topic, partition): 6})
    admin.close()
    store = open_store(num_shards=PARTITIONS)
    apply_events(
        store.shard(partition), [], [], {SourcePartition(settings.clicks_topic, partition): stored}
    )
    with caplog.at_level(logging.ERROR, "stream"):
        worker = start_worker(store)
        worker.wait_for_records(4)
        assert worker.stop().records == 4
    name = "freshet_stream_records_lost_total"
    assert worker.sample(name, topic=settings.clicks_topic) == lost
    assert worker.sample(name, topic=settings.sessions_topic) == 0
    assert f"stored={stored} going_on_at=6 records_lost={lost}" in caplog.text


def _has_caught_up(worker: Worker, place: SourcePartition) -> bool:
    return worker.behind().get((place.source, place.partition)) == 0


@pytest.mark.parametrize("stored", [2, 1000])
def test_a_gap_is_counted_once_whoever_reads_the_partition_later(
    kafka_bootstrap: str,
    settings: StreamSettings,
    open_store: OpenStore,
    start_worker: StartWorker,
    stored: int,
) -> None:
    """The store's position moves over it though no record comes behind it: a restart,
    or another owner, does not meet it again.
    """
    events = [event(session_id="s-1", item_id=f"i-{number}") for number in range(10)]
    publish(kafka_bootstrap, settings, events)
    partition = shard_of("s-1", PARTITIONS)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.delete_records({TopicPartition(settings.clicks_topic, partition): -1})
    admin.close()
    store, place = (
        open_store(num_shards=PARTITIONS),
        SourcePartition(settings.clicks_topic, partition),
    )
    apply_events(store.shard(partition), [], [], {place: stored})
    names = "freshet_stream_records_lost_total", "freshet_stream_topics_recreated_total"
    counted = []
    for worker in (start_worker(store) for _ in range(2)):
        worker.wait_until(partial(_has_caught_up, worker, place))
        worker.stop()
        counted.append([worker.sample(name, topic=place.source) for name in names])

    assert counted == [[8, 0] if stored == 2 else [0, 1], [0, 0]]
    assert store.shard(partition).positions()[place] == 10


def test_two_workers_share_the_partitions(
    kafka_bootstrap: str,
    settings: StreamSettings,
    tmp_path: Path,
    open_store: OpenStore,
    start_worker: StartWorker,
) -> None:
    """When a second worker joins, a shard's partitions of all topics are with one
    worker; nothing is lost.
    """
    first_store = open_store(tmp_path / "first", PARTITIONS)
    second_store = open_store(tmp_path / "second", PARTITIONS)
    items = [CatalogItem(item_id=f"i-{number}", title="T") for number in range(20)]
    events = shop_events(300, seed=8)
    publish(kafka_bootstrap, settings, [*items, *events])
    first = start_worker(first_store)
    first.wait_for_records(320)
    second = start_worker(second_store)
    second.wait_until(lambda: bool(second_store.open_shards()))
    first.wait_until(lambda: 0 < len(first_store.open_shards()) < PARTITIONS)
    more = shop_events(300, seed=9)
    publish(kafka_bootstrap, settings, more)

    def facts(worker: Worker, store: Store) -> set[tuple[int, int]]:
        del worker
        return {(shard.index, shard.state().num_facts) for shard in store.open_shards()}

    expected = {
        (index, len(Oracle.of(mine).facts))
        for index in range(PARTITIONS)
        for mine in [[e for e in [*events, *more] if shard_of(e.session_id, PARTITIONS) == index]]
    }
    first.wait_until(lambda: facts(first, first_store) <= expected)
    second.wait_until(lambda: facts(second, second_store) <= expected)
    held = [{shard.index for shard in store.open_shards()} for store in (first_store, second_store)]
    assert held[0] | held[1] == set(range(PARTITIONS))
    assert not held[0] & held[1]
    for store in (first_store, second_store):
        for shard in store.open_shards():
            assert {position.partition for position in shard.positions()} == {shard.index}
    first.stop()
    second.stop()


def test_shard_that_cannot_be_opened(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path, start_worker: StartWorker
) -> None:
    """A damaged shard ends the worker with an error that names it, though it is found
    inside the client.
    """
    with Store.create_or_open(tmp_path / "store", settings, PARTITIONS) as store:
        store.shard(1)
    (current_folder(tmp_path / "store" / "shard-0001") / "CURRENT").write_bytes(b"nonsense\n")
    with Store.create_or_open(tmp_path / "store", settings, PARTITIONS) as store:
        worker = start_worker(store)
        worker.wait_until(lambda: worker.error is not None)
        with pytest.raises(StreamError, match="shard-0001"):
            worker.stop()


def test_store_with_more_shards_than_partitions(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore
) -> None:
    """A shard that holds something and has no partition is an error that names both
    numbers, and what to do; an empty one waits for its partition.
    """
    source = KafkaSource(kafka_bootstrap, settings)
    assert source.num_partitions == PARTITIONS
    store = open_store(num_shards=5)
    source.start(store)
    source.close()
    store.shard(3)
    with pytest.raises(
        SourceMismatch,
        match=r"have 3 partitions, but store .* has 5 shards, and shard-0003 .*--partitions 5",
    ):
        KafkaSource(kafka_bootstrap, settings).start(store)


def test_topics_on_a_store_that_files_were_read_into(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """A store of one shard grows to the topics' partitions, and what is in the files
    and in the topics counts once.
    """
    events = shop_events(100, seed=11)
    store = open_store(num_shards=1)
    apply_all(store, events)
    publish(kafka_bootstrap, settings, events)
    before = graph_hash(store.root, settings)
    store.close()
    grown = open_store(num_shards=PARTITIONS)
    worker = start_worker(grown)
    worker.wait_for_records(100)
    worker.stop()

    assert grown.num_shards == PARTITIONS
    assert graph_hash(store.root, settings) == before


@pytest.mark.parametrize("count", [2, 5])
def test_topics_with_different_numbers_of_partitions(
    kafka_bootstrap: str,
    settings: StreamSettings,
    count: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A topic may have fewer partitions than the first one, with a warning; with more
    it is an error that lists them, and says what to do.
    """
    odd = f"{settings.clicks_topic}.odd"
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.create_topics([NewTopic(odd, count, 1)])
    asked = replace(settings, sessions_topic=odd)
    try:
        if count > PARTITIONS:
            with pytest.raises(
                SourceMismatch,
                match=rf"fewer than {odd} 5.*--bootstrap-server \S+ .*--partitions 5",
            ):
                KafkaSource(kafka_bootstrap, asked)
        else:
            assert KafkaSource(kafka_bootstrap, asked).num_partitions == PARTITIONS
            assert "different numbers of partitions" in caplog.text
    finally:
        admin.delete_topics([odd])
        admin.close()


def test_partitions_added_to_a_running_stream(
    kafka_bootstrap: str, settings: StreamSettings, open_store: OpenStore, start_worker: StartWorker
) -> None:
    """The store grows, what is in the added partitions of all topics is read, and an
    erasure in one of them reaches every shard.
    """
    first, second = shop_events(100, seed=4), shop_events(200, seed=5)
    publish(kafka_bootstrap, settings, first)
    store = open_store(num_shards=PARTITIONS)
    worker = start_worker(store)
    worker.wait_for_records(100)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    keyed = (settings.clicks_topic, settings.sessions_topic, settings.catalog_topic)
    admin.create_partitions(dict.fromkeys(keyed, 5))
    admin.create_partitions({settings.erasures_topic: 4})
    admin.close()
    worker.wait_until(lambda: len(store.open_shards()) == 5)
    publish(kafka_bootstrap, settings, second)
    raw = RecordProducer(kafka_bootstrap, settings)
    erasure = json.dumps({"erase": "session", "id": "s-1", "ts_ms": NOON_MS}).encode()
    raw.send(settings.erasures_topic, 3, b"s-1", erasure, JSON)
    raw.flush()
    raw.close()
    worker.wait_until(lambda: worker.totals.records >= 300 + 5)
    worker.wait_until(lambda: worker.sample("freshet_stream_shards_without_owner") == 0)
    worker.stop()

    kept = [each for each in [*first, *second] if each.session_id != "s-1"]
    assert_same_dump(dump(store.root, settings, NOON_MS), Oracle.of(kept).dump(NOON_MS))


@pytest.mark.parametrize(("topic_check_seconds", "num_second"), [(0.5, 300), (3600.0, 30)])
def test_topic_that_is_made_again_under_a_running_stream(
    kafka_bootstrap: str,
    settings: StreamSettings,
    open_store: OpenStore,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
    num_second: int,
) -> None:
    """What is in the new topic is read from its start, and the log says so.

    Also where a fetch is the first to see it: the new topic ends before the old offset.
    """
    first, second = shop_events(100, seed=6), shop_events(num_second, seed=7)
    publish(kafka_bootstrap, settings, first)
    store = open_store(num_shards=PARTITIONS)
    worker = start_worker(store)
    worker.wait_for_records(100)
    admin: Any = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    admin.delete_topics([settings.clicks_topic])
    while settings.clicks_topic in admin.list_topics():
        pass
    admin.create_topics([NewTopic(settings.clicks_topic, PARTITIONS, 1)])
    admin.close()
    publish(kafka_bootstrap, settings, second)
    expected = len(Oracle.of([*first, *second]).facts)
    worker.wait_until(
        lambda: sum(shard.state().num_facts for shard in store.open_shards()) == expected
    )
    worker.stop()

    assert caplog.text.count("topic was made again") == PARTITIONS
    assert_same_dump(
        dump(store.root, settings, NOON_MS), Oracle.of([*first, *second]).dump(NOON_MS)
    )


def test_missing_topic(
    kafka_bootstrap: str, settings: StreamSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """A topic that does not appear in time is an error that names it.

    An empty name means: do not read it.
    """
    # For the connection, too. Twice as long: the test waits so much longer, twice.
    changed = asdict(settings) | {"bootstrap_timeout_seconds": 3.0}
    with (
        caplog.at_level(logging.WARNING, "stream"),
        pytest.raises(SourceUnavailable, match="no topic gone"),
    ):
        KafkaSource(kafka_bootstrap, StreamSettings(**changed | {"sessions_topic": "gone"}))
    assert caplog.text.count("waiting for topics") == 1
    with pytest.raises(SourceUnavailable, match=r"no topic quarantine-gone; create it$"):
        KafkaSource(kafka_bootstrap, StreamSettings(**changed), needed=["quarantine-gone"])
    assert (
        KafkaSource(
            kafka_bootstrap, StreamSettings(**changed | {"sessions_topic": ""})
        ).num_partitions
        == 3
    )


def test_no_topics() -> None:
    """Settings that leave every topic out are an error, before any broker is asked."""
    nothing = StreamSettings(clicks_topic="", sessions_topic="", catalog_topic="")
    with pytest.raises(SourceMismatch, match="clicks_topic"):
        KafkaSource("127.0.0.1:1", nothing)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning"
)  # kafka-python does not close a refused socket
def test_unreachable_broker(free_port: Callable[[], int]) -> None:
    """A broker that is not there is one error with address and cause."""
    bootstrap = f"127.0.0.1:{free_port()}"
    with pytest.raises(
        SourceUnavailable, match=f"no Kafka broker answers at {bootstrap} .*ECONNREFUSED"
    ):
        KafkaSource(bootstrap, StreamSettings(bootstrap_timeout_seconds=3.0))
    gc.collect()
