"""Tests of `freshet quarantine`."""

import json
from base64 import b64encode
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event as StopEvent
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from freshet.stores.quarantined import mentions
from protos.text import text_key
from stream.clock import now_ms
from stream.events.types import Headers, RecordBatch, Rejection, SourcePartition
from stream.kafka.python.client import KafkaPythonClient
from stream.metrics import StreamMetrics
from stream.quarantine.records import QuarantinedRecord
from stream.quarantine.topic import TopicQuarantine, publish_again, read_quarantine_topic
from stream.settings import StreamSettings
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker
from testing.event_lines import CLICK, write_lines
from testing.histories import NOON_MS, dump, graph_hash
from testing.oracle import Oracle, assert_same_dump
from testing.topics import publish, shop_events
from tests.conftest import TopicFactory
from tests.freshet.conftest import Command

LONG = "a query of more than sixteen bytes"


def test_the_quarantine_can_be_listed(store: Path, run: Command) -> None:
    """Reason and place for people, all of it for scripts."""
    (entry,) = [
        json.loads(line)
        for line in run("quarantine", "list", "--store", store, "--json").stdout.splitlines()
    ]

    assert entry["reason"] == "empty_query"
    assert "empty_query" in run("quarantine", "list", "--store", store).stdout
    none = run("quarantine", "list", "--store", store, "--reason", "malformed").stdout
    assert none.startswith("nothing that came from files is quarantined; what came from topics")


def test_the_list_begins_with_how_many_there_are_by_reason(tmp_path: Path, run: Command) -> None:
    """The most frequent first, and of all that were chosen, however few are shown."""
    good = {**CLICK, "ts_ms": NOON_MS}
    lines = [good, {**good, "query": "#"}, *[{**good, "ts_ms": "soon"}] * 3]
    log = write_lines(tmp_path / "log.jsonl", lines)
    store = tmp_path / "store"
    assert run("stream", "--store", store, "--source", f"file:{log}").returncode == 0

    told = run("quarantine", "list", "--store", store, "--limit", 2).stdout.splitlines()
    head, most, least, gap, newest, columns, *records = told

    assert head.split() == ["reason", "records", "newest"]
    assert most.split()[:2] == ["malformed", "3"]
    assert least.split()[:2] == ["empty_query", "1"]
    assert (gap, newest) == ("", "the newest 2 of 4:")
    assert columns.split()[:2] == ["when", "reason"]
    assert [record.split()[2] for record in records] == ["malformed"] * 2


@pytest.fixture
def tight(tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store that was filled under settings that were too tight, and too early."""
    path = tmp_path / "tight.store"
    lines = [
        {**CLICK, "ts_ms": NOON_MS},
        {**CLICK, "ts_ms": NOON_MS, "query": LONG},
        {**CLICK, "ts_ms": NOON_MS, "query": LONG, "item_id": "i2"},
        {**CLICK, "ts_ms": NOON_MS, "query": "#"},
    ]
    items = [{"item_id": "i1", "title": LONG}, {"item_id": "i2", "title": "Red"}]
    with monkeypatch.context() as patch:
        patch.setenv("FRESHET_STREAM_MAX_QUERY_BYTES", "16")
        patch.setenv("FRESHET_STREAM_MAX_TEXT_BYTES", "16")
        outcome = run(
            *("stream", "--store", path),
            *("--source", f"file:{write_lines(tmp_path / 'log.jsonl', lines)}"),
            *("--catalog", f"file:{write_lines(tmp_path / 'items.jsonl', items)}"),
        )
    assert outcome.returncode == 0, outcome.stderr
    return path


def listed(run: Command, *arguments: object) -> list[Any]:
    """Return what the quarantine has."""
    return [
        json.loads(line)
        for line in run("quarantine", "list", *arguments, "--json").stdout.splitlines()
    ]


def stats(run: Command, store: Path) -> dict[str, Any]:
    """Return what is in a store."""
    found: dict[str, Any] = json.loads(run("graph", "stats", "--store", store, "--json").stdout)
    return found


def test_what_was_rejected_for_our_reason_comes_in(
    tight: Path, run: Command, tmp_path: Path
) -> None:
    """Events and items come in, as if the settings had been right from the start; what
    is still wrong stays, and the list shrinks.
    """
    whole = tmp_path / "whole.store"
    sources = [f"file:{tmp_path / name}" for name in ("log.jsonl", "items.jsonl")]
    run("stream", "--store", whole, "--source", sources[0], "--catalog", sources[1])
    assert {entry["reason"] for entry in listed(run, "--store", tight)} == {
        *("oversized", "empty_query")
    }
    outcome = run("quarantine", "replay", "--store", tight)

    assert outcome.returncode == 0, outcome.stderr
    assert [entry["reason"] for entry in listed(run, "--store", tight)] == ["empty_query"]
    for path in (tight, whole):
        assert stats(run, path)["facts"] == 3
    hashes = {run("graph", "hash", "--store", path).stdout for path in (tight, whole)}
    assert len(hashes) == 1
    again = run("quarantine", "replay", "--store", tight)
    assert again.stdout.split() == [
        *("reason", "come", "in", "stay", "because", "empty_query", "0", "1", "empty_query")
    ]


def test_a_replay_leaves_the_positions_of_files_where_they_are(
    tight: Path, run: Command, tmp_path: Path
) -> None:
    """The next stream reads nothing again, and nothing less."""
    with Store.create_or_open(tight, StreamSettings()) as store:
        before = store.shard(0).positions()
    run("quarantine", "replay", "--store", tight)

    with Store.create_or_open(tight, StreamSettings()) as store:
        assert store.shard(0).positions() == before


def test_only_what_was_chosen_is_replayed(tight: Path, run: Command) -> None:
    """By reason and by time; a dry run changes nothing."""
    before = listed(run, "--store", tight)
    for chosen in (
        ("--dry-run",),
        ("--reason", "malformed"),
        ("--until", "1h"),
        ("--since", "2999-01-01"),
        ("--reason", "empty_query", "--since", "1h"),
    ):
        assert run("quarantine", "replay", "--store", tight, *chosen).returncode == 0
        assert listed(run, "--store", tight) == before
    dry = run("quarantine", "replay", "--store", tight, "--dry-run", "--reason", "oversized")
    assert dry.stderr == "nothing was changed\n"
    real = run("quarantine", "replay", "--store", tight, "--reason", "oversized", "--since", "1h")

    assert real.stdout == dry.stdout
    assert [entry["reason"] for entry in listed(run, "--store", tight)] == ["empty_query"]


def test_a_store_in_use_is_not_replayed_into(
    tight: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to do; the quarantine is as it was."""
    before = listed(run, "--store", tight)
    monkeypatch.setenv("FRESHET_STREAM_TAKEOVER_WAIT_SECONDS", "0")
    with Store.create_or_open(tight, StreamSettings()) as store:
        store.shard(0)
        outcome = run("quarantine", "replay", "--store", tight)

    assert outcome.returncode == 1
    assert "stop that one" in outcome.stderr
    assert listed(run, "--store", tight) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either --store DIR or --kafka HOST:PORT"),
        (["--store", "x", "--kafka", "h:1"], "give either --store DIR or --kafka HOST:PORT"),
        (["--store", "x", "--since", "soon"], "neither an ISO 8601 time nor a duration"),
        (["--store", "x", "--reason", "bad_luck"], "'bad_luck' is not one of"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], said: str, run: Command) -> None:
    """One line says what to give."""
    outcome = run("quarantine", "replay", *arguments)

    assert outcome.returncode == 2
    assert said in outcome.stderr


def test_what_was_erased_is_redacted_on_request(run: Command, tmp_path: Path) -> None:
    """Records with the id in them, in whatever form, and those of the sessions that
    went with a user; others stay, also where an id only begins like it.
    """
    path = tmp_path / "shop.store"
    good = {**CLICK, "ts_ms": NOON_MS, "session_id": "s-erased", "user_id": "u-7"}
    bad = [
        {"ts_ms": NOON_MS, "type": "odd", "user_id": "u-7"},
        {"ts_ms": NOON_MS, "type": "odd", "session_id": "s-erased"},
        {"ts_ms": NOON_MS, "type": "odd", "who": {"ids": [1, "u-7"]}},
        {"ts_ms": NOON_MS, "type": "odd", "user_id": "u-77", "n": 1},
    ]
    log = write_lines(tmp_path / "log.jsonl", [good, *bad])
    with log.open("a") as file:
        file.write('{"user_id": "u-7", "cut\n')
    run("stream", "--source", f"file:{log}", "--store", path)
    assert len(listed(run, "--store", path)) == 5
    run("erase", "user", "u-7", "--store", path)
    (before,) = json.loads(run("erasures", "--store", path, "--json").stdout)
    outcome = run("quarantine", "redact", "user", "u-7", "--store", path)
    (after,) = json.loads(run("erasures", "--store", path, "--json").stdout)

    assert outcome.stdout == "4 records removed from the quarantine\n"
    assert len(listed(run, "--store", path)) == 1
    assert (before["quarantine_done_ms"], after["quarantine_done_ms"] >= after["done_ms"]) == (
        *(None, True),
    )
    left = [each.read_bytes() for each in path.rglob("*") if each.is_file()]
    assert not any(b"s-erased" in content or b'"u-7"' in content for content in left)


@pytest.mark.parametrize(
    ("value", "key", "is_found"),
    [
        (b'{"id": 4711}', None, True),
        (b'{"4711": 1}', None, True),
        (b'{"id": "47110"}', None, False),
        (b"\x0a\x044711\xff", None, True),
        (b"{}", b"4711", True),
        (b"{}", b"47110", False),
        (None, b"x", False),
        (b'{"id": "s-1"}', None, True),
        (b'{"id": 4711.0}', None, True),
        (b'{"id": 4711.5}', None, False),
        (b'"{\\"id\\": \\"4711\\"}"', None, True),
        (b'{"data": "[{\\"id\\": 4711}]"}', None, True),
        (b'{"data": "{\\"id\\": 47110}"}', None, False),
        (b'{"data_base64": "%s"}' % b64encode(b'{"id": "4711"}'), None, True),
        (b'{"data_base64": "%s"}' % b64encode(b'[ {"id": 4711}]'), None, True),
        (b'{"data_base64": "%s"}' % b64encode(b'{"id": "x"}'), None, False),
        (b'{"id": "47\\u00311", "x": NaN}', None, True),
        (b"\xef\xbb\xbf" + b'{"id": "x4711"}', None, False),
        (b"{}", b"Struct{id=4711}", True),
        (b"{}", b"\0\0\0\0\7\x084711", True),
        (b"{}", b"x-4711", False),
    ],
)
def test_where_an_id_is_looked_for(value: bytes | None, key: bytes | None, is_found: bool) -> None:
    """As a whole value in JSON, also as a number; as bytes in anything else; as a
    record's key; and other texts by their keys.
    """
    base64 = [None if each is None else b64encode(each).decode() for each in (key, value)]
    found = QuarantinedRecord(
        reason="malformed",
        detail="",
        source="freshet.clicks",
        partition=0,
        offset=0,
        content_type="",
        key_base64=base64[0],
        value_base64=base64[1],
        at_ms=NOON_MS,
    )

    assert mentions(found, "4711", {text_key("s-1")}) is is_found


def test_records_of_topics_go_back_to_where_they_came_from(
    kafka_bootstrap: str,
    kafka_topics: TopicFactory,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, whole, to their partition; what is refused again, cut, too late waits."""
    topics = kafka_topics(partitions=2)
    for name, topic in topics.items():
        monkeypatch.setenv(f"FRESHET_STREAM_{name.upper()}_TOPIC", topic)
    settings = StreamSettings(quarantine_topic=topics["quarantine"])
    good = json.dumps({**CLICK, "ts_ms": NOON_MS}).encode()
    binary = (("ce_specversion", "1.0"), ("ce_type", "freshet.search_click"))
    item = json.dumps({"item_id": "i1"}).encode()
    search = json.dumps({"query_id": "q1", "user_query": "red", "client_id": "c"}).encode()
    rejections = [
        rejected(topics["clicks"], 0, good, "absurd_timestamp"),
        rejected(topics["clicks"], 0, good, "absurd_timestamp"),
        rejected(topics["catalog"], 0, item, "oversized"),
        rejected(topics["clicks"], 1, b"{", "malformed"),
        rejected(topics["clicks"], 2, good, "too_late"),
        rejected(topics["clicks"], 3, b" " * 600_000 + good, "oversized"),
        rejected("another", 4, good, "oversized"),
        rejected(topics["sessions"], 5, good, "unknown_type", binary),
        rejected(topics["sessions"], 6, search, "oversized"),
    ]
    quarantine = TopicQuarantine(kafka_bootstrap, settings)
    quarantine.put(rejections, NOON_MS)
    quarantine.close()
    where = ("--kafka", kafka_bootstrap)
    first = listed(run, *where)
    dry = run("quarantine", "replay", *where, "--dry-run")
    assert listed(run, *where) == first
    real = run("quarantine", "replay", *where)
    assert real.returncode == 0, real.stderr

    assert real.stdout == dry.stdout
    assert [entry["time_ms"] for entry in first] == [NOON_MS + 5] * 8  # once each
    assert sorted(entry["reason"] for entry in listed(run, *where)) == [
        *("malformed", "oversized", "oversized", "too_late")
    ]
    assert published(kafka_bootstrap, topics["clicks"]) == [(b"k", good, "application/json")]
    assert published(kafka_bootstrap, topics["catalog"]) == [(b"k", item, "application/json")]
    stored = KafkaPythonClient(kafka_bootstrap, settings).stored_records
    (event, untimed) = stored(topics["sessions"])
    (state,) = stored(topics["catalog"])
    assert (untimed.time_ms, state.time_ms) == (NOON_MS + 5,) * 2
    assert event.time_ms > NOON_MS + 5
    assert dict(event.headers).items() >= {name: text.encode() for name, text in binary}.items()
    run("quarantine", "replay", *where, "--reason", "too_late")
    assert len(published(kafka_bootstrap, topics["clicks"])) == 2
    assert len(listed(run, *where)) == 3


def test_records_replayed_twice_change_nothing(
    kafka_bootstrap: str,
    kafka_topics: TopicFactory,
    run: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Of a topic, too: after a replay, another one, and one that ended before it was
    noted, the graph is the one of right settings from the start.
    """
    topics = kafka_topics(partitions=2)
    for name, topic in topics.items():
        monkeypatch.setenv(f"FRESHET_STREAM_{name.upper()}_TOPIC", topic)
    named = {f"{name}_topic": topic for name, topic in topics.items()}
    roomy = StreamSettings(**named, group_id=topics["clicks"])  # type: ignore[arg-type]  # all texts
    events = [replace(each, query=each.query or LONG) for each in shop_events(120, seed=5)]
    publish(kafka_bootstrap, roomy, events)
    root = tmp_path / "topics.store"
    consume(kafka_bootstrap, root, replace(roomy, max_query_bytes=16), len(events))
    quarantined = read_quarantine_topic(kafka_bootstrap, roomy)

    dry = run("quarantine", "replay", "--kafka", kafka_bootstrap, "--dry-run")
    first = run("quarantine", "replay", "--kafka", kafka_bootstrap, "--reason", "oversized")
    consume(kafka_bootstrap, root, roomy, len(quarantined))
    once = graph_hash(root, roomy)
    second = run("quarantine", "replay", "--kafka", kafka_bootstrap)
    publish_again(kafka_bootstrap, roomy, quarantined, now_ms())  # as after a crash
    consume(kafka_bootstrap, root, roomy, len(quarantined))

    assert len(quarantined) == sum(each.query == LONG for each in events) > 0
    assert (first.returncode, second.stdout) == (0, "nothing is quarantined\n")
    assert "where the streams run under these settings, too" in dry.stderr
    assert "the streams read them by their own settings" in first.stderr
    assert once == graph_hash(root, roomy)
    assert_same_dump(dump(root, roomy, NOON_MS), Oracle.of(events).dump(NOON_MS))


def consume(bootstrap: str, root: Path, settings: StreamSettings, num_records: int) -> None:
    """Run a worker on the topics until it has read so many records more."""
    stop = StopEvent()

    def note(totals: WorkerTotals) -> None:
        if totals.records >= num_records:
            stop.set()

    metrics = StreamMetrics(CollectorRegistry())
    with (
        Store.create_or_open(root, settings, 2) as store,
        closing(TopicQuarantine(bootstrap, settings)) as quarantine,
    ):
        source = KafkaSource(bootstrap, settings, metrics)
        run_worker(source, store, quarantine, settings, metrics, stop, on_progress=note)


def rejected(
    topic: str, offset: int, value: bytes, reason: str, headers: Headers = ()
) -> Rejection:
    """Return the rejection of a record of partition 1 of a topic."""
    batch = RecordBatch(
        position=SourcePartition(topic, 1),
        offsets=[offset],
        next_offsets=[offset + 1],
        content_types=["application/json"],
        keys=[b"k"],
        values=[value],
        times_ms=[NOON_MS + 5],
        headers=[headers],
    )
    return Rejection(record=batch.record(0), reason=reason, detail="of this test")


def published(bootstrap: str, topic: str) -> list[tuple[bytes | None, bytes | None, str]]:
    """Return what a topic has: keys, values and content-types."""
    found = KafkaPythonClient(bootstrap, StreamSettings()).stored_records(topic)
    return [
        (record.key, record.value, (dict(record.headers)["content-type"] or b"").decode())
        for record in found
    ]
