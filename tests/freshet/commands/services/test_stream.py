"""Tests of `freshet stream`."""

from pathlib import Path

from tests.freshet.conftest import Command


def test_a_second_pass_over_the_same_files_changes_nothing(
    store: Path, run: Command, tmp_path: Path
) -> None:
    """What is applied is not applied again."""
    before = run("graph", "hash", "--store", store).stdout

    outcome = run("stream", "--source", f"file:{tmp_path}/e.jsonl", "--store", store)

    assert outcome.returncode == 0
    assert "0 new facts" in outcome.stderr
    assert run("graph", "hash", "--store", store).stdout == before
