"""Event files as a source: positions, resuming, globs, following, and files that are
missing or damaged.
"""

import gzip
import logging
import os
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from stream.clock import now_ms
from stream.errors import SourceUnreadable
from stream.events.formats.catalog import JSON_ITEM
from stream.events.types import Record, SourcePartition
from stream.settings import StreamSettings
from stream.sources import files
from stream.sources.files import FileSource, matching_files
from stream.store.store import Store
from testing.histories import apply_events
from tests.stream.conftest import OpenStore

Drained = tuple[list[bytes], dict[SourcePartition, int]]


@pytest.fixture
def settings() -> StreamSettings:
    """Small batches, quick polls."""
    return StreamSettings(batch_records=3, follow_poll_seconds=0.001)


def values_of(records: Sequence[Record]) -> list[bytes]:
    """Return the records' bytes."""
    return [record.value or b"" for record in records]


def polled(source: FileSource) -> list[Record]:
    """Return what one poll gives, record by record."""
    batches = source.poll(60.0)
    return [batch.record(row) for batch in batches for row in range(len(batch))]


def positions_of(records: Sequence[Record]) -> dict[SourcePartition, int]:
    """Return how far the records reach."""
    return {record.position: record.next_offset for record in records}


def apply_polled(source: FileSource, store: Store) -> list[bytes]:
    """Apply what one poll gives; return the lines."""
    records = polled(source)
    apply_events(store.shard(0), [], [], positions_of(records))
    return values_of(records)


def drain(source: FileSource) -> Drained:
    """Read a source to its end; return the lines and how far they reach."""
    values: list[bytes] = []
    positions: dict[SourcePartition, int] = {}
    while not source.exhausted:
        records = polled(source)
        assert len(records) <= 3
        values += values_of(records)
        positions |= positions_of(records)
    source.close()
    return values, positions


def poll_until(source: FileSource, done: Callable[[list[bytes]], bool]) -> list[bytes]:
    """Poll a followed source until what came satisfies a condition.

    The test's timeout is the deadline.
    """
    values: list[bytes] = []
    while not done(values):
        values += values_of(polled(source))
    return values


def is_sized(values: list[bytes], size: int) -> bool:
    """Return whether there are that many."""
    return len(values) >= size


def lines(*names: str) -> bytes:
    """Return lines of text."""
    return b"".join(name.encode() + b"\n" for name in names)


def test_reads_files_in_order_and_ends(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Catalogue files come first, then event files, plain and gzip, each line once.

    Then it is exhausted.
    """
    (tmp_path / "b.jsonl").write_bytes(lines("b1", "b2", "b3", "b4"))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines("a1", "a2")))
    (tmp_path / "items.jsonl").write_bytes(lines("i1"))
    source = FileSource(
        [str(tmp_path / "*.jsonl*")], settings, catalog_paths=[str(tmp_path / "items.jsonl")]
    )
    source.start(open_store())
    assert not source.exhausted
    assert not any(source.lag().seconds.values())  # seen for the first time
    assert all(source.lag().seconds.values())
    (first, *_) = records = polled(source)
    assert values_of(records) == [b"i1", b"a1", b"a2"]
    assert first.content_type == JSON_ITEM
    assert records[1].content_type == ""
    values, _ = drain(source)
    assert values == [b"b1", b"b2", b"b3", b"b4"]
    assert not any(source.lag().seconds.values())
    assert source.bytes_done == source.bytes_total


def test_a_file_named_twice_is_read_once(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """A file that two patterns name is read once."""
    (tmp_path / "a.jsonl").write_bytes(lines("a1"))
    source = FileSource([str(tmp_path / "a.jsonl"), str(tmp_path / "*.jsonl")], settings)
    source.start(open_store())
    assert drain(source)[0] == [b"a1"]


def test_name_with_glob_characters(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """A file whose name looks like a pattern is taken literally."""
    (tmp_path / "log[1].jsonl").write_bytes(lines("a1"))
    source = FileSource([str(tmp_path / "log[1].jsonl")], settings)
    source.start(open_store())
    assert drain(source)[0] == [b"a1"]


def test_folder_with_glob_characters(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """A folder that exists is taken literally, the pattern in it is one."""
    for folder in ("logs [2026]", "logs 2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_bytes(f"{folder}\n".encode())
    store = open_store()
    for name in ("*.jsonl", "**/a.jsonl"):
        source = FileSource([str(tmp_path / "logs [2026]" / name)], settings)
        source.start(store)
        assert drain(source)[0] == [b"logs [2026]"]
    assert len(matching_files(str(tmp_path / "logs*" / "*.jsonl"))) == 2
    (tmp_path / "logs [2026]" / "[b].jsonl").write_bytes(b"")
    assert len(matching_files(str(tmp_path / "logs [2026]" / "[b].jsonl"))) == 1


@pytest.mark.parametrize("is_gzip", [False, True])
def test_goes_on_from_the_store(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore, *, is_gzip: bool
) -> None:
    """After a restart only what was not applied comes; nothing when all was applied."""
    path = tmp_path / "a.jsonl"
    content = lines("a1", "a2", "a3", "a4", "a5")
    path.write_bytes(gzip.compress(content) if is_gzip else content)
    store = open_store()
    for expected in ([b"a1", b"a2", b"a3"], [b"a4", b"a5"], []):
        source = FileSource([str(path)], settings)
        source.start(store)
        records = polled(source)
        assert values_of(records) == expected
        apply_events(store.shard(0), [], [], positions_of(records))
        source.close()


def test_goes_on_from_the_least_of_all_shards(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """A crash between the writes of two shards makes lines come again, and never leaves
    one out.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1", "a2", "a3", "a4"))
    store = open_store(num_shards=2)
    source = FileSource([str(path)], settings)
    source.start(store)
    records = polled(source)
    source.close()
    apply_events(store.shard(0), [], [], positions_of(records))
    for known_to_second, expected in ((0, b"a1"), (1, b"a2")):
        apply_events(store.shard(1), [], [], positions_of(records[:known_to_second]))
        source = FileSource([str(path)], settings)
        source.start(store)
        assert values_of(polled(source))[0] == expected
        source.close()


def test_replaced_file_is_read_from_its_start(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """A new file under an old name is another position, even where it begins with the
    same line.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1", "a2", "a3"))
    store = open_store()
    first = FileSource([str(path)], settings)
    first.start(store)
    apply_events(store.shard(0), [], [], drain(first)[1])
    (tmp_path / "new").write_bytes(lines("a1", "b2", "b3", "b4"))
    (tmp_path / "new").rename(path)
    second = FileSource([str(path)], settings)
    second.start(store)
    assert drain(second)[0] == [b"a1", b"b2", b"b3", b"b4"]


def test_file_cut_back_is_read_from_its_start(
    tmp_path: Path,
    settings: StreamSettings,
    open_store: OpenStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file that is shorter than what was applied of it is read again, and that is
    said.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1", "a2", "a3"))
    store = open_store()
    first = FileSource([str(path)], settings)
    first.start(store)
    apply_events(store.shard(0), [], [], drain(first)[1])
    with path.open("r+b") as file:
        file.truncate(3)
    second = FileSource([str(path)], settings)
    second.start(store)
    with caplog.at_level(logging.WARNING):
        assert drain(second)[0] == [b"a1"]
    assert "file shrunk" in caplog.text


def test_grown_file_goes_on_where_it_ended(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """What was appended between two runs comes.

    A last line that had no newline comes again, whole.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1") + b"a2-begi")
    store = open_store()
    first = FileSource([str(path)], settings)
    first.start(store)
    values, positions = drain(first)
    assert values == [b"a1", b"a2-begi"]
    apply_events(store.shard(0), [], [], positions)
    with path.open("ab") as file:
        file.write(b"n\na3\n")
    second = FileSource([str(path)], settings)
    second.start(store)
    assert drain(second)[0] == [b"a2-begin", b"a3"]


def test_following(tmp_path: Path, settings: StreamSettings, open_store: OpenStore) -> None:
    """Followed files may be missing, appear, grow by half lines, be joined by new ones,
    and be rotated.
    """
    path, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source = FileSource([str(tmp_path / "*.jsonl")], settings, follow=True)
    source.start(open_store())
    assert polled(source) == []
    path.write_bytes(b"a1")
    assert polled(source) == []
    with path.open("ab") as file:
        file.write(b"-end\na2")
    assert poll_until(source, bool) == [b"a1-end"]
    other.write_bytes(lines("b1"))
    assert poll_until(source, bool) == [b"b1"]
    with path.open("ab") as file:
        file.write(b"\n")
    path.rename(tmp_path / "a.jsonl.1")
    path.write_bytes(lines("new1", "new2"))
    assert poll_until(source, lambda values: len(values) == 3) == [b"a2", b"new1", b"new2"]
    with path.open("r+b") as file:
        file.truncate(0)
    assert polled(source) == []
    with path.open("ab") as file:
        file.write(b"again\n")
    assert poll_until(source, bool) == [b"again"]
    assert not source.exhausted
    source.close()


def test_following_a_file_that_is_cut_back_and_grows_unseen(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Rotation by copying and truncating, refilled beyond the old offset between two
    looks, loses no line.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1", "a2"))
    source = FileSource([str(path)], settings, follow=True)
    source.start(open_store())
    assert poll_until(source, lambda values: len(values) == 2) == [b"a1", b"a2"]
    fresh = [f"new{number}" for number in range(100)]
    path.write_bytes(lines(*fresh))

    assert poll_until(source, lambda values: len(values) == 100) == [
        line.encode() for line in fresh
    ]
    source.close()


def test_what_is_claimed_of_files_grows_while_they_grow(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """With each part that is applied, though the next one is handed out already; never
    more than had come by then.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1"))
    source = FileSource([str(path)], settings, follow=True)
    source.start(open_store())
    claims = []
    for number in range(2, 5):
        began_ms = now_ms()
        poll_until(source, bool)
        source.applied({})
        ended_ms = now_ms()
        time.sleep(0.002)
        with path.open("ab") as file:
            file.write(lines(f"a{number}"))
        poll_until(source, bool)
        claims.append((began_ms, source.reflected_ms()[0], ended_ms))
        source.applied({})
        with path.open("ab") as file:
            file.write(lines(f"b{number}"))

    assert all(began_ms <= claimed_ms <= ended_ms for began_ms, claimed_ms, ended_ms in claims)
    source.close()


def test_what_is_claimed_of_files_ends_before_what_waits(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Nothing new while what was handed out is not applied; the present once all is; no
    more than before it came while a line waits.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1"))
    source = FileSource([str(path)], settings, follow=True)
    source.start(open_store(num_shards=2))
    assert poll_until(source, bool) == [b"a1"]
    handed_out = source.reflected_ms()
    source.applied({})
    before_ms = now_ms()
    applied = source.reflected_ms()
    between_ms = now_ms()
    with path.open("ab") as file:
        file.write(lines("a2"))
    waiting = source.reflected_ms()

    assert handed_out == {}
    assert applied.keys() == waiting.keys() == {0, 1}
    assert before_ms <= applied[0] <= between_ms
    assert waiting[0] < now_ms()
    assert waiting[0] <= between_ms + 1
    source.close()


def test_following_a_file_that_is_removed(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """What a removed file still held is read, its last half line too, and it is not
    kept open.
    """
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1") + b"a2")
    source = FileSource([str(path)], settings, follow=True)
    source.start(open_store())
    assert poll_until(source, bool) == [b"a1"]
    path.unlink()
    assert poll_until(source, bool) == [b"a2"]
    assert polled(source) == []
    assert source._files[path]._reader is None
    path.write_bytes(lines("a1", "a3"))
    assert poll_until(source, bool) == [b"a1", b"a3"]
    source.close()


def test_following_waits_for_a_missing_file_and_says_so_once(
    tmp_path: Path,
    settings: StreamSettings,
    open_store: OpenStore,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A path that is not there yet is no error when following.

    The log says once what is awaited.
    """
    with caplog.at_level(logging.INFO):
        source = FileSource([str(tmp_path / "later.jsonl")], settings, follow=True)
        source.start(open_store())
        for _ in range(5):
            assert polled(source) == []
    assert caplog.text.count("waiting for file") == 1
    (tmp_path / "later.jsonl").write_bytes(lines("a1"))
    assert poll_until(source, bool) == [b"a1"]
    source.close()


@pytest.mark.parametrize("pattern", ["gone.jsonl", "*.gone"])
def test_missing_file(tmp_path: Path, settings: StreamSettings, pattern: str) -> None:
    """A path or pattern that names nothing is an error at once."""
    with pytest.raises(SourceUnreadable, match="no file matches"):
        FileSource([str(tmp_path / pattern)], settings)


def test_folder(tmp_path: Path, settings: StreamSettings) -> None:
    """A folder in place of a file is an error that shows how to name its files."""
    with pytest.raises(SourceUnreadable, match=r"is a folder: name its files"):
        FileSource([str(tmp_path)], settings)


@pytest.mark.parametrize("follow", [False, True])
def test_damaged_file_does_not_keep_the_others_from_being_read(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore, *, follow: bool
) -> None:
    """Everything that can be read is returned before the error is raised."""
    packed = gzip.compress(lines(*(f"a{number:09d}" for number in range(20_000))))
    (tmp_path / "a.gz").write_bytes(b"\x1f\x8b" + b"garbage")
    (tmp_path / "b.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "c.jsonl").write_bytes(lines("c1"))
    source = FileSource([str(tmp_path / "*")], replace(settings, batch_records=1000), follow=follow)
    source.start(open_store())
    values: list[bytes] = []

    def read_on() -> None:
        while True:
            values.extend(values_of(polled(source)))

    with pytest.raises(SourceUnreadable, match=r"a\.gz is damaged"):
        read_on()
    assert b"c1" in values
    assert len(values) > 5000
    source.close()


@pytest.mark.parametrize("num_bytes", [2, 5, 10])
def test_gzip_cut_short_before_its_first_byte(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore, num_bytes: int
) -> None:
    """A download that broke off at once is no empty file; a followed one may grow."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(lines("a1"))[:num_bytes])
    store = open_store()
    followed = FileSource([str(path)], settings, follow=True)
    followed.start(store)
    assert polled(followed) == []
    source = FileSource([str(path)], settings)
    source.start(store)
    with pytest.raises(SourceUnreadable, match="cut short"):
        drain(source)
    path.write_bytes(gzip.compress(lines("a1")))
    assert poll_until(followed, bool) == [b"a1"]
    followed.close()


@pytest.mark.parametrize("chunks_at_once", [1, 64])
def test_nothing_is_read_of_a_gzip_file_whose_checksum_is_wrong(
    tmp_path: Path,
    settings: StreamSettings,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
    chunks_at_once: int,
) -> None:
    """A flipped bit may give other lines that look as good, which would stay in the
    graph when the file is copied again.
    """
    monkeypatch.setattr(files, "_CHUNKS_AT_ONCE", chunks_at_once)
    whole = gzip.compress(lines(*(f"a{number}" for number in range(200_000))))
    path = tmp_path / "a.gz"
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])
    store = open_store()
    source = FileSource([str(path)], replace(settings, batch_records=1000))
    source.start(store)
    values: list[bytes] = []

    def read_on() -> None:
        while True:
            values.extend(values_of(polled(source)))

    with pytest.raises(SourceUnreadable, match="is damaged"):
        read_on()
    assert values == []
    source.close()

    path.write_bytes(whole)
    again = FileSource([str(path)], replace(settings, batch_records=1000))
    again.start(store)
    while not again.exhausted:
        values.extend(values_of(polled(again)))
    assert len(values) == 200_000
    again.close()


def without_an_end(content: bytes) -> bytes:
    """Pack content as one block whose end a flipped bit hides: what follows, checksum
    and size, is read as more of it.
    """
    whole = gzip.compress(content)
    for bit in range(8 * (len(whole) - 12), 8 * (len(whole) - 8)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        member = zlib.decompressobj(31)
        with suppress(zlib.error):
            member.decompress(bytes(damaged))
            if not member.eof:
                return bytes(damaged)
    raise AssertionError("no bit hides the end")


def test_nothing_is_read_of_a_gzip_file_whose_end_is_hidden_by_damage(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """It looked as if it was only cut short, of which all that there is is good."""
    path = tmp_path / "a.gz"
    path.write_bytes(without_an_end(lines(*(f"a{number}" for number in range(2000)))))
    source = FileSource([str(path)], settings)
    source.start(open_store())

    with pytest.raises(SourceUnreadable, match="is damaged: its gzip data breaks before its end"):
        polled(source)
    source.close()


@pytest.mark.parametrize("is_damaged", [True, False])
def test_what_was_cut_short_is_proven_when_it_is_whole(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore, *, is_damaged: bool
) -> None:
    """A copy that broke off is read as far as it went, and copied again over itself:
    its rest is believed no more than a first read would be.
    """
    path = tmp_path / "a.gz"
    whole = gzip.compress(lines(*(f"a{number}" for number in range(200_000))))
    path.write_bytes(whole[: len(whole) // 2])
    store = open_store()
    source = FileSource([str(path)], replace(settings, batch_records=50_000))
    source.start(store)
    read: list[bytes] = []

    def read_on(source: FileSource) -> None:
        while not source.exhausted:
            read.extend(apply_polled(source, store))
        source.close()

    with pytest.raises(SourceUnreadable, match="cut short"):
        read_on(source)
    source.close()

    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:] if is_damaged else whole)
    again = FileSource([str(path)], replace(settings, batch_records=50_000))
    again.start(store)
    if is_damaged:
        with pytest.raises(SourceUnreadable, match="is damaged"):
            read_on(again)
        assert 0 < len(read) < 200_000
    else:
        read_on(again)
        assert set(read) == {b"a%d" % number for number in range(200_000)}
    again.close()


def test_a_poll_returns_on_the_way_to_where_reading_begins(
    tmp_path: Path,
    settings: StreamSettings,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever wants to stop is asked while a file that is packed is unpacked up to its
    position.
    """
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(lines("a1", "x" * 5_000_000, "a2")))
    store = open_store()
    source = FileSource([str(path)], settings)
    source.start(store)
    while not source.exhausted:
        apply_polled(source, store)
    source.close()

    monkeypatch.setattr(files, "_CHUNKS_AT_ONCE", 1)
    again = FileSource([str(path)], replace(settings, follow_poll_seconds=60.0))
    again.start(store)
    assert polled(again) == []
    assert not again.exhausted
    while not again.exhausted:
        assert polled(again) == []
    again.close()


def test_a_poll_returns_in_the_middle_of_a_line(
    tmp_path: Path,
    settings: StreamSettings,
    open_store: OpenStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever wants to stop is asked again and again; nothing is claimed of a file that
    was not read to its end.
    """
    monkeypatch.setattr(files, "_CHUNKS_AT_ONCE", 1)
    (tmp_path / "a.jsonl").write_bytes(lines("a1") + b"x" * 1_000_000 + b"\n")
    source = FileSource([str(tmp_path / "*.jsonl")], replace(settings, follow_poll_seconds=60.0))
    source.start(open_store())
    assert values_of(polled(source)) == [b"a1"]
    assert source.reflected_ms(once_applied={}) == {}
    assert polled(source) == []
    assert not source.exhausted
    assert len(drain(source)[0]) == 1


def test_empty_file(tmp_path: Path, settings: StreamSettings, open_store: OpenStore) -> None:
    """An empty file, plain or gzip, is nothing to read and no error."""
    (tmp_path / "a.jsonl").write_bytes(b"")
    (tmp_path / "b.jsonl").write_bytes(gzip.compress(b""))
    source = FileSource([str(tmp_path / "*.jsonl")], settings)
    source.start(open_store())
    assert drain(source) == ([], {})


def test_position_names_are_storable(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """The position is the absolute path with a fingerprint, and UTF-8 even where the
    path is not.
    """
    folder = tmp_path / "\udcff-ü"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(lines("a1"))

    source = FileSource([str(folder / "a.jsonl")], settings)
    source.start(open_store())
    _, positions = drain(source)
    (found,) = positions
    assert found.source.encode().startswith(str(tmp_path).encode())
    assert found.partition == 0


def test_pipes_are_not_resumed(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """What comes out of a pipe is always new, also where an earlier pipe of that name
    began in the same way; its position says that it is one.
    """
    path = tmp_path / "fifo"
    os.mkfifo(path)
    store = open_store()
    for content in (lines("a1", "a2", "a3", "a4"), lines("a1", "b2")):
        source = FileSource([str(path)], settings)
        source.start(store)
        source.poll(0.0)
        with path.open("wb") as writer:
            writer.write(content)
        values, positions = drain(source)
        assert values == content.splitlines()
        assert positions == {SourcePartition(f"{path}#pipe", 0): len(content)}
        (read,) = source.files_read
        assert (read.num_lines, read.is_pipe) == (len(values), True)
        apply_events(store.shard(0), [], positions=positions)


def test_following_a_fifo(tmp_path: Path, settings: StreamSettings, open_store: OpenStore) -> None:
    """A followed FIFO takes one writer after the other, each with its last line."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    source = FileSource([str(path)], settings, follow=True)
    source.start(open_store())
    for content in (b"a1\na2", b"b1\n"):
        source.poll(0.0)
        with path.open("wb") as writer:
            writer.write(content)
        expected = content.splitlines()
        assert poll_until(source, partial(is_sized, size=len(expected))) == expected
        source.poll(0.0)
    assert not source.exhausted
    source.close()


def test_reports_what_was_read_of_each_file(
    tmp_path: Path, settings: StreamSettings, open_store: OpenStore
) -> None:
    """Lines and first bytes of what this run read, and whether it was resumed."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines("a1", "a2"))
    store = open_store()
    source = FileSource([str(path)], settings, catalog_paths=[str(tmp_path / "*.jsonl")])
    source.start(store)
    _, positions = drain(source)
    (read,) = source.files_read
    assert (read.path, read.num_lines, read.head) == (path, 2, b"a1\na2\n")
    assert (read.from_start, read.is_pipe, read.is_catalog) == (True, False, True)

    apply_events(store.shard(0), [], positions=positions)
    path.write_bytes(lines("a1", "a2", "a3"))
    source = FileSource([str(path)], settings)
    source.start(store)
    drain(source)
    (read,) = source.files_read
    assert (read.num_lines, read.from_start, read.is_catalog) == (1, False, False)
