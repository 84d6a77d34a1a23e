"""Backs up and restores generations with the backups of a store."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from freshet.backup.artifact_files import POINTER_NAME, check_restored, files_to_back_up
from model.errors import ArtifactError
from stream.backup.create import ArtifactsCopy
from stream.backup.manifest import BackedUpArtifacts, Backup
from stream.backup.placing import fetch_files, put_in_place, unfinished
from stream.backup.repository import Backups, OnBytes
from stream.backup.writer import LocalFile
from stream.errors import BackupDamaged, BackupMissing
from stream.scratch import temporary_folder


@contextmanager
def artifacts_copies(
    root: Path, store: Path, *, is_live_only: bool
) -> Iterator[Callable[[], ArtifactsCopy | None]]:
    """Yield a function that returns what of an artifacts folder is to be backed up now.

    Args:
        root: the artifacts folder.
        store: has room for temporary files where the system has none.
        is_live_only: leave out the generations that are not live.
    """
    with temporary_folder("freshet-backup-", store) as scratch:

        def copy() -> ArtifactsCopy | None:
            found = files_to_back_up(root, scratch, is_live_only=is_live_only)
            if found is None:
                return None
            described = BackedUpArtifacts(
                generation_id=found.generation_id,
                generation_ids=found.generation_ids,
                overlay_sequence=found.overlay_sequence,
                reflected_ms=found.reflected_ms,
            )
            files = [
                LocalFile("artifacts", name, file.path, file.sha256)
                for name, file in found.files.items()
            ]
            return ArtifactsCopy(described, files)

        yield copy


@contextmanager
def restored_artifacts(
    backups: Backups, backup: Backup, root: Path, on_bytes: OnBytes = lambda _size: None
) -> Iterator[BackedUpArtifacts]:
    """Yield once the generations of a backup are fetched and verified, and put them in
    place at the end of the context; an error in it leaves the folder without.

    The folder is empty or not there yet.

    Args:
        backups: where the backup is.
        backup: one of them.
        root: the artifacts folder.
        on_bytes: told of what is fetched.

    Raises:
        BackupMissing: the backup has no generations.
        RestoreRefused: `root` is not empty, or cannot hold them; nothing was touched.
        BackupDamaged: a file is not what the manifest says; nothing was put in place.
        BackupsUnavailable: the URL cannot be reached.
    """
    if backup.artifacts is None:
        raise BackupMissing(
            f"backup {backup.backup_id} has no generations; restore the store alone, and make "
            "one with freshet train"
        )
    with unfinished(root) as folder:
        fetch_files(backups, backup.files_of("artifacts"), folder, on_bytes)
        try:
            check_restored(folder)
        except ArtifactError as error:
            raise BackupDamaged(
                f"backup {backup.backup_id} holds generations that cannot be read ({error}), and "
                "nothing was put in place; restore another one"
            ) from error
        yield backup.artifacts
        put_in_place(folder, POINTER_NAME)
