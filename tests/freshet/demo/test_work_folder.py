"""Tests of the demo's work folder."""

from pathlib import Path

import pytest

from freshet.demo.work_folder import Recipe, fingerprint, open_work_folder, running_pids
from freshet.process import CommandError

RECIPE = Recipe(seed=7, shop_items=100, shop_events=1000)


def test_a_second_run_finds_what_the_first_one_left(tmp_path: Path) -> None:
    """The same recipe goes on with the same folder and remembers its launches."""
    with open_work_folder(tmp_path / "demo", RECIPE) as folder:
        (folder.store / "kept").touch()
        folder.state.num_launches = 3
        folder.save()

    with open_work_folder(tmp_path / "demo", RECIPE) as folder:
        assert (folder.store / "kept").exists()
        assert folder.state.num_launches == 3


def test_another_recipe_begins_afresh(tmp_path: Path) -> None:
    """Nothing of one shop may get into another's graph."""
    with open_work_folder(tmp_path / "demo", RECIPE) as folder:
        (folder.store / "kept").touch()

    with open_work_folder(
        tmp_path / "demo", Recipe(seed=8, shop_items=100, shop_events=1000)
    ) as folder:
        assert not (folder.store / "kept").exists()


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    """A wrong --dir must not cost anybody a file."""
    (tmp_path / "thesis.tex").write_text("x")

    with pytest.raises(CommandError, match="not a demo's"), open_work_folder(tmp_path, RECIPE):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_two_demos_cannot_share_a_folder(tmp_path: Path) -> None:
    """The second is told how to end the first."""
    with (
        open_work_folder(tmp_path / "demo", RECIPE),
        pytest.raises(CommandError, match="freshet demo --stop --dir"),
        open_work_folder(tmp_path / "demo", RECIPE),
    ):
        pass


def test_pids_count_only_while_somebody_holds_the_folder(tmp_path: Path) -> None:
    """Numbers of processes that ended long ago may be somebody else's by now."""
    with open_work_folder(tmp_path / "demo", RECIPE) as folder:
        folder.state.pids = {"stream": 1234}
        folder.save()
        assert running_pids(tmp_path / "demo") == {"stream": 1234}

    assert running_pids(tmp_path / "demo") == {}
    assert running_pids(tmp_path / "nowhere") == {}


def test_a_log_is_told_by_its_place_and_how_it_begins(tmp_path: Path) -> None:
    """A log that has grown is the same, one that was replaced is not."""
    log = tmp_path / "events.jsonl"
    log.write_text("a" * 5000)
    first = fingerprint(log)
    log.write_text("a" * 6000)

    assert fingerprint(log) == first
    log.write_text("b" * 6000)
    assert fingerprint(log) != first
    assert fingerprint(None) == ""
    with pytest.raises(CommandError, match="nowhere cannot be read"):
        fingerprint(tmp_path / "nowhere")
