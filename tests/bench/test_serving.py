"""Servers beside each other, as the bench measures them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.serving import ratios, swaps
from bench.serving.generations import write_generation
from bench.serving.loads import measure_loads
from bench.serving.ratios import measure_ratios
from bench.serving.swaps import measure_swaps


def test_swaps_under_load_are_counted_and_fail_no_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls go on with swaps and without, to the product and to an empty method."""
    monkeypatch.setattr(swaps, "_RATE", 200.0)
    write_generation(tmp_path, num_items=500, num_queries=50, dim=16, engine_name="exact")

    measure_swaps(tmp_path, num_queries=50, swaps=3, workers=1)

    figures = json.loads(capsys.readouterr().out)
    assert figures["swaps"] == 3
    assert figures["errors"] == [0, 0]
    assert min(figures["calls"]) > 0
    assert set(figures["p99"]) == {"product", "empty"}
    # Of 500 items: Python and its libraries are more than two generations.
    assert figures["peak_mib"] > figures["bare_mib"] > figures["two_generations_mib"] > 0
    assert figures["peak_by_two_generations"] > figures["more_by_two_generations"] > 0


def test_ratios_are_of_servers_that_answer_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The naive server finds at least what the product's index does."""
    for name, value in (("_ROUNDS", 1), ("_BLOCK_CALLS", 5), ("_RATE_ROUNDS", 1)):
        monkeypatch.setattr(ratios, name, value)
    monkeypatch.setattr(ratios, "_SECONDS", 0.3)
    monkeypatch.setattr(ratios, "_CALLERS", 1)
    monkeypatch.setattr(ratios, "KS", (10,))
    write_generation(tmp_path, num_items=500, num_queries=50, dim=16, engine_name="exact")

    before = os.sched_getaffinity(0)

    measure_ratios(tmp_path, num_queries=50)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = [line for line in lines if line["bench"] == "serve ratios"]
    assert [line["k"] for line in found] == [10]
    for line in found:
        assert line["naive_recall"] >= line["recall"] > 0.9
        assert set(line["cpu_ms"]) == {"product", "naive", "empty", "ready", "index"}
        assert min(line["cpu_ms"].values()) > 0
    workers = [line for line in lines if line["bench"] == "serve workers"]
    assert len(workers) == 1
    for line in workers:
        rates = line["one"], line["two"], line["two_by_one"]
        assert min(*rates, *line["cpu_ms"], *line["callers_cpu_ms"]) > 0
    assert os.sched_getaffinity(0) == before


def test_parts_are_measured_without_the_naive_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor with several workers: both take minutes."""
    for name, value in (("_ROUNDS", 1), ("_BLOCK_CALLS", 5)):
        monkeypatch.setattr(ratios, name, value)
    write_generation(tmp_path, num_items=500, num_queries=50, dim=16, engine_name="exact")

    measure_ratios(tmp_path, num_queries=50, wanted=("parts",))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    _, *found = lines
    assert [line["bench"] for line in found] == ["serve ratios"] * 2
    for line in found:
        assert set(line["cpu_ms"]) == {"product", "empty", "ready", "index"}
        assert line["naive_by_product"] is None
        assert line["product_by_parts"] > 0


@pytest.mark.parametrize("wanted", [100, 1000, 1500, 37_000, 2_000_000])
def test_the_least_that_finds_enough_is_found(wanted: int) -> None:
    """Within an eighth of what the last doubling added, never too little, up to the
    most.
    """
    search_k, found = ratios._least_enough(lambda search_k: search_k / wanted, 1.0)

    assert found == search_k / wanted
    if wanted < 1_000_000:
        assert wanted <= search_k <= max(wanted + 125, 1.125 * wanted)


def test_a_load_is_of_a_process_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with an answer; what is not there is no load."""
    write_generation(tmp_path, num_items=500, num_queries=50, dim=16, engine_name="exact")

    measure_loads(tmp_path, items=500, turns=2)

    line, figures = capsys.readouterr().out.splitlines()
    found = json.loads(figures)
    assert (found["items"], found["loads"]) == (500, 2)
    assert 0 < found["least_cpu_seconds"] <= found["cpu_seconds"]
    assert found["files_mib"] > 0
    assert line.startswith("500 items")
    with pytest.raises(subprocess.CalledProcessError):
        measure_loads(tmp_path / "nothing", items=0, turns=1)
