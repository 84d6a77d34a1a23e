"""A store with a known graph, and the place of its backups."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stream.backup.create import NewBackup, create_backup
from stream.backup.repository import Backups
from stream.backup.restore import RestoredStore, restored_store
from stream.clock import now_ms
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.processes.owner import apply_next

Grow = Callable[[int], Path]
BackUp = Callable[[], NewBackup]
Restore = Callable[..., RestoredStore]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a folder that is not there yet."""
    return f"file://{tmp_path}/backups"


@pytest.fixture
def backups(url: str) -> Backups:
    """Return the backups at the URL."""
    return Backups(url)


@pytest.fixture
def grow(tmp_path: Path, settings: StreamSettings) -> Grow:
    """Return a function that applies so many more numbered batches to the store, which
    nobody has open then, and returns its folder.
    """

    def apply(batches: int) -> Path:
        with Store.create_or_open(tmp_path / "store", settings) as store:
            for _ in range(batches):
                apply_next(store)
        return tmp_path / "store"

    return apply


@pytest.fixture
def back_up(backups: Backups, tmp_path: Path, settings: StreamSettings) -> BackUp:
    """Return a function that backs the store up."""
    return lambda: create_backup(backups, tmp_path / "store", settings, now_ms)


@pytest.fixture
def restore(backups: Backups, tmp_path: Path, settings: StreamSettings) -> Restore:
    """Return a function that restores a backup, the newest by default, into a
    folder of that name.
    """

    def put_back(name: str, backup_id: str | None = None) -> RestoredStore:
        backup = backups.read(backup_id) if backup_id else backups.newest()
        with restored_store(backups, backup, tmp_path / name, settings, now_ms()) as restored:
            pass
        return restored

    return put_back
