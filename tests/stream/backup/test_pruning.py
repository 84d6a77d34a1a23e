"""Which backups stay, and that their files do."""

from pathlib import Path

import pytest

from stream.backup.repository import Backups
from stream.backup.writer import writing
from stream.clock import now_ms
from stream.errors import BackupDamaged
from testing.processes.owner import check_whole
from tests.stream.backup.conftest import BackUp, Grow, Restore


@pytest.fixture
def three(grow: Grow, back_up: BackUp) -> list[str]:
    """The ids of three backups, of 10, 20 and 30 batches."""
    ids = []
    for _ in range(3):
        grow(10)
        ids.append(back_up().backup.backup_id)
    return ids


def test_the_newest_stay_whole(
    three: list[str], backups: Backups, restore: Restore, tmp_path: Path
) -> None:
    """Files that only removed backups had are gone, all others are there."""
    with writing(backups) as writer:
        pruned = writer.prune(keep=2, oldest_ms=None)

    assert list(pruned.backup_ids) == three[:1]
    assert backups.ids() == three[1:]
    needed = {file.sha256 for name in three[1:] for file in backups.read(name).files}
    assert set(backups.objects.sizes("files")) == needed
    restore("older", three[1])
    restore("newest", three[2])
    check_whole(tmp_path / "older", 20)
    check_whole(tmp_path / "newest", 30)


def test_the_newest_is_never_removed(three: list[str], backups: Backups) -> None:
    """However old it is."""
    with writing(backups) as writer:
        writer.prune(keep=None, oldest_ms=now_ms() + 1000)

    assert backups.ids() == three[2:]


def test_by_age(three: list[str], backups: Backups) -> None:
    """Backups that were taken before a time go."""
    oldest_ms = backups.read(three[1]).taken_ms
    with writing(backups) as writer:
        writer.prune(keep=None, oldest_ms=oldest_ms)

    assert backups.ids() == three[1:]


def test_nothing_is_pruned_beside_a_manifest_that_nobody_can_read(
    three: list[str], backups: Backups, tmp_path: Path
) -> None:
    """Its files are unknown, so no file can be known to be unneeded."""
    (tmp_path / "backups" / "backups" / f"{three[1]}.json").write_bytes(b"torn")
    before = backups.objects.sizes("files")

    with writing(backups) as writer, pytest.raises(BackupDamaged, match="nothing is pruned"):
        writer.prune(keep=1, oldest_ms=None)
    assert backups.objects.sizes("files") == before
    assert backups.ids() == three
