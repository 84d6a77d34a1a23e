"""Tests of the throw-away folders."""

from pathlib import Path

import pytest

from stream.scratch import scratch_folder, temporary_folder


def test_a_folder_is_there_and_then_gone(tmp_path: Path) -> None:
    """Whatever was put into it goes with it."""
    with scratch_folder(tmp_path) as folder:
        (folder / "snapshot").mkdir()
        (folder / "snapshot" / "file").write_text("x")

    assert not folder.exists()


def test_what_a_dead_process_left_is_swept_up(tmp_path: Path) -> None:
    """A folder that nobody holds locked belongs to nobody."""
    left = tmp_path / "scratch" / "left"
    left.mkdir(parents=True)
    (left / "lock").touch()

    with scratch_folder(tmp_path):
        assert not left.exists()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """Two commands may work on a store at once."""
    with scratch_folder(tmp_path) as first:
        with scratch_folder(tmp_path) as second:
            assert first.exists()
            assert first != second
        assert first.exists()


def test_temporary_files_go_where_the_system_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is written beside data that may only be read."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()

    with temporary_folder("freshet-", tmp_path / "store") as folder:
        assert folder.parent == tmp_path / "tmp"

    assert not folder.exists()
    assert not (tmp_path / "store").exists()


def test_without_a_place_for_temporary_files_the_store_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container whose root is read-only has its volumes alone."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: [str(tmp_path / "nowhere")])

    with temporary_folder("freshet-", tmp_path) as folder:
        assert folder.parent == tmp_path / "scratch"

    assert not folder.exists()
