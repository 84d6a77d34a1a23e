"""The quarantine file beside a store: written, read, and rewritten without some."""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from stream.errors import PARSE_ERRORS, QuarantineFailed, refusal
from stream.events.types import Rejection
from stream.files import sync_directory
from stream.quarantine.records import LINE_DECODER, QuarantinedRecord, line_of

logger = logging.getLogger(__name__)

FILE_NAME = "quarantine/rejected.jsonl"
"""Where a store's quarantine file is, under the store's folder."""


# Bytes read at once from the file's end to find its last whole line; chosen by hand.
# Twice as much reads longer at the start and saves a step on very long lines.
_TAIL_BYTES = 64 * 1024


class FileQuarantine:
    """Appends rejections to a file of JSON lines.

    Args:
        path: the file; made when the first rejection comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def put(self, rejections: Sequence[Rejection], now_ms: int) -> None:
        """Append rejections and force them to disk.

        Raises:
            QuarantineFailed: the disk refused.
        """
        if not rejections:
            return
        lines = b"".join(line_of(rejection, now_ms) for rejection in rejections)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._path):
                self._open()
                _write_all(self._descriptor, lines)
                os.fsync(self._descriptor)
        except OSError as error:
            raise QuarantineFailed(
                f"{self._path} could not be written ({error.strerror}); "
                f"{refusal(error) or 'mend the disk'}, then start again"
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        if self._descriptor >= 0 and _is_same_file(self._descriptor, self._path):
            return
        self.close()
        self._descriptor = os.open(
            self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        _cut_torn_line(self._descriptor)


def read_quarantine(path: Path) -> Iterator[QuarantinedRecord]:
    """Yield what a quarantine file holds, oldest first; nothing where there is no file.

    A line that a crash cut short is left out: its batch was not applied, so the record
    comes again.

    Raises:
        QuarantineFailed: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield LINE_DECODER.decode(line)
                except PARSE_ERRORS as error:
                    logger.warning(
                        "quarantine line unreadable path=%s line=%d error=%s", path, number, error
                    )
    except FileNotFoundError:
        return
    except OSError as error:
        raise QuarantineFailed(
            f"{path} cannot be read ({error.strerror}); {refusal(error) or 'check the disk'}"
        ) from error


def remove_quarantined(path: Path, is_removed: Callable[[QuarantinedRecord], bool]) -> int:
    """Rewrite a quarantine file without some of its records; return how many those are.

    A stream may append to it meanwhile, and waits for no more than what it has appended
    since the rewriting began. A crash leaves the old file or the new one.

    Raises:
        QuarantineFailed: the file cannot be read, or the disk refused.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        while True:
            with path.open("rb") as source, temporary.open("wb") as target:
                num_removed = _copy_others(source, target, is_removed)
                with _locked(path):
                    if not _is_same_file(source.fileno(), path):
                        continue  # rewritten by another process meanwhile
                    num_removed += _copy_others(source, target, is_removed)
                    target.flush()
                    os.fsync(target.fileno())
                    temporary.replace(path)
            sync_directory(path.parent)
            return num_removed
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise QuarantineFailed(
            f"{path} could not be rewritten, and is untouched ({error.strerror}); "
            f"{refusal(error) or 'mend the disk'}, then try again"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy_others(
    source: BinaryIO, target: BinaryIO, is_removed: Callable[[QuarantinedRecord], bool]
) -> int:
    """Copy the whole lines from here on but for some records; return how many these
    are.
    """
    num_removed = 0
    for line in iter(source.readline, b""):
        if not line.endswith(b"\n"):
            source.seek(-len(line), os.SEEK_CUR)  # being written, or torn by a crash
            break
        if _is_readable(line) and is_removed(LINE_DECODER.decode(line)):
            num_removed += 1
        else:
            target.write(line)
    return num_removed


def _is_readable(line: bytes) -> bool:
    try:
        LINE_DECODER.decode(line)
    except PARSE_ERRORS:
        return False
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other processes from appending to a quarantine file, or rewriting it."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _cut_torn_line(descriptor: int) -> None:
    """Remove what a crash left of a last line.

    Its record was not applied and comes again.
    """
    size = end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - _TAIL_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
