"""Tests of `freshet why-stale`."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from freshet.diagnosis.processes import Targets
from freshet.probe import Addresses
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from stream.clock import now_ms
from testing.overlays import overlay_rows
from testing.small_generations import DIM, Artifacts, Catalogue, make_catalogue
from tests.freshet.commands.conftest import Shop
from tests.freshet.conftest import Command

NOBODY = "127.0.0.1:1"
NOWHERE = (
    *("--stream", NOBODY, "--tuner", NOBODY, "--refresher", NOBODY),
    *("--server", NOBODY, "--target", NOBODY),
)


def _at(addresses: Addresses) -> list[str]:
    where = Targets.of(addresses)
    return [
        *("--stream", where.streams[0], "--tuner", where.tuner),
        *("--refresher", where.refresher, "--server", where.servers[0]),
        *("--target", where.targets[0]),
    ]


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    """Two generations, the second with more items, and its overlay with a new one."""
    made = Artifacts(tmp_path / "artifacts")
    made.publish(_catalogue(20, 1_000))
    current = made.publish(_catalogue(22, 2_000))
    folder = OverlayFolder.of(made.root)
    publisher = OverlayPublisher(folder, current, DIM, GoneList(folder.gone_path))
    catalogue = _catalogue(22, 2_000)
    rows = overlay_rows(DIM, items={"new": catalogue.query_vectors[0]}, gone_items=["item-3"])
    publisher.publish(rows, Claim(reflected_ms=now_ms()))
    return made


def _catalogue(num_items: int, second: int) -> Catalogue:
    catalogue = make_catalogue(num_items, ["lamp", "chair"])
    catalogue.item_ids = [f"item-{number}" for number in range(num_items)]
    catalogue.created_ms = 1_790_000_000_000 + 1000 * second
    catalogue.taken_ms = catalogue.created_ms - 1000
    return catalogue


def test_the_stage_its_cause_and_the_next_step(addresses: Addresses, run: Command) -> None:
    """People read lines, scripts JSON; the code says whether something blocks."""
    lines, document = run("why-stale", *_at(addresses)), run("why-stale", *_at(addresses), "--json")

    assert lines.returncode == document.returncode == 1
    for part in (
        "held up at 'published'",
        "the folder is full; free space",
        "next step  free space in the artifacts folder",
        "docs/operations.md#freshetrefresherblocked",
        "also wrong:",
        "GateRefused",
    ):
        assert part in lines.stdout
    told = json.loads(document.stdout)
    assert (told["blocked_at"], told["is_fresh"]) == ("published", False)
    assert told["cause"]["runbook"] == "FreshetRefresherBlocked"


def _item(run: Command, artifacts: Artifacts, *arguments: str) -> tuple[int, dict[str, Any]]:
    at = ["--artifacts", str(artifacts.root), *NOWHERE, "--json"]
    found = run("why-stale", *arguments, *at)
    return found.returncode, json.loads(found.stdout)


def test_an_item_of_the_overlay_is_found_by_its_query(run: Command, artifacts: Artifacts) -> None:
    """Whose vector is the query's own: nothing is nearer."""
    code, told = _item(run, artifacts, "--item", "new", "--query", "Lamp")

    assert (code, told["found"], told["rank"], told["asked"]) == (0, True, 1, "lamp")
    (since,) = told["since"]
    assert (since["place"], since["id"]) == ("overlay", "1")


def test_an_item_says_since_which_generation_it_is_there(
    run: Command, artifacts: Artifacts
) -> None:
    """One that is in all kept generations may have been there before; what the gate
    refused answered nobody.
    """
    ids = artifacts.store.generation_ids()
    refused = _catalogue(30, 1_500)
    refused.passed_gate = False
    artifacts.write(refused)
    _, old = _item(run, artifacts, "--item", "item-5")
    _, new = _item(run, artifacts, "--item", "item-21")

    assert old["since"][0]["id"] == ids[0]
    assert old["since"][0]["is_first"]
    assert new["since"][0]["id"] == ids[1]
    assert not new["since"][0]["is_first"]
    assert old["asked"] == "title 5 é"
    assert isinstance(old["rank"], int)


@pytest.mark.parametrize(
    ("item", "words"),
    [("item-3", "deleted from the catalogue"), ("stranger", "neither the generation nor")],
)
def test_an_item_that_no_answer_has_says_why(
    run: Command, artifacts: Artifacts, item: str, words: str
) -> None:
    """And the code says that it is not found."""
    code, told = _item(run, artifacts, "--item", item)

    assert (code, told["found"], told["rank"]) == (1, False, None)
    assert words in str(told["hidden"])


def test_a_query_says_whether_it_has_a_vector_of_its_own(
    run: Command, artifacts: Artifacts
) -> None:
    """One that nobody has searched for is answered by its text."""
    at = ["--artifacts", str(artifacts.root), *NOWHERE]
    known, unknown = run("why-stale", "--query", "LAMP", *at), run("why-stale", "--query", "x", *at)

    assert known.returncode == unknown.returncode == 0
    assert "query 'lamp': it has a vector of its own" in known.stdout
    assert "its text alone answers" in unknown.stdout


def test_a_generation_says_why_it_is_not_served(run: Command, artifacts: Artifacts) -> None:
    """Not there, refused by the gate, replaced by a newer one, or without a server."""
    refused = _catalogue(22, 3_000)
    refused.passed_gate = False
    first, second = artifacts.store.generation_ids()
    third = artifacts.write(refused)

    causes = {
        name: _item(run, artifacts, "--generation", name)[1]["cause"]
        for name in (first, second, third, "20260101T000000Z-abcdef")
    }

    assert f"a newer one is current: {second}" in str(causes[first])
    assert causes[second] == "it is current, and no server answers"
    assert "the gate refused it" in str(causes[third])
    assert "it is not there" in str(causes["20260101T000000Z-abcdef"])


def _commands(step: str) -> list[list[str]]:
    """Return the commands that a step names."""
    return [shlex.split(each) for each in re.findall(r"`freshet ([^`]+)`", step)]


def test_what_is_said_of_a_damaged_generation_helps(run: Command, artifacts: Artifacts) -> None:
    """The one that is current makes way for one that is whole, and no step is left."""
    first, second = artifacts.store.generation_ids()
    artifacts.damage(second)

    _, told = _item(run, artifacts, "--generation", second)
    (command,) = _commands(str(told["next_step"]))
    followed = run(*command)
    _, after = _item(run, artifacts, "--generation", first)
    _, damaged = _item(run, artifacts, "--generation", second)

    assert str(told["cause"]).startswith("it is current, and damaged: ")
    assert "sha256" in str(told["cause"])
    assert followed.returncode == 0
    assert after["current"] == first
    assert after["next_step"] == f"start `freshet serve --artifacts {artifacts.root}`"
    assert damaged["next_step"] == f"nothing: {first} is current, and whole"


def test_where_no_generation_is_whole_training_helps(
    run: Command, shop: Shop, tmp_path: Path
) -> None:
    """Also where a damaged one is pinned, which would keep the new one back."""
    artifacts = Artifacts(tmp_path / "artifacts")
    shutil.copytree(shop.artifacts, artifacts.root, dirs_exist_ok=True)
    first, second = shop.generation_ids
    for name in (first, second):
        artifacts.damage(name, "encoder.query.out_weight.npy")
    assert run("generations", "pin", second, "--artifacts", artifacts.root).returncode == 0

    _, told = _item(run, artifacts, "--generation", second)
    for command in _commands(str(told["next_step"])):
        filled = [str(shop.store) if word == "STORE" else word for word in command]
        shortened = ["--budget", "5s"] if filled[0] == "train" else []
        assert run(*filled, *shortened).returncode == 0
    third = artifacts.store.current_id()
    _, after = _item(run, artifacts, "--generation", str(third))

    assert third not in (first, second)
    assert after["cause"] == "it is current, and no server answers"


def test_a_name_needs_the_folder(run: Command) -> None:
    """Code 2, as for every wrong command line."""
    found = run("why-stale", "--item", "4711")

    assert found.returncode == 2
    assert "--artifacts DIR" in found.stderr
