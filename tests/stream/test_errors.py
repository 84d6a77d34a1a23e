"""What the operating system refuses is named, with what to do, not called damage."""

import errno
import os
import resource
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pytest

from stream.errors import SourceUnreadable, StoreRefused, StoreUnreadable, described, refusal
from stream.settings import StreamSettings
from stream.shard.rocksdb import store_error
from stream.sources.content import Content
from stream.store.store import Store


@pytest.fixture
def few_files() -> Iterator[None]:
    """Room for a dozen more open files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    free = (number for number in count() if number not in taken)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, 12, None)), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EMFILE, "open files"),
        (errno.ENOSPC, "free space"),
        (errno.EACCES, "check owner and mode"),
        (errno.EROFS, "read-only"),
        (errno.EAGAIN, "ulimit -u"),
        (errno.ESTALE, "mount it again"),
    ],
)
def test_refusals_have_advice(number: int, advice: str) -> None:
    """By the number of an error, by a library's text, and by what is behind it."""
    told = OSError(number, os.strerror(number))
    behind = RuntimeError("opening failed")
    behind.__cause__ = told
    for error in (told, RuntimeError(f"IO error: while opening x: {told.strerror}"), behind):
        found = refusal(error)
        assert found is not None
        assert advice in found


def test_an_error_of_the_system_is_one_line_with_its_file() -> None:
    """And with what to do, where that is known."""
    full = OSError(errno.ENOSPC, "No space left on device", "a/b")
    assert described(full) == "a/b: No space left on device; the disk is full; free space"
    assert described(OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert described(ValueError("two\nlines")) == "two lines"
    assert described(MemoryError()) == "MemoryError"


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), RuntimeError("Corruption: bad block")]
)
def test_damage_is_no_refusal(error: Exception) -> None:
    """What is wrong with the data, or the disk itself, is said as that."""
    assert refusal(error) is None
    assert isinstance(store_error(Path("store"), error), StoreUnreadable)


@pytest.mark.usefixtures("few_files")
def test_store_with_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    """The limit is named with its figures, and nobody is told to restore the store."""
    store = Store.create_or_open(tmp_path / "store", StreamSettings(num_shards=16))
    with pytest.raises(StoreRefused, match=r"limit of \d+ open files.*ulimit -n") as caught:
        [store.shard(index) for index in range(16)]
    assert "restore" not in str(caught.value)
    store.close()


@pytest.mark.usefixtures("few_files")
def test_file_that_may_not_be_opened_any_more(tmp_path: Path) -> None:
    """The same for files of events."""
    (tmp_path / "e.jsonl").write_bytes(b"{}\n")
    held: list[Content] = []
    with pytest.raises(SourceUnreadable, match=r"Too many open files; .*ulimit -n"):
        held += (Content(tmp_path / "e.jsonl") for _ in range(20))
    for content in held:
        content.close()
