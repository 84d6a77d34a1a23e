"""Fetches the files of a backup into a folder that is empty, verifies every byte, and
only then puts them in place.

What is fetched lies in ``.restore.tmp`` in that folder until all of it is there and
verified: a restore that was killed is taken up there by the next one.
"""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from shlex import join, quote

from stream.backup.manifest import BackedUpFile
from stream.backup.repository import PARALLEL_FILES, Backups, OnBytes, file_name
from stream.errors import BackupDamaged, RestoreRefused, refusal
from stream.files import sha256_of, sync_directory, sync_file, sync_tree
from stream.shard.locks import FileLock
from stream.store.manifest import UNFINISHED_RESTORE_NAME

_LOCK_NAME = ".lock"
# What a fresh file system has in its root by itself.
_NO_CONTENT = {"lost+found", UNFINISHED_RESTORE_NAME}


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Yield the folder in `target` where what is restored lies until it is whole; it
    stays where that fails.

    Raises:
        RestoreRefused: `target` has something in it, cannot be written, or another
            process restores into it.
    """
    folder = target / UNFINISHED_RESTORE_NAME
    lock = FileLock(folder / _LOCK_NAME)
    try:
        target.mkdir(parents=True, exist_ok=True)
        _check_empty(target)
        folder.mkdir(exist_ok=True)
        if not lock.try_acquire():
            raise RestoreRefused(
                f"another process ({lock.holder()}) restores into {target}; wait for its end, or "
                "stop it and do this again"
            )
    except OSError as error:
        raise _unwritable(target, error) from error
    try:
        yield folder
    finally:
        lock.release()


def fetch_files(
    backups: Backups,
    files: Sequence[BackedUpFile],
    folder: Path,
    on_bytes: OnBytes = lambda _size: None,
) -> None:
    """Fetch files into a folder and verify each; those that a killed restore left there
    and that are whole are not fetched again.

    Raises:
        BackupDamaged: one is missing, or is not what the manifest says.
        BackupsUnavailable: the URL cannot be reached.
        RestoreRefused: the disk has no room, or refused.
    """

    def fetch(file: BackedUpFile) -> None:
        path = folder / file.name
        if not _is_whole(path, file):
            found = backups.objects.fetch(file_name(file.sha256), path)
            if found != file.sha256 or path.stat().st_size != file.size:
                raise BackupDamaged(
                    f"{file.name} ({file_name(file.sha256)} at {backups.url}) is not what the "
                    "backup's manifest says, and nothing was put in place; restore another "
                    f"backup (freshet backup verify {quote(backups.url)} says which are whole)"
                )
            # The disk takes it while others are fetched and hashed, not after all.
            sync_file(path)
        on_bytes(file.size)

    try:
        _remove_others(folder, files)
        for parent in {(folder / file.name).parent for file in files}:
            parent.mkdir(parents=True, exist_ok=True)
        _check_room(folder, files)
        with ThreadPoolExecutor(PARALLEL_FILES) as threads:
            for done in [threads.submit(fetch, file) for file in files]:
                done.result()
    except OSError as error:
        raise _unwritable(folder.parent, error) from error


def put_in_place(folder: Path, last: str) -> None:
    """Move what is in the unfinished folder into the one that it is in, and make that
    durable.

    Args:
        folder: the unfinished one.
        last: the name that goes last: without it, nobody takes the rest for whole.

    Raises:
        RestoreRefused: the disk refused, or somebody else put something there.
    """
    target = folder.parent
    try:
        sync_tree(folder)
        _check_empty(target)
        names = sorted(path.name for path in folder.iterdir() if path.name != _LOCK_NAME)
        for name in sorted(names, key=lambda name: name == last):
            if name == last:
                sync_directory(target)
            (folder / name).rename(target / name)
        sync_directory(target)
        sync_directory(target.parent)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise _unwritable(target, error) from error


def _is_whole(path: Path, file: BackedUpFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and sha256_of(path) == file.sha256


def _remove_others(folder: Path, files: Sequence[BackedUpFile]) -> None:
    """Remove what an earlier try left there that is not of this backup."""
    wanted = {folder / file.name for file in files} | {folder / _LOCK_NAME}
    for path in folder.rglob("*"):
        if not path.is_dir() and path not in wanted:
            path.unlink()


def _check_room(folder: Path, files: Sequence[BackedUpFile]) -> None:
    """Check before hours of fetching that the disk can hold it."""
    missing = sum(file.size for file in files if not (folder / file.name).exists())
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise RestoreRefused(
            f"the backup needs {missing:,} bytes more, and the disk of {folder.parent} has "
            f"{free:,} left; free space, or restore to another disk"
        )


def _check_empty(target: Path) -> None:
    present = sorted(path.name for path in target.iterdir() if path.name not in _NO_CONTENT)
    if not present:
        return
    named = ", ".join(present[:3]) + (", ..." if len(present) > 3 else "")  # noqa: PLR2004  # enough to know it by
    moved = join(["mv", str(target), f"{target}.old"])
    raise RestoreRefused(
        f"{target} is not empty ({named}); a restore touches nothing that is there: stop what "
        f"uses it and move it away ({moved}), or choose another folder"
    )


def _unwritable(target: Path, error: OSError) -> RestoreRefused:
    return RestoreRefused(
        f"{target} cannot be restored into ({error}); {refusal(error) or 'mend the disk'}, then "
        "do it again: what was fetched is not fetched twice"
    )
