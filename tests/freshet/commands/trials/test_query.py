"""`freshet query` asks a running server, and shows how fresh its answer is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from testing.overlays import overlay_rows
from testing.retrieval_server import serving
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue
from tests.freshet.conftest import Command

REFLECTED_MS = NOW_MS - 1_500


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """Return the address of a server with an overlay that is 1.5 seconds old."""
    artifacts = Artifacts(tmp_path / "artifacts")
    generation_id = artifacts.publish(make_catalogue(30, ["lamp"]))
    folder = OverlayFolder.of(artifacts.root)
    publisher = OverlayPublisher(folder, generation_id, DIM, GoneList(folder.gone_path))
    publisher.publish(overlay_rows(DIM, gone_items=["x"]), Claim(reflected_ms=REFLECTED_MS))
    with serving(artifacts.root) as serve:
        yield serve().address


def test_the_receipt_of_an_overlay_is_shown(target: str, run: Command) -> None:
    """Under the hits, on the other stream; with all its fields as JSON."""
    told = run("query", "lamp", "-k", 2, "--target", target, "--max-age", "2s")
    shown = json.loads(run("query", "lamp", "--target", target, "--json").stdout)

    assert len(told.stdout.splitlines()) == 3
    assert "overlay 1, all that had reached the topics by" in told.stderr
    assert "(1.5 s ago)" in told.stderr
    assert int(shown["receipt"]["reflected_ms"]) == REFLECTED_MS
    assert shown["receipt"]["age_seconds"] == 1.5


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
