"""When a store was last backed up: a file in it, which a stream tells of."""

from pathlib import Path

import msgspec

from stream.errors import PARSE_ERRORS
from stream.files import replace_file

_NAME = "backup.json"


class LastBackup(msgspec.Struct, frozen=True, kw_only=True):
    """The newest backup of a store, or the one that it was restored from.

    Attributes:
        backup_id: the backup's.
        taken_ms: when, UTC epoch milliseconds.
    """

    backup_id: str
    taken_ms: int


def note_backup(root: Path, backup: LastBackup) -> None:
    """Note a backup in the store's folder.

    Raises:
        OSError: the disk refused.
    """
    replace_file(root / _NAME, msgspec.json.encode(backup) + b"\n")


def last_backup(root: Path) -> LastBackup | None:
    """Return the newest backup of a store; None: it has none, or nobody can tell."""
    try:
        return msgspec.json.decode((root / _NAME).read_bytes(), type=LastBackup)
    except (OSError, *PARSE_ERRORS):
        return None
