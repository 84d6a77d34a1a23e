"""Tests of `freshet generations`."""

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from freshet.diagnosis.steps import ANOTHER_GENERATION
from testing.small_generations import Artifacts
from tests.freshet.commands.conftest import Shop
from tests.freshet.conftest import Command


def test_generations_can_be_listed_and_shown(shop: Shop, run: Command) -> None:
    """Oldest first, the current one marked."""
    listed = json.loads(run("generations", "list", "--artifacts", shop.artifacts, "--json").stdout)
    shown = json.loads(run("generations", "show", "--artifacts", shop.artifacts, "--json").stdout)
    table = run("generations", "list", "--artifacts", shop.artifacts).stdout

    assert [each["generation_id"] for each in listed] == list(shop.generation_ids)
    assert [each["current"] for each in listed] == [False, True]
    assert shown["generation_id"] == shop.generation_ids[1]
    assert shown["gate"]["passed"] is True
    assert f"*  {shop.generation_ids[1]}" in table
    assert (
        shop.generation_ids[0]
        in run("generations", "show", shop.generation_ids[0], "--artifacts", shop.artifacts).stdout
    )


def test_figures_are_few_in_the_list_and_a_line_each_in_one(shop: Shop, run: Command) -> None:
    """Times are not called milliseconds, and no figure is lost."""
    shown = json.loads(run("generations", "show", "--artifacts", shop.artifacts, "--json").stdout)
    heads, *lines = run("generations", "list", "--artifacts", shop.artifacts).stdout.splitlines()
    told = run("generations", "show", "--artifacts", shop.artifacts).stdout.splitlines()

    figures = shown["evaluation"]
    assert heads.split()[:2] == ["generation", "items"]
    assert {"validation_mrr", "validation_recall_10", "popularity_mrr"} <= set(heads.split())
    assert f"{figures['validation_mrr']:.3f}" in lines[-1]
    assert max(map(len, lines)) < 160
    for name, value in figures.items():
        assert any(line.split() == ["evaluation", name, f"{value:.4g}"] for line in told)
    assert any(line.startswith("created  ") and line.endswith("Z") for line in told)
    assert not any(line.split()[1:2] == ["ms"] for line in told)


def test_rolling_back_is_one_command(shop: Shop, run: Command) -> None:
    """`use` makes an older generation current, and back."""
    first, second = shop.generation_ids

    back = run("generations", "use", first, "--artifacts", shop.artifacts, "--json")
    assert json.loads(back.stdout) == {"current": first, "before": second, "pinned": False}
    assert (shop.artifacts / "CURRENT").read_text().strip() == first
    assert run("generations", "use", second, "--artifacts", shop.artifacts).returncode == 0


def test_whoever_rolls_back_is_told_how_long_that_holds(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """A tuner's next generation goes live over it; the line that keeps it does."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)

    told = run("generations", "use", shop.generation_ids[0], "--artifacts", artifacts).stdout
    _, line = told.split("to keep it: freshet ")

    assert run(*shlex.split(line)).returncode == 0
    assert pin_of(artifacts) == shop.generation_ids[0]


def test_a_bad_generation_does_not_hide_the_good_ones(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """Whoever must roll back sees what there is to go back to."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    first, second = shop.generation_ids
    (artifacts / "generations" / second / "manifest.json").write_text("{")

    listed = json.loads(run("generations", "list", "--artifacts", artifacts, "--json").stdout)
    table = run("generations", "list", "--artifacts", artifacts).stdout

    assert [each["generation_id"] for each in listed] == [first, second]
    assert "error" not in listed[0]
    assert "not a generation manifest" in listed[1]["error"]
    assert listed[1]["current"]
    assert "unreadable: " in table


def test_a_generation_copied_under_another_name_is_told(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """No server takes it: it was listed as one that passed."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    copied = artifacts / "generations" / "20300101T000000Z-aaaaaa"
    shutil.copytree(artifacts / "generations" / shop.generation_ids[0], copied)

    listed = json.loads(run("generations", "list", "--artifacts", artifacts, "--json").stdout)

    assert [each["damage"] for each in listed[:-1]] == ["", ""]
    assert "its folder must carry that name" in listed[-1]["damage"]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("rubbish", "does not hold a generation id"),
        ("link", "CURRENT is a symbolic link, and no file: it holds the id of a generation"),
        ("pipe", "CURRENT is no plain file: it holds the id of a generation"),
    ],
)
def test_a_pointer_that_names_nothing_can_be_mended(
    shop: Shop, tmp_path: Path, run: Command, what: str, said: str
) -> None:
    """What the message about a broken `CURRENT` advises works as it is printed, also
    where the folder's name is one that a shell would cut up.
    """
    artifacts = tmp_path / "our artifacts; rm"
    shutil.copytree(shop.artifacts, artifacts)
    pointer = artifacts / "CURRENT"
    pointer.unlink()
    match what:
        case "link":
            pointer.symlink_to(Path("generations", shop.generation_ids[1]))
        case "pipe":
            os.mkfifo(pointer)
        case _:
            pointer.write_text(what)

    listed = run("generations", "list", "--artifacts", artifacts, "--json")
    advised = listed.stderr.split("`freshet ")[1].split("`")[0]
    mended = run(*shlex.split(advised.replace(" ID ", f" {shop.generation_ids[0]} ")), "--json")

    assert said in listed.stderr
    assert [each["current"] for each in json.loads(listed.stdout)] == [False, False]
    assert json.loads(mended.stdout) == {
        "current": shop.generation_ids[0],
        "before": None,
        "pinned": False,
    }


def test_the_step_for_what_cannot_be_used_helps(shop: Shop, tmp_path: Path, run: Command) -> None:
    """As `freshet status` says it: which are whole, and one of them is put live. What
    keeps its size is found by --verify alone, a missing file without.
    """
    artifacts = Artifacts(tmp_path / "artifacts")
    shutil.copytree(shop.artifacts, artifacts.root, dirs_exist_ok=True)
    first, second = shop.generation_ids
    artifacts.damage(second, "encoder.query.out_weight.npy")
    look, use, train = (
        shlex.split(each.replace("DIR", str(artifacts.root)))
        for each in re.findall(r"`freshet ([^`]+)`", ANOTHER_GENERATION)
    )

    unread = json.loads(run(*look[:-1], "--json").stdout)
    told, table = json.loads(run(*look, "--json").stdout), run(*look).stdout
    (whole,) = [each["generation_id"] for each in told if not each["damage"]]
    used = run(*(whole if word == "ID" else word for word in use))

    assert [each["damage"] for each in unread] == ["", ""]
    assert "out_weight.npy does not have the sha256" in told[1]["damage"]
    assert "damaged: " in table.splitlines()[2]
    assert (used.returncode, whole) == (0, first)
    assert artifacts.store.current_id() == first
    assert train[0] == "train"
    (artifacts.store.generation_path(second) / "encoder.query.out_weight.npy").unlink()
    assert "is missing" in run(*look[:-1]).stdout


def test_a_generation_that_is_not_there_is_named(shop: Shop, run: Command) -> None:
    """The pointer stays where it is."""
    outcome = run("generations", "use", "20200101T000000Z-abcdef", "--artifacts", shop.artifacts)

    assert outcome.returncode == 1
    assert "20200101T000000Z-abcdef" in outcome.stderr
    assert (shop.artifacts / "CURRENT").read_text().strip() == shop.generation_ids[1]


def test_a_corrupt_generation_is_one_clear_line(shop: Shop, tmp_path: Path, run: Command) -> None:
    """Which file, and what is wrong with it."""
    broken = tmp_path / "generations" / shop.generation_ids[0]
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("{")
    (tmp_path / "CURRENT").write_text(shop.generation_ids[0] + "\n")

    outcome = run("generations", "show", "--artifacts", tmp_path)

    (line,) = [line for line in outcome.stderr.splitlines() if line.startswith("freshet: error: ")]
    assert outcome.returncode == 1
    assert "manifest.json is not a generation manifest" in line


def pin_of(artifacts: Path) -> str:
    """Return what the artifacts folder says is pinned."""
    return (artifacts / "PINNED").read_text().partition(" ")[0]


def test_a_pin_makes_current_and_stays_until_it_is_lifted(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """`pin` is one step, `use` moves the pin and says so, `unpin` says what follows."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    first, second = shop.generation_ids

    def generations(*arguments: str) -> str:
        outcome = run("generations", *arguments, "--artifacts", artifacts)
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    assert f"{first} is current and pinned (current before: {second})" in generations("pin", first)
    assert (artifacts / "CURRENT").read_text().strip() == pin_of(artifacts) == first
    assert f"*P  {first}" in generations("list")
    listed = json.loads(generations("list", "--json"))
    assert [each["pinned"] for each in listed] == [True, False]

    assert f"the pin moved to it (before: {first})" in generations("use", second)
    assert (artifacts / "CURRENT").read_text().strip() == pin_of(artifacts) == second
    assert "it is pinned" in generations("use", second)
    since = (artifacts / "PINNED").read_text()
    generations("pin")
    assert (artifacts / "PINNED").read_text() == since  # as long as before

    assert f"{second} is pinned no more" in generations("unpin")
    assert not (artifacts / "PINNED").exists()
    assert "no generation was pinned" in generations("unpin")
    assert json.loads(generations("pin", "--json")) == {
        "current": second,
        "before": second,
        "pinned": True,
    }


def test_what_cannot_be_pinned_changes_nothing(shop: Shop, tmp_path: Path, run: Command) -> None:
    """A generation that is not there, or is corrupt."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    first, second = shop.generation_ids
    (artifacts / "generations" / first / "item_vectors.npy").write_bytes(b"")

    for generation_id in (first, "20200101T000000Z-abcdef"):
        outcome = run("generations", "pin", generation_id, "--artifacts", artifacts)
        assert outcome.returncode == 1
        assert generation_id in outcome.stderr
        assert not (artifacts / "PINNED").exists()
        assert (artifacts / "CURRENT").read_text().strip() == second


def test_a_pin_that_says_nothing_pins_all_the_same(
    shop: Shop, tmp_path: Path, run: Command
) -> None:
    """Until it is lifted, or made anew."""
    artifacts = tmp_path / "artifacts"
    shutil.copytree(shop.artifacts, artifacts)
    (artifacts / "PINNED").write_text("rubbish")
    _, second = shop.generation_ids

    used = run("generations", "use", second, "--artifacts", artifacts).stdout

    assert "the pin moved to it (before: unreadable)" in used
    assert pin_of(artifacts) == second
    (artifacts / "PINNED").write_text("rubbish")
    assert (
        "the generation is pinned no more"
        in run("generations", "unpin", "--artifacts", artifacts).stdout
    )
