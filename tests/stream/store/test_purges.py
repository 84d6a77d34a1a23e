"""Purges: erased bytes leave every file of a store, in the background, whatever
happens meanwhile.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event as ThreadEvent
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.changes.apply import apply_batch
from stream.changes.erasure.erase import erase, lift
from stream.clock import now_ms
from stream.errors import CheckpointsUnavailable, StoreWriteFailed
from stream.events.columns import Texts, batch_of
from stream.events.types import CatalogItem, Erasure, SearchRecord, SourcePartition
from stream.feed import open_feed
from stream.feed.codec import pack_changes
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.shard import rocksdb
from stream.shard.locks import FileLock
from stream.shard.shard import Shard
from stream.store import purges
from stream.store.checkpoints import Checkpoint, Checkpoints
from stream.store.purge_log import AuditedPurge, audited_purges
from stream.store.store import Store
from stream.store.uploads import Uploads
from testing.histories import NOON_MS, apply_events, event
from tests.stream.conftest import OpenStore, StartPython

AT_ONCE = StreamSettings(purge_after_seconds=0.0)
# Random, so that compression keeps each as it is where it stands first.
USER, SESSION, QUERY = "q7Zt0Vw1-user", "kR3mXb9e-session", "jh5lp2ys query"
ITEM, TEXT = "D8nFc4Ga-item", "Wu6Ei1To-text"
MARKS = [mark.encode() for mark in (USER, SESSION, QUERY, ITEM, TEXT)]
ASKED = [
    Erasure(kind="user", id=USER, ts_ms=1),
    Erasure(kind="session", id=SESSION, ts_ms=1),
    Erasure(kind="item", id=ITEM, ts_ms=1),
]


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call looks for what is due."""
    monkeypatch.setattr(purges, "_LOOK_SECONDS", 0.0)


def fill(shard: Shard) -> None:
    """Put marks and others into a shard's files, in two levels, and into its log."""
    others = [event(f"s-{number}", item_id=f"i-{number}") for number in range(50)]
    apply_events(
        shard,
        [*others, event(SESSION, user_id=USER, query=QUERY, item_id=ITEM)],
        [CatalogItem(item_id=ITEM, title=TEXT, attributes={"by": TEXT}), CatalogItem(item_id="i")],
    )
    shard.compact()
    apply_events(shard, [event(SESSION, user_id=USER, query=f"more {QUERY}", item_id="i")])


def marks_in(root: Path) -> set[bytes]:
    """Return the marks that are in any file below a folder; what is removed meanwhile,
    a folder too, has none.
    """
    contents = []
    for folder, _, names in os.walk(root):  # passes over what is gone, unlike `rglob`
        for name in names:
            with suppress(FileNotFoundError):
                contents.append((Path(folder) / name).read_bytes())
    return {mark for mark in MARKS for content in contents if mark in content}


def run_due_work(store: Store, is_done: Callable[[], bool]) -> None:
    """Do what is due until something holds; the test's own timeout bounds it."""
    while not is_done():
        store.ownership.run_due_work()
        time.sleep(0.001)


def audited(store: Store) -> list[AuditedPurge]:
    """Return the audit of the first shard."""
    return list(audited_purges(store.shard(0)))


def is_purged(store: Store) -> bool:
    """Return whether the files of the first shard are purged of all that it erased."""
    return all(entry.files is not None for entry in audited(store))


def test_no_file_has_erased_bytes_after_a_purge(open_store: OpenStore) -> None:
    """Sessions, queries, items and their texts are in files until then, and in none
    after it; what others did is as it was.
    """
    store = open_store(settings=AT_ONCE)
    fill(store.shard(0))
    assert marks_in(store.root) == set(MARKS) - {MARKS[0]}  # of users keys alone are kept
    erase(store.shard(0), ASKED, 2)
    assert marks_in(store.root) == set(MARKS) - {MARKS[0]}
    before = store.shard(0).state()
    run_due_work(store, lambda: is_purged(store))

    assert marks_in(store.root) == set()
    assert store.shard(0).state() == before._replace(sequence=before.sequence + 1)
    assert all(now_ms() >= entry.files.done_ms > 2 for entry in audited(store) if entry.files)
    assert all(entry.checkpoints is None for entry in audited(store))
    assert len(list(store.shard(0).item_names())) == 51


def test_a_purged_feed_is_read_on_and_read_again(open_store: OpenStore) -> None:
    """Whoever follows it goes on where he was; whoever begins anew finds all but the
    texts.
    """
    store = open_store(settings=AT_ONCE)
    fill(store.shard(0))
    feed = open_feed(store.root)
    begun = feed.read({})
    erase(store.shard(0), ASKED, 2)
    run_due_work(store, lambda: is_purged(store))
    apply_events(store.shard(0), [event("s-1", "radio", "i-99")])
    followed, anew = feed.read(begun.marks), open_feed(store.root).read({})

    assert followed.gaps == anew.gaps == {}
    assert followed.marks == anew.marks
    later = anew.changes[len(begun.changes) :]
    assert list(map(pack_changes, later)) == list(map(pack_changes, followed.changes))
    assert [each.sequence for each in [*begun.changes, *followed.changes]] == [
        each.sequence for each in anew.changes
    ]
    names = {text for each in anew.changes for text in each.query_names.values()}
    names |= {text for each in anew.changes for text in each.item_names.values()}
    assert {"radio", "i-99", "i-1"} <= names
    assert not {QUERY, ITEM} & names
    assert not any(ITEM in str(each.catalog) for each in anew.changes)


def test_what_is_held_of_a_search_is_purged_with_its_visitor(open_store: OpenStore) -> None:
    """The text of a search, and an action that waits for another, are of
    the visitor who made them.
    """
    store = open_store(settings=AT_ONCE)
    texts = Texts()
    batch = batch_of(
        [replace(event(SESSION, user_id=USER, query="", item_id=ITEM), query_id="never-comes")],
        texts,
        searches=[SearchRecord(query_id="q-1", query=QUERY, user_ids=(USER,), ts_ms=NOON_MS)],
    )
    apply_batch(store.shard(0), batch, texts)
    store.shard(0).compact()
    assert {QUERY.encode(), ITEM.encode()} <= marks_in(store.root)
    erase(store.shard(0), ASKED[:1], 2)
    run_due_work(store, lambda: is_purged(store))

    assert marks_in(store.root) == set()


def test_erasures_wait_to_be_purged_together(open_store: OpenStore) -> None:
    """One purge an hour, for all that was erased until it began; a lifting is none."""
    store = open_store(settings=StreamSettings(purge_after_seconds=3600.0))
    shard = store.shard(0)
    fill(shard)
    erase(shard, ASKED[:1], now_ms())
    store.ownership.run_due_work()
    assert not is_purged(store)
    hours_ago = now_ms() - 2 * 3_600_000
    erase(shard, ASKED[1:], hours_ago)
    lift(shard, "item", ITEM, hours_ago)
    run_due_work(store, lambda: is_purged(store))

    assert len({entry.files for entry in audited(store)}) == 1
    lift(shard, "user", USER, hours_ago)
    sequence = shard.state().sequence
    for _ in range(3):
        store.ownership.run_due_work()
    assert shard.state().sequence == sequence


def test_what_is_due_is_done_by_whoever_opens_the_shard_next(open_store: OpenStore) -> None:
    """A store that was closed with something due does it when it is opened again."""
    store = open_store(settings=AT_ONCE)
    fill(store.shard(0))
    erase(store.shard(0), ASKED, 2)
    store.close()
    again = open_store(settings=AT_ONCE)
    again.shard(0)
    run_due_work(again, lambda: is_purged(again))

    assert marks_in(again.root) == set()


_KILLED = """
import os, signal, sys, time
from pathlib import Path
from stream.changes.erasure.erase import erase
from stream.events.types import Erasure
from stream.settings import StreamSettings
from stream.shard.rocksdb import Database
from stream.store.store import Store
from tests.stream.store.test_purges import ASKED, AT_ONCE, fill

rewrite = Database.rewrite
def killed(self, keys):
    if sys.argv[2] == "after":
        rewrite(self, keys)
    os.kill(os.getpid(), signal.SIGKILL)
store = Store.create_or_open(Path(sys.argv[1]), AT_ONCE)
fill(store.shard(0))
erase(store.shard(0), ASKED, 2)
Database.rewrite = killed
while True:
    store.ownership.run_due_work()
    time.sleep(0.001)
"""


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_in_the_middle_of_a_purge_loses_nothing(
    moment: str, tmp_path: Path, start_python: StartPython, open_store: OpenStore
) -> None:
    """Killed before the files are rewritten or after it: the purge is done again, and
    the shard is whole.
    """
    process = start_python(_KILLED, tmp_path / "store", moment)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    store = open_store(settings=AT_ONCE)
    assert [entry.files for entry in audited(store)] == [None] * 3
    run_due_work(store, lambda: is_purged(store))

    assert marks_in(store.root) == set()
    assert store.shard(0).state().facts.count == 50


@pytest.fixture
def held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadEvent]:
    """Hold every rewriting of files back while an event is cleared; it is set."""
    rewrite, let_on = rocksdb.Database.rewrite, ThreadEvent()
    let_on.set()

    def waiting(self: rocksdb.Database, keys: rocksdb.KeyRange) -> None:
        let_on.wait()
        rewrite(self, keys)

    monkeypatch.setattr(rocksdb.Database, "rewrite", waiting)
    yield let_on
    let_on.set()


def test_events_are_applied_while_a_shard_is_purged(
    open_store: OpenStore, held_back: ThreadEvent
) -> None:
    """The files are rewritten on a thread of their own; what is erased meanwhile is of
    the next purge.
    """
    store = open_store(settings=AT_ONCE)
    shard = store.shard(0)
    fill(shard)
    erase(shard, ASKED[:2], 2)
    held_back.clear()
    store.ownership.run_due_work()
    apply_events(shard, [event("s-new", item_id="new")])
    erase(shard, ASKED[2:], 3)
    held_back.set()
    run_due_work(store, lambda: is_purged(store))

    first, _, last = (entry.files for entry in audited(store))
    assert first is not None
    assert last is not None
    assert first.sequence < last.sequence
    assert marks_in(store.root) == set()
    assert [name for _, name in shard.item_names() if name == "new"]


def test_a_shard_is_purged_only_once_no_other_copy_is_left(open_store: OpenStore) -> None:
    """What is being uploaded, or held by a paused process, still has the bytes."""
    store = open_store(settings=AT_ONCE)
    fill(store.shard(0))
    erase(store.shard(0), ASKED, 2)
    held = store.root / "shard-0000" / ".held.tmp"
    held.mkdir()
    lock = FileLock(held / "OWNER")
    assert lock.try_acquire()
    for _ in range(3):
        store.ownership.run_due_work()
    assert not store.ownership.purge_now()
    assert not is_purged(store)
    lock.release()

    assert store.ownership.purge_now()
    assert is_purged(store)
    assert not held.exists()


def test_a_purge_that_fails_is_counted_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk stops neither the stream nor, once there is room, the purge."""
    registry = CollectorRegistry()

    def sample(name: str) -> float | None:
        return registry.get_sample_value(f"freshet_stream_{name}")

    def full(_self: object, _keys: object) -> None:
        raise StoreWriteFailed("no room")

    with Store.create_or_open(tmp_path, AT_ONCE, metrics=StreamMetrics(registry)) as store:
        fill(store.shard(0))
        erase(store.shard(0), ASKED, 2)
        monkeypatch.setattr(purges, "_RETRY_SECONDS", 0.0)
        with monkeypatch.context() as patch:
            patch.setattr(rocksdb.Database, "rewrite", full)
            run_due_work(store, lambda: bool(sample("purge_failures_total")))
        assert (sample("unpurged_seconds") or 0) > 0
        run_due_work(store, lambda: is_purged(store))
        store.ownership.run_due_work()

    assert (sample("purges_total"), sample("unpurged_seconds")) == (1, 0)


def test_a_large_shard_is_purged_in_parts(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing waits for the part that is being rewritten, and for no more."""
    rewritten: list[rocksdb.KeyRange] = []
    parts: list[rocksdb.KeyRange] = [(None, b"\x05"), (b"\x05", b"\x11"), (b"\x11", None)]
    shard = open_store().shard(0)
    monkeypatch.setattr(rocksdb.Database, "slices", lambda *_: parts)
    monkeypatch.setattr(rocksdb.Database, "rewrite", lambda _, keys: rewritten.append(keys))

    assert not shard.purge(lambda: not rewritten)
    assert rewritten == parts[:1]
    assert shard.purge(lambda: True)
    assert rewritten[1:] == parts


def ranges_join(ranges: Sequence[rocksdb.KeyRange]) -> bool:
    """Return whether ranges cover all keys without a gap."""
    ends = [None, *(end for _, end in ranges)]
    return all(begin == end for (begin, _), end in zip(ranges, ends, strict=False)) and not ends[-1]


def test_slices_cover_all_keys(tmp_path: Path) -> None:
    """However small they are asked for, together they are everything."""
    settings = StreamSettings(memtable_bytes=65536)
    database = rocksdb.Database.open(tmp_path / "db", settings)
    for number in range(4):
        puts = rocksdb.Puts()
        for key in range(200):
            puts.put(bytes([number, key]), os.urandom(100))
        database.write(puts)
        database.flush()

    assert ranges_join(database.slices(1))
    assert len(database.slices(1)) > 1
    assert database.slices(1 << 30) == [(None, None)]
    database.compact()
    assert ranges_join(database.slices(1))
    database.close()


@pytest.fixture
def kept(tmp_path: Path) -> StreamSettings:
    """Settings of a store whose checkpoints are kept in a folder."""
    return replace(AT_ONCE, checkpoints_url=f"file://{tmp_path}/kept", checkpoint_every_seconds=0.1)


def fill_and_keep(store: Store) -> Path:
    """Put marks into the first shard and into two checkpoints; return their folder."""
    for number in range(2):
        store.ownership.acquire(0)
        fill(store.shard(0))
        more = [event(f"s-more-{number}", item_id="i")]
        apply_events(store.shard(0), more, [], {SourcePartition("clicks", 0): number + 1})
        store.ownership.release(0)
    store.ownership.acquire(0)
    folder = store.root.parent / "kept"
    assert marks_in(folder) == set(MARKS) - {MARKS[0]}
    assert len(list(folder.rglob("0*.json"))) == 2
    return folder


def has_clean_checkpoints(store: Store) -> bool:
    """Return whether the checkpoints of the first shard are purged of all that it
    erased.
    """
    return all(entry.checkpoints is not None for entry in audited(store))


def test_checkpoints_are_replaced_by_ones_of_purged_files(
    open_store: OpenStore, kept: StreamSettings
) -> None:
    """No older one is left, and no file of theirs; what is restored has the erasure."""
    store = open_store(settings=kept)
    folder = fill_and_keep(store)
    erase(store.shard(0), ASKED, 2)
    run_due_work(store, lambda: has_clean_checkpoints(store))

    assert marks_in(folder) == marks_in(store.root) == set()
    for entry in audited(store):
        assert entry.files is not None
        assert entry.checkpoints is not None
        assert entry.files.has_checkpoints
        assert entry.checkpoints.done_ms >= entry.files.done_ms
    records = [entry.record for entry in audited(store)]
    store.close()
    other = open_store(root=store.root.parent / "other", settings=kept)
    other.ownership.acquire(0)
    assert [entry.record for entry in audited(other)] == records


def test_a_place_that_is_away_is_purged_once_it_is_back(
    open_store: OpenStore, kept: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the audit says that the checkpoints wait."""
    store = open_store(settings=kept)
    folder = fill_and_keep(store)
    erase(store.shard(0), ASKED, 2)
    put, failures = Checkpoints.put, [1, 2, 3]

    def away(self: Checkpoints, *arguments: Any, **named: Any) -> Checkpoint:
        if failures:
            failures.pop()
            raise CheckpointsUnavailable("away")
        return put(self, *arguments, **named)

    monkeypatch.setattr(Checkpoints, "put", away)
    run_due_work(store, lambda: is_purged(store))
    assert not has_clean_checkpoints(store)
    assert marks_in(folder)
    run_due_work(store, lambda: has_clean_checkpoints(store))

    assert not failures
    assert marks_in(folder) == set()


def test_checkpoints_that_were_left_are_replaced_by_the_next_owner(
    open_store: OpenStore, kept: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ended between the purge of the files and that of the checkpoints
    leaves it to whoever gets the shard.
    """
    store = open_store(settings=replace(kept, checkpoint_every_seconds=3600.0))
    folder = fill_and_keep(store)
    erase(store.shard(0), ASKED, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Uploads, "replace", lambda *_: None)
        run_due_work(store, lambda: is_purged(store))
        store.ownership.lose(0)
        assert marks_in(folder)
    store.ownership.acquire(0)
    run_due_work(store, lambda: has_clean_checkpoints(store))

    assert marks_in(folder) == set()
