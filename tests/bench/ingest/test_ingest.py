"""The ingestion measurement, at a size at which it takes seconds."""

import json
from collections import Counter
from pathlib import Path

import pytest

from bench.ingest.ingest import run
from bench.ingest.parts import memory
from bench.ingest.workload import first_events, shop_events
from stream.actions import Action
from stream.reading.reader import open_graph
from stream.settings import KAFKA_CLIENTS, StreamSettings


def test_events_are_the_same_by_seed_and_fall_on_known_and_new_edges() -> None:
    """A workload can be published twice; views are a tenth, and edges repeat."""
    events = list(shop_events(5_000, 1_000, seed=3))

    assert events == list(shop_events(5_000, 1_000, seed=3))
    assert events != list(shop_events(5_000, 1_000, seed=4))
    views = sum(event.action is Action.VIEW for event in events)
    assert 350 < views < 650
    assert all((event.query == "") == (event.action is Action.VIEW) for event in events)
    edges = Counter((event.query, event.item_id) for event in events if event.query)
    assert 1_000 < len(edges) < 3_000
    assert max(edges.values()) > 50


def test_filling_makes_exactly_the_edges_asked_for() -> None:
    """The size of a grown store is what the figure says."""
    edges = {(event.query, event.item_id) for event in first_events(100, 900, 1_000)}

    assert len(edges) == 900


def test_an_applied_part_reports_what_it_did(tmp_path: Path) -> None:
    """Events, CPU time, and the moments at which batches ended."""
    result = memory(str(tmp_path / "store"), 2_500, 500, 1)

    assert (result["events"], result["quarantined"]) == (2_500, 0)
    assert result["cpu_seconds"] > 0
    assert result["batch_ends"][-1][1] == 2_500
    with open_graph(tmp_path / "store", StreamSettings()) as graph:
        assert graph.stats().sessions == 500


def test_throughput_is_measured_on_a_real_broker(
    kafka_bootstrap: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same events make the same graph on every path, none is lost, and the lines
    are JSON.
    """
    path = tmp_path / "figures.jsonl"

    run(
        [
            "--events",
            "3000",
            "--only",
            "throughput",
            "--kafka",
            kafka_bootstrap,
            "--json",
            str(path),
        ]
    )

    figures = {line["name"]: line for line in map(json.loads, path.read_text("utf-8").splitlines())}
    assert figures["good and lost"]["value"] == 0
    assert figures["malformed and not quarantined"]["value"] == 0
    assert figures["malformed and not quarantined"]["note"] == "30 planted, 30 quarantined"
    assert figures["applied / poll only, single events"]["value"] > 0
    assert figures["applied, batches of 64"]["machine"]["cores"] >= 1
    assert "applied, a file of JSON lines" in capsys.readouterr().out


def test_what_tls_and_a_password_cost_is_measured_for_both_clients(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    """Over its own broker's listener for both; the graphs agree, or the run ends."""
    path = tmp_path / "figures.jsonl"
    options = ["--events", "2000", "--only", "secured", "--kafka", kafka_bootstrap]

    run([*options, "--json", str(path)])

    names = [json.loads(line)["name"] for line in path.read_text("utf-8").splitlines()]
    for client in KAFKA_CLIENTS:
        assert f"applied, {client}, TLS and SCRAM" in names
        assert f"TLS and SCRAM / plain text, {client}" in names
