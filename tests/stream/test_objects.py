"""Files at an fsspec URL: put in one step, and one kind of error."""

import os
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stream.objects import Objects


@pytest.fixture(params=["folder", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """Objects at a folder, and at a URL that is none."""
    folder = request.param == "folder"
    return Objects(str(tmp_path / "place") if folder else f"memory://{uuid4().hex}")


def test_what_is_put_is_read(objects: Objects, tmp_path: Path) -> None:
    """Small files and large ones, whole and in part, in folders that nobody made."""
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    objects.put(source, "a/b/data")
    objects.write("a/small", b"xyz")
    assert objects.read("a/b/data", 2, 5) == b"234"
    assert objects.read("a/b/data", 7) == b"789"
    with objects.open("a/small") as opened:
        assert opened.read() == b"xyz"
    objects.fetch("a/b/data", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"0123456789"
    assert objects.sizes("a") == {"b": 0, "small": 3}


def test_what_is_not_there(objects: Objects, tmp_path: Path) -> None:
    """An empty list, or an error that says so; removing it is as good as done."""
    assert objects.sizes("nothing") == {}
    objects.remove("nothing")
    with pytest.raises(FileNotFoundError):
        objects.read("nothing")
    with pytest.raises(FileNotFoundError):
        objects.fetch("nothing", tmp_path / "target")


def test_half_of_a_file_is_never_listed(tmp_path: Path) -> None:
    """What a process that ended left under a temporary name does not count."""
    objects = Objects(str(tmp_path))
    objects.write("whole", b"x")
    (tmp_path / f".whole.{uuid4().hex}.tmp").write_bytes(b"")
    assert set(objects.sizes()) == {"whole"}


def test_half_of_a_file_does_not_stay(tmp_path: Path) -> None:
    """It may hold what was erased; one that somebody may be writing is left alone."""
    objects = Objects(str(tmp_path))
    objects.write("shard/feed/whole", b"x")
    old, new = (tmp_path / "shard" / "feed" / f".whole.{uuid4().hex}.tmp" for _ in range(2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))

    objects.remove_leftovers("shard")

    assert [old.exists(), new.exists()] == [False, True]
    assert objects.read("shard/feed/whole") == b"x"


def test_whatever_fails_is_an_error_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may raise anything; callers have one thing to catch."""
    objects = Objects(f"memory://{uuid4().hex}")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no token")

    for name in ("cat_file", "ls", "pipe_file", "rm_file", "open"):
        monkeypatch.setattr(MemoryFileSystem, name, fail)
    for act in (
        lambda: objects.read("a"),
        objects.sizes,
        lambda: objects.write("a", b""),
        lambda: objects.remove("a"),
        lambda: objects.open("a"),
    ):
        with pytest.raises(OSError, match="RuntimeError: no token"):
            act()


def test_an_object_store_is_told_of_a_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making folders is a request each, which object stores charge for."""
    objects, made = Objects(f"memory://{uuid4().hex}"), []
    monkeypatch.setattr(MemoryFileSystem, "makedirs", lambda _, path, **__: made.append(path))
    for number in range(3):
        objects.write(f"folder/{number}", b"x")
    assert len(made) == 1


def test_a_url_that_nothing_knows() -> None:
    """The error says what is missing."""
    with pytest.raises(ValueError, match="nosuch"):
        Objects("nosuch://bucket")
