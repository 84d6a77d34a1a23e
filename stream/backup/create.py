"""Makes a backup: everything else first, then the store, then the manifest."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from stream.backup.manifest import (
    FORMAT_VERSION,
    BackedUpArtifacts,
    Backup,
    new_backup_id,
)
from stream.backup.repository import Backups, OnBytes
from stream.backup.store_files import copied_store
from stream.backup.writer import LocalFile, writing
from stream.settings import StreamSettings
from stream.store.last_backup import LastBackup, note_backup
from stream.store.store import read_manifest

logger = logging.getLogger(__name__)

# Tries to put the generations there, where one is pruned meanwhile. A generation is
# pruned after `keep_generations` newer ones: the third try is that long later again.
_TRIES = 3


class ArtifactsCopy(NamedTuple):
    """What of an artifacts folder is backed up.

    Attributes:
        artifacts: what the manifest says of it.
        files: of it.
    """

    artifacts: BackedUpArtifacts
    files: Sequence[LocalFile]


class NewBackup(NamedTuple):
    """A backup that was made.

    Attributes:
        backup: its manifest.
        num_bytes_new: that were not at the URL before.
    """

    backup: Backup
    num_bytes_new: int


def create_backup(
    backups: Backups,
    root: Path,
    settings: StreamSettings,
    clock_ms: Callable[[], int],
    *,
    artifacts: Callable[[], ArtifactsCopy | None] = lambda: None,
    is_checked: bool = True,
    on_bytes: OnBytes = lambda _size: None,
) -> NewBackup:
    """Back up a store, also one that is written, and generations with it.

    The generations come first: what they were trained on is then in the store, too.

    Args:
        backups: where to.
        root: the store's folder.
        settings: `snapshot_timeout_seconds` is used.
        clock_ms: returns the time, UTC epoch milliseconds.
        artifacts: returns what of the generations is to be backed up, as of now; asked
            again where a file of it is gone before it was put there.
        is_checked: whether all of the store is read first.
        on_bytes: told of what is there.

    Raises:
        StoreError: there is no store, or it is damaged.
        SnapshotError: the process that holds it did not answer, or could not.
        BackupError: the URL cannot be used, is in use, or a generation is damaged.
        OSError: the store's disk refused.
    """
    store_id = read_manifest(root).store_id
    with writing(backups) as writer:
        known = writer.check_store(store_id)
        for number in range(1, _TRIES + 1):
            chosen = artifacts()
            try:
                put = writer.put_files(chosen.files if chosen else (), known, on_bytes)
                break
            except FileNotFoundError as error:
                if number == _TRIES:
                    raise
                logger.info("generation pruned meanwhile, taking the next one error=%s", error)
        taken_ms = clock_ms()
        with copied_store(root, settings, taken_ms, is_checked=is_checked) as copy:
            put_store = writer.put_files(copy.files, known, on_bytes)
        backup = Backup(
            format_version=FORMAT_VERSION,
            backup_id=new_backup_id(taken_ms),
            taken_ms=taken_ms,
            store=copy.store,
            artifacts=chosen.artifacts if chosen else None,
            files=(*put_store.files, *put.files),
        )
        writer.publish(backup)
    try:
        note_backup(root, LastBackup(backup_id=backup.backup_id, taken_ms=taken_ms))
    except OSError as error:  # the backup is safe, and only its age is not told of
        logger.warning("backup not noted in the store root=%s error=%s", root, error)
    logger.info("backup made url=%s backup=%s", backups.url, backup.backup_id)
    return NewBackup(backup, put.num_bytes_new + put_store.num_bytes_new)
