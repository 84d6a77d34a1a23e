"""The drill: every disk is lost, a backup restored, and the source read on."""

import shutil
from pathlib import Path

import pytest

from stream.backup.create import create_backup
from stream.backup.repository import Backups
from stream.backup.restore import restored_store
from stream.clock import now_ms
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.store.last_backup import last_backup
from stream.store.store import Store
from testing.histories import graph_hash
from testing.processes.owner import NUMBERS, apply_next, check_whole
from tests.stream.backup.conftest import BackUp, Grow, Restore
from tests.stream.conftest import StartHolder


@pytest.mark.parametrize("place", ["file://{tmp_path}/backups", "memory://drill/{tmp_path.name}"])
def test_a_store_that_is_lost_while_it_is_written_comes_back_with_its_graph(
    tmp_path: Path, settings: StreamSettings, start_holder: StartHolder, place: str
) -> None:
    """Restored from a backup taken of a running writer, and read on from the positions
    inside, it has the hash of a store that was never lost.
    """
    root, backups = tmp_path / "store", Backups(place.format(tmp_path=tmp_path))
    writer = start_holder(root, "write")
    assert writer.stdout is not None
    while int(writer.stdout.readline()) < 200:
        pass
    made = create_backup(backups, root, settings, now_ms)
    writer.kill()
    writer.wait()
    shutil.rmtree(root)
    with restored_store(backups, backups.newest(), root, settings, now_ms()):
        assert not (root / "store.json").exists()

    with open_graph(root, settings) as graph:
        position = graph.positions()[0][NUMBERS]
    assert position >= 200
    check_whole(root, position)
    assert graph_hash(root, settings) == made.backup.store.graph_hash
    with (
        Store.create_or_open(root, settings) as store,
        Store.create_or_open(tmp_path / "plain", settings) as plain,
    ):
        while apply_next(store) < position + 50:
            pass
        while apply_next(plain) < position + 50:
            pass
    assert graph_hash(root, settings) == graph_hash(tmp_path / "plain", settings)


def test_a_restored_store_knows_how_old_it_is(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """Both the store that was backed up and the one that was restored name the
    backup.
    """
    root = grow(3)
    assert last_backup(root) is None
    made = back_up().backup
    restore("other")

    for folder in (root, tmp_path / "other"):
        found = last_backup(folder)
        assert found is not None
        assert (found.backup_id, found.taken_ms) == (made.backup_id, made.taken_ms)


def test_nothing_but_the_store_is_left(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """Neither a backup nor a restore leaves temporary files behind."""
    root = grow(30)
    back_up()
    restore("other")

    assert list((root / "scratch").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == [
        "backup.json",
        "shard-0000",
        "store.json",
    ]
    assert sorted(path.name for path in (tmp_path / "backups").iterdir()) == [
        "backups",
        "files",
        "running",
    ]
    assert list((tmp_path / "backups" / "running").iterdir()) == []


def test_a_second_backup_puts_only_what_is_new(grow: Grow, back_up: BackUp) -> None:
    """Data files never change: those that an earlier backup has stay as they are."""
    grow(100)
    first = back_up()
    grow(1)
    second = back_up()

    data = {file.name for file in first.backup.files if file.name.endswith(".sst")}
    assert data <= {file.name for file in second.backup.files}
    assert second.num_bytes_new < first.num_bytes_new
    assert first.num_bytes_new == first.backup.num_bytes


def test_an_older_backup_is_restored_by_its_id(
    grow: Grow, back_up: BackUp, restore: Restore, tmp_path: Path
) -> None:
    """Each backup is whole by itself, whatever came later."""
    grow(10)
    older = back_up().backup
    grow(10)
    back_up()
    restore("older", older.backup_id)
    restore("newest")

    check_whole(tmp_path / "older", 10)
    check_whole(tmp_path / "newest", 20)
