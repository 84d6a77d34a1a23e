"""The manifest of a backup: what it holds, and the hash of every byte of it."""

import hashlib
import secrets
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from stream.errors import PARSE_ERRORS, BackupDamaged, BackupMismatch
from stream.events.types import SourcePartition

FORMAT_VERSION = 1  # of a backup's layout, docs/formats.md

# Bits behind the second: milliseconds, then as many random bits as fill six hexadecimal
# digits. One more would not fit them.
_RANDOM_BITS = 14

Part = Literal["store", "artifacts", "erasures"]
"""Which folder a file is restored into; ``erasures`` into none."""


class BackedUpFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup.

    Attributes:
        part: the folder that it is of.
        name: in that folder, with slashes.
        size: bytes.
        sha256: of the content, in hexadecimal; also its name in ``files``.
        modified_ns: when the original was last written; 0: it is no plain copy of one.
            A data file never changes, so one of the same name, size and time is not
            read again by the next backup.
    """

    part: Part
    name: str
    size: int
    sha256: str
    modified_ns: int = 0


class BackedUpPosition(msgspec.Struct, frozen=True, kw_only=True):
    """Where a partition is read on from after a restore."""

    source: str
    partition: int
    next_offset: int


class BackedUpShard(msgspec.Struct, frozen=True, kw_only=True):
    """How far one shard of a backup is: writes so far, and positions."""

    shard: int
    sequence: int
    positions: tuple[BackedUpPosition, ...]

    def offsets(self) -> dict[SourcePartition, int]:
        """Return the next offset of each partition."""
        return {
            SourcePartition(each.source, each.partition): each.next_offset
            for each in self.positions
        }


class BackedUpStore(msgspec.Struct, frozen=True, kw_only=True):
    """The store of a backup.

    Attributes:
        store_id: what ``store.json`` says, which tells stores apart.
        num_shards: how many it has, empty ones included.
        graph_hash: from the sums that every write kept.
        facts: how many.
        watermark_ms: up to which event time; 0: nothing was applied.
        shards: those that hold anything.
    """

    store_id: str
    num_shards: int
    graph_hash: str
    facts: int
    watermark_ms: int
    shards: tuple[BackedUpShard, ...]


class BackedUpArtifacts(msgspec.Struct, frozen=True, kw_only=True):
    """The generations of a backup.

    Attributes:
        generation_id: the live one.
        generation_ids: all of them, oldest first.
        overlay_sequence: newest segment of the live one's overlay; 0: it has none.
        reflected_ms: up to when every record is in it; 0: not known.
    """

    generation_id: str
    generation_ids: tuple[str, ...]
    overlay_sequence: int
    reflected_ms: int


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup's manifest says.

    Attributes:
        format_version: of the layout.
        backup_id: sorts by time.
        taken_ms: when the store's shards were copied, UTC epoch milliseconds.
        store: what of the store is in it.
        artifacts: what of the generations is; None: nothing.
        files: all of its files.
    """

    format_version: int
    backup_id: str
    taken_ms: int
    store: BackedUpStore
    artifacts: BackedUpArtifacts | None
    files: tuple[BackedUpFile, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of its files, as they are restored."""
        return sum(file.size for file in self.files)

    def files_of(self, part: Part) -> list[BackedUpFile]:
        """Return the files of a part."""
        return [file for file in self.files if file.part == part]


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """The file: a manifest and the sha256 of its bytes."""

    sha256: str
    backup: msgspec.Raw


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every format version has."""

    format_version: int


def new_backup_id(now_ms: int) -> str:
    """Return a fresh id that sorts by time, such as ``20261123T151500Z-a1b2c3``."""
    second, millisecond = divmod(now_ms, 1000)
    suffix = millisecond << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return f"{datetime.fromtimestamp(second, UTC):%Y%m%dT%H%M%SZ}-{suffix:06x}"


def encode_backup(backup: Backup) -> bytes:
    """Return the content of a manifest's file."""
    content = msgspec.json.encode(backup)
    sealed = _Sealed(sha256=hashlib.sha256(content).hexdigest(), backup=msgspec.Raw(content))
    return msgspec.json.encode(sealed) + b"\n"


def decode_backup(content: bytes, name: str) -> Backup:
    """Return what the content of a manifest's file says.

    Args:
        content: of the file.
        name: what messages call it.

    Raises:
        BackupDamaged: it does not parse, or is not what was written.
        BackupMismatch: it has a format that this version does not know.
    """
    advice = "take another backup"
    try:
        sealed = msgspec.json.decode(content, type=_Sealed)
        raw = bytes(sealed.backup)
        if hashlib.sha256(raw).hexdigest() != sealed.sha256:
            raise BackupDamaged(f"{name} is not what was written; {advice}")
        version = msgspec.json.decode(raw, type=_Head).format_version
        if version != FORMAT_VERSION:
            raise BackupMismatch(
                f"{name} has format version {version}, this version of Freshet reads "
                f"{FORMAT_VERSION}; restore it with the version that made it"
            )
        backup = msgspec.json.decode(raw, type=Backup)
    except PARSE_ERRORS as error:
        raise BackupDamaged(f"{name} does not parse ({error}); {advice}") from error
    for file in backup.files:
        if not _stays_inside(file.name):
            raise BackupDamaged(f"{name} names {file.name!r}, outside its folder; {advice}")
    return backup


def _stays_inside(name: str) -> bool:
    """Whether a name is that of a file below the folder that it is restored into."""
    parts = PurePosixPath(name).parts
    return bool(parts) and parts[0] != "/" and ".." not in parts and "\0" not in name
