"""Tests of `freshet train`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from freshet import process
from freshet.commands.cli import cli
from model.publishing.turn import training_turn
from tests.freshet.commands.conftest import Shop
from tests.freshet.conftest import ROOT, Command


def test_training_prints_the_id_last(shop: Shop) -> None:
    """A script takes the last line and finds the generation by it.

    Nothing else is left in the store.
    """
    for generation_id in shop.generation_ids:
        assert (shop.artifacts / "generations" / generation_id / "manifest.json").exists()
    assert (shop.artifacts / "CURRENT").read_text().strip() == shop.generation_ids[1]
    assert list((shop.store / "scratch").iterdir()) == []


def test_a_training_beside_another_is_refused_and_told_whose_turn_it_is(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is read or written for it."""
    before = sorted((shop.artifacts / "generations").iterdir())
    with training_turn(shop.artifacts):
        code = process.run(
            cli, ["train", "--store", str(shop.store), "--artifacts", str(shop.artifacts)]
        )

    assert code == 1
    assert f"another training (pid {os.getpid()} on " in capsys.readouterr().err
    assert sorted((shop.artifacts / "generations").iterdir()) == before


def test_too_little_to_learn_from_is_one_clear_line(tmp_path: Path, run: Command) -> None:
    """A store with a view alone cannot be trained on, and nothing is published."""
    (tmp_path / "e.jsonl").write_text(
        '{"ts_ms":1760000000000,"type":"view","session_id":"s","user_id":"u","query":null,"item_id":"i"}\n'
    )
    assert (
        run(
            "stream", "--source", f"file:{tmp_path}/e.jsonl", "--store", tmp_path / "store"
        ).returncode
        == 0
    )

    outcome = subprocess.run(
        [sys.executable, "-m", "freshet", "train", "--store", "store", "--artifacts", "artifacts"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert outcome.returncode == 1
    assert outcome.stderr.startswith("freshet: error: ")
    assert outcome.stdout == ""
    assert not (tmp_path / "artifacts" / "CURRENT").exists()
    assert (
        process.run(cli, ["generations", "list", "--artifacts", str(tmp_path / "artifacts")]) == 1
    )
