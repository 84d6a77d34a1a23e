"""Opening stores: what is pinned, who may write, what damage looks like."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from stream.errors import (
    StoreBusy,
    StoreError,
    StoreMismatch,
    StoreMissing,
    StoreUnreadable,
    StoreWriteFailed,
)
from stream.events.types import SourcePartition
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.fencing import current_folder
from stream.shard.reader import open_views
from stream.store.store import Store, read_manifest
from testing.histories import NOON_MS, apply_all, apply_events, event, graph_hash
from tests.stream.conftest import OpenStore, StartHolder, StartPython


def fill(store: Store, sessions: int = 3) -> None:
    """Apply some events."""
    apply_all(
        store,
        [event(f"s-{number}", item_id=f"i-{number % 5}") for number in range(sessions)],
        offset=9,
    )


def test_new_store_is_made_with_its_settings(open_store: OpenStore, tmp_path: Path) -> None:
    """What a store was made with is in ``store.json``."""
    store = open_store(num_shards=3)
    written = json.loads((tmp_path / "store" / "store.json").read_text())

    assert written == {
        "format_version": 2,
        "store_id": store.store_id,
        "num_shards": 3,
        "half_life_seconds": 2592000.0,
        "session_gap_seconds": 1800.0,
        "made_shards": [],
    }


@pytest.mark.parametrize("is_emptied", [False, True])
def test_a_shard_that_is_gone_is_not_read_as_an_empty_one(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path, *, is_emptied: bool
) -> None:
    """Nobody reads the rest as the whole graph, and what is missing is named; a shard
    that was never written to is missed by nobody.
    """
    store = open_store(num_shards=3)
    for index in (0, 2):
        apply_events(store.shard(index), [event(f"s-{index}")])
    store.close()
    before = graph_hash(store.root, settings)
    shard = tmp_path / "store" / "shard-0002"
    kept = shard.rename(tmp_path / "kept")
    if is_emptied:
        shard.mkdir()

    with pytest.raises(StoreUnreadable, match=r"has lost shard-0002.*freshet restore"):
        open_graph(store.root, settings)
    with pytest.raises(StoreUnreadable, match="has lost shard-0002"):
        take_snapshot(store.root, tmp_path / "snapshot", settings, NOON_MS)

    if is_emptied:
        shard.rmdir()
    kept.rename(shard)
    assert graph_hash(store.root, settings) == before


def test_a_shard_that_is_gone_is_made_again_from_its_source(
    open_store: OpenStore, settings: StreamSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever writes it begins it anew, and says so; then it is read again."""
    store = open_store()
    fill(store)
    store.close()
    before = graph_hash(store.root, settings)
    shutil.rmtree(store.root / "shard-0000")

    with open_store() as again:
        fill(again)

    assert "shard is gone" in caplog.text
    assert graph_hash(store.root, settings) == before


@pytest.mark.parametrize(("is_link", "what"), [(False, "a file"), (True, "a link to what is not")])
def test_a_store_is_not_made_where_a_file_is(
    open_store: OpenStore, tmp_path: Path, what: str, *, is_link: bool
) -> None:
    """It is said what is there, and what to give; the file stays."""
    path = tmp_path / "store"
    if is_link:
        path.symlink_to(tmp_path / "gone")
    else:
        path.write_text("notes")

    with pytest.raises(StoreMissing, match=f"store is {what}.*name a folder"):
        open_store()

    assert path.is_symlink() == is_link
    assert is_link or path.read_text() == "notes"


def test_store_reopens_as_it_was(open_store: OpenStore, settings: StreamSettings) -> None:
    """Facts, identity and shard count survive closing.

    The count need not be said again.
    """
    store = open_store(num_shards=2)
    fill(store)
    store.close()
    before = graph_hash(store.root, settings)
    again = open_store()

    assert (again.store_id, again.num_shards) == (store.store_id, 2)
    assert graph_hash(store.root, settings) == before


def test_other_settings_are_refused(open_store: OpenStore, settings: StreamSettings) -> None:
    """Another half-life is an error that names the store, both values and what to
    do.
    """
    store = open_store()
    store.close()

    with pytest.raises(StoreMismatch) as caught:
        open_store(settings=replace(settings, half_life_seconds=86400.0))
    message = str(caught.value)
    assert str(store.root) in message
    assert "half_life_seconds = 2592000.0, but 86400" in message
    assert "build a new store" in message


def test_store_grows_and_keeps_its_graph(open_store: OpenStore, settings: StreamSettings) -> None:
    """More shards change neither the graph nor what is written, also while another
    process writes and still knows of fewer.
    """
    store = open_store(num_shards=2)
    fill(store, 10)
    before = graph_hash(store.root, settings)
    other = open_store()
    other.grow(5)
    assert graph_hash(store.root, settings) == before
    assert (store.num_shards, read_manifest(store.root).num_shards) == (2, 5)
    fill(store, 20)
    store.close()
    fill(other, 30)

    assert {shard.index for shard in other.open_shards()} == set(range(5))
    with open_graph(store.root, settings) as graph:
        assert (graph.num_shards, graph.stats().sessions) == (5, 30)


def test_store_that_has_as_many_shards_stays_as_it_is(open_store: OpenStore) -> None:
    """Growing twice is growing once; growing to fewer is an error that says what to
    do.
    """
    store = open_store(num_shards=3)
    content = (store.root / "store.json").read_bytes()
    store.grow(3)
    assert open_store(num_shards=2).num_shards == 3
    with pytest.raises(StoreMismatch, match=r"has 3 shards, and cannot have only 2.*new store"):
        store.grow(2)
    with pytest.raises(StoreMismatch, match="9999 are the most"):
        store.grow(10_000)

    assert (store.root / "store.json").read_bytes() == content


def test_growing_that_is_cut_short_can_be_repeated(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there until the last moment is the store as it was; nothing stays
    locked.
    """
    store = open_store()

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("stream.store.manifest.replace_file", full)
        with pytest.raises(StoreWriteFailed, match="No space left"):
            store.grow(4)
    assert read_manifest(store.root).num_shards == 1
    store.grow(4)
    assert read_manifest(store.root).num_shards == 4


def test_manifest_that_is_older_than_its_shards(open_store: OpenStore) -> None:
    """Shards that ``store.json`` does not know of any more are an error, whose advice
    brings them back.
    """
    store = open_store(num_shards=2)
    old = (store.root / "store.json").read_bytes()
    store.grow(4)
    fill(store, 10)
    store.close()
    (store.root / "store.json").write_bytes(old)
    stale = open_store()
    with pytest.raises(StoreMismatch, match=r"reshard --store .* --shards 4"):
        stale.shard(1)
    stale.grow(4)

    made_as = stale.shard(1).format()
    assert made_as is not None
    assert made_as.num_shards == 4


def test_shard_outside_the_store_is_refused(open_store: OpenStore) -> None:
    """A shard that the store does not have is an error, not a new folder."""
    store = open_store(num_shards=2)

    with pytest.raises(StoreMismatch, match="shards 0 to 1, not 2"):
        store.shard(2)
    assert not (store.root / "shard-0002").exists()


def test_shard_folder_of_another_shard_is_refused(open_store: OpenStore) -> None:
    """A folder that was moved to another shard's name is recognised."""
    store = open_store(num_shards=2)
    fill(store, 10)
    store.close()
    shutil.rmtree(store.root / "shard-0001")
    shutil.copytree(store.root / "shard-0000", store.root / "shard-0001")

    with pytest.raises(StoreMismatch, match="'shard': 0"):
        open_store().shard(1)


def test_shard_opens_for_one_process_only(
    open_store: OpenStore, start_holder: StartHolder, tmp_path: Path
) -> None:
    """A shard that another process writes is busy, a retriable error that says so."""
    start_holder(tmp_path / "store", "idle")

    with pytest.raises(StoreBusy, match="open in another process") as caught:
        open_store().shard(0)
    assert caught.value.retriable


def test_killed_holder_leaves_no_lock(
    open_store: OpenStore, start_holder: StartHolder, tmp_path: Path
) -> None:
    """A shard whose writer was killed opens at once."""
    process = start_holder(tmp_path / "store", "idle")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert open_store().shard(0).state().sequence == 0


def test_closed_shard_opens_elsewhere(open_store: OpenStore) -> None:
    """A closed shard can be opened by another holder while its store stays open.

    The facts are there.
    """
    store = open_store()
    fill(store)
    store.close_shard(0)

    assert open_store().shard(0).state().num_facts == 3
    assert store.open_shards() == []


def test_missing_store_says_how_to_make_one(tmp_path: Path, settings: StreamSettings) -> None:
    """Reading where there is no store is an error with the path."""
    with pytest.raises(StoreMissing, match=str(tmp_path / "nowhere")):
        open_graph(tmp_path / "nowhere", settings)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format_version": "x"}', b"\xff"])
def test_damaged_manifest_is_unreadable(open_store: OpenStore, content: bytes) -> None:
    """A ``store.json`` that does not parse is an error, and is not replaced by a new
    one.
    """
    store = open_store()
    store.close()
    (store.root / "store.json").write_bytes(content)

    with pytest.raises(StoreUnreadable, match=r"store\.json cannot be read"):
        open_store()
    assert (store.root / "store.json").read_bytes() == content


def test_shards_without_a_manifest_are_no_new_store(open_store: OpenStore) -> None:
    """A lost ``store.json`` beside shards is damage, not a reason to make a new store
    over them.
    """
    store = open_store()
    fill(store)
    store.close()
    (store.root / "store.json").unlink()

    with pytest.raises(StoreUnreadable, match="has shards but no"):
        open_store()


def test_unknown_format_version_is_refused(open_store: OpenStore) -> None:
    """A store of a later layout is not touched, and the error names both versions."""
    store = open_store()
    store.close()
    content = (
        (store.root / "store.json").read_text().replace('"format_version":2', '"format_version":3')
    )
    (store.root / "store.json").write_text(content)

    with pytest.raises(StoreMismatch, match="format version 3, this version of Freshet reads 2"):
        open_store()


def test_unknown_shard_version_is_refused_by_readers(
    open_store: OpenStore, settings: StreamSettings
) -> None:
    """A shard of a later layout is refused by readers too."""
    store = open_store()
    later = codec.ShardFormat(3, 0, 1, settings.half_life_ms)
    store.shard(0).write(ShardWrite.of({codec.FORMAT_KEY: codec.pack_format(later)}))
    store.close()

    with pytest.raises(StoreMismatch, match="format version 3"):
        open_graph(store.root, settings)


def data_file(store: Store) -> Path:
    """Bring everything into files and return the largest."""
    store.shard(0).compact()
    store.close()
    return max(
        current_folder(store.root / "shard-0000").glob("*.sst"),
        key=lambda path: path.stat().st_size,
    )


def test_damage_is_found_by_scans(open_store: OpenStore, settings: StreamSettings) -> None:
    """A flipped block ends no scan silently.

    The hash of half a graph must never be printed.
    """
    store = open_store()
    fill(store, 2000)
    path = data_file(store)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)

    with (
        open_graph(store.root, settings) as graph,
        pytest.raises(StoreUnreadable, match="shard-0000"),
    ):
        graph.summary()


def test_a_file_is_no_store(settings: StreamSettings, tmp_path: Path) -> None:
    """A file or a pipe in a store's place is no damage of one."""
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(StoreMissing, match="fifo is no folder; give the folder of a store"):
        open_graph(tmp_path / "fifo", settings)


def test_shard_without_its_table_of_contents_is_damage(
    open_store: OpenStore, settings: StreamSettings
) -> None:
    """It is no shard that waits for its first write.

    The others' hash alone must never be printed.
    """
    store = open_store()
    fill(store, 10)
    data_file(store)
    (current_folder(store.root / "shard-0000") / "CURRENT").unlink()

    with pytest.raises(StoreUnreadable, match="no CURRENT"):
        open_graph(store.root, settings)


def test_store_in_use_is_told_before_its_place_is_taken(
    open_store: OpenStore, start_holder: StartHolder, tmp_path: Path
) -> None:
    """Joining a group would fence the process that has the store, so the store is asked
    first.
    """
    start_holder(tmp_path / "store", "idle")

    with pytest.raises(StoreBusy, match="open in another process"):
        open_store().check_free()


def test_store_that_is_free_stays_free(open_store: OpenStore) -> None:
    """Asking takes nothing, not even from the asker's own open shards."""
    store = open_store()
    store.shard(0)
    store.check_free()
    store.close()

    store.check_free()
    store.shard(0)


def test_damage_is_found_by_reads(open_store: OpenStore) -> None:
    """A flipped block under a record that a batch needs stops the batch."""
    store = open_store()
    fill(store, 2000)
    path = data_file(store)
    content = bytearray(path.read_bytes())
    for place in range(0, len(content) - 600, 100):
        content[place] ^= 0xFF
    path.write_bytes(content)

    with pytest.raises(StoreUnreadable, match="shard-0000"):
        fill(open_store(), 2000)


def test_cut_file_is_unreadable(open_store: OpenStore) -> None:
    """A truncated data file is found when the store is opened or first read."""
    store = open_store()
    fill(store, 2000)
    path = data_file(store)
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(StoreUnreadable, match="shard-0000"):
        fill(open_store(), 2000)


def test_missing_file_is_unreadable(open_store: OpenStore, settings: StreamSettings) -> None:
    """A lost data file is found by writer and reader."""
    store = open_store()
    fill(store)
    data_file(store).unlink()

    with pytest.raises(StoreUnreadable):
        open_store().shard(0)
    with pytest.raises(StoreError):
        graph_hash(store.root, settings)


def test_path_that_cannot_be_made_is_an_error(open_store: OpenStore, tmp_path: Path) -> None:
    """A store under a file is refused with the path."""
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnreadable, match="file/store"):
        open_store(tmp_path / "file" / "store")


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from testing.histories import apply_events
from stream.errors import StoreWriteFailed
from stream.events.types import SourcePartition
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import event

with Store.create_or_open(Path(sys.argv[1]), StreamSettings()) as store:
    shard = store.shard(0)
    apply_events(shard, [event()], [], {SourcePartition("x", 0): 1})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        for number in range(2, 100):
            events = [event(f"s-{number}-{place}") for place in range(50)]
            apply_events(shard, events, [], {SourcePartition("x", 0): number})
            print(number, flush=True)
    except StoreWriteFailed as error:
        print("refused:", error, flush=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def test_full_disk_applies_nothing_of_the_batch(
    open_store: OpenStore, start_python: StartPython, tmp_path: Path
) -> None:
    """When the disk refuses, the batch fails whole.

    Positions and facts stay those of the batch before.
    """
    output, errors = start_python(FULL_DISK, tmp_path / "store").communicate(timeout=60)
    *applied, refusal = output.splitlines()

    assert refusal.startswith("refused: "), errors
    assert "nothing of the batch was applied" in refusal
    shard = open_store().shard(0)
    last = int(applied[-1]) if applied else 1
    assert shard.positions() == {SourcePartition("x", 0): last}
    assert shard.state().num_facts == 1 + 50 * (last - 1)


def test_reader_sees_the_store_as_it_was_opened(
    open_store: OpenStore, settings: StreamSettings
) -> None:
    """A reader beside the writer keeps seeing one state, and a later reader sees the
    later one.
    """
    store = open_store()
    fill(store, 3)
    with open_graph(store.root, settings) as before:
        fill(store, 50)
        with open_graph(store.root, settings) as after:
            assert (before.stats().facts, after.stats().facts) == (3, 50)


def test_reader_misses_nothing_that_is_flushed_while_it_opens(
    open_store: OpenStore, settings: StreamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that becomes a data file after the table of contents was read is not lost
    to the reader.
    """
    store = open_store()
    fill(store, 30)
    copy, flushes = shutil.copyfile, [store.shard(0).compact]

    def copy_then_flush(source: Path, target: Path) -> None:
        copy(source, target)
        if flushes:
            flushes.pop()()

    monkeypatch.setattr(shutil, "copyfile", copy_then_flush)

    with open_graph(store.root, settings) as graph:
        assert graph.stats().facts == 30
    assert flushes == []


def test_readers_beside_a_busy_writer_see_whole_batches(
    start_holder: StartHolder, tmp_path: Path
) -> None:
    """Every reader opened while another process writes sees exactly the facts up to the
    position it sees.
    """
    settings = StreamSettings()
    process = start_holder(tmp_path / "store", "write")
    for _ in range(15):
        with open_graph(tmp_path / "store", settings) as graph:
            done = graph.positions()[0].get(SourcePartition("numbers", 0), 0)
            stats = graph.stats()
            assert stats.facts == sum(number % 7 for number in range(done))
            assert graph.watermark_ms is None or graph.watermark_ms < NOON_MS + done
    assert process.poll() is None
    process.communicate(timeout=60)

    assert process.returncode == 0


def test_reading_leaves_no_folder_behind(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader's own folder is gone when it is closed, also when opening fails."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    store = open_store()
    fill(store)
    graph_hash(store.root, settings)
    data_file(store).unlink()
    with pytest.raises(StoreUnreadable):
        open_views([store.root / "shard-0000"])

    assert list((tmp_path / "temporary").iterdir()) == []


def test_untouched_shards_read_as_empty(open_store: OpenStore, settings: StreamSettings) -> None:
    """Shards that no event was applied to yet do not stand in a reader's way, nor hold
    the watermark back.
    """
    store = open_store(num_shards=4)
    apply_events(store.shard(2), [event(ts_ms=NOON_MS)])
    apply_events(store.shard(3), [], [], {SourcePartition("x", 3): 1})

    with open_graph(store.root, settings) as graph:
        assert (graph.num_shards, graph.stats().facts, graph.watermark_ms) == (4, 1, NOON_MS)


def test_manifest_of_a_store_that_grew_a_field_still_opens(open_store: OpenStore) -> None:
    """A field that this version does not know is no reason to refuse."""
    store = open_store()
    store.close()
    path = store.root / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "note": "hello"}))

    assert read_manifest(store.root).store_id == store.store_id
