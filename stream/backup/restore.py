"""Restores the store of a backup, with what was erased since taken out of it."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream.backup.manifest import BackedUpFile, Backup
from stream.backup.placing import fetch_files, put_in_place, unfinished
from stream.backup.repository import Backups, OnBytes, file_name
from stream.backup.store_files import read_erasures
from stream.changes.erasure.erase import erase
from stream.errors import PARSE_ERRORS, BackupDamaged, BackupMismatch, StoreError
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard.fencing import epoch_folder
from stream.store.checkpoints import NotedErasure
from stream.store.last_backup import LastBackup, note_backup
from stream.store.store import MANIFEST_NAME, Store, read_manifest

logger = logging.getLogger(__name__)

_FIRST_EPOCH = 1  # 0 is the flat layout of earlier stores, which whoever opens it copies


class RestoredStore(NamedTuple):
    """What was restored.

    Attributes:
        num_erased: erasures of after the backup that were carried out in it.
        num_erased_facts: facts that they took.
    """

    num_erased: int
    num_erased_facts: int


@contextmanager
def restored_store(
    backups: Backups,
    backup: Backup,
    root: Path,
    settings: StreamSettings,
    now_ms: int,
    *,
    on_bytes: OnBytes = lambda _size: None,
) -> Iterator[RestoredStore]:
    """Yield once the store of a backup is fetched and verified, and put it in place at
    the end of the context; an error in it leaves the folder without.

    The folder is empty or not there yet.

    Whoever opens it reads on at the positions inside. What later backups know to be
    erased, or was noted by `freshet erase --store`, is erased before it is put in
    place; what the erasures topic says comes again from there.

    Args:
        backups: where the backup is.
        backup: one of them.
        root: the store's folder.
        settings: how it is opened.
        now_ms: the time, for the audit.
        on_bytes: told of what is fetched.

    Raises:
        RestoreRefused: `root` is not empty, or cannot hold it; nothing was touched.
        BackupDamaged: a file is not what the manifest says; nothing was put in place.
        BackupsUnavailable: the URL cannot be reached.
    """
    erasures = _erased_since(backups, backup)
    with unfinished(root) as folder:
        files = [_in_epoch(file) for file in backup.files_of("store")]
        fetch_files(backups, files, folder, on_bytes)
        restored = _checked(folder, backup, settings, erasures, now_ms)
        yield restored
        note_backup(folder, LastBackup(backup_id=backup.backup_id, taken_ms=backup.taken_ms))
        put_in_place(folder, MANIFEST_NAME)
    logger.info("store restored root=%s backup=%s", root, backup.backup_id)


def _in_epoch(file: BackedUpFile) -> BackedUpFile:
    """Return where a file is restored: that of a shard, into its first epoch."""
    shard, slash, name = file.name.partition("/")
    if not slash or not shard.startswith("shard-"):
        return file
    folder = epoch_folder(Path(shard), _FIRST_EPOCH)
    return msgspec.structs.replace(file, name=f"{folder}/{name}")


def _erased_since(backups: Backups, backup: Backup) -> list[NotedErasure]:
    """Return the erasures that notes or the newest backup know of: an erasure stays in
    a store, and so in its backups, until it is lifted.

    Raises:
        BackupDamaged: what is known cannot be read: a restore must not leave it out
            without a word.
    """
    found = {(each.kind, each.key): each for each in backups.noted_erasures()}
    newest_id = max(backups.ids(), default=backup.backup_id)
    if newest_id > backup.backup_id:
        try:
            newest = backups.read(newest_id)
            for file in newest.files_of("erasures"):
                for each in read_erasures(backups.objects.read(file_name(file.sha256))):
                    found.setdefault((each.kind, each.key), each)
        except (BackupDamaged, BackupMismatch, *PARSE_ERRORS) as error:
            raise BackupDamaged(
                f"what was erased after backup {backup.backup_id} is not known, because the "
                f"newest backup {newest_id} cannot be read ({error}); mend or remove its "
                "manifest, restore, and repeat the erasures since with freshet erase"
            ) from error
    return list(found.values())


def _checked(
    folder: Path,
    backup: Backup,
    settings: StreamSettings,
    erasures: Sequence[NotedErasure],
    now_ms: int,
) -> RestoredStore:
    """Check that what was fetched is the store that the manifest describes, and erase
    in it what is to be.

    Raises:
        BackupDamaged: it is not.
    """
    try:
        with open_graph(folder, settings) as graph:
            recorded, positions = graph.recorded_hash(), graph.positions()
        expected = {each.shard: each.offsets() for each in backup.store.shards}
        if (recorded, positions) != (backup.store.graph_hash, expected):
            raise BackupDamaged(
                f"backup {backup.backup_id} does not hold the graph that its manifest names, and "
                "nothing was put in place; restore another one"
            )
        return _erase(folder, backup, settings, erasures, now_ms)
    except StoreError as error:
        raise BackupDamaged(
            f"backup {backup.backup_id} holds a store that cannot be opened ({error}), and "
            "nothing was put in place; restore another one"
        ) from error


def _erase(
    folder: Path,
    backup: Backup,
    settings: StreamSettings,
    erasures: Sequence[NotedErasure],
    now_ms: int,
) -> RestoredStore:
    if not erasures:
        return RestoredStore(0, 0)
    manifest = read_manifest(folder)
    # No feed: whoever opens the store begins one. No checkpoints: those of the store
    # that was lost may be ahead, and whoever is given a shard sees to that.
    opened = replace(
        settings,
        half_life_seconds=manifest.half_life_seconds,
        session_gap_seconds=manifest.session_gap_seconds,
        feed_bytes=0,
        checkpoints_url="",
    )
    new: set[tuple[str, str]] = set()
    num_facts = 0
    with Store.create_or_open(folder, opened) as store:
        for shard in (store.shard(each.shard) for each in backup.store.shards):
            marked = [each for each in erasures if shard.mark_erased(each.tombstone)]
            if marked:
                new.update((each.kind, each.key) for each in marked)
                num_facts += erase(shard, [], now_ms)
        if new:
            store.ownership.purge_now()
    return RestoredStore(len(new), num_facts)
