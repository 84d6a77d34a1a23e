"""Writes the feed of one shard: a record before each write, the status after it."""

import errno
import logging
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Condition
from typing import NamedTuple

import msgspec

from stream.clock import now_ms
from stream.feed.changes import ShardChanges, WriterMark
from stream.feed.codec import pack_changes
from stream.feed.folder import FeedFolder
from stream.feed.log import (
    FRAME_BYTES,
    HEAD_BYTES,
    LogHead,
    LogName,
    frame,
    frames,
    pack_head,
    unpack_head,
)
from stream.feed.status import Status, newest_status, pack_status, status_name

logger = logging.getLogger(__name__)

# Parts of `stream.feed_bytes` that a log may have: so much goes at once. Twice as many:
# half as much goes at once, in twice the files.
_LOGS = 8
# Logs of a shard; each opening of it begins one. Chosen by hand: twice as many take
# twice as long to list for whoever reads.
_MOST_LOGS = 256


class _OpenLog(NamedTuple):
    """The log that is written.

    Attributes:
        name: its name.
        descriptor: of the open file.
        size: bytes of it that count.
    """

    name: LogName
    descriptor: int
    size: int


class FeedWriter:
    """Writes the feed of one shard.

    A feed that cannot be written keeps nobody from writing the shard: whoever reads it
    sees a gap.

    Args:
        folder: of the shard's feed; made at the first write.
        shard: its index.
        epoch: of the shard's folder.
        writer: the id that its writes have from now on.
        mark: the place in its history that it is at.
        watermark_ms: the largest event time applied; 0: none was.
        most_bytes: that all logs may have.

    """

    def __init__(  # what it is told once
        self,
        folder: Path,
        *,
        shard: int,
        epoch: int,
        writer: str,
        mark: WriterMark,
        watermark_ms: int,
        most_bytes: int,
    ) -> None:
        self._num_gaps = self._other_bytes = 0
        self._folder = folder
        self._status_path = folder / status_name(epoch)
        self._shard = shard
        self._writer = writer
        self._most_bytes = most_bytes
        self._lock = Condition()
        self._log: _OpenLog | None = None
        self._pending = 0
        self._status = _first_status(folder, shard, mark, watermark_ms)

    @property
    def mark(self) -> WriterMark:
        """The place in the shard's history that the feed has reached."""
        return self._status.mark

    @property
    def reflected_ms(self) -> int:
        """What the status says of that."""
        return self._status.reflected_ms

    @property
    def num_bytes(self) -> int:
        """Bytes of all logs, from when one was last begun."""
        return self._other_bytes + (self._log.size if self._log else 0)

    def take_gaps(self) -> int:
        """Return how many writes are missing since the last call, as far as this
        process knows.
        """
        found, self._num_gaps = self._num_gaps, 0
        return found

    def append(self, changes: ShardChanges | None) -> None:
        """Append what a write is about to change, before the shard is written.

        Nothing counts until `commit`.

        Args:
            changes: None: the write changes nothing that the feed tells of.
        """
        try:
            with self._lock:
                log = self._current_log()
                if changes is not None:
                    record = pack_changes(changes)
                    self._pending = FRAME_BYTES + len(record)
                    _write_all(log.descriptor, [frame(record), record], log.size)
        except OSError as error:
            self._lose(error)

    def abandon(self) -> None:
        """Take back what was appended: the shard was not written."""
        with self._lock:
            if self._log is not None and self._pending:
                with suppress(OSError):  # what is behind the status never counts
                    os.ftruncate(self._log.descriptor, self._log.size)
            self._pending = 0
            self._lock.notify_all()

    def commit(self, state: tuple[int, int] | None = None, reflected_ms: int = 0) -> None:
        """Let what was appended count, after the shard was written.

        Args:
            state: the shard's sequence and watermark now; None: as they were.
            reflected_ms: up to when everything that had arrived is applied now; what is
                less than before does not count.
        """
        with self._lock:
            if self._log is not None:
                self._log = self._log._replace(size=self._log.size + self._pending)
            self._pending = 0
            self._lock.notify_all()
        sequence, watermark_ms = state or (self._status.sequence, self._status.watermark_ms)
        self._put_status(
            writer=self._writer,
            sequence=sequence,
            watermark_ms=watermark_ms,
            reflected_ms=max(reflected_ms, self._status.reflected_ms),
        )

    def renew(self, reflected_ms: int) -> None:
        """Say up to when everything that had arrived is applied.

        Never says less than before.
        """
        self._put_status(
            writer=self._status.writer,
            sequence=self._status.sequence,
            watermark_ms=self._status.watermark_ms,
            reflected_ms=max(reflected_ms, self._status.reflected_ms),
        )

    def end_log(self) -> None:
        """Close the log that is open, also from another thread; the next write begins
        another one.
        """
        with self._lock:
            self._lock.wait_for(lambda: not self._pending)
            self._close_log()

    def _put_status(
        self, *, writer: str, sequence: int, watermark_ms: int, reflected_ms: int
    ) -> None:
        log = self._log
        self._status = Status(
            shard=self._shard,
            writer=writer,
            sequence=sequence,
            file=str(log.name) if log else "",
            offset=log.size if log else 0,
            reflected_ms=reflected_ms,
            watermark_ms=watermark_ms,
            written_ms=now_ms(),
        )
        packed = pack_status(self._status)
        try:
            try:
                _replace(self._status_path, packed)
            except FileNotFoundError:  # nothing was ever told of the shard
                self._folder.mkdir(parents=True, exist_ok=True)
                _replace(self._status_path, packed)
        except OSError as error:
            logger.warning("feed status not written shard=%d error=%s", self._shard, error)

    def _current_log(self) -> _OpenLog:
        """Return the log to write; another one where the last one is full."""
        if self._log is not None and self._log.size >= self._most_bytes // _LOGS:
            self._close_log()
        if self._log is None:
            self._log = self._begin_log()
        return self._log

    def _begin_log(self) -> _OpenLog:
        previous = self._status.mark
        name = LogName(previous.sequence + 1, self._writer)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._trim(previous)
        if previous.writer and previous.writer != self._writer:
            self._num_gaps += _cut_off(FeedFolder(self._folder), self._folder, previous)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        descriptor = os.open(self._folder / str(name), flags, 0o644)
        head = LogHead(self._shard, self._writer, name.first, previous)
        try:
            _write_all(descriptor, [pack_head(head)], 0)
        except OSError:
            os.close(descriptor)
            (self._folder / str(name)).unlink(missing_ok=True)  # no log without a whole head
            raise
        return _OpenLog(name, descriptor, HEAD_BYTES)

    def _close_log(self) -> None:
        if self._log is not None:
            os.close(self._log.descriptor)
            self._log, self._pending = None, 0

    def _trim(self, mark: WriterMark) -> None:
        """Remove logs that do not lead to a place, then the oldest, until there is room
        for another one; and the statuses of earlier epochs.
        """
        files = FeedFolder(self._folder)
        lineage = _lineage(files, mark)
        kept, most_bytes = 0, self._most_bytes - self._most_bytes // _LOGS
        self._other_bytes = 0
        for name in lineage:
            size = (self._folder / str(name)).stat().st_size
            if self._other_bytes + size > most_bytes or kept + 1 >= _MOST_LOGS:
                break
            self._other_bytes += size
            kept += 1
        for name in set(files.logs()) - set(lineage[:kept]):
            (self._folder / str(name)).unlink(missing_ok=True)
        for path in self._folder.iterdir():
            if newest_status([path.name]) and path.name < self._status_path.name:
                path.unlink(missing_ok=True)

    def _lose(self, error: OSError) -> None:
        """Go on without a record: the next log begins behind the gap."""
        self._num_gaps += 1
        logger.warning("feed not written shard=%d error=%s", self._shard, error)
        with self._lock, suppress(OSError):
            self._close_log()


def remove_feed(folder: Path) -> None:
    """Remove the feed of a shard that is written without one from now on."""
    shutil.rmtree(folder, ignore_errors=True)


def _cut_off(files: FeedFolder, folder: Path, mark: WriterMark) -> int:
    """Cut off what another writer appended behind a place, and the shard does not have;
    return how many records before it are missing, such as after a power cut.
    """
    names = [name for name in _lineage(files, mark)[:1] if name.writer == mark.writer]
    if not names:
        return 0
    path, last, end = folder / str(names[0]), names[0].first - 1, HEAD_BYTES
    size = path.stat().st_size
    for each in frames(files.read(names[0], HEAD_BYTES), HEAD_BYTES):
        if each.sequence > mark.sequence:
            break
        last, end = each.sequence, each.end
    if end < size:
        os.truncate(path, end)
    if last < mark.sequence:
        logger.warning("feed has a gap log=%s records_missing=%d", path, mark.sequence - last)
    return mark.sequence - last


def _first_status(folder: Path, shard: int, mark: WriterMark, watermark_ms: int) -> Status:
    """Return the status of a shard that is just opened at a place: what an earlier one
    said stays true, unless the shard went back behind it.
    """
    status = Status(
        shard=shard, writer=mark.writer, sequence=mark.sequence, watermark_ms=watermark_ms
    )
    with suppress(OSError, ValueError):
        known = FeedFolder(folder).status()
        if known and known.writer == mark.writer and known.sequence <= mark.sequence:
            return msgspec.structs.replace(status, reflected_ms=known.reflected_ms)
    return status


def _lineage(files: FeedFolder, mark: WriterMark) -> Sequence[LogName]:
    """Return the logs that lead to a place, from the newest back."""
    names = files.logs()
    found: list[LogName] = []
    while mark != WriterMark():
        own = [name for name in names if name.writer == mark.writer]
        begun = [name for name in own if name.first <= mark.sequence + 1 and name not in found]
        if not begun:
            break
        found.append(max(begun))
        try:
            mark = unpack_head(files.read(found[-1], 0, HEAD_BYTES)).previous
        except ValueError:
            break
    return found


def _replace(path: Path, content: bytes) -> None:
    """Replace a file in one step, without forcing it to disk."""
    temporary = f"{path}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
    os.rename(temporary, path)  # noqa: PTH104  # a path object costs as much again


def _write_all(descriptor: int, parts: Sequence[bytes], offset: int) -> None:
    """Write parts at an offset, in one system call.

    Raises:
        OSError: the disk refused, or took only some of it.
    """
    size = sum(map(len, parts))
    if os.pwritev(descriptor, parts, offset) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
