"""The lines of one plain or gzip file or pipe with their offsets.

Resumable, followable, bounded in memory.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import compress
from pathlib import Path
from typing import Self

import numpy as np

from stream.sources.content import HEAD_BYTES, Content

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its newline; offsets count bytes of the unpacked content."""

    offset: int
    next_offset: int
    content: bytes


@dataclass(slots=True)
class Lines:
    """Lines as columns of equal length; `Line` says what each holds."""

    offsets: list[int] = field(default_factory=list)
    next_offsets: list[int] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.contents)

    def __iter__(self) -> Iterator[Line]:
        return map(Line, self.offsets, self.next_offsets, self.contents)

    def extend(self, others: Self) -> None:
        """Add lines behind these."""
        self.offsets += others.offsets
        self.next_offsets += others.next_offsets
        self.contents += others.contents

    def rows(self, start: int, end: int | None = None) -> Self:
        """Return the lines from one row to before another."""
        return type(self)(
            self.offsets[start:end], self.next_offsets[start:end], self.contents[start:end]
        )

    def where(self, mask: list[bool]) -> Self:
        """Return the lines where a mask is true."""
        return type(self)(
            list(compress(self.offsets, mask)),
            list(compress(self.next_offsets, mask)),
            list(compress(self.contents, mask)),
        )


class LineReader:
    """Reads one open file forward.

    Args:
        path: the file or pipe; plain, or gzip of any number of members (told by its
            first bytes, not by its name).
        max_line_bytes: of a longer line only the first ``max_line_bytes + 1`` bytes are
            kept.

    Raises:
        SourceUnreadable: the file cannot be opened or read.

    Attributes:
        head: the first bytes of the unpacked content, as far as they were read.
        ended: everything was read and nothing more is awaited.
        paused: the last read stopped at its bound of chunks, and there may be more.
    """

    def __init__(self, path: Path, max_line_bytes: int) -> None:
        self._path = path
        self._max_line_bytes = max_line_bytes
        self._content = Content(path)
        self._waiting = Lines()
        self._offset = 0
        self._rest = b""
        self._num_dropped = 0
        self.head = b""
        self.ended = False
        self.paused = False

    @property
    def is_pipe(self) -> bool:
        """Whether this can be read only once, from its start."""
        return self._content.is_pipe

    @property
    def descriptor(self) -> int:
        """The open file, to wait for."""
        return self._content.descriptor

    def fingerprint(self, *, whole_line: bool) -> str | None:
        """Return what tells this file from another of the same name.

        A hash of its first line and its inode.

        Leaves the reader at the start, so it is not for a pipe. None: the file is
        empty, or (`whole_line`) its first line still grows.

        Raises:
            SourceUnreadable: the file is damaged, or (without `whole_line`) cut short
                before its first byte.
        """
        head = b""
        while b"\n" not in head and len(head) < HEAD_BYTES and (chunk := self._content.read()):
            head += chunk
        if not head and not whole_line:
            self._content.check_whole()
        self._content.rewind()
        first, newline, _ = head[:HEAD_BYTES].partition(b"\n")
        if not head or (whole_line and not newline and len(first) < HEAD_BYTES):
            return None
        return blake2b(first + b"\n%d" % self._content.inode, digest_size=8).hexdigest()

    def skip_to(self, offset: int) -> Generator[None, None, bool]:
        """Go on at an offset, and yield between two chunks of what is unpacked to get
        there; False: the file is shorter, and the reader is back at its start.
        """
        if not (yield from self._content.skip_to(offset)):
            self._content.rewind()
            return False
        self._offset = offset
        return True

    @property
    def is_read_up(self) -> bool:
        """Whether nothing is left of the file as it is on disk."""
        return self._content.is_read_up

    def read(self, max_lines: int, *, final: bool) -> list[Line]:
        """Return the next lines one by one; `read_columns` says which."""
        return list(self.read_columns(max_lines, final=final))

    def read_columns(self, max_lines: int, *, final: bool, max_chunks: int | None = None) -> Lines:
        """Return the next lines that are not blank; none when there are none now.

        A byte order mark at the start of a line is no part of it: files that have one
        may have been joined.

        Args:
            max_lines: at most so many.
            final: do not wait for growth: take the last line without a newline too,
                then be `ended`. Its `next_offset` is its own start, because it may grow
                after all.
            max_chunks: be `paused` after so many reads of at most a mebibyte, in the
                middle of a line too, so that one without end holds nobody up; None:
                read on.

        Raises:
            SourceUnreadable: the file is damaged, or cut short; every line before that
                was returned.
        """
        taken = Lines()
        self.paused, num_chunks = False, 0
        while len(taken) < max_lines:
            if not len(self._waiting):
                self.paused = num_chunks == max_chunks
                if self.paused or not self._fill(final=final):
                    break
                num_chunks += 1
            wanted = max_lines - len(taken)
            taken.extend(self._waiting.rows(0, wanted))
            self._waiting = self._waiting.rows(wanted)
        if not taken and final and self.ended:
            self._content.check_whole()
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
        elif final and self._content.is_at_end:
            self._cut_last()
        return bool(chunk or len(self._waiting))

    def _cut(self, chunk: bytes) -> None:
        if not self._offset and len(self.head) < HEAD_BYTES:
            self.head += chunk[: HEAD_BYTES - len(self.head)]
        whole = self._rest + chunk
        complete = whole.split(b"\n")
        self._rest = complete.pop()
        if complete:
            sizes = np.fromiter(map(len, complete), dtype=np.int64, count=len(complete)) + 1
            sizes[0] += self._num_dropped
            ends = self._offset + np.cumsum(sizes)
            lines = Lines((ends - sizes).tolist(), ends.tolist(), complete)
            self._waiting = self._usable(lines, whole, int(sizes.max()))
            self._offset, self._num_dropped = int(ends[-1]), 0
        excess = len(self._rest) - self._max_line_bytes - 1
        if excess > 0:
            self._rest = self._rest[:-excess]
            self._num_dropped += excess

    def _cut_last(self) -> None:
        self.ended = True
        if self._rest and not self._content.was_rewritten:
            lines = Lines([self._offset], [self._offset], [self._rest])
            self._waiting = self._usable(lines, self._rest, len(self._rest))

    def _usable(self, lines: Lines, whole: bytes, longest: int) -> Lines:
        """Return lines, which were cut from `whole`, without byte order marks, cut at
        the bound, those that are not blank.
        """
        contents = lines.contents
        if _BYTE_ORDER_MARK in whole:
            contents = [_without_marks(content) for content in contents]
        if longest > self._max_line_bytes:
            contents = [content[: self._max_line_bytes + 1] for content in contents]
        lines.contents = contents
        if all(contents) and not any(map(bytes.isspace, contents)):
            return lines
        return lines.where([bool(content) and not content.isspace() for content in contents])


def _without_marks(content: bytes) -> bytes:
    while content.startswith(_BYTE_ORDER_MARK):
        content = content.removeprefix(_BYTE_ORDER_MARK)
    return content
