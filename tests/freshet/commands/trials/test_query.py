"""`freshet query` asks a running server, and shows how fresh its answer is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from freshet.commands.trials.query import _filter_line
from freshet_client import FilterPath, FilterReport
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from testing.overlays import overlay_rows
from testing.retrieval_server import serving
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue, some_attributes
from tests.freshet.conftest import Command

REFLECTED_MS = NOW_MS - 1_500


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """Return the address of a server with an overlay that is 1.5 seconds old."""
    artifacts = Artifacts(tmp_path / "artifacts")
    catalogue = make_catalogue(30, ["lamp"])
    catalogue.attributes = some_attributes(30)
    generation_id = artifacts.publish(catalogue)
    folder = OverlayFolder.of(artifacts.root)
    publisher = OverlayPublisher(folder, generation_id, DIM, GoneList(folder.gone_path))
    claim = Claim(reflected_ms=REFLECTED_MS, catalog_reflected_ms=REFLECTED_MS + 1_200)
    publisher.publish(overlay_rows(DIM, gone_items=["x"]), claim)
    with serving(artifacts.root) as serve:
        yield serve().address


def test_the_receipt_of_an_overlay_is_shown(target: str, run: Command) -> None:
    """Under the hits, on the other stream; with all its fields as JSON."""
    told = run("query", "lamp", "-k", 2, "--target", target, "--max-age", "2s")
    shown = json.loads(run("query", "lamp", "--target", target, "--json").stdout)

    assert len(told.stdout.splitlines()) == 3
    fresh, of = told.stderr.split("\n")[1:3]
    assert fresh.startswith("overlay 1, all that had reached the topics by ")
    assert fresh.endswith(" is in it (1.5 s ago), all of the catalogue until 0.3 s ago")
    assert re.match(r"generation \S+, all events until \S+ \S+ \(.+ ago\), query known", of)
    assert int(shown["receipt"]["reflected_ms"]) == REFLECTED_MS
    assert shown["receipt"]["age_seconds"] == 1.5


def test_without_an_overlay_the_age_of_the_graph_is_shown(tmp_path: Path, run: Command) -> None:
    """First, and the time of events is not called an age of the answer."""
    artifacts = Artifacts(tmp_path / "artifacts")
    artifacts.publish(make_catalogue(30, ["lamp"]))
    with serving(artifacts.root) as serve:
        told = run("query", "lamp", "--target", serve().address)

    fresh, of = told.stderr.split("\n")[1:3]
    assert fresh.startswith("answered from the graph as it was at ")
    assert fresh.endswith(" ago); no overlay says more")
    assert "all events until " in of


@pytest.mark.parametrize(
    "options", [("--max-age", "1s"), ("--min-reflected", REFLECTED_MS + 1)], ids=str
)
def test_what_is_not_fresh_enough_is_one_clear_line(
    target: str, run: Command, options: tuple[str | int, ...]
) -> None:
    """With how old it is, and exit code 1."""
    outcome = run("query", "lamp", "--target", target, *options)

    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("freshet: error: the answer ")


@pytest.mark.parametrize(("number", "said"), [(0, "0 items"), (1, "1 item"), (2, "2 items")])
def test_what_matches_a_filter_is_counted_in_words(number: int, said: str) -> None:
    """Of one item in the singular."""
    report = FilterReport(num_matching=number, path=FilterPath.EXACT, unknown_attributes=())

    assert _filter_line(report).startswith(f"{said} match")


def test_a_filter_is_asked_by_options(target: str, run: Command) -> None:
    """All conditions must hold; what became of them is told on the other stream."""
    filters = ["--filter", "brand=brand 1|brand 2", "--filter", "price<=9", "--filter", "!colr"]

    told = run("query", "lamp", "-k", 30, "--target", target, *filters)
    grouped = run("query", "lamp", "--target", target, "--group-by", "brand:1")
    shown = json.loads(
        run("query", "lamp", "--target", target, *filters, "--json", "--min-score", "-1").stdout
    )
    first = shown["hits"][0]["item_id"]
    without = run("query", "lamp", "-k", 30, "--target", target, *filters, "--exclude", first)

    count = int(shown["filter"]["num_matching"])
    assert 0 < count < 12
    assert len(told.stdout.splitlines()) == 1 + count
    assert f"{count} items match, found by exact; no item has 'colr'" in told.stderr
    assert len(grouped.stdout.splitlines()) == 1 + 5
    assert len(without.stdout.splitlines()) == count
    assert first not in without.stdout


def test_a_wrong_filter_is_one_clear_line(target: str, run: Command) -> None:
    """From the client, or from the server."""
    no_number = run("query", "lamp", "--target", target, "--filter", "price<=cheap")
    no_numbers = run("query", "lamp", "--target", target, "--filter", "brand<=3")

    assert no_number.returncode == no_numbers.returncode == 1
    assert "is no number; write price<=20" in no_number.stderr
    assert "'brand' has no numbers, only values such as 'brand 0'" in no_numbers.stderr
