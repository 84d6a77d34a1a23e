"""Which folder of a shard is current, and who wins it.

Races, crashes, the flat layout, readers.
"""

import shutil
import threading
from pathlib import Path

import pytest

from stream.errors import StoreBusy, StoreFenced, StoreUnreadable, StoreWriteFailed
from stream.events.types import SourcePartition
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard.fencing import (
    OWNER_NAME,
    Lease,
    ScratchFolder,
    acquire_lease,
    begin_epoch,
    current_epoch,
    current_folder,
    has_database,
    is_free,
)
from stream.shard.locks import FileLock
from stream.store.store import Store
from testing.histories import apply_events, event, graph_hash
from tests.stream.conftest import OpenStore


def fill(store: Store, number: int) -> None:
    """Apply a batch that makes the shard's facts as many as its position says."""
    apply_events(
        store.shard(0), [event(f"s-{number}")], [], {SourcePartition("numbers", 0): number + 1}
    )


def names(shard: Path) -> list[str]:
    """Return what is in a shard's folder."""
    return sorted(path.name for path in shard.iterdir())


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """Return a path for a shard's folder."""
    return tmp_path / "shard-0000"


def lay_out_as_before(store: Store) -> Path:
    """Put a closed store's shard where earlier versions had it.

    In the shard's own folder.
    """
    shard = store.root / "shard-0000"
    folder = current_folder(shard)
    (folder / OWNER_NAME).unlink()
    for path in folder.iterdir():
        path.rename(shard / path.name)
    folder.rmdir()
    (store.root / "shard-0000.lock").touch()
    return shard


def test_a_new_shard_begins_with_the_first_epoch(shard: Path) -> None:
    """It is won once, and goes on in the same epoch when it was released."""
    lease = acquire_lease(shard)

    with pytest.raises(StoreBusy, match=r"open in another process \(pid \d+ on "):
        acquire_lease(shard)
    lease.release()
    assert (lease.number, acquire_lease(shard).number, names(shard)) == (1, 1, ["e-000001"])


def test_entitled_contender_takes_over_and_fences(shard: Path) -> None:
    """A process that may take over does not wait for ever.

    Whoever had the shard is not current any more.
    """
    first = acquire_lease(shard)
    second = acquire_lease(shard, may_take_over=True)

    assert (first.is_current, second.is_current, second.number) == (False, True, 2)
    second.remove_stale_epochs()
    assert names(shard) == ["e-000001", "e-000002"]
    first.release()
    assert names(shard) == ["e-000002"]


def test_one_of_many_contenders_wins_each_epoch(shard: Path) -> None:
    """However they race, no two have one epoch, one is current, and
    who lost is busy.
    """
    paused = acquire_lease(shard)
    start = threading.Barrier(8)
    won: list[Lease] = []
    lost: list[StoreBusy] = []

    def contend() -> None:
        start.wait()
        try:
            won.append(acquire_lease(shard, 0.05, may_take_over=True))
        except StoreBusy as error:
            lost.append(error)

    threads = [threading.Thread(target=contend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    numbers = [lease.number for lease in won]
    assert len(won) + len(lost) == 8
    assert won
    assert len(set(numbers)) == len(numbers)
    assert [lease.number for lease in won if lease.is_current] == [max(numbers)]
    assert not paused.is_current


def test_lower_epoch_that_appears_late_is_not_won(shard: Path) -> None:
    """Whoever was slow finds a higher epoch, and has not fenced anybody."""
    acquire_lease(shard).release()
    winner = begin_epoch(shard, 5, lambda _: None)

    assert begin_epoch(shard, 4, lambda _: None) is None
    assert winner is not None
    assert (winner.is_current, names(shard)) == (True, ["e-000001", "e-000005"])
    assert begin_epoch(shard, 5, lambda _: None) is None


def test_failure_while_an_epoch_is_filled_leaves_the_old_one(shard: Path) -> None:
    """What goes wrong half-way leaves no trace."""
    acquire_lease(shard).release()

    def refuse(folder: Path) -> None:
        (folder / "CURRENT").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreWriteFailed, match="No space left"):
        begin_epoch(shard, 2, refuse)
    assert names(shard) == ["e-000001"]


def test_what_killed_processes_left_goes(open_store: OpenStore, settings: StreamSettings) -> None:
    """A takeover or a restore that was cut short, and a folder half removed, go with
    the next owner.
    """
    store = open_store()
    fill(store, 0)
    store.close()
    shard = store.root / "shard-0000"
    before = graph_hash(store.root, settings)
    for name in (".0.tmp", ".1.tmp"):
        shutil.copytree(shard / "e-000001", shard / name)
    (shard / ".1.tmp" / OWNER_NAME).unlink()
    (shard / ".0.tmp" / "CURRENT").unlink()
    (shard / ".2.tmp").mkdir()
    alive = ScratchFolder(shard)

    assert graph_hash(store.root, settings) == before
    fill(open_store(), 1)
    assert names(shard) == sorted([alive.folder.name, "e-000001"])


def test_paused_between_copy_and_flip(open_store: OpenStore) -> None:
    """Whoever is killed before its rename has taken nothing.

    The holder goes on writing.
    """
    store = open_store()
    fill(store, 0)
    shard = store.root / "shard-0000"
    shutil.copytree(shard / "e-000001", shard / ".0.tmp")

    fill(store, 1)
    assert store.shard(0).positions() == {SourcePartition("numbers", 0): 2}


def test_copy_misses_nothing_that_is_flushed_while_it_is_made(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that becomes a data file after the table of contents was copied is not lost
    to the new owner.
    """
    old, new = open_store(), open_store(settings=StreamSettings(takeover_wait_seconds=0.0))
    old.ownership.acquire(0)
    for number in range(30):
        fill(old, number)
    copy, flushes = shutil.copyfile, [old.shard(0).compact]

    def copy_then_flush(source: Path, target: Path) -> None:
        copy(source, target)
        if flushes:
            flushes.pop()()

    monkeypatch.setattr(shutil, "copyfile", copy_then_flush)

    assert new.ownership.acquire(0) == {SourcePartition("numbers", 0): 30}
    assert new.shard(0).state().num_facts == 30
    assert flushes == []


def test_fenced_shard_refuses_every_use(open_store: OpenStore, tmp_path: Path) -> None:
    """Writing and copying are refused, closing is not, and the
    message says what to do.
    """
    store = open_store()
    fill(store, 0)
    acquire_lease(store.root / "shard-0000", may_take_over=True).release()

    with pytest.raises(
        StoreFenced, match=r"took over .*shard-0000.* start this one again"
    ) as caught:
        fill(store, 1)
    assert (caught.value.shard, caught.value.retriable) == (0, True)
    with pytest.raises(StoreFenced):
        store.shard(0).checkpoint(tmp_path / "copy")
    store.close()
    assert open_store().shard(0).positions() == {SourcePartition("numbers", 0): 1}


def test_store_of_the_flat_layout_opens(open_store: OpenStore, settings: StreamSettings) -> None:
    """Readers read it as it is.

    The first writer moves it into an epoch, and nothing is lost.
    """
    store = open_store()
    for number in range(20):
        fill(store, number)
    store.close()
    before = graph_hash(store.root, settings)
    shard = lay_out_as_before(store)

    assert has_database(shard)
    assert graph_hash(store.root, settings) == before
    later = open_store()
    fill(later, 20)
    assert later.shard(0).state().num_facts == 21
    assert names(shard) == ["e-000001"]
    assert not (store.root / "shard-0000.lock").exists()


def test_store_of_the_flat_layout_that_is_held(open_store: OpenStore) -> None:
    """A process of the earlier version keeps others out, is taken over like any, and
    keeps its files.
    """
    store = open_store(settings=StreamSettings(takeover_wait_seconds=0.0))
    fill(store, 0)
    store.close()
    shard = lay_out_as_before(store)
    lock = FileLock(store.root / "shard-0000.lock")
    lock.try_acquire()
    with pytest.raises(StoreBusy):
        store.shard(0)

    assert store.ownership.acquire(0) == {SourcePartition("numbers", 0): 1}
    assert (shard / "CURRENT").exists()
    store.close()
    lock.release()
    store.shard(0)
    assert names(shard) == ["e-000001"]


def test_lost_table_of_contents_is_no_new_shard(open_store: OpenStore) -> None:
    """Damage in the flat layout does not turn into an empty first epoch."""
    store = open_store()
    fill(store, 0)
    store.shard(0).compact()
    store.close()
    (lay_out_as_before(store) / "CURRENT").unlink()

    with pytest.raises(StoreUnreadable, match="no CURRENT"):
        open_store().shard(0)


def test_is_free(shard: Path) -> None:
    """A shard is free until it is won, and again afterwards; asking makes nothing."""
    assert is_free(shard, 0.0)
    assert not shard.exists()
    lease = acquire_lease(shard)
    assert not is_free(shard, 0.0)
    lease.release()
    assert is_free(shard, 0.0)


def test_readers_while_a_shard_changes_hands(tmp_path: Path) -> None:
    """Every reader sees whole batches, and never an empty shard, while it is taken over
    again and again.
    """
    settings = StreamSettings(takeover_wait_seconds=0.0)
    root = tmp_path / "store"
    stores = [Store.create_or_open(root, settings) for _ in range(2)]
    stores[0].ownership.acquire(0)
    fill(stores[0], 0)
    done = threading.Event()

    def hand_over() -> None:
        number = 1
        while not done.is_set():
            taker = stores[number % 2]
            assert sum(taker.ownership.acquire(0).values()) == number
            fill(taker, number)
            number += 1

    thread = threading.Thread(target=hand_over)
    thread.start()
    try:
        for _ in range(30):
            with open_graph(root, settings) as graph:
                assert (
                    graph.stats().facts == graph.positions()[0][SourcePartition("numbers", 0)] > 0
                )
    finally:
        done.set()
        thread.join(timeout=60)
        for store in stores:
            store.close()
    assert current_epoch(root / "shard-0000") > 2
    assert len(names(root / "shard-0000")) == 1
