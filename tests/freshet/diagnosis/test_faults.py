"""What is said of each fault, as the endpoints of real processes' metrics show it."""

import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from freshet.diagnosis.kinds.server import _facts as server_facts
from freshet.diagnosis.kinds.server import _problems as server_problems
from freshet.diagnosis.processes import ProcessStatus, Targets
from freshet.diagnosis.status import is_well, look_at
from freshet.probe import Samples
from freshet.prober.walk import Step
from model.refresher.reasons import Behind, Trouble
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.kafka.access.connection import NO_TOPIC
from stream.signals.lag import Lag
from testing.processes.metrics_endpoint import serving_metrics
from testing.processes.told_shop import ToldShop
from testing.retrieval_server import wait_until
from testing.small_generations import Artifacts, make_catalogue
from tests.freshet.conftest import ROOT

_RUNBOOK = (ROOT / "docs" / "operations.md").read_text("utf-8")


def wrong(found: Mapping[str, ProcessStatus]) -> dict[str, list[str]]:
    """Return the runbook's headings of what is wrong, by process."""
    return {
        name: [problem.runbook for problem in each.problems]
        for name, each in found.items()
        if each.problems
    }


def said(found: Mapping[str, ProcessStatus]) -> str:
    """Return all that is said of what is wrong."""
    problems = itertools.chain.from_iterable(each.problems for each in found.values())
    return "\n".join(f"{problem.text}\n{problem.step}" for problem in problems)


def _broker_killed(shop: ToldShop) -> None:
    for stream in shop.streams:
        shop.lag(stream, silent_seconds=8.0)
        stream.set_broker("kafka:9092", "kafka:9092: Connection refused")


def _broker_paused(shop: ToldShop) -> None:
    for stream in shop.streams:
        shop.lag(stream, silent_seconds=8.0)
        stream.set_broker("kafka:9092", "kafka:9092 accepts connections and does not answer")


def _topic_deleted(shop: ToldShop) -> None:
    for stream in shop.streams:
        shop.lag(stream, silent_seconds=8.0)
        stream.set_broker("kafka:9092", f"{NO_TOPIC} freshet.clicks")


def _partition_stuck(shop: ToldShop) -> None:
    place = ("clicks", 1)
    shop.lag(
        shop.streams[1], records={place: 132}, seconds={place: 45.0}, stuck_seconds={place: 45.0}
    )


def _partition_without_leader(shop: ToldShop) -> None:
    shop.streams[1].set_feeds(num_bytes=1, new_gaps=0, reflected_ms=now_ms() - 3_610_000)


def _poison_burst(shop: ToldShop) -> None:
    shop.streams[0].count_quarantined({"malformed": 300})


def _producer_ahead(shop: ToldShop) -> None:
    shop.streams[0].count_quarantined({"absurd_timestamp": 250})


def _worker_slow(shop: ToldShop) -> None:
    shop.lag(shop.streams[2], offset=3600.0)


def _worker_ahead_and_broker_dead(shop: ToldShop) -> None:
    shop.lag(shop.streams[2], offset=-3600.0, silent_seconds=20.0)


def _gate_refuses(shop: ToldShop) -> None:
    shop.tuner.failed(
        reason="GateRefused", now_seconds=time.time(), run_seconds=1.0, detail="MRR fell by 40%"
    )


def _artifacts_read_only(shop: ToldShop) -> None:
    shop.tuner.failed(
        reason="ArtifactError",
        now_seconds=time.time(),
        run_seconds=1.0,
        detail="a generation cannot be written below artifacts: Read-only file system",
    )
    trouble = Trouble(Behind.PUBLISH, "artifacts/fresh: Read-only file system")
    shop.refresher.behind(trouble, gaps=0, clock_ahead_seconds=0.0)


def _disk_nearly_full(shop: ToldShop) -> None:
    for name, value in (("free", 2e6), ("size", 100e9)):
        gauge = Gauge(
            f"freshet_disk_{name}_bytes", "", ["folder"], registry=shop.registries["tuner"]
        )
        gauge.labels("artifacts").set(value)


def _folder_closed(shop: ToldShop) -> None:
    gauge = Gauge("freshet_disk_writable", "", ["folder"], registry=shop.registries["tuner"])
    gauge.labels("store").set(1)
    gauge.labels("artifacts").set(0)


def _sst_flipped(shop: ToldShop) -> None:
    shop.tuner.failed(
        reason="StoreUnreadable",
        now_seconds=time.time(),
        run_seconds=1.0,
        detail="shard-0001 cannot be read (Corruption: block checksum mismatch)",
    )


def _newest_clicks(shop: ToldShop, queries: int, mean: float, high: float) -> None:
    keys = [(segment, figure) for segment in ("all", "known") for figure in ("mrr", "recall_10")]
    shop.tuner.answers_newest(
        [("all", queries), ("known", queries)],
        [(key, (0.35, 0.4, 0.45)) for key in keys],
        [(key, (2 * mean - high, mean, high)) for key in keys],
    )


def _answers_got_worse(shop: ToldShop) -> None:
    _newest_clicks(shop, 400, mean=-0.3, high=-0.1)


def _corrupt_generation(shop: ToldShop) -> None:
    catalogue = make_catalogue(30, ["lamp"])
    catalogue.created_ms = now_ms() + 5000
    generation = shop.artifacts.write(catalogue)
    shop.artifacts.damage(generation)
    shop.artifacts.use(generation)
    wait_until(lambda: _refused(shop), "its refusal")


def _refused(shop: ToldShop) -> float | None:
    return shop.registries["server"].get_sample_value("freshet_server_newest_refused")


def _port_of_a_stranger(shop: ToldShop) -> None:
    shop.kill("stream")
    shop.registries["stream"] = CollectorRegistry()
    shop.serve("stream")


def _port_of_a_stranger_without_metrics(shop: ToldShop) -> None:
    """It answers 404, which Prometheus takes for no answer."""

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the interface
            self.send_error(HTTPStatus.NOT_FOUND)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    shop.kill("stream")
    host, _, port = shop.at["stream"].partition(":")
    server = HTTPServer((host, int(port)), Stranger)

    def answer_once() -> None:
        with server:
            server.handle_request()

    threading.Thread(target=answer_once).start()


def _port_of_another(shop: ToldShop) -> None:
    shop.kill("stream")
    shop.registries["stream"] = shop.registries["tuner"]
    shop.serve("stream")


def _topic_truncated(shop: ToldShop) -> None:
    shop.streams[0].count_lost("clicks", 540)


def _topic_recreated(shop: ToldShop) -> None:
    shop.streams[0].count_recreated("clicks")


def _refresher_dead(shop: ToldShop) -> None:
    shop.kill("refresher")


def _sink_behind(shop: ToldShop) -> None:
    shop.sink_clock += 2000.0


def _probe_lost(shop: ToldShop) -> None:
    shop.probe.answered(Step.ITEM, 0.4)
    for _ in range(2):
        shop.probe.lost(Step.CLICK)


def _quarantine_away(shop: ToldShop) -> None:
    shop.streams[0].set_quarantine_waiting(12.0)


def _registry_away(shop: ToldShop) -> None:
    shop.streams[0].set_registry_waiting(12.0)


def _batch_skipped(shop: ToldShop) -> None:
    shop.streams[0].count_skipped("clicks", "damaged", 7)


def _streams_killed(shop: ToldShop) -> None:
    for name in ("stream", "stream-2", "stream-3"):
        shop.kill(name)


def _no_owner(shop: ToldShop) -> None:
    for stream in shop.streams:
        stream.set_group(num_members=2, num_without_owner=4)


FAULTS: dict[str, tuple[Callable[[ToldShop], None], str, str, tuple[str, ...]]] = {
    "broker killed": (
        _broker_killed,
        "stream 1",
        "FreshetBrokerSilent",
        ("kafka:9092 has not answered for 8 s", "Connection refused"),
    ),
    "broker paused": (
        _broker_paused,
        "stream 3",
        "FreshetBrokerSilent",
        ("accepts connections and does not answer",),
    ),
    "topic deleted": (
        _topic_deleted,
        "stream 2",
        "FreshetBrokerSilent",
        ("it has no topic freshet.clicks", "create it again"),
    ),
    "one partition stuck": (
        _partition_stuck,
        "stream 2",
        "FreshetPartitionStuck",
        ("clicks-1", "45 s", "132 records wait", "transaction"),
    ),
    "one partition without a leader": (
        _partition_without_leader,
        "stream 2",
        "FreshetGraphBehind",
        ("1 h 00 min", "leader"),
    ),
    "stream killed": (
        _streams_killed,
        "stream 1",
        "FreshetProcessDown",
        ("Connection refused", "freshet stream"),
    ),
    "stream paused past its session timeout": (
        lambda shop: shop.freeze("stream-2"),
        "stream 2",
        "FreshetProcessDown",
        ("frozen",),
    ),
    "one worker of three gone": (
        lambda shop: shop.kill("stream-3"),
        "stream 3",
        "FreshetProcessDown",
        ("Connection refused",),
    ),
    "poison burst": (
        _poison_burst,
        "stream 1",
        "FreshetQuarantineSurge",
        ("23%", "malformed 300", "do not parse", "quarantine list --kafka kafka:9092 --since"),
    ),
    "producer clock a day ahead": (
        _producer_ahead,
        "stream 1",
        "FreshetQuarantineSurge",
        ("20%", "absurd_timestamp 250", "too far in the future"),
    ),
    "worker clock an hour slow": (
        _worker_slow,
        "stream 3",
        "FreshetClockOffset",
        ("1 h 00 min ahead of its clock",),
    ),
    "worker clock an hour ahead with the broker dead": (
        _worker_ahead_and_broker_dead,
        "stream 3",
        "FreshetBrokerSilent",
        ("1 h 00 min behind its clock", "has not answered for 20 s"),
    ),
    "tuner killed": (
        lambda shop: shop.kill("tuner"),
        "tuner",
        "FreshetProcessDown",
        ("freshet tune",),
    ),
    "gate refusing": (_gate_refuses, "tuner", "FreshetTunerFailing", ("MRR fell by 40%",)),
    "answers got worse": (
        _answers_got_worse,
        "tuner",
        "FreshetQualityDropped",
        ("MRR of all queries -30%", "Recall@10 of known queries -30%", "freshet generations pin"),
    ),
    "artifacts read-only": (
        _artifacts_read_only,
        "tuner",
        "FreshetTunerBlocked",
        ("Read-only file system", "free space in the artifacts folder, or give this user"),
    ),
    "artifacts read-only, before a run": (
        _folder_closed,
        "tuner",
        "FreshetTunerBlocked",
        ("folder of the artifacts is read-only", "mount -o remount,rw"),
    ),
    "disk full under the store": (
        lambda shop: shop.kill("stream-2"),
        "stream 2",
        "FreshetProcessDown",
        ("last line of log", "unless something killed it (dmesg)"),
    ),
    "disk nearly full": (
        _disk_nearly_full,
        "tuner",
        "FreshetDiskFull",
        ("the disk of the artifacts has 2 MB free", "du -xah"),
    ),
    "an SST file flipped": (
        _sst_flipped,
        "tuner",
        "FreshetTunerBlocked",
        ("StoreUnreadable", "checksum mismatch"),
    ),
    "refresher dead": (
        _refresher_dead,
        "refresher",
        "FreshetProcessDown",
        ("freshet refresh", "freshet tune where its --fresh-every runs it"),
    ),
    "sink dead": (
        lambda shop: shop.kill("sink"),
        "sink",
        "FreshetProcessDown",
        ("Connection refused", "freshet sink"),
    ),
    "sink behind": (_sink_behind, "sink", "FreshetSinkBehind", ("33 min 20 s", "database")),
    "probe lost": (_probe_lost, "probe", "FreshetProbeLost", ("click 2", "freshet why-stale")),
    "server frozen": (
        lambda shop: shop.freeze("server"),
        "server",
        "FreshetProcessDown",
        ("frozen", "freshet serve"),
    ),
    "corrupt generation": (
        _corrupt_generation,
        "server",
        "FreshetSwapRefused",
        ("refuses the newest generation", "sha256"),
    ),
    "metrics port taken by a stranger": (
        _port_of_a_stranger,
        "stream 1",
        "FreshetStranger",
        ("is not the stream", "no metric of Freshet"),
    ),
    "metrics port taken by a stranger that has no metrics": (
        _port_of_a_stranger_without_metrics,
        "stream 1",
        "FreshetStranger",
        ("is not the stream", "404"),
    ),
    "metrics port taken by another process": (
        _port_of_another,
        "stream 1",
        "FreshetStranger",
        ("it is the tuner",),
    ),
    "topic truncated": (
        _topic_truncated,
        "stream 1",
        "FreshetRecordsLost",
        ("540 records", "retention"),
    ),
    "topic recreated": (_topic_recreated, "stream 1", "FreshetTopicRecreated", ("from its start",)),
    "quarantine away": (
        _quarantine_away,
        "stream 1",
        "FreshetQuarantineUnavailable",
        ("12 s",),
    ),
    "schema registry away": (
        _registry_away,
        "stream 1",
        "FreshetSchemaRegistryUnavailable",
        ("12 s",),
    ),
    "batch skipped": (_batch_skipped, "stream 1", "FreshetRecordsSkipped", ("7 records",)),
    "shards without an owner": (
        _no_owner,
        "stream 1",
        "FreshetShardsWithoutOwner",
        ("4 shards",),
    ),
}
"""By name: how it is made, which process tells, under which heading, in which words."""


def test_a_healthy_hour_is_quiet(shop: ToldShop) -> None:
    """Every process answers, each its own name, and nothing is wrong."""
    found = shop.look()

    assert wrong(found) == {}
    assert all(each.up for each in found.values())
    assert is_well(list(found.values()))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_cause_and_the_next_step(shop: ToldShop, fault: str) -> None:
    """By the process that has it, under a heading of the runbook, though one is
    silent for ever.
    """
    make, process, runbook, words = FAULTS[fault]
    make(shop)

    found = shop.look()

    assert runbook in wrong(found)[process]
    for part in words:
        assert part in said(found)
    assert not is_well(list(found.values()))
    for each in found.values():
        for problem in each.problems:
            assert f"\n### {problem.runbook}\n" in _RUNBOOK


def test_how_answers_do_is_told_and_noise_is_no_fault(shop: ToldShop) -> None:
    """Figures with their bounds; too few clicks are said to be too few."""
    _newest_clicks(shop, 400, mean=-0.1, high=0.02)
    enough = shop.look()
    _newest_clicks(shop, 37, mean=math.nan, high=math.nan)
    few = shop.look()

    assert wrong(enough) == wrong(few) == {}
    told = enough["tuner"].facts
    assert told["newest_clicks"] == (
        "MRR 0.400 (0.350 to 0.450), Recall@10 0.400 (0.350 to 0.450), of 400 queries"
    )
    assert told["newest_clicks_change"] == "MRR -10.0% (-22.0% to +2.0%)"
    assert few["tuner"].facts["newest_clicks"] == "of 37 queries, too few to judge (200)"
    assert few["tuner"].facts["newest_clicks_change"] is None


def test_late_answers_of_a_server_that_refuses_send_nobody_to_the_refresher() -> None:
    """It may write as it should, for the generation that the server does not take."""
    samples: Samples = {
        "freshet_server_newest_refused": [({}, 1.0)],
        "freshet_server_overlay_age_seconds": [({}, 228.0)],
    }
    told = {"last_refusal": "damaged", "overlay_behind": "see whether it runs"}
    facts = {**server_facts(samples, time.time()), **told}

    refused, late = server_problems(facts)

    assert refused.runbook == "FreshetSwapRefused"
    assert late.runbook == "FreshetAnswersBehind"
    assert "see whether it runs" not in late.text
    assert "generation live that it takes" in late.step


def test_a_generation_unlike_the_one_before_is_named() -> None:
    """By the server that loaded it."""
    samples: Samples = {"freshet_server_generation_overlap": [({}, 0.2)]}

    (problem,) = server_problems({**server_facts(samples, time.time())})

    assert problem.runbook == "FreshetGenerationDrift"
    assert "20% of the first pages" in problem.text


def test_a_shop_at_night_is_quiet(shop: ToldShop) -> None:
    """Nothing has happened for nine hours: events, graph and generation are old, and
    nothing is wrong, since the stream and the refresher go on vouching for it.
    """
    nine_hours = 9 * 3_600_000
    for stream in shop.streams:
        stream.set_freshness(
            watermark_ms=now_ms() - nine_hours, lag=Lag(), clock_offset_seconds=0.0
        )
        stream.set_feeds(num_bytes=1, new_gaps=0, reflected_ms=now_ms())
    shop.tuner.succeeded(
        outcome="unchanged",
        generation_id=shop.generation,
        now_seconds=time.time() - 300,
        run_seconds=0.1,
    )

    assert wrong(shop.look()) == {}


def test_a_night_without_a_refresher_is_quiet(shop: ToldShop, tmp_path: Path) -> None:
    """The snapshot gets old, and no event came since: nothing is missing."""
    artifacts = Artifacts(tmp_path / "others")
    catalogue = make_catalogue(20, ["lamp"])
    catalogue.created_ms = catalogue.taken_ms = catalogue.watermark_ms = now_ms() - 9 * 3_600_000
    artifacts.publish(catalogue)
    registry, at = CollectorRegistry(), f"127.0.0.1:{shop.free_port()}"
    server = RetrievalServer(ServerSettings(listen="127.0.0.1:0"), artifacts.root, registry)
    shop.kill("refresher")

    def look(*, events_came: bool) -> dict[str, list[str]]:
        for stream in shop.streams:
            stream.set_freshness(
                watermark_ms=now_ms() - 1000 if events_came else catalogue.watermark_ms,
                lag=Lag(),
                clock_offset_seconds=0.0,
            )
        targets = shop.targets(server=at)
        targets = Targets(**{**vars(targets), "targets": [server.address]})
        return wrong({each.name: each for each in look_at(targets, seconds=60).processes})

    with serving_metrics(at, registry):
        server.start()
        quiet, busy = look(events_came=False), look(events_came=True)
        server.stop(grace_seconds=0)

    assert quiet == {}
    assert busy == {"server": ["FreshetEmbeddingsStale"]}


def test_a_backfill_of_last_year_is_quiet(shop: ToldShop) -> None:
    """Many records wait, of events that are a year old, and they move."""
    year_ms = 365 * 86_400_000
    for number, stream in enumerate(shop.streams):
        place = ("clicks", number)
        stream.set_freshness(
            watermark_ms=now_ms() - year_ms,
            lag=Lag(records={place: 300_000}, seconds={place: 40.0}, stuck_seconds={place: 0.2}),
            clock_offset_seconds=0.0,
        )
        stream.set_feeds(num_bytes=1, new_gaps=0, reflected_ms=now_ms() - 40_000)
        stream.count_batch({"click": 200_000}, 0.2)
        stream.count_quarantined({"malformed": 20})

    assert wrong(shop.look()) == {}


def test_an_endpoint_that_drips_holds_nobody(shop: ToldShop) -> None:
    """A byte a moment, for ever, keeps a connection open; the look ends all the
    same.
    """
    shop.drip("tuner")

    found = shop.look()

    assert "no answer within" in found["tuner"].problem


def test_a_process_with_another_clock_is_told(shop: ToldShop) -> None:
    """By the time of its answer."""
    shop.kill("tuner")
    with serving_metrics(shop.at["tuner"], shop.registries["tuner"], clock_ahead_seconds=3610):
        found = shop.look()

    assert wrong(found) == {"tuner": ["FreshetClockOffset"]}
    assert "1 h 00 min ahead of this machine's" in said(found)


DAY = 86_400.0


@pytest.mark.parametrize(
    ("days_left", "days", "runbook", "told"),
    [
        (20.0, 90.0, "", ""),
        (13.0, 90.0, "FreshetCertificateExpiring", "server.tls_cert ends in 1"),
        (0.2, 90.0, "FreshetCertificateExpired", "server.tls_cert ends in 4 h"),
        (-1.5, 90.0, "FreshetCertificateExpired", "server.tls_cert ended "),
        (0.5, 1.0, "", ""),
        (0.1, 1.0, "FreshetCertificateExpiring", "server.tls_cert ends in 2 h"),
    ],
)
def test_a_certificate_that_ends_is_told_in_time(
    shop: ToldShop, days_left: float, days: float, runbook: str, told: str
) -> None:
    """Later than it should have been renewed, and before callers are refused."""
    end = time.time() + days_left * DAY
    for name, at in (("valid_from", end - days * DAY), ("expires", end)):
        Gauge(
            f"freshet_certificate_{name}_timestamp_seconds",
            "For the test",
            ["setting"],
            registry=shop.registries["server"],
        ).labels("server.tls_cert").set(at)

    found = shop.look()

    assert wrong(found) == ({"server": [runbook]} if runbook else {})
    assert told in said(found)


def test_a_slow_clock_is_named_where_nothing_comes_that_corrects_it(shop: ToldShop) -> None:
    """A stream that has read no record vouches for the graph by its own clock."""
    shop.streams[0].set_feeds(num_bytes=1, new_gaps=0, reflected_ms=now_ms() - 3_600_000)
    shop.kill("stream")
    with serving_metrics(shop.at["stream"], shop.registries["stream"], clock_ahead_seconds=-3600):
        found = shop.look()

    assert wrong(found)["stream 1"] == ["FreshetGraphBehind", "FreshetClockOffset"]
    assert "its clock is 1 h 00 min slow" in said(found)
    assert "without a leader" not in said(found)


def test_facts_are_plain_numbers_and_words(shop: ToldShop) -> None:
    """So that they are JSON: no NaN, which many parsers refuse."""
    for each in shop.look().values():
        for value in each.facts.values():
            assert value is None or isinstance(value, str) or math.isfinite(value)
        json.dumps(dict(each.facts), allow_nan=False)


@pytest.mark.parametrize(
    ("every", "seconds", "is_stalled"),
    [(600.0, 2000.0, False), (600.0, 2200.0, True), (1.0, 200.0, False), (1.0, 400.0, True)],
)
def test_a_tuner_is_stalled_after_three_periods_and_a_training(
    shop: ToldShop, every: float, seconds: float, is_stalled: bool
) -> None:
    """A training may take longer than a short period."""
    shop.tuner.started(every)
    shop.tuner.succeeded(
        outcome="published",
        generation_id=shop.generation,
        now_seconds=time.time() - seconds,
        run_seconds=9.0,
    )

    assert ("tuner" in wrong(shop.look())) == is_stalled
