"""What writers put into feeds, and what readers make of it, whatever goes wrong."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stream.errors import FeedUnreadable, StoreWriteFailed
from stream.feed import Feed, FeedRead, ShardChanges, WriterMark, open_feed
from stream.feed.changes import KeyedTexts
from stream.feed.folder import FeedFolder
from stream.feed.writer import FeedWriter
from stream.settings import StreamSettings
from stream.shard.rocksdb import Database
from testing.histories import NOON_MS, apply_events, event
from tests.stream.conftest import OpenStore

FIRST, SECOND = "1a" * 16, "2b" * 16
MOST_BYTES = 64 * 1024


class World:
    """A shard's feed without the shard."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "feed" / "shard-0000"
        self.feed: Feed = open_feed(root)

    def writer(self, writer: str, mark: WriterMark, *, epoch: int = 1) -> FeedWriter:
        """Return a writer that opens the shard at a place."""
        return FeedWriter(
            self.folder,
            shard=0,
            epoch=epoch,
            writer=writer,
            mark=mark,
            watermark_ms=0,
            most_bytes=MOST_BYTES,
        )

    def sequences(self, since: WriterMark) -> list[int]:
        """Return which writes are read after a place; there is no gap."""
        read = self.read(since)
        assert read.gaps == {}
        return [each.sequence for each in read.changes]

    def read(self, since: WriterMark) -> FeedRead:
        """Read on from a place."""
        return self.feed.read({0: since})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a feed that nobody has written yet."""
    return World(tmp_path)


def write(writer: FeedWriter, *sequences: int, size: int = 1) -> None:
    """Write so many records, each with a name of so many bytes."""
    for sequence in sequences:
        name = KeyedTexts.of({sequence: "x" * size})
        writer.append(ShardChanges(shard=0, sequence=sequence, query_names=name))
        writer.commit((sequence, 7 * sequence))


def test_what_was_not_applied_is_never_read(world: World) -> None:
    """Neither while it is, nor after it was given up, nor after a kill."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1)
    writer.append(ShardChanges(shard=0, sequence=2))
    assert world.sequences(WriterMark()) == [1]
    writer.abandon()
    write(writer, 2)
    writer.append(ShardChanges(shard=0, sequence=3, event_ms=1))  # killed before the shard's
    other = world.writer(SECOND, WriterMark(FIRST, 2))
    assert world.sequences(WriterMark()) == [1, 2]
    write(other, 3)

    assert world.sequences(WriterMark()) == [1, 2, 3]
    assert other.take_gaps() == 0


def test_what_was_applied_before_a_kill_is_read_after_it(world: World) -> None:
    """Though the status was not written any more."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1)
    writer.append(ShardChanges(shard=0, sequence=2))  # and then the shard is written
    other = world.writer(SECOND, WriterMark(FIRST, 2))
    other.renew(0)

    assert world.sequences(WriterMark()) == [1, 2]


def test_what_a_power_cut_took_is_a_gap(world: World) -> None:
    """The shard has write 2; the log lost it."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1, 2)
    (log,) = world.folder.glob("*.log")
    os.truncate(log, log.stat().st_size - 5)
    other = world.writer(SECOND, WriterMark(FIRST, 2))
    write(other, 3)
    read = world.read(WriterMark(FIRST, 1))

    assert other.take_gaps() == 1
    assert read.changes == []
    assert "record of write 2 is missing" in read.gaps[0]
    assert not read.rewound
    assert world.sequences(WriterMark(FIRST, 2)) == [3]


def test_a_shard_that_went_back_is_told_and_read_from_before(world: World) -> None:
    """Such as one that came back from a checkpoint; nothing is claimed of before."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1, 2, 3)
    writer.renew(5000)
    other = world.writer(SECOND, WriterMark(FIRST, 1), epoch=2)
    write(other, 2)
    read = world.read(WriterMark(FIRST, 3))

    assert read.rewound
    assert read.marks == {0: WriterMark(FIRST, 3)}
    assert world.sequences(WriterMark(FIRST, 1)) == [2]
    assert world.read(WriterMark(FIRST, 1)).reflected_ms == 0


def test_who_lost_the_shard_does_not_speak_for_it(world: World) -> None:
    """Its status is of a lower epoch, and gone once the next one writes."""
    loser = world.writer(FIRST, WriterMark())
    write(loser, 1)
    owner = world.writer(SECOND, WriterMark(FIRST, 1), epoch=2)
    write(owner, 2)
    write(loser, 2)
    loser.renew(9000)

    assert world.sequences(WriterMark()) == [1, 2]
    assert world.read(WriterMark()).marks == {0: WriterMark(SECOND, 2)}
    assert world.read(WriterMark()).reflected_ms == 0


def test_the_claim_of_a_shard_that_is_opened_again_stays(world: World) -> None:
    """It is still so, and never becomes less."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1)
    writer.renew(5000)
    again = world.writer(SECOND, WriterMark(FIRST, 1))
    write(again, 2)
    again.renew(4000)
    read = world.read(WriterMark(FIRST, 1))

    assert (read.reflected_ms, read.watermark_ms) == (5000, 14)


def test_the_oldest_logs_go_first(world: World) -> None:
    """What is left is no more than may be, and is read; what went is a gap."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, *range(1, 101), size=2000)
    sizes = [path.stat().st_size for path in world.folder.glob("*.log")]
    read, followed = world.read(WriterMark()), world.sequences(WriterMark(FIRST, 90))

    assert len(sizes) > 4
    assert sum(sizes) <= MOST_BYTES + 4000
    assert writer.num_bytes == sum(sizes)
    assert "does not reach back" in read.gaps[0]
    assert followed == list(range(91, 101))


def test_logs_of_a_history_that_is_no_more_go(world: World) -> None:
    """Once the shard went back behind them."""
    first = world.writer(FIRST, WriterMark())
    write(first, 1)
    write(world.writer(SECOND, WriterMark(FIRST, 1)), 2)
    third = world.writer("3c" * 16, WriterMark(FIRST, 1))
    write(third, 2)

    assert {path.name[13:15] for path in world.folder.glob("*.log")} == {"1a", "3c"}


def test_a_disk_that_refuses_keeps_no_write_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is counted and a gap; what comes after it is read."""
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", lambda *_: 3)  # a full disk takes some bytes
        write(writer, 2, 3)
    write(writer, 4)

    assert writer.take_gaps() == 2
    assert writer.take_gaps() == 0
    assert world.sequences(WriterMark(FIRST, 3)) == [4]
    assert "write 2 is missing" in world.read(WriterMark(FIRST, 1)).gaps[0]


def test_a_read_stops_where_memory_should_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then nothing is claimed."""
    monkeypatch.setattr("stream.feed.reader._MOST_BYTES", 2500)
    writer = world.writer(FIRST, WriterMark())
    write(writer, 1, 2, 3, size=1200)
    writer.renew(5000)
    first = world.read(WriterMark())
    second = world.read(first.marks[0])

    assert [each.sequence for each in first.changes] == [1, 2]
    assert (first.has_more, first.reflected_ms) == (True, 0)
    assert [each.sequence for each in second.changes] == [3]
    assert (second.has_more, second.reflected_ms) == (False, 5000)


def test_a_read_that_stops_has_what_its_writes_make_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shard that was not come to has nothing; one that was read to its end has what
    its status says.
    """
    monkeypatch.setattr("stream.feed.reader._MOST_BYTES", 1500)
    for shard, sizes in ((0, (1,)), (1, (2000, 1)), (2, (1,))):
        writer = FeedWriter(
            tmp_path / "feed" / f"shard-000{shard}",
            shard=shard,
            epoch=1,
            writer=FIRST,
            mark=WriterMark(),
            watermark_ms=0,
            most_bytes=MOST_BYTES,
        )
        for number, size in enumerate(sizes, 1):
            name = KeyedTexts.of({number: "x" * size})
            told = 1000 * number + shard
            writer.append(
                ShardChanges(
                    shard=shard,
                    sequence=number,
                    written_ms=5000,
                    reflected_ms=told,
                    query_names=name,
                )
            )
            writer.commit((number, 7), told)
        writer.renew(9000 + shard)
    feed = open_feed(tmp_path)

    first = feed.read({})
    second = feed.read(first.marks)

    assert (first.has_more, first.reflected) == (True, {0: 9000, 1: 1001, 2: 0})
    assert first.reflected_ms == 0
    assert (second.has_more, second.reflected) == (False, {0: 9000, 1: 9001, 2: 9002})


def test_nothing_new_costs_no_look_at_a_log(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is new is read from where it begins."""
    writer, starts = world.writer(FIRST, WriterMark()), list[int]()
    write(writer, 1, size=5000)
    mark = world.read(WriterMark()).marks[0]
    read = FeedFolder.read

    def counted(self: FeedFolder, name: object, start: int, end: int | None = None) -> bytes:
        starts.append(start)
        return read(self, name, start, end)  # type: ignore[arg-type]

    monkeypatch.setattr(FeedFolder, "read", counted)
    for _ in range(3):
        assert world.read(mark).changes == []
    assert starts == []
    write(writer, 2)

    assert [each.sequence for each in world.read(mark).changes] == [2]
    assert min(starts) > 5000


def test_a_status_that_is_no_status_is_one_line(world: World) -> None:
    """It says where, and what to do."""
    write(world.writer(FIRST, WriterMark()), 1)
    (status,) = world.folder.glob("*.status")
    status.write_bytes(b"{")

    with pytest.raises(FeedUnreadable, match=r"cannot be read .* take a new snapshot"):
        world.read(WriterMark())


def test_a_store_without_a_feed_is_a_gap(tmp_path: Path) -> None:
    """Of every shard that is asked for."""
    read = open_feed(tmp_path).read({1: WriterMark(FIRST, 5)})

    assert read.gaps == {1: "no feed of it is kept"}
    assert (read.reflected_ms, read.marks) == (0, {1: WriterMark(FIRST, 5)})


def test_a_store_that_keeps_none_removes_what_there_was(
    open_store: OpenStore, settings: StreamSettings
) -> None:
    """It would not tell all; later writes are told again, behind a gap."""
    store = open_store()
    apply_events(store.shard(0), [event(ts_ms=NOON_MS)])
    marks = open_feed(store.root).read({}).marks
    store.close()
    store = open_store(settings=replace(settings, feed_bytes=0))
    apply_events(store.shard(0), [event("s-2", ts_ms=NOON_MS)])
    store.close()
    assert open_feed(store.root).read(marks).gaps == {0: "no feed of it is kept"}
    store = open_store()
    apply_events(store.shard(0), [event("s-3", ts_ms=NOON_MS)])

    assert "does not reach back" in open_feed(store.root).read(marks).gaps[0]


def test_a_write_that_the_shard_refuses_is_not_told(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And told once when it is tried again."""
    store = open_store()
    apply_events(store.shard(0), [event(ts_ms=NOON_MS)])
    feed = open_feed(store.root)
    marks = feed.read({}).marks
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", _refuse)
        with pytest.raises(StoreWriteFailed):
            apply_events(store.shard(0), [event("s-2", ts_ms=NOON_MS)])
        assert feed.read(marks).changes == []
    apply_events(store.shard(0), [event("s-2", ts_ms=NOON_MS)])
    read = feed.read(marks)

    assert (read.gaps, len(read.changes)) == ({}, 1)


def _refuse(*_: object) -> None:
    raise StoreWriteFailed("refused")
