"""Crash-safe writing."""

from pathlib import Path

import pytest

from stream.files import new_directory, replace_file


def test_replace_file_replaces_in_one_step_and_leaves_nothing_else(tmp_path: Path) -> None:
    """The new content is there, and no temporary file is."""
    path = tmp_path / "CURRENT"
    replace_file(path, b"one\n")
    replace_file(path, b"two\n")

    assert path.read_bytes() == b"two\n"
    assert list(tmp_path.iterdir()) == [path]


def test_replace_file_keeps_the_old_content_when_it_cannot_write(tmp_path: Path) -> None:
    """A target that cannot be replaced stays as it was, without litter."""
    path = tmp_path / "taken"
    path.mkdir()

    with pytest.raises(OSError, match="taken"):
        replace_file(path, b"content")

    assert path.is_dir()
    assert list(tmp_path.iterdir()) == [path]


def test_new_directory_appears_only_when_complete(tmp_path: Path) -> None:
    """While it is being filled the target does not exist.

    Afterwards it has everything.
    """
    target = tmp_path / "deep" / "snapshot"
    with new_directory(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "data").write_text("x")

        assert not target.exists()

    assert (target / "inner" / "data").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_new_directory_leaves_nothing_after_a_failure(tmp_path: Path) -> None:
    """An exception inside the block leaves neither target nor temporary folder."""

    def fill_and_fail() -> None:
        with new_directory(tmp_path / "snapshot") as folder:
            (folder / "half").write_text("x")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fill_and_fail()

    assert list(tmp_path.iterdir()) == []


def test_new_directory_refuses_an_existing_target(tmp_path: Path) -> None:
    """Nothing that exists is ever overwritten."""
    with pytest.raises(FileExistsError, match="exists already"), new_directory(tmp_path):
        pass
