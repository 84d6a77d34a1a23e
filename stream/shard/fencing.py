"""The epochs of a shard: which of its folders is current, which process holds the lease
to write it, and how the lease passes to another process.

A shard's folder has a folder an epoch, ``e-000007``, with one RocksDB each. The highest
number is current. The process that writes an epoch holds a lock on its file ``OWNER``:
that is its lease. An epoch appears by renaming a finished folder whose lock is held
already. Of several processes that rename to one number the file system lets one
succeed, and every process with a lower epoch is fenced from then on. A fenced process
can still write to its own folder, but no process reads that folder.

Epoch 0 is the shard's own folder: the flat layout of earlier stores and of snapshots.
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

from stream.errors import StoreBusy, StoreError, StoreFenced, StoreWriteFailed, refusal
from stream.files import sync_directory, sync_tree
from stream.shard.locks import FileLock
from stream.shard.rocksdb import busy, copy_while_written, holds_database

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

    It is 0 where the shard has no epoch yet, or has the flat layout.
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
    """Return the folder of a shard's current database; a takeover may change it at any
    moment.
    """
    return epoch_folder(shard, current_epoch(shard))


def has_database(shard: Path) -> bool:
    """Return whether a shard has a database, also while another process takes it over.

    Raises:
        StoreUnreadable: the shard had a database, and its manifest file is missing.
    """
    while True:
        folder = current_folder(shard)
        if holds_database(folder):
            return True
        if folder == current_folder(shard):
            return False


class ScratchFolder:
    """A locked folder for unfinished files.

    It is removed when it is released, or by a later lease when its process died.
    """

    def __init__(self, shard: Path) -> None:
        shard.mkdir(parents=True, exist_ok=True)
        while True:
            self.folder = shard / f".{uuid4().hex}{_UNFINISHED_SUFFIX}"
            self.folder.mkdir()
            self.lock = FileLock(self.folder / OWNER_NAME)
            if self.lock.try_acquire():  # else another process removed it meanwhile
                return

    def release(self) -> None:
        """Remove the folder."""
        rmtree(self.folder, ignore_errors=True)
        self.lock.release()


class Lease:
    """The right to write one epoch of a shard, valid until it is released or a higher
    epoch appears.

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
        """Whether no other process took the shard over; lists one small folder."""
        return current_epoch(self.shard) == self.number

    def check(self, index: int) -> None:
        """Check, before each write, that this process was not fenced.

        Args:
            index: of the shard, for whoever closes it.

        Raises:
            StoreFenced: another process took the shard over.
        """
        if not self.is_current:
            raise StoreFenced(
                f"another process took over {self.shard}, and nothing more was written there; "
                "start this one again",
                index,
            )

    def remove_stale_epochs(self) -> None:
        """Remove earlier epochs and unfinished folders, except those that a process
        still holds.
        """
        for path in self.shard.iterdir():
            found = _EPOCH_NAME.fullmatch(path.name)
            if path.name.endswith(_UNFINISHED_SUFFIX) or (found and int(found[1]) < self.number):
                _remove_unheld(path)
        _remove_flat_layout(self.shard)

    def release(self) -> None:
        """Let another process acquire the shard; remove the epoch if it is stale."""
        if not self.is_current:
            _remove_epoch(self.folder)
        self._lock.release()


def acquire_lease(shard: Path, wait_seconds: float = 0.0, *, may_take_over: bool = False) -> Lease:
    """Acquire the lease on a shard.

    Args:
        shard: the shard's folder; made where there is none.
        wait_seconds: how long to wait for another process to release it.
        may_take_over: whether to take the shard over from a process that does not
            release it: a new epoch begins with a copy of its entries.

    Raises:
        StoreBusy: another process has it.
        StoreUnreadable: its files are damaged.
        StoreWriteFailed: the disk refused.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        number = current_epoch(shard)
        lock = _epoch_lock(shard, number)
        if lock.try_acquire():
            lease = _acquire_current(shard, number, lock)
        elif time.monotonic() < deadline:
            time.sleep(_RETRY_SECONDS)
            continue
        elif not may_take_over:
            raise _busy(shard, lock)
        else:
            logger.warning(
                "taking over shard=%s epoch=%d holder=%s", shard.name, number, lock.holder()
            )
            may_take_over = False  # once: another winner of this race keeps the shard
            deadline = time.monotonic() + wait_seconds
            lease = take_over(shard, number)
        if lease:
            return lease


def take_over(shard: Path, number: int) -> Lease | None:
    """Begin the epoch after `number` with a copy of its entries.

    Return None where another process began one first.
    """
    try:
        return begin_epoch(
            shard,
            number + 1,
            lambda folder: copy_while_written(epoch_folder(shard, number), folder),
        )
    except StoreError:
        if current_epoch(shard) == number:
            raise
        return None  # the winner may have removed it while it was copied


def begin_epoch(shard: Path, number: int, fill: Callable[[Path], None]) -> Lease | None:
    """Put a new epoch in place, which fences every lower one.

    Args:
        shard: the shard's folder.
        number: of the new epoch.
        fill: puts a database into a folder, or leaves the folder empty.

    Returns:
        The lease; None: another process began the epoch first.

    Raises:
        StoreWriteFailed: the disk refused.
        StoreError: `fill` failed.
    """
    try:
        scratch = ScratchFolder(shard)
        if not _rename_into_place(scratch, epoch_folder(shard, number), fill):
            return None
        sync_directory(shard)
    except OSError as error:
        raise StoreWriteFailed(
            f"no epoch of {shard} could be made ({error}); "
            f"{refusal(error) or 'free or repair the disk'}, then restart"
        ) from error
    lease = Lease(shard, number, scratch.lock)
    if not lease.is_current:
        lease.release()
        return None
    return lease


def is_free(shard: Path, wait_seconds: float) -> bool:
    """Return whether no process writes a shard, after at most `wait_seconds` for one
    that is just being copied.
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
    return FileLock(epoch_folder(shard, number) / OWNER_NAME if number else _flat_lock(shard))


def _flat_lock(shard: Path) -> Path:
    return shard.with_name(f"{shard.name}.lock")


def _acquire_current(shard: Path, number: int, lock: FileLock) -> Lease | None:
    """Acquire the epoch whose lock was free; from the flat layout, begin the first.

    Return None where that epoch is not current any more.
    """
    if number:
        lease = Lease(shard, number, lock)
        if lease.is_current:
            return lease
        lease.release()
        return None
    try:
        return take_over(shard, number) if current_epoch(shard) == number else None
    finally:
        lock.release()


def _rename_into_place(scratch: ScratchFolder, target: Path, fill: Callable[[Path], None]) -> bool:
    """Fill a folder and rename it to `target`; return False where `target` exists."""
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
        _remove_epoch(folder)
        lock.release()


def _remove_epoch(folder: Path) -> None:
    """Remove an epoch's folder, renamed first so that no half of it looks whole."""
    unfinished = folder.with_name(f".{uuid4().hex}{_UNFINISHED_SUFFIX}")
    try:
        folder.rename(unfinished)
    except OSError:
        return  # gone already
    rmtree(unfinished, ignore_errors=True)


def _remove_flat_layout(shard: Path) -> None:
    """Remove the flat layout's database once an epoch has its entries."""
    path = _flat_lock(shard)
    files = [each for each in shard.iterdir() if each.is_file()]
    if not files and not path.exists():
        return
    lock = FileLock(path)
    if lock.try_acquire():
        for each in files:
            each.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        lock.release()
