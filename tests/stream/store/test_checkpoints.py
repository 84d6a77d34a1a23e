"""Checkpoints of shards: round trips, damage, stale uploaders, pruning, places that
cannot be reached.
"""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.errors import (
    CheckpointDamaged,
    CheckpointRefused,
    CheckpointsUnavailable,
    SettingsInvalid,
    StoreUnreadable,
)
from stream.events.types import SourcePartition
from stream.metrics import StreamMetrics
from stream.settings import StreamSettings
from stream.store.checkpoints import Checkpoints
from stream.store.store import Store
from testing.histories import graph_hash
from testing.processes.owner import NUMBERS, apply_next, check_whole
from tests.stream.conftest import StartOwner

DEADLINE_SECONDS = 60.0

OpenMachine = Callable[..., Store]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a folder that is not there yet."""
    return f"file://{tmp_path}/checkpoints"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return the folder of shard 0's checkpoints."""
    return tmp_path / "checkpoints" / "shard-0000"


@pytest.fixture
def open_machine(tmp_path: Path, url: str) -> Iterator[OpenMachine]:
    """Return a function that opens the store of a machine by name.

    All share the checkpoints.
    """
    stores: list[Store] = []

    def open_one(
        name: str,
        every_seconds: float = 3600.0,
        metrics: StreamMetrics | None = None,
        url: str = url,
    ) -> Store:
        settings = StreamSettings(
            takeover_wait_seconds=0.05, checkpoints_url=url, checkpoint_every_seconds=every_seconds
        )
        stores.append(Store.create_or_open(tmp_path / name, settings, metrics=metrics))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


def run_on(store: Store, batches: int) -> Mapping[SourcePartition, int]:
    """Have a machine acquire the shard, apply batches and release it.

    Return where it began.
    """
    began = store.ownership.acquire(0)
    for _ in range(batches):
        apply_next(store)
    store.ownership.release(0)
    return began


def manifests(place: Path) -> list[str]:
    """Return the names of the checkpoints, the oldest first."""
    return sorted(path.name for path in place.glob("*.json"))


def files_of(place: Path, manifest: str) -> list[Path]:
    """Return the files that a checkpoint names."""
    shard = int(place.name.removeprefix("shard-"))
    checkpoint = Checkpoints(str(place.parent)).read(shard, manifest)
    return [place / "files" / file.sha256 for file in checkpoint.files]


def test_another_machine_goes_on_where_the_first_left_off(
    open_machine: OpenMachine, tmp_path: Path, place: Path
) -> None:
    """A released shard is restored elsewhere with its positions, to the byte of the
    graph's hash.
    """
    run_on(open_machine("one"), 20)
    second = open_machine("two")
    assert run_on(second, 0) == {NUMBERS: 20}

    check_whole(tmp_path / "two", 20)
    assert graph_hash(tmp_path / "two", second.settings) == graph_hash(
        tmp_path / "one", second.settings
    )
    assert manifests(place) == ["000001-000000000020.json"]
    assert sorted(path.name for path in place.glob("*.term")) == ["000001.term", "000002.term"]


def test_shard_goes_back_and_forth(open_machine: OpenMachine, tmp_path: Path) -> None:
    """Whoever gets it has all that the others did.

    From its own disk, or from a further checkpoint.
    """
    machines = [open_machine(name) for name in ("one", "two", "three")]
    turns = [0, 1, 0, 2, 2, 1, 0]
    for turn, machine in enumerate(turns):
        assert sum(run_on(machines[machine], 3).values()) == 3 * turn

    check_whole(tmp_path / "one", 3 * len(turns))


def test_what_lies_here_is_kept_where_it_is_as_far(open_machine: OpenMachine) -> None:
    """A checkpoint is fetched only where it helps."""
    registry = CollectorRegistry()
    store = open_machine("one", metrics=StreamMetrics(registry))
    run_on(store, 5)
    run_on(store, 5)

    assert registry.get_sample_value("freshet_stream_handovers_total", {"kind": "restored"}) == 0
    assert registry.get_sample_value("freshet_stream_handovers_total", {"kind": "opened"}) == 2
    assert registry.get_sample_value("freshet_stream_checkpoints_total") == 2


def test_other_file_systems_work_too(open_machine: OpenMachine, tmp_path: Path) -> None:
    """Any fsspec URL will do."""
    run_on(open_machine("one", url="memory://bucket/prefix"), 5)

    assert run_on(open_machine("two", url="memory://bucket/prefix"), 0) == {NUMBERS: 5}
    check_whole(tmp_path / "two", 5)


def test_unchanged_shard_is_not_put_there_again(open_machine: OpenMachine, place: Path) -> None:
    """A release without a write in between costs nothing."""
    run_on(open_machine("one"), 5)
    run_on(open_machine("two"), 0)

    assert manifests(place) == ["000001-000000000005.json"]


def test_files_are_put_there_once_and_old_ones_go(open_machine: OpenMachine, place: Path) -> None:
    """The newest two checkpoints are kept, with the files they need, each once."""
    store = open_machine("one")
    run_on(store, 10)
    first = {path.name: path.stat().st_mtime_ns for path in (place / "files").iterdir()}
    for _ in range(4):
        run_on(store, 1)
    kept = manifests(place)
    needed = {path for name in kept for path in files_of(place, name)}

    assert kept == ["000004-000000000013.json", "000005-000000000014.json"]
    assert set((place / "files").iterdir()) == needed
    assert [path.name for path in place.glob("*.term")] == ["000005.term"]
    shared = [path for path in needed if path.name in first]
    assert shared
    assert all(path.stat().st_mtime_ns == first[path.name] for path in shared)


def cut_short(path: Path) -> None:
    """Truncate a file."""
    path.write_bytes(path.read_bytes()[:-5])


def flip(path: Path) -> None:
    """Change a byte."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [cut_short, flip, Path.unlink], ids=["cut", "flipped", "missing"]
)
@pytest.mark.parametrize("what", ["manifest", "file"])
def test_damaged_checkpoint_is_passed_over(
    open_machine: OpenMachine,
    place: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    what: str,
) -> None:
    """The next older one is taken.

    What came since comes from the source again, and mends the place.
    """
    store = open_machine("one")
    run_on(store, 10)
    run_on(store, 5)
    older, newest = manifests(place)
    own = [path for path in files_of(place, newest) if path not in files_of(place, older)]
    damage(place / newest if what == "manifest" else max(own, key=lambda path: path.stat().st_size))
    second = open_machine("two")
    flipped_manifest = what == "manifest" and damage is flip
    began = second.ownership.acquire(0)[NUMBERS]
    assert began == 10 or flipped_manifest
    for _ in range(15 - began):
        apply_next(second)
    second.ownership.release(0)
    check_whole(tmp_path / "two", 15)

    assert run_on(open_machine("three"), 0) == {NUMBERS: 15}
    check_whole(tmp_path / "three", 15)


def test_only_damaged_checkpoints_are_no_empty_shard(
    open_machine: OpenMachine, place: Path
) -> None:
    """A shard is not silently begun anew where its checkpoints cannot be used."""
    run_on(open_machine("one"), 10)
    for path in (place / "files").iterdir():
        cut_short(path)

    with pytest.raises(StoreUnreadable, match=r"all checkpoints of shard 0 .* are damaged"):
        open_machine("two").ownership.acquire(0)
    assert run_on(open_machine("one"), 0) == {NUMBERS: 10}


def test_manifest_that_leads_out_of_the_folder(open_machine: OpenMachine, place: Path) -> None:
    """Names in a manifest are names of files, not paths."""
    run_on(open_machine("one"), 1)
    (name,) = manifests(place)
    (place / name).write_text((place / name).read_text().replace('"CURRENT"', '"../CURRENT"'))

    with pytest.raises(CheckpointDamaged, match="outside its folder"):
        Checkpoints(str(place.parent)).read(0, name)


def test_stale_uploader_is_refused(
    open_machine: OpenMachine, start_owner: StartOwner, url: str, place: Path, tmp_path: Path
) -> None:
    """A process that was paused while another machine got the shard puts nothing newer
    there.
    """
    paused = start_owner(tmp_path / "one", url)
    paused.ask("acquire")
    paused.ask("apply 500")
    paused.pause()
    run_on(open_machine("two"), 5)
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    paused.wake()

    assert paused.ask("release") == "ok"
    assert paused.leave() == 0
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert run_on(open_machine("three"), 0) == {NUMBERS: 5}


def test_two_claims_of_one_term(url: str, tmp_path: Path) -> None:
    """Where two machines claim at the same moment, the later mark counts."""
    first, second = Checkpoints(url), Checkpoints(url)
    claim = first.claim(0)
    (tmp_path / "checkpoints" / "shard-0000" / "000001.term").write_text("another")

    (tmp_path / "database").mkdir()
    with pytest.raises(CheckpointRefused):
        first.put(claim, tmp_path / "database", 1, {}, lambda: True)
    assert second.claim(0).term == 2


def test_lost_shard_leaves_no_checkpoint(
    open_machine: OpenMachine, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on its way when the shard is lost does not appear.

    Writing goes on meanwhile.
    """
    store = open_machine("one", every_seconds=0.01)
    held, begun = threading.Event(), threading.Event()
    describe = Checkpoints._describe

    def wait_first(self: Checkpoints, *arguments: Any) -> Any:
        begun.set()
        assert held.wait(DEADLINE_SECONDS)
        return describe(self, *arguments)

    monkeypatch.setattr(Checkpoints, "_describe", wait_first)
    store.ownership.acquire(0)
    apply_next(store)
    work_until(store, begun.is_set)
    assert apply_next(store) == 2
    store.ownership.lose(0)
    held.set()
    uploads = store.ownership._uploads
    assert uploads is not None
    assert uploads.wait(DEADLINE_SECONDS)

    assert manifests(place) == []
    assert [path.name for path in (store.root / "shard-0000").iterdir()] == ["e-000001"]


def work_until(store: Store, is_there: Callable[[], object]) -> None:
    """Rest between batches until something is there."""
    waiting = threading.Event()
    for _ in range(round(DEADLINE_SECONDS / 0.01)):
        store.ownership.run_due_work()
        if is_there():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come")


def test_checkpoints_are_made_now_and_then(open_machine: OpenMachine, place: Path) -> None:
    """Without any release, a killed machine costs no more than what came since."""
    store = open_machine("one", every_seconds=0.02)
    store.ownership.acquire(0)
    for _ in range(3):
        position = apply_next(store)
        work_until(store, (place / f"000001-{position:012d}.json").exists)

    assert open_machine("two").ownership.acquire(0) == {NUMBERS: 3}


def test_failures_are_counted_and_tried_again(open_machine: OpenMachine, place: Path) -> None:
    """A place that is away now and then costs no event and no process."""
    registry = CollectorRegistry()
    store = open_machine("one", every_seconds=0.02, metrics=StreamMetrics(registry))
    store.ownership.acquire(0)
    apply_next(store)
    shutil.rmtree(place / "files", ignore_errors=True)  # made with the first file
    (place / "files").touch()
    work_until(store, lambda: registry.get_sample_value("freshet_stream_checkpoint_failures_total"))
    (place / "files").unlink()
    (place / "files").mkdir()
    work_until(store, lambda: registry.get_sample_value("freshet_stream_checkpoints_total"))

    assert manifests(place)
    assert apply_next(store) == 2


def test_place_that_cannot_be_reached(open_machine: OpenMachine, tmp_path: Path) -> None:
    """A shard that is here goes on without.

    One that is not is not begun anew: that would lose events.
    """
    run_on(open_machine("one"), 5)
    shutil.rmtree(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").touch()

    with pytest.raises(CheckpointsUnavailable, match="cannot be reached") as caught:
        open_machine("two").ownership.acquire(0)
    assert caught.value.retriable
    store = open_machine("one")
    assert store.ownership.acquire(0) == {NUMBERS: 5}
    (tmp_path / "checkpoints").unlink()
    apply_next(store)
    store.ownership.release(0)
    assert manifests(tmp_path / "checkpoints" / "shard-0000") == ["000001-000000000006.json"]


def test_restore_that_was_cut_short(open_machine: OpenMachine, tmp_path: Path) -> None:
    """What a killed restore left is no shard, and goes with the next."""
    run_on(open_machine("one"), 5)
    second = open_machine("two")
    half = tmp_path / "two" / "shard-0000" / ".0.tmp"
    half.mkdir(parents=True)
    (half / "CURRENT").write_text("MANIFEST-000005\n")

    assert run_on(second, 0) == {NUMBERS: 5}
    assert [path.name for path in half.parent.iterdir()] == ["e-000001"]


def test_url_that_cannot_be_used(open_machine: OpenMachine) -> None:
    """A URL of an unknown kind refuses to start, by the setting's name."""
    with pytest.raises(SettingsInvalid, match="checkpoints_url"):
        open_machine("one", url="nonsense://bucket")
