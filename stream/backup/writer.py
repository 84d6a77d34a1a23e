"""Changes the backups at a URL, as the only process that does: puts files there,
publishes a manifest, prunes.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stream.backup.claim import Claim, claimed
from stream.backup.manifest import BackedUpFile, Backup, Part, encode_backup
from stream.backup.repository import (
    FILES,
    PARALLEL_FILES,
    Backups,
    OnBytes,
    file_name,
    manifest_name,
)
from stream.errors import BackupBusy, BackupDamaged, BackupError, BackupMismatch
from stream.files import sha256_of

logger = logging.getLogger(__name__)


class LocalFile(NamedTuple):
    """A file to be backed up; nobody changes it meanwhile.

    Attributes:
        part: the folder that it is of.
        name: in that folder, with slashes.
        path: where it is.
        sha256: what it must be, in hexadecimal; empty: whatever it is.
        is_final: whether a file of this name, size and time never changes, so that one
            that an earlier backup has need not be read again.
    """

    part: Part
    name: str
    path: Path
    sha256: str = ""
    is_final: bool = False


class FileIdentity(NamedTuple):
    """What tells a final file from all others, without reading it."""

    part: Part
    name: str
    size: int
    modified_ns: int


class PutFiles(NamedTuple):
    """Files that are at the URL.

    Attributes:
        files: all of them.
        num_bytes_new: of those that were not there before.
    """

    files: tuple[BackedUpFile, ...]
    num_bytes_new: int


class Pruned(NamedTuple):
    """What was removed.

    Attributes:
        backup_ids: the backups, oldest first.
        num_files: their files that no other backup has.
    """

    backup_ids: tuple[str, ...]
    num_files: int


@contextmanager
def writing(backups: Backups) -> Iterator["BackupWriter"]:
    """Yield what changes the backups at a URL.

    Raises:
        BackupBusy: another process is at work there.
        BackupsUnavailable: the URL cannot be reached or written.
    """
    with claimed(backups.objects) as claim:
        yield BackupWriter(backups, claim)


class BackupWriter:
    """Changes the backups at a URL, as the only process that does.

    Args:
        backups: what is there.
        claim: the right to.
    """

    def __init__(self, backups: Backups, claim: Claim) -> None:
        self._backups = backups
        self._objects = backups.objects
        self._claim = claim

    def check_store(self, store_id: str) -> dict[FileIdentity, str]:
        """Check that the backups there are this store's, and return the hashes of
        their final files.

        Raises:
            BackupMismatch: they are another store's.
            BackupsUnavailable: the URL cannot be reached.
        """
        known: dict[FileIdentity, str] = {}
        for backup in self._backups.read_all().values():
            if isinstance(backup, BackupError):
                logger.warning("backup unreadable error=%s", backup)
                continue
            if backup.store.store_id != store_id:
                raise BackupMismatch(
                    f"{self._backups.url} has the backups of another store "
                    f"({backup.store.store_id}, not {store_id}); give each store a URL of its own"
                )
            for file in backup.files:
                if file.modified_ns:
                    known[FileIdentity(file.part, file.name, file.size, file.modified_ns)] = (
                        file.sha256
                    )
        return known

    def put_files(
        self,
        files: Sequence[LocalFile],
        known: Mapping[FileIdentity, str],
        on_bytes: OnBytes = lambda _size: None,
    ) -> PutFiles:
        """Put there those files whose content is not there yet.

        Args:
            files: what is to be there.
            known: hashes that need not be computed again, from `check_store`.
            on_bytes: told of each file that is there.

        Raises:
            FileNotFoundError: a file is gone.
            BackupDamaged: a file is not what it must be.
            BackupsUnavailable: the URL cannot be reached, or takes nothing.
        """
        present = self._objects.sizes(FILES)

        def put(file: LocalFile) -> tuple[BackedUpFile, int]:
            status = file.path.stat()
            modified_ns = status.st_mtime_ns if file.is_final else 0
            identity = FileIdentity(file.part, file.name, status.st_size, modified_ns)
            sha256 = file.sha256 or known.get(identity) or sha256_of(file.path)
            is_new = present.get(sha256) != status.st_size
            if is_new:
                sha256 = self._put(file)
                present[sha256] = status.st_size
            on_bytes(status.st_size)
            there = BackedUpFile(
                part=file.part,
                name=file.name,
                size=status.st_size,
                sha256=sha256,
                modified_ns=modified_ns,
            )
            return there, status.st_size if is_new else 0

        with ThreadPoolExecutor(PARALLEL_FILES) as threads:
            done = list(threads.map(put, files))
        return PutFiles(tuple(there for there, _ in done), sum(new for _, new in done))

    def publish(self, backup: Backup) -> None:
        """Make a backup whose files are there one that counts.

        Raises:
            BackupBusy: another process took this one for dead, and removed files.
            BackupsUnavailable: the URL cannot be reached, or takes nothing.
        """
        self._claim.check()
        name = manifest_name(backup.backup_id)
        self._objects.write(name, encode_backup(backup))
        present = self._objects.sizes(FILES)
        lacking = [file.name for file in backup.files if present.get(file.sha256) != file.size]
        if lacking:
            self._objects.remove(name)
            raise BackupBusy(
                f"{len(lacking)} files of the backup were removed from {self._backups.url} while "
                f"it was made ({lacking[0]}); do it again"
            )

    def prune(self, *, keep: int | None, oldest_ms: int | None) -> Pruned:
        """Remove backups that need not be kept, and files that no other has.

        The newest one that can be read stays, whatever is asked.

        Args:
            keep: how many stay at most; None: any number.
            oldest_ms: those that were taken before go; None: none does.

        Raises:
            BackupDamaged: a manifest cannot be read, so that nobody knows which files
                are its; nothing was removed.
            BackupBusy: another process took this one for dead.
            BackupsUnavailable: the URL cannot be reached.
        """
        found = self._backups.read_all()
        for error in found.values():
            if isinstance(error, BackupError):
                raise BackupDamaged(
                    f"nothing is pruned at {self._backups.url} while a manifest there cannot be "
                    f"read ({error}); remove or mend that file first"
                )
        readable = [each for each in found.values() if isinstance(each, Backup)]
        kept = readable[-keep:] if keep else readable
        kept = [each for each in kept if oldest_ms is None or each.taken_ms >= oldest_ms]
        kept = kept or readable[-1:]
        gone = [each.backup_id for each in readable if each not in kept]
        self._claim.check()
        for backup_id in gone:
            self._objects.remove(manifest_name(backup_id))
        return Pruned(tuple(gone), self._remove_unneeded(kept))

    def remove_files(self, sha256s: Sequence[str]) -> None:
        """Remove files that are not what they should be: the next backup puts those
        that it needs there again.

        Raises:
            BackupBusy: another process took this one for dead.
            BackupsUnavailable: the URL cannot be reached.
        """
        self._claim.check()
        for sha256 in sha256s:
            self._objects.remove(file_name(sha256))

    def _put(self, file: LocalFile) -> str:
        """Put a file there, and return its sha256: of what it is now."""
        sha256 = sha256_of(file.path)
        if file.sha256 not in ("", sha256):
            raise BackupDamaged(
                f"{file.path} does not have the sha256 that its manifest gives, so it is not "
                "backed up; train again, or make another generation current with: freshet "
                "generations use"
            )
        self._objects.put(file.path, file_name(sha256))
        return sha256

    def _remove_unneeded(self, kept: Sequence[Backup]) -> int:
        """Remove the files that no backup has, those of a killed one included."""
        needed = {file.sha256 for backup in kept for file in backup.files}
        unneeded = [name for name in self._objects.sizes(FILES) if name not in needed]
        self._claim.check()
        for name in unneeded:
            self._objects.remove(f"{FILES}/{name}")
        return len(unneeded)
