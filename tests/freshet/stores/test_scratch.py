"""Tests of the throw-away folders."""

from pathlib import Path

from freshet.stores.scratch import scratch_folder


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
