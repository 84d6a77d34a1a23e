"""The lines of one plain or gzip file with their offsets.

Resumable, followable, bounded in memory.
"""

import os
import zlib
from collections import deque
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from stream.errors import SourceUnreadable

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# zlib's number for gzip with the largest window.
_GZIP_WINDOW = 31
# Bytes read of the file at once: bounds memory.
_RAW_CHUNK_BYTES = 128 * 1024
# Bytes unpacked at once: bounds memory for a file that unpacks to much.
_UNPACKED_CHUNK_BYTES = 1024 * 1024
# Bytes of a first line that tell one file from another; event lines are shorter.
_FINGERPRINT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its newline; offsets count bytes of the unpacked content."""

    offset: int
    next_offset: int
    content: bytes


class LineReader:
    """Reads one open file forward.

    Args:
        path: the file; plain, or gzip of any number of members (told by its first
            bytes, not by its name).
        max_line_bytes: of a longer line only the first ``max_line_bytes + 1`` bytes are
            kept.

    Raises:
        SourceUnreadable: the file cannot be opened or read.
    """

    def __init__(self, path: Path, max_line_bytes: int) -> None:
        self._path = path
        self._max_line_bytes = max_line_bytes
        self._content = _Content(path)
        self._lines: deque[Line] = deque()
        self._offset = 0
        self._rest = b""
        self._num_dropped = 0
        self.ended = False

    def fingerprint(self, *, whole_line: bool) -> str | None:
        """Return what tells this file from another of the same name.

        A hash of its first line and its inode.

        Leaves the reader at the start. None: the file is empty, or (`whole_line`) its
        first line still grows.
        """
        head = b""
        while (
            b"\n" not in head and len(head) < _FINGERPRINT_BYTES and (chunk := self._content.read())
        ):
            head += chunk
        self._content.rewind()
        first, newline, _ = head[:_FINGERPRINT_BYTES].partition(b"\n")
        if not head or (whole_line and not newline and len(first) < _FINGERPRINT_BYTES):
            return None
        return blake2b(first + b"\n%d" % self._content.inode, digest_size=8).hexdigest()

    def skip_to(self, offset: int) -> bool:
        """Go on at an offset; False.

        The file is shorter, and the reader is back at its start.
        """
        if not self._content.skip_to(offset):
            self._content.rewind()
            return False
        self._offset = offset
        return True

    def read(self, max_lines: int, *, final: bool) -> list[Line]:
        """Return the next lines that are not blank; none when there are none now.

        Args:
            max_lines: at most so many.
            final: do not wait for growth: take the last line without a newline too,
                then be `ended`. Its `next_offset` is its own start, because it may grow
                after all.

        Raises:
            SourceUnreadable: the file is damaged, or cut short; every line before that
                was returned.
        """
        taken: list[Line] = []
        while len(taken) < max_lines:
            if not self._lines and not self._fill(final=final):
                break
            while self._lines and len(taken) < max_lines:
                line = self._lines.popleft()
                if line.content and not line.content.isspace():
                    taken.append(line)
        if not taken and final and self.ended and self._content.is_cut_short:
            raise SourceUnreadable(
                f"{self._path} is cut short: its gzip data ends in the middle; copy it again"
            )
        return taken

    def was_replaced(self) -> bool:
        """Whether the path names another file by now, or none, or this one was cut back
        or rewritten.
        """
        return self._content.was_replaced()

    @property
    def was_rewritten(self) -> bool:
        """Whether the file began to say something else while it was read.

        Nothing more is read of it.
        """
        return self._content.was_rewritten

    @property
    def bytes_done(self) -> int:
        """Bytes read of the file as it is on disk."""
        return self._content.num_raw_bytes

    def close(self) -> None:
        """Close the file."""
        self._content.close()

    def _fill(self, *, final: bool) -> bool:
        if self.ended:
            return False
        chunk = self._content.read()
        if chunk:
            self._cut(chunk)
        elif final:
            self._cut_last()
        return bool(chunk or self._lines)

    def _cut(self, chunk: bytes) -> None:
        *complete, self._rest = (self._rest + chunk).split(b"\n")
        for content in complete:
            next_offset = self._offset + len(content) + self._num_dropped + 1
            self._lines.append(self._line(next_offset, content))
            self._offset, self._num_dropped = next_offset, 0
        excess = len(self._rest) - self._max_line_bytes - 1
        if excess > 0:
            self._rest = self._rest[:-excess]
            self._num_dropped += excess

    def _cut_last(self) -> None:
        self.ended = True
        if self._rest and not self._content.was_rewritten:
            self._lines.append(self._line(self._offset, self._rest))

    def _line(self, next_offset: int, content: bytes) -> Line:
        kept = content.removeprefix(_BYTE_ORDER_MARK) if self._offset == 0 else content
        return Line(self._offset, next_offset, kept[: self._max_line_bytes + 1])


class _Content:
    """The unpacked bytes of a plain or gzip file, read forward."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceUnreadable(f"{path} cannot be opened: {error.strerror}") from error
        self.inode = os.fstat(self._descriptor).st_ino
        self.was_rewritten = False
        self._head = b""
        self.rewind()

    def rewind(self) -> None:
        self.num_raw_bytes = 0
        self._is_gzip = self._read_at(0, 2) == _GZIP_MAGIC
        self._member: zlib._Decompress | None = None
        self._raw = b""

    @property
    def is_cut_short(self) -> bool:
        return self._member is not None

    def read(self) -> bytes:
        """Return the next bytes; none: there are no more now."""
        return self._unpack() if self._is_gzip else self._read_raw()

    def skip_to(self, offset: int) -> bool:
        if not self._is_gzip:
            self.num_raw_bytes = offset
            return offset <= os.fstat(self._descriptor).st_size
        while offset:
            unpacked = self._unpack(min(offset, _UNPACKED_CHUNK_BYTES))
            if not unpacked:
                return False
            offset -= len(unpacked)
        return True

    def was_replaced(self) -> bool:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        shrunk = status.st_size < self.num_raw_bytes
        return shrunk or status.st_ino != self.inode or self.was_rewritten

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _unpack(self, max_bytes: int = _UNPACKED_CHUNK_BYTES) -> bytes:
        unpacked = b""
        while not unpacked and self._has_raw():
            self._member = self._member or zlib.decompressobj(_GZIP_WINDOW)
            unpacked = self._inflate(self._member, max_bytes)
        return unpacked

    def _has_raw(self) -> bool:
        self._raw = self._raw or self._read_raw()
        while self._member is None and self._raw.startswith(
            b"\0"
        ):  # padding that some tools leave at the end
            self._raw = self._raw.lstrip(b"\0") or self._read_raw()
        return bool(self._raw)

    def _inflate(self, member: "zlib._Decompress", max_bytes: int) -> bytes:
        try:
            unpacked = member.decompress(self._raw, max_bytes)
        except zlib.error as error:
            place = f"before byte {self.num_raw_bytes}"
            raise SourceUnreadable(
                f"{self._path} is damaged: its gzip data breaks {place}; copy it again"
            ) from error
        self._raw = member.unconsumed_tail
        if member.eof:
            self._raw = member.unused_data
            self._member = None
        return unpacked

    def _read_raw(self) -> bytes:
        """Return the next bytes on disk.

        None once the file was cut back and grew again unseen.
        """
        raw = self._read_at(self.num_raw_bytes, _RAW_CHUNK_BYTES)
        if raw and self._read_at(0, len(self._head)) != self._head:
            self.was_rewritten = True
        if self.was_rewritten:
            return b""
        if self.num_raw_bytes == 0:
            self._head = raw[:_FINGERPRINT_BYTES]
        self.num_raw_bytes += len(raw)
        return raw

    def _read_at(self, offset: int, num_bytes: int) -> bytes:
        try:
            return os.pread(self._descriptor, num_bytes, offset)
        except OSError as error:
            raise SourceUnreadable(f"{self._path} cannot be read: {error.strerror}") from error
