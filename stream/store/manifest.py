"""``store.json``: what a store was made as, read, and changed in one step."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from stream.errors import (
    PARSE_ERRORS,
    StoreBusy,
    StoreMismatch,
    StoreMissing,
    StoreRefused,
    StoreUnreadable,
    StoreWriteFailed,
    refusal,
)
from stream.files import replace_file
from stream.settings import DEFAULT_SESSION_GAP_SECONDS
from stream.shard import codec
from stream.shard.fencing import has_database, shard_name
from stream.shard.locks import FileLock
from stream.shard.upgrade import OLD_VERSION

logger = logging.getLogger(__name__)

MANIFEST_NAME = "store.json"

UNFINISHED_RESTORE_NAME = ".restore.tmp"
"""Of what is in a folder, beside nothing else, while a backup is restored into it."""

MAX_SHARDS = 9999
"""What ``shard-0000`` can name."""

_LOCK_NAME = "store.json.lock"
# Seconds to wait for another process that changes the file, which takes milliseconds.
# Twice as many: one that was stopped at that very moment is reported twice as late.
_LOCK_SECONDS = 10.0
_RETRY_SECONDS = 0.02  # seconds between two tries of the lock


class StoreManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What ``store.json`` says of a store.

    Attributes:
        format_version: of the layout in `stream.shard.codec`; the version before it is
            read too, for its shards say themselves which they have, and are brought to
            the present one when they are opened for writing.
        store_id: a random name, made once.
        num_shards: how many shards there are.
        half_life_seconds: of the decay.
        session_gap_seconds: of inactivity that sessions were cut at, where events came
            without session ids.
        made_shards: the shards that have been opened for writing in this folder, by
            index, ascending; of one that is not among them nobody knows.
    """

    format_version: int
    store_id: str
    num_shards: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARDS)]
    half_life_seconds: float
    session_gap_seconds: float = DEFAULT_SESSION_GAP_SECONDS
    made_shards: tuple[int, ...] = ()


def read_manifest(root: Path) -> StoreManifest:
    """Read ``store.json``.

    Raises:
        StoreMissing: there is no store at `root`.
        StoreUnreadable: the file does not parse.
        StoreMismatch: the store has a format that this version does not know.
    """
    path = root / MANIFEST_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=StoreManifest)
    except NotADirectoryError as error:
        raise StoreMissing(f"{root} is no folder; give the folder of a store") from error
    except FileNotFoundError as error:
        if (root / shard_name(0)).exists():
            raise StoreUnreadable(
                f"store {root} has shards but no {MANIFEST_NAME}; restore the file, or build "
                "the store again"
            ) from error
        raise StoreMissing(
            f"there is no store at {root}; check the path, or make one with: freshet stream"
        ) from error
    except (OSError, *PARSE_ERRORS) as error:
        if refused := refusal(error):
            raise StoreRefused(f"{path} cannot be read ({error}): {refused}") from error
        raise StoreUnreadable(
            f"{path} cannot be read ({error}); restore it, or build the store again"
        ) from error
    if manifest.format_version not in (OLD_VERSION, codec.FORMAT_VERSION):
        raise StoreMismatch(
            f"store {root} has format version {manifest.format_version}, this version of "
            "Freshet reads "
            f"{codec.FORMAT_VERSION}; use the version that wrote it, or build a new store from "
            "the source"
        )
    return manifest


def write_manifest(root: Path, manifest: StoreManifest) -> None:
    """Put ``store.json`` into a folder in one step.

    Raises:
        OSError: it could not be written; what was there is untouched.
    """
    replace_file(root / MANIFEST_NAME, msgspec.json.encode(manifest) + b"\n")


def grow(root: Path, num_shards: int) -> StoreManifest:
    """Give a store more shards, in one step, and return what it says then.

    The new shards are empty, and the old ones stay as they are: whoever reads the store
    joins what is of one session, item or edge in several shards. Whatever process has
    the store open goes on; so does one that reads it. A store that has as many shards
    already stays as it is.

    Args:
        root: the store's folder.
        num_shards: how many it has afterwards, at least.

    Raises:
        StoreMismatch: it would have more shards than can be named.
        StoreBusy: another process is changing the file, and does not end.
        StoreWriteFailed: the disk refused; the store is as it was.
    """
    if num_shards > MAX_SHARDS:
        raise StoreMismatch(
            f"store {root} cannot have {num_shards} shards, {MAX_SHARDS} are the most; "
            "give the topics fewer partitions"
        )
    with _locked(root):
        before = read_manifest(root)
        if before.num_shards >= num_shards:
            return before
        after = msgspec.structs.replace(before, num_shards=num_shards)
        _rewrite(root, after)
    logger.info("store grown root=%s num_shards=%d before=%d", root, num_shards, before.num_shards)
    return after


def note_format_version(root: Path) -> StoreManifest:
    """Record that every shard has the present format; return what the file says then.

    Raises:
        StoreBusy: another process is changing the file, and does not end.
        StoreWriteFailed: the disk refused.
    """
    with _locked(root):
        after = msgspec.structs.replace(read_manifest(root), format_version=codec.FORMAT_VERSION)
        _rewrite(root, after)
    return after


def note_made(root: Path, index: int) -> StoreManifest:
    """Record that a shard is in this folder; return what the file says then.

    Raises:
        StoreBusy: another process is changing the file, and does not end.
        StoreWriteFailed: the disk refused.
    """
    with _locked(root):
        before = read_manifest(root)
        if index in before.made_shards:
            return before
        made = tuple(sorted((*before.made_shards, index)))
        after = msgspec.structs.replace(before, made_shards=made)
        _rewrite(root, after)
    return after


def gone_shards(root: Path, manifest: StoreManifest) -> list[int]:
    """Return the shards that were made in this folder and are not in it any more.

    Raises:
        StoreUnreadable: one has lost the file by which it is known.
    """
    return [index for index in manifest.made_shards if not has_database(root / shard_name(index))]


def check_none_is_gone(root: Path, manifest: StoreManifest) -> None:
    """Check, before a store is read, that what was made in it is in it.

    Raises:
        StoreUnreadable: a shard is gone; without it the graph is another one, or empty.
    """
    gone = gone_shards(root, manifest)
    if gone:
        names = ", ".join(map(shard_name, gone))
        raise StoreUnreadable(
            f"store {root} has lost {names}, which {MANIFEST_NAME} says was made in it; put it "
            "back, or restore a backup with: freshet restore; if it was removed on purpose, start "
            "freshet stream, which makes it again from the source, or, where another machine has "
            f"it now, take {', '.join(map(str, gone))} out of made_shards in {MANIFEST_NAME}"
        )


def _rewrite(root: Path, manifest: StoreManifest) -> None:
    try:
        write_manifest(root, manifest)
    except OSError as error:
        raise StoreWriteFailed(
            f"{root / MANIFEST_NAME} could not be written ({error}); "
            f"{refusal(error) or 'mend the disk'}, then start again"
        ) from error


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the lock that whoever changes ``store.json`` holds."""
    lock = FileLock(root / _LOCK_NAME)
    deadline = time.monotonic() + _LOCK_SECONDS
    try:
        while not lock.try_acquire():
            if time.monotonic() > deadline:
                raise StoreBusy(
                    f"another process ({lock.holder()}) is changing {root / MANIFEST_NAME}; "
                    "see whether it is alive, then try again"
                )
            time.sleep(_RETRY_SECONDS)
    except OSError as error:
        raise StoreWriteFailed(
            f"{root / _LOCK_NAME} cannot be locked ({error}); "
            f"{refusal(error) or f'check the rights of {root}'}"
        ) from error
    try:
        yield
    finally:
        lock.release()
