"""Follows one shard's history through the logs of its feed, wherever they are."""

from collections.abc import Iterator
from typing import NamedTuple

from stream.feed.changes import WriterMark
from stream.feed.folder import FeedFiles
from stream.feed.log import (
    HEAD_BYTES,
    Frame,
    LogHead,
    LogName,
    NoPath,
    Span,
    frames,
    path_between,
    unpack_head,
)
from stream.feed.status import Status


class _Cursor(NamedTuple):
    """Where in a log a place is."""

    mark: WriterMark
    name: LogName
    end: int


class ShardFollower:
    """Reads the records of one shard's feed; it remembers where it was.

    Args:
        files: of the feed.
    """

    def __init__(self, files: FeedFiles) -> None:
        self.files = files
        self._heads: dict[LogName, LogHead] = {}
        self._cursor: _Cursor | None = None

    def frames(self, since: WriterMark, status: Status) -> Iterator[tuple[LogName, Frame]]:
        """Yield the records after a place up to that of a status, with the log of each.

        Raises:
            NoPath: they are not all there, or the shard went back behind the place.
            OSError: the files cannot be read; `FileNotFoundError`: one of them has gone
                since.
            ValueError: one is damaged; so for all of `codec.BAD_RECORD_ERRORS`.
        """
        sequence = since.sequence
        for span, start in self._spans(since, status.mark):
            is_newest = str(span.name) == status.file
            content = self.files.read(span.name, start, status.offset if is_newest else None)
            for each in _records(frames(content, start), sequence, span.last):
                sequence = each.sequence
                self._cursor = _Cursor(WriterMark(span.name.writer, sequence), span.name, each.end)
                yield span.name, each

    def _spans(self, since: WriterMark, until: WriterMark) -> Iterator[tuple[Span, int]]:
        """Yield the parts of logs from one place to another, and where to begin in
        each.
        """
        known, names = self._cursor, self.files.logs()
        if known is not None and (known.mark != since or known.name not in names):
            known = None
        for span in path_between(names, self._head_of, since, until):
            yield span, known.end if known is not None and known.name == span.name else HEAD_BYTES

    def _head_of(self, name: LogName) -> LogHead:
        if name not in self._heads:
            self._heads[name] = unpack_head(self.files.read(name, 0, HEAD_BYTES))
        return self._heads[name]


def _records(found: Iterator[Frame], since: int, last: int) -> Iterator[Frame]:
    """Yield the records after a sequence up to another.

    Raises:
        NoPath: one of them is missing.
    """
    expected = since + 1
    for each in found:
        if each.sequence > last:
            break
        if each.sequence < expected:
            continue
        if each.sequence > expected:
            break
        yield each
        expected += 1
    if expected <= last:
        raise NoPath(f"the record of write {expected} is missing")
