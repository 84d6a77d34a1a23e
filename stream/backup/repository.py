"""The backups at one URL: made, listed, read, verified and pruned.

::

    URL/
      backups/20261123T151500Z-a1b2c3.json   a backup's manifest, written last
      files/<sha256>                         the files of all backups, each once
      erased/user-<key>.json                 an erasure that was asked for by hand
      running/<random>.json                  who is at work here
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from shlex import quote

import msgspec

from stream.backup.files import BackupFiles
from stream.backup.manifest import Backup, decode_backup
from stream.errors import PARSE_ERRORS, BackupDamaged, BackupError, BackupMismatch, BackupMissing
from stream.store.checkpoints import NotedErasure

# Files that are on their way at once, chosen by hand: hashing leaves the interpreter,
# and an object store answers each request late. Twice as many: twice the connections.
PARALLEL_FILES = 4

FILES = "files"
"""Folder of the files of all backups."""

_BACKUPS = "backups"
_ERASED = "erased"
_SUFFIX = ".json"


OnBytes = Callable[[int], None]
"""Told how many more bytes are done; called from several threads."""


class Backups:
    """The backups at one URL.

    Args:
        url: a folder, or a URL that fsspec knows.

    Raises:
        SettingsInvalid: the URL is none that can be used.
    """

    def __init__(self, url: str) -> None:
        self.objects = BackupFiles(url)

    @property
    def url(self) -> str:
        """Where they are."""
        return self.objects.url

    def ids(self) -> list[str]:
        """Return the ids of all backups, oldest first.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        names = self.objects.sizes(_BACKUPS)
        return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))

    def read(self, backup_id: str) -> Backup:
        """Return what a backup's manifest says.

        Raises:
            BackupMissing: there is no such backup.
            BackupDamaged: the manifest is not what was written.
            BackupMismatch: it is of a later version.
            BackupsUnavailable: the URL cannot be reached.
        """
        name = manifest_name(backup_id)
        try:
            content = self.objects.read(name)
        except BackupDamaged as error:
            raise BackupMissing(
                f"there is no backup {backup_id} at {self.url}; "
                f"freshet backup list {quote(self.url)} shows which there are"
            ) from error
        backup = decode_backup(content, f"{self.url.rstrip('/')}/{name}")
        if backup.backup_id != backup_id:
            raise BackupDamaged(f"{name} is the manifest of backup {backup.backup_id}")
        return backup

    def read_all(self) -> dict[str, Backup | BackupError]:
        """Return all manifests by id, oldest first, or what is wrong with one.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        found: dict[str, Backup | BackupError] = {}
        for backup_id in self.ids():
            try:
                found[backup_id] = self.read(backup_id)
            except (BackupDamaged, BackupMismatch) as error:
                found[backup_id] = error
            except BackupMissing:
                continue  # pruned meanwhile
        return found

    def newest(self) -> Backup:
        """Return the newest backup.

        Raises:
            BackupMissing: there is none.
            BackupDamaged: its manifest is not what was written; the message names the
                one before it.
            BackupsUnavailable: the URL cannot be reached.
        """
        ids = self.ids()
        if not ids:
            raise BackupMissing(
                f"there is no backup at {self.url}; check the URL, or make one with: freshet "
                "backup create"
            )
        try:
            return self.read(ids[-1])
        except BackupDamaged as error:
            if len(ids) == 1:
                raise
            raise BackupDamaged(
                f"{error}; or restore the one before it with --backup {ids[-2]}"
            ) from error

    def damaged_files(
        self, backups: Sequence[Backup], on_bytes: OnBytes = lambda _size: None
    ) -> dict[str, str]:
        """Read all files of some backups, each once, and return what is wrong with
        which, by sha256.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        sizes = {file.sha256: file.size for backup in backups for file in backup.files}
        present = self.objects.sizes(FILES)

        def problem(sha256: str) -> str:
            if sha256 not in present:
                return "is missing"
            if present[sha256] != sizes[sha256]:
                return f"has {present[sha256]} bytes, not {sizes[sha256]}"
            found = self.objects.sha256(file_name(sha256))
            on_bytes(sizes[sha256])
            return "" if found == sha256 else "has another content"

        with ThreadPoolExecutor(PARALLEL_FILES) as threads:
            problems = dict(zip(sizes, threads.map(problem, sizes), strict=True))
        return {sha256: text for sha256, text in problems.items() if text}

    def note_erasure(self, erasure: NotedErasure) -> None:
        """Note an erasure by hand, before it is carried out, for whoever restores a
        backup of before.

        Raises:
            BackupsUnavailable: the URL cannot be reached or written.
        """
        self.objects.write(f"{_ERASED}/{erasure.name}", msgspec.json.encode(erasure) + b"\n")

    def forget_erasure(self, erasure: NotedErasure) -> None:
        """Remove the note of an erasure that is lifted.

        Raises:
            BackupsUnavailable: the URL cannot be reached.
        """
        self.objects.remove(f"{_ERASED}/{erasure.name}")

    def noted_erasures(self) -> list[NotedErasure]:
        """Return the erasures that were noted.

        Raises:
            BackupDamaged: a note does not parse.
            BackupsUnavailable: the URL cannot be reached.
        """
        noted = []
        for name in sorted(self.objects.sizes(_ERASED)):
            content = self.objects.read(f"{_ERASED}/{name}")
            try:
                noted.append(msgspec.json.decode(content, type=NotedErasure))
            except PARSE_ERRORS as error:
                raise BackupDamaged(
                    f"the noted erasure {_ERASED}/{name} at {self.url} does not parse ({error}); "
                    "repeat it with freshet erase after the restore, and remove the file"
                ) from error
        return noted


def file_name(sha256: str) -> str:
    """Return the name of a file with this content, at the URL."""
    return f"{FILES}/{sha256}"


def manifest_name(backup_id: str) -> str:
    """Return the name of a backup's manifest, at the URL."""
    return f"{_BACKUPS}/{backup_id}{_SUFFIX}"
