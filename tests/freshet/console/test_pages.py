"""Tests of what the console says of a system."""

import math
import time
from dataclasses import replace
from threading import active_count

import pytest

from testing.processes.told_shop import ToldShop
from testing.small_generations import make_catalogue
from tests.freshet.console.conftest import ODD_TITLES, Serve


def test_a_system_that_is_well(serve: Serve) -> None:
    """Nothing holds answers up, each process tells its facts, and ages are kept."""
    console = serve()
    found = console.document("overview")

    assert (found["is_well"], found["num_problems"], found["blocked_at"]) == (True, 0, None)
    assert [each["name"] for each in found["processes"]] == [
        *("stream 1", "stream 2", "stream 3"),
        *("tuner", "refresher", "server", "probe", "sink"),
    ]
    assert [stage["name"] for stage in found["stages"]][-1] == "served"
    assert found["age_seconds"] < found["objective_seconds"]
    served = console.document("history?seconds=300")["values"]["served"]
    assert [value for value in served if value is not None] == [found["age_seconds"]]


def test_a_dead_stream_is_told_and_the_rest_stays(serve: Serve, shop: ToldShop) -> None:
    """Its problem has the next step; what it would tell is said to be missing."""
    shop.kill("stream-2")
    console = serve()
    found = console.document("overview")

    process = next(each for each in found["processes"] if each["name"] == "stream 2")
    assert not process["is_up"]
    assert process["problems"][0]["runbook"] == "FreshetProcessDown"
    assert process["problems"][0]["step"]
    assert found["blocked_at"] == "consumed"
    assert console.document("partitions")["silent"] == ["stream 2"]
    assert console.document("quarantine")["silent"] == ["stream 2"]


def test_a_thousand_partitions_the_worst_first(serve: Serve, shop: ToldShop) -> None:
    """What does not move comes before what waits long, and that before what waits."""
    places = [("clicks", number) for number in range(1000)]
    shop.lag(
        shop.streams[0],
        records=dict.fromkeys(places, 0) | {("clicks", 7): 5, ("clicks", 8): 90},
        seconds=dict.fromkeys(places, 0.0) | {("clicks", 7): 50.0, ("clicks", 8): 9.0},
        stuck_seconds=dict.fromkeys(places, 0.0) | {("clicks", 8): 4.0},
    )
    found = serve().document("partitions")

    assert len(found["partitions"]) == 1000
    assert [row["partition"] for row in found["partitions"][:2]] == ["8", "7"]
    assert found["partitions"][0] == {
        "topic": "clicks",
        "partition": "8",
        "process": "stream 1",
        "records": 90.0,
        "seconds": 9.0,
        "stuck_seconds": 4.0,
    }
    assert found["brokers"] == ["kafka:9092"]


def test_the_quarantine_by_reason(serve: Serve, shop: ToldShop) -> None:
    """Of all streams together, lately and since they started, with what it means."""
    shop.streams[0].count_quarantined({"malformed": 2, "too_late": 1})
    shop.streams[1].count_quarantined({"malformed": 3})
    found = serve().document("quarantine")

    first, second = found["reasons"][:2]
    assert (first["reason"], first["recent"], first["total"]) == ("malformed", 5, 5)
    assert (second["reason"], second["total"]) == ("too_late", 1)
    assert first["meaning"].startswith("the bytes do not parse")
    assert found["recent_messages"] == 3000 + 6
    assert found["where"] == ["--kafka kafka:9092"]


def test_generations_with_their_verdict(serve: Serve, shop: ToldShop) -> None:
    """As the server tells them; where none answers, as the folder has them."""
    refused = make_catalogue(20, ["lamp"])
    refused.passed_gate = False
    refused_id = shop.artifacts.write(refused)
    console = serve(artifacts=shop.artifacts.root)
    told = console.document("generations")
    folder = serve(
        targets=replace(shop.targets(), targets=[shop.at["stream-3"]]),
        artifacts=shop.artifacts.root,
    ).document("generations")
    by_id = {each["generation_id"]: each for each in told["generations"]}

    assert told["current"] == folder["current"] == shop.generation
    assert by_id[shop.generation]["state"] == "live"
    assert [by_id[each]["gate_passed"] for each in (shop.generation, refused_id)] == [True, False]
    assert told["told_by"].startswith("server")
    assert folder["told_by"].startswith("folder")
    assert folder["problems"]
    assert {each["generation_id"] for each in folder["generations"]} == by_id.keys()


def test_an_unreadable_generation_hides_no_other(serve: Serve, shop: ToldShop) -> None:
    """It is listed with what is wrong with it."""
    other = shop.artifacts.write(make_catalogue(20, ["lamp"]))
    (shop.artifacts.store.generation_path(other) / "manifest.json").write_bytes(b"{")
    found = serve().document("generations")
    rows = {each["generation_id"]: each for each in found["generations"]}

    assert rows[other]["state"] == "unreadable"
    assert rows[other]["reason"]
    assert rows[shop.generation]["state"] == "live"


def test_answers_come_with_their_age_channels_and_evidence(serve: Serve) -> None:
    """Titles as they are, however odd."""
    found = serve().document("search?q=lamp")
    titles = {hit["title"] for hit in found["hits"]}
    clicked = [hit for hit in found["hits"] if hit["why"]["evidence"] == "paths"]

    assert len(found["hits"]) == 10
    assert titles & set(ODD_TITLES)
    assert found["receipt"]["generation"]
    for hit in found["hits"]:
        assert hit["why"]["item_age_seconds"] >= 0
        assert math.fsum(each["item"] for each in hit["why"]["channels"]) == pytest.approx(1)
    assert clicked
    assert clicked[0]["why"]["paths"][0]["num_sessions"] >= 1


def test_a_dead_server_is_an_answer_too(serve: Serve, shop: ToldShop) -> None:
    """A search says that it does not answer, and what else there is stays."""
    shop.server.stop(grace_seconds=0)
    console = serve()
    status, _, body = console.ask("/api/search?q=lamp")

    assert status == 502
    assert shop.server.address.encode() in body
    assert console.document("generations")["generations"] == []
    assert console.document("overview")["is_well"] is False


def test_a_port_that_drips_costs_no_thread(serve: Serve, shop: ToldShop) -> None:
    """It is given up in time, and again with each look, without leaving one behind."""
    shop.drip("stream-2")
    console = serve(look_seconds=1.0)
    before = active_count()
    for _ in range(5):
        view = console.watch.look_once()

    stream = next(each for each in view.look.processes if each.name == "stream 2")
    assert "within" in stream.problem
    deadline = time.monotonic() + 120
    while active_count() > before + 2:
        assert time.monotonic() < deadline, "threads stay"


def test_before_the_first_look_it_says_so(serve: Serve) -> None:
    """An empty page is not one on which nothing is wrong."""
    console = serve()
    console.watch.view = None

    assert console.ask("/api/overview")[0] == 503
