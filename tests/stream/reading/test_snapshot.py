"""Snapshots of resting and of live stores, and what goes wrong with them."""

import errno
import json
import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from stream.errors import (
    SnapshotError,
    SnapshotExists,
    SnapshotRefused,
    SnapshotTimedOut,
    SnapshotUnreadable,
    StoreMismatch,
    StoreMissing,
)
from stream.events.types import CatalogItem, SourcePartition
from stream.feed import open_feed
from stream.reading.reader import open_graph
from stream.reading.snapshot import SnapshotInfo, read_manifest, serve_requests, take_snapshot
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import NOON_MS, apply_all, apply_events, dump, event, graph_hash
from tests.stream.conftest import OpenStore, StartHolder

TAKEN_MS = 1_790_000_000_000
HASTY = StreamSettings(snapshot_timeout_seconds=0.3)


def leftovers(store_root: Path) -> list[str]:
    """Return what is left in the mailbox of a store."""
    folder = store_root / "requests"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_snapshot_of_a_resting_store_is_the_store(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Manifest and graph of a snapshot are those of the store, over all its shards."""
    store = open_store(num_shards=3)
    apply_all(
        store,
        [event(f"s-{n}", item_id=f"i-{n % 4}", ts_ms=NOON_MS + n) for n in range(20)],
        offset=77,
    )
    apply_all(store, [event("s-1", "radio", "i-9", NOON_MS + 50)], offset=78)
    store.close()
    info = take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)

    assert read_manifest(tmp_path / "out") == info
    assert (
        info.graph_hash
        == graph_hash(store.root, settings)
        == graph_hash(tmp_path / "out", settings)
    )
    assert dump(tmp_path / "out", settings) == dump(store.root, settings)
    assert (info.counts.facts, info.counts.hyperedges, info.counts.incidences) == (21, 1, 2)
    assert (info.taken_ms, info.snapshot_id) == (
        TAKEN_MS,
        f"20260921T141320Z-{info.graph_hash[:8]}",
    )
    assert [shard.shard for shard in info.shards] == [0, 1, 2]
    assert sum(shard.sequence for shard in info.shards) == 4
    assert {offset for shard in info.shards for offset in shard.positions.values()} == {77, 78}
    assert info.watermark_ms == min(shard.watermark_ms for shard in info.shards)


def test_changes_since_a_snapshot_are_in_the_feed(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Its manifest says where in each shard's feed it is, also over a restart."""
    store = open_store(num_shards=2)
    apply_all(store, [event(f"s-{n}", item_id="a", ts_ms=NOON_MS + n) for n in range(9)])
    store.close()
    info = take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)
    marks = {shard.shard: shard.mark for shard in read_manifest(tmp_path / "out").shards}
    feed = open_feed(store.root)
    before = feed.read(marks)
    again = open_store(num_shards=2)
    apply_all(again, [event("s-1", "radio", "b", NOON_MS + 99)])
    after = feed.read(marks)

    assert all(shard.writer for shard in info.shards)
    assert (before.changes, before.gaps) == ([], {})
    assert after.gaps == {}
    assert [list(each.query_names.values()) for each in after.changes] == [["radio"]]


def test_snapshot_stays_as_it_was(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """What is applied later, and compaction, do not reach a snapshot."""
    store = open_store()
    apply_all(store, [event()])
    store.close()
    info = take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)
    later = open_store()
    apply_all(later, [event(f"s-{n}") for n in range(100)])
    later.shard(0).compact()

    assert graph_hash(tmp_path / "out", settings) == info.graph_hash


def test_manifest_is_protobuf_json(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Scripts find the contract's field names in ``manifest.json``."""
    store = open_store()
    apply_events(store.shard(0), [event()], [], {SourcePartition("freshet.clicks", 0): 12})
    store.close()
    take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)
    written = json.loads((tmp_path / "out" / "manifest.json").read_text())

    assert written["format_version"] == 2
    assert written["watermark_ms"] == str(NOON_MS)
    assert written["shards"][0]["positions"] == [{"source": "freshet.clicks", "next_offset": "12"}]
    assert written["action_weights"] == {"click": 1.0, "add-to-cart": 2.0, "purchase": 4.0}


def test_snapshot_of_an_empty_store(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """A store that nothing was applied to has a snapshot, without shards and with
    watermark 0.
    """
    store = open_store()
    info = take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)

    assert (info.shards, info.watermark_ms, info.counts.facts) == ((), 0, 0)
    assert dump(tmp_path / "out", settings) == []


def test_reading_a_snapshot_changes_nothing_in_it(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """A snapshot is immutable: reading adds, removes and rewrites no file."""
    store = open_store()
    apply_all(store, [event()])
    store.close()
    take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)

    def files() -> dict[str, tuple[int, int]]:
        found = (path for path in (tmp_path / "out").rglob("*"))
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = files()
    dump(tmp_path / "out", settings)

    assert files() == before


def test_snapshots_of_a_store_while_another_process_writes(
    start_holder: StartHolder, settings: StreamSettings, tmp_path: Path
) -> None:
    """Each snapshot holds exactly the batches up to its own position, and the writer
    goes on.
    """
    process = start_holder(tmp_path / "store", "write")
    infos = [
        take_snapshot(tmp_path / "store", tmp_path / f"out-{n}", settings, TAKEN_MS)
        for n in range(5)
    ]
    process.communicate(timeout=60)

    assert process.returncode == 0
    done = [info.shards[0].positions.get(SourcePartition("numbers", 0), 0) for info in infos]
    assert done == sorted(set(done))
    assert [info.counts.facts for info in infos] == [
        sum(n % 7 for n in range(count)) for count in done
    ]
    assert [info.shards[0].sequence for info in infos] == done
    assert leftovers(tmp_path / "store") == []


def test_requests_are_answered_once_and_only_for_open_shards(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """A holder answers for the shards it has; nothing waiting costs nothing."""
    store = open_store(num_shards=2)
    store.shard(0)
    requests = store.root / "requests"
    requests.mkdir()
    (requests / "abc.0.request").touch()
    (requests / "abc.1.request").touch()

    assert serve_requests(store) == 1
    assert serve_requests(store) == 0
    assert leftovers(store.root) == ["abc.0.done", "abc.1.request"]


def test_request_that_nobody_could_have_made_is_passed_over(open_store: OpenStore) -> None:
    """A stray file in the mailbox does not stop the stream."""
    store = open_store()
    store.shard(0)
    (store.root / "requests").mkdir()
    (store.root / "requests" / "stray.request").touch()

    assert serve_requests(store) == 0


def test_holder_that_does_not_answer(start_holder: StartHolder, tmp_path: Path) -> None:
    """A holder that hangs is a retriable error that names the store.

    No request and no folder is left.
    """
    start_holder(tmp_path / "store", "idle")

    with pytest.raises(SnapshotTimedOut, match=str(tmp_path / "store")) as caught:
        take_snapshot(tmp_path / "store", tmp_path / "out", HASTY, TAKEN_MS)
    assert caught.value.retriable
    assert leftovers(tmp_path / "store") == []
    assert not (tmp_path / "out").exists()


def test_holder_that_was_killed_is_not_waited_for(
    start_holder: StartHolder, settings: StreamSettings, tmp_path: Path
) -> None:
    """A store whose holder is dead is taken directly."""
    process = start_holder(tmp_path / "store", "idle")
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert take_snapshot(tmp_path / "store", tmp_path / "out", settings, TAKEN_MS).counts.facts == 0


def test_holder_that_leaves_while_it_is_waited_for(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """When the holder closes the store without answering, the snapshot is taken
    directly.
    """
    store = open_store()
    apply_all(store, [event()])
    infos: list[SnapshotInfo] = []
    requester = threading.Thread(
        target=lambda: infos.append(take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS))
    )
    requester.start()
    wait_for_request(store.root, requester)
    store.close()
    requester.join(timeout=60)

    assert [info.counts.facts for info in infos] == [1]


def wait_for_request(store_root: Path, requester: threading.Thread) -> None:
    """Return as soon as a request is in the mailbox."""
    while requester.is_alive() and not any(
        name.endswith(".request") for name in leftovers(store_root)
    ):
        requester.join(timeout=0.01)


def test_holder_that_cannot_make_the_checkpoint(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """The holder's reason reaches whoever asked, and the holder goes on."""
    store = open_store()
    apply_all(store, [event()])
    errors: list[SnapshotRefused] = []

    def ask() -> None:
        try:
            take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)
        except SnapshotRefused as error:
            errors.append(error)

    requester = threading.Thread(target=ask)
    requester.start()
    wait_for_request(store.root, requester)
    (name,) = leftovers(store.root)
    (store.root / "requests" / name.replace(".request", ".part")).write_text("in the way")
    serve_requests(store)
    requester.join(timeout=60)
    apply_all(store, [event("s-2")])

    assert "no checkpoint of" in str(errors[0])
    assert not (tmp_path / "out").exists()


def test_holder_that_cannot_even_say_why_goes_on(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes neither checkpoint nor refusal.

    Whoever asked times out, the holder goes on.
    """
    store = open_store()
    apply_all(store, [event()])
    requests = store.root / "requests"
    requests.mkdir()
    (requests / "ab.0.request").touch()
    (requests / "ab.0.part").write_text("in the way")

    def full(_path: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("stream.reading.snapshot.replace_file", full)

    assert serve_requests(store) == 1
    apply_all(store, [event("s-2")])


def test_what_dead_requesters_left_is_removed(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Old requests and answers go with the next snapshot.

    Fresh ones belong to somebody and stay.
    """
    store = open_store()
    apply_all(store, [event()])
    requests = store.root / "requests"
    requests.mkdir()
    for name in ("old.0", "new.0"):
        (requests / f"{name}.request").touch()
    serve_requests(store)
    store.close()
    (requests / "old.1.request").touch()
    for name in ("old.0.done", "old.1.request"):
        os.utime(requests / name, (1, 1))
    take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)

    assert leftovers(store.root) == ["new.0.done"]


def test_existing_folder_is_never_written(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """A snapshot does not go into a folder that exists."""
    store = open_store()
    (tmp_path / "out").mkdir()

    with pytest.raises(SnapshotExists, match="out exists already"):
        take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)


def test_snapshot_of_nothing(settings: StreamSettings, tmp_path: Path) -> None:
    """Without a store there is no snapshot, and no folder."""
    with pytest.raises(StoreMissing):
        take_snapshot(tmp_path / "nowhere", tmp_path / "out", settings, TAKEN_MS)
    assert not (tmp_path / "out").exists()


def test_snapshot_that_cannot_be_written(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """A path that cannot be a folder is an error of ours that names it."""
    store = open_store()
    (tmp_path / "file").write_text("")

    with pytest.raises(SnapshotError, match="file/out"):
        take_snapshot(store.root, tmp_path / "file" / "out", settings, TAKEN_MS)


@pytest.fixture
def snapshot(open_store: OpenStore, settings: StreamSettings, tmp_path: Path) -> Path:
    """Return a snapshot with a few facts and a catalogue item."""
    store = open_store()
    apply_events(store.shard(0), [event(), event(item_id="b")], [CatalogItem(item_id="a")], {})
    store.close()
    take_snapshot(store.root, tmp_path / "out", settings, TAKEN_MS)
    return tmp_path / "out"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format_version": "x"}', b"\xff\xfe", b'{"counts": 3}']
)
def test_damaged_manifest_is_unreadable(
    snapshot: Path, settings: StreamSettings, content: bytes
) -> None:
    """A manifest that does not parse is an error that names the snapshot."""
    (snapshot / "manifest.json").write_bytes(content)

    with pytest.raises(SnapshotUnreadable, match=str(snapshot)):
        open_graph(snapshot, settings)


@pytest.mark.parametrize("version", [1, 3])
def test_snapshot_of_another_version_is_refused(
    snapshot: Path, settings: StreamSettings, version: int
) -> None:
    """A manifest of another version, earlier or later, is refused by both versions'
    numbers.
    """
    path = snapshot / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 2', f'"format_version": {version}'))

    with pytest.raises(
        StoreMismatch, match=f"format version {version}, this version of Freshet reads 2"
    ):
        open_graph(snapshot, settings)


def test_lost_shard_is_found(snapshot: Path, settings: StreamSettings) -> None:
    """A shard that the manifest announces and the folder lacks is an error."""
    shutil.rmtree(snapshot / "shard-0000")

    with pytest.raises(SnapshotUnreadable, match="lacks shard-0000"):
        open_graph(snapshot, settings)


def test_manifest_is_missing(tmp_path: Path) -> None:
    """A folder without a manifest is no snapshot."""
    with pytest.raises(SnapshotUnreadable, match="no readable snapshot"):
        read_manifest(tmp_path)


def test_snapshot_keeps_the_stores_half_life(open_store: OpenStore, tmp_path: Path) -> None:
    """Whoever takes the snapshot need not be configured as the stream is."""
    store = open_store(settings=StreamSettings(half_life_seconds=86400.0))
    apply_all(store, [event(ts_ms=NOON_MS)])
    store.close()
    info = take_snapshot(store.root, tmp_path / "out", StreamSettings(), TAKEN_MS)

    assert info.half_life_seconds == 86400.0
    assert dump(tmp_path / "out", StreamSettings(), NOON_MS + 86_400_000)[0][
        "weight"
    ] == pytest.approx(0.5)


def test_snapshot_across_filesystems(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Where hard links are impossible the shards are copied, from a resting store and
    from a live one.
    """
    elsewhere = Path("/dev/shm") / f"freshet-{os.getpid()}"
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == tmp_path.stat().st_dev:
        elsewhere = tmp_path / "elsewhere"
    store = open_store()
    apply_all(store, [event()])
    try:
        serving = threading.Thread(target=serve_until_asked, args=(store,))
        serving.start()
        live = take_snapshot(store.root, elsewhere / "live", settings, TAKEN_MS)
        serving.join(timeout=60)
        store.close()
        resting = take_snapshot(store.root, elsewhere / "resting", settings, TAKEN_MS)
        assert graph_hash(elsewhere / "live", settings) == live.graph_hash == resting.graph_hash
    finally:
        shutil.rmtree(elsewhere)


def serve_until_asked(store: Store) -> None:
    """Answer requests until one was there."""
    waiting = threading.Event()
    while not serve_requests(store):
        waiting.wait(0.01)


def test_action_weights_are_those_of_the_reader(snapshot: Path, settings: StreamSettings) -> None:
    """A snapshot can be read with other action weights than it was taken with."""
    doubled = replace(settings, action_weights={"click": 2.0})

    assert [line["weight"] for line in dump(snapshot, doubled, NOON_MS)[:2]] == pytest.approx(
        [2.0, 2.0]
    )
