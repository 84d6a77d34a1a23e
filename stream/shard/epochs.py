"""The epochs of a shard: which of its folders is current, who may write it, how it
changes hands.

A shard's folder has a folder an epoch, ``e-000007``, with one RocksDB each. The highest
number is current. Whoever writes an epoch holds a lock on its file ``OWNER``. An epoch
appears by renaming a finished folder, its lock held already: of several contenders for
a number the file system lets one win, and from then on everybody who has a lower epoch
is fenced. A fenced process may still write in its own folder, which nobody reads any
more.

Epoch 0 is the shard's own folder: the layout of earlier stores, and that of snapshots.
"""

import errno
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from uuid import uuid4

from stream.errors import StoreBusy, StoreError, StoreWriteFailed
from stream.files import sync_directory, sync_tree
from stream.shard.locks import FileLock
from stream.shard.rocksdb import busy, copy_beside_writer, holds_database

logger = logging.getLogger(__name__)

OWNER_NAME = "OWNER"

_EPOCH_NAME = re.compile(r"e-(\d{6,})")
_UNFINISHED_SUFFIX = ".tmp"
# Seconds between two tries of a lock: what a hand-over waits too long, about.
_RETRY_SECONDS = 0.02


def shard_name(index: int) -> str:
    """Return the name of a shard's folder."""
    return f"shard-{index:04d}"


def current_epoch(shard: Path) -> int:
    """Return the number of a shard's current epoch.

    0: it has none yet, or is of the earlier layout.
    """
    try:
        names = os.listdir(shard)  # noqa: PTH208  # called before every write: a third of the time of iterdir
    except FileNotFoundError:
        return 0
    return max((int(found[1]) for found in map(_EPOCH_NAME.fullmatch, names) if found), default=0)


def epoch_folder(shard: Path, number: int) -> Path:
    """Return the folder of an epoch's database."""
    return shard / f"e-{number:06d}" if number else shard


def current_folder(shard: Path) -> Path:
    """Return the folder of a shard's database as it is now.

    The next moment it may be another.
    """
    return epoch_folder(shard, current_epoch(shard))


def holds_records(shard: Path) -> bool:
    """Return whether a shard has a database, also while it changes hands.

    Raises:
        StoreUnreadable: it had one, and its table of contents is gone.
    """
    while True:
        folder = current_folder(shard)
        if holds_database(folder):
            return True
        if folder == current_folder(shard):
            return False


class Scratch:
    """A folder for something unfinished, which goes when it is released or when its
    process died.
    """

    def __init__(self, shard: Path) -> None:
        shard.mkdir(parents=True, exist_ok=True)
        while True:
            self.folder = shard / f".{uuid4().hex}{_UNFINISHED_SUFFIX}"
            self.folder.mkdir()
            self.lock = FileLock(self.folder / OWNER_NAME)
            if self.lock.try_acquire():  # else somebody swept it up in between
                return

    def release(self) -> None:
        """Remove the folder."""
        rmtree(self.folder, ignore_errors=True)
        self.lock.release()


class Tenure:
    """The right to write one epoch of a shard, until it is released or a higher epoch
    appears.

    Attributes:
        shard: the shard's folder.
        number: of the epoch.
        folder: of the epoch's database.
    """

    def __init__(self, shard: Path, number: int, lock: FileLock) -> None:
        self.shard = shard
        self.number = number
        self.folder = epoch_folder(shard, number)
        self._lock = lock

    @property
    def is_current(self) -> bool:
        """Whether nobody has taken the shard over; costs one look at a small folder."""
        return current_epoch(self.shard) == self.number

    def sweep(self) -> None:
        """Remove earlier epochs and unfinished folders, except those that a process
        still holds.
        """
        for path in self.shard.iterdir():
            found = _EPOCH_NAME.fullmatch(path.name)
            if path.name.endswith(_UNFINISHED_SUFFIX) or (found and int(found[1]) < self.number):
                _remove_unheld(path)
        _remove_earlier_layout(self.shard)

    def release(self) -> None:
        """Let others have the shard.

        A folder that nobody will read again is removed.
        """
        if not self.is_current:
            _discard(self.folder)
        self._lock.release()


def open_epoch(shard: Path, wait_seconds: float = 0.0, *, entitled: bool = False) -> Tenure:
    """Win the right to write a shard as it is.

    Args:
        shard: the shard's folder; made where there is none.
        wait_seconds: how long to wait for another process to let go of it.
        entitled: take it over from a process that does not let go: a new epoch, with a
            copy of its records.

    Raises:
        StoreBusy: another process has it.
        StoreUnreadable: its files are damaged.
        StoreWriteFailed: the disk refused.
    """
    deadline = time.monotonic() + wait_seconds
    may_take_over = entitled
    while True:
        number = current_epoch(shard)
        lock = _epoch_lock(shard, number)
        if lock.try_acquire():
            tenure = _resume(shard, number, lock)
        elif time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)
            continue
        elif not may_take_over:
            raise _busy(shard, lock)
        else:
            logger.warning(
                "taking over shard=%s epoch=%d holder=%s", shard.name, number, lock.holder()
            )
            may_take_over = False  # whoever wins this race instead is let be
            deadline = time.monotonic() + wait_seconds
            tenure = succeed(shard, number)
        if tenure:
            return tenure


def succeed(shard: Path, number: int) -> Tenure | None:
    """Begin the epoch after `number` with a copy of its records.

    None: somebody else did.
    """
    try:
        return begin_epoch(
            shard,
            number + 1,
            lambda folder: copy_beside_writer(epoch_folder(shard, number), folder),
        )
    except StoreError:
        if current_epoch(shard) == number:
            raise
        return None  # the winner may have removed it while it was copied


def begin_epoch(shard: Path, number: int, fill: Callable[[Path], None]) -> Tenure | None:
    """Put a new epoch in place, which fences every lower one.

    Args:
        shard: the shard's folder.
        number: of the new epoch.
        fill: puts a database into a folder, or leaves it as it is.

    Returns:
        None: somebody else was there first.

    Raises:
        StoreWriteFailed: the disk refused.
        StoreError: `fill` failed.
    """
    try:
        scratch = Scratch(shard)
        if not _appear(scratch, epoch_folder(shard, number), fill):
            return None
        sync_directory(shard)
    except OSError as error:
        raise StoreWriteFailed(
            f"no epoch of {shard} could be made ({error}); free or mend the disk and start again"
        ) from error
    tenure = Tenure(shard, number, scratch.lock)
    if not tenure.is_current:
        tenure.release()
        return None
    return tenure


def is_free(shard: Path, wait_seconds: float) -> bool:
    """Return whether no process writes a shard, waiting a moment for one that is just
    being copied.
    """
    deadline = time.monotonic() + wait_seconds
    while not (is_free := _try_once(shard)) and time.monotonic() < deadline:
        time.sleep(_RETRY_SECONDS)
    return is_free


def _try_once(shard: Path) -> bool:
    if not shard.exists():
        return True
    lock = _epoch_lock(shard, current_epoch(shard))
    is_free = lock.try_acquire()
    lock.release()
    return is_free


def _epoch_lock(shard: Path, number: int) -> FileLock:
    return FileLock(epoch_folder(shard, number) / OWNER_NAME if number else _earlier_lock(shard))


def _earlier_lock(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.lock")


def _resume(shard: Path, number: int, lock: FileLock) -> Tenure | None:
    """Go on in the epoch whose lock was free, or from epoch 0 into the first.

    None: it is not current.
    """
    if number:
        tenure = Tenure(shard, number, lock)
        if tenure.is_current:
            return tenure
        tenure.release()
        return None
    try:
        return succeed(shard, number) if current_epoch(shard) == number else None
    finally:
        lock.release()


def _appear(scratch: Scratch, target: Path, fill: Callable[[Path], None]) -> bool:
    """Fill a folder and rename it to `target`.

    Return False where that is there already.
    """
    try:
        fill(scratch.folder)
        sync_tree(scratch.folder)
        scratch.folder.rename(target)
    except BaseException as error:
        scratch.release()
        if isinstance(error, OSError) and error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _busy(shard: Path, lock: FileLock) -> StoreBusy:
    return busy(shard, lock.holder())


def _remove_unheld(folder: Path) -> None:
    lock = FileLock(folder / OWNER_NAME)
    if lock.try_acquire():
        _discard(folder)
        lock.release()


def _discard(folder: Path) -> None:
    """Remove an epoch's folder: a half removed one must not look like an epoch."""
    unfinished = folder.with_name(f".{uuid4().hex}{_UNFINISHED_SUFFIX}")
    try:
        folder.rename(unfinished)
    except OSError:
        return  # gone already
    rmtree(unfinished, ignore_errors=True)


def _remove_earlier_layout(shard: Path) -> None:
    """Remove the database in the shard's own folder, now that an
    epoch has its records.
    """
    path = _earlier_lock(shard)
    files = [each for each in shard.iterdir() if each.is_file()]
    if not files and not path.exists():
        return
    lock = FileLock(path)
    if lock.try_acquire():
        for each in files:
            each.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        lock.release()
